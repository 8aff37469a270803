"""What a report reads of the criteria that a run keeps is what the criteria say."""

from __future__ import annotations

import msgspec
import pytest

from seccheck.criteria import load_criteria
from seccheck.probes import load_probes
from seccheck.reports.run import Criteria


@pytest.mark.parametrize("name", ["project06-2024", "project06-2026"])
def test_lifetimes_and_statements_of_every_criterion_at_every_level(name):
    loaded = load_criteria(name, load_probes())
    kept = msgspec.json.decode(msgspec.json.encode(loaded.as_data()), type=Criteria)
    for one, read in zip(loaded.criteria, kept.criteria, strict=True):
        for level in range(1, 6):
            assert read.months(level) == one.months(level), one.id
            assert read.said("en", level) == one.statement("en", level), one.id
