"""Dated data on support, releases, exploited flaws and package fixes, and how a product is judged by it."""

from __future__ import annotations

from seccheck.reference.judge import Ruling, at_newest_patch, free_of_known_exploited, supported
from seccheck.reference.product import Product
from seccheck.reference.snapshot import FeedInfo, Reference, load_reference, load_reference_bytes, pack

__all__ = [
    "FeedInfo",
    "Product",
    "Reference",
    "Ruling",
    "at_newest_patch",
    "free_of_known_exploited",
    "load_reference",
    "load_reference_bytes",
    "pack",
    "supported",
]
