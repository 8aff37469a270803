"""What the reference data says of a product: is it supported, free of exploited flaws, at its newest patch."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from seccheck.model import Reason, Record, Verdict
from seccheck.reference.product import Product
from seccheck.reference.snapshot import Reference


class Ruling(Record):
    """What a product came to under one question, and what the answer rests on."""

    verdict: Verdict
    reason: Reason | None = None
    expected: str = ""
    observed: str = ""
    candidates: tuple[str, ...] = ()
    """Flaws that the version may have, when nothing shows whether its builder fixed them."""
    next_step: str = ""
    """What evidence would settle an inconclusive ruling."""


def supported(product: Product | Mapping[str, Any], reference: Reference, at: datetime) -> Ruling:
    """Whether somebody still maintains `product` at `at` (PAT-01)."""
    return Ruling(verdict=Verdict.INCONCLUSIVE, reason=Reason.NO_DATA)


def free_of_known_exploited(
    product: Product | Mapping[str, Any], reference: Reference, at: datetime
) -> Ruling:
    """Whether `product` is outside every range of versions with a flaw known to be exploited (PAT-02)."""
    return Ruling(verdict=Verdict.INCONCLUSIVE, reason=Reason.NO_DATA)


def at_newest_patch(
    product: Product | Mapping[str, Any], reference: Reference, at: datetime, days: int = 30
) -> Ruling:
    """Whether `product` is at the newest patch level, or the newer one is at most `days` old (PAT-03)."""
    return Ruling(verdict=Verdict.INCONCLUSIVE, reason=Reason.NO_DATA)
