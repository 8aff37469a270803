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
        files = {}
        for feed, data in shipped.files.items():
            document = {**json.loads(data), "date": day}
            for entry in document["content"].get("products", {}).values():
                if "as_of" in entry:
                    entry["as_of"] = day
            files[feed] = json.dumps(document).encode()
        return Reference(files)

    return make


@pytest.fixture(scope="session")
def fresh(dated: Callable[[str], Reference]) -> Reference:
    return dated("2026-11-22")
