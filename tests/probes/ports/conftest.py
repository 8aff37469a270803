"""An address of its own for each test, and the engine chosen by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.probes.ports.servers import Place, some_address


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place(some_address())
    yield made
    made.close()


@pytest.fixture
def place6() -> Iterator[Place]:
    made = Place("::1")
    yield made
    made.close()


@pytest.fixture(autouse=True, scope="module")
def built_in() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECCHECK_PORTS_ENGINE", "connect")
        yield
