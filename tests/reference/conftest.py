"""The shipped reference data, as it is and as if every feed were of one day."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from seccheck.reference import Reference, load_reference
from seccheck.reference.snapshot import BUNDLED


@pytest.fixture(scope="session")
def shipped() -> Reference:
    return load_reference(BUNDLED)


@pytest.fixture(scope="session")
def dated(shipped: Reference) -> Callable[[str], Reference]:
    """The shipped data with another date on every feed."""

    def make(day: str) -> Reference:
        return Reference(
            {
                feed: json.dumps({**json.loads(data), "date": day}).encode()
                for feed, data in shipped.files.items()
            }
        )

    return make


@pytest.fixture(scope="session")
def fresh(dated: Callable[[str], Reference]) -> Reference:
    return dated("2026-11-22")
