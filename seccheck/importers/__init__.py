"""From the spreadsheet that an office keeps to a registry file, and the spreadsheet to begin with."""

from __future__ import annotations

from seccheck.importers.table import import_table as import_table
from seccheck.importers.template import template_csv as template_csv
from seccheck.importers.template import template_xlsx as template_xlsx
