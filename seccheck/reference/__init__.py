"""Dated data on support, releases, exploited flaws and package fixes, and how a product is judged by it.

A banner proves what it says and no more. A number that a distribution keeps while it patches decides
nothing; a package revision does, and so does the number of an upstream build. Nothing passes on data
that is missing or too old, and nothing fails that a distributor may have repaired unseen.
"""

from __future__ import annotations

from seccheck.reference.case import Ruling
from seccheck.reference.evidence import Evidence as Papers
from seccheck.reference.evidence import Package, Statement, packages_from, read_evidence, settle
from seccheck.reference.exploited import free_of_known_exploited
from seccheck.reference.newest import at_newest_patch
from seccheck.reference.product import Product
from seccheck.reference.snapshot import (
    BUNDLED,
    FeedInfo,
    Reference,
    load_reference,
    load_reference_bytes,
    pack,
)
from seccheck.reference.support import supported

__all__ = [
    "BUNDLED",
    "FeedInfo",
    "Package",
    "Papers",
    "Product",
    "Reference",
    "Ruling",
    "Statement",
    "at_newest_patch",
    "free_of_known_exploited",
    "load_reference",
    "load_reference_bytes",
    "pack",
    "packages_from",
    "read_evidence",
    "settle",
    "supported",
]
