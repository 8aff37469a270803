# ruff: noqa: E501 (samples stand as they are said)
"""What one target says is in its own facts and in no other's, whatever it says and whoever was asked before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seccheck.model import ProbeFailed
from seccheck.probes import Endpoint
from seccheck.probes.banner import collect as banner
from seccheck.probes.banner.facts import BannerParams
from seccheck.probes.http import collect as http
from seccheck.probes.http.facts import HttpParams
from seccheck.probes.ports.identify import identify
from seccheck.probes.ssh import collect as ssh
from seccheck.probes.ssh.facts import SshParams
from tests.fuzz.properties import HERE, Recorded, hostile
from tests.fuzz.test_banner import SAID
from tests.fuzz.test_http import ANSWERS
from tests.fuzz.test_ssh import TALKS

pytestmark = pytest.mark.fuzz
MARK = "seccheck-stranger"
Look = Callable[[Endpoint, bytes], Any]
LOOKS: dict[str, tuple[Look, bytes, tuple[bytes, ...]]] = {
    "http": (
        lambda place, said: http(place, HttpParams(ask=("answer",)), Recorded(said)),
        ANSWERS[0],
        ANSWERS[:3],
    ),
    "ssh": (
        lambda place, said: ssh(place, SshParams(ask=("algorithms",)), Recorded(said)),
        TALKS[0],
        TALKS,
    ),
    "smtp": (lambda place, said: banner(place, BannerParams(), Recorded(said)), SAID["smtp"][0], SAID["smtp"]),
    "mysql": (lambda place, said: banner(place, BannerParams(), Recorded(said)), SAID["mysql"][0], SAID["mysql"]),
    "ports": (lambda _place, said: identify(Recorded(said), HERE, 2375), b"220 ftp ready\r\n", SAID["ftp"]),
}  # fmt: skip


def told(look: Look, host: str, said: bytes) -> bytes:
    """The facts of a look, or why there are none, as they would be written."""
    try:
        return msgspec.json.encode(
            look(Endpoint(host=host, address=HERE, port=8080, service=_service(look)), said)
        )
    except ProbeFailed as failure:
        return f"{failure.reason} {failure.detail}".encode()


def _service(look: Look) -> str:
    return next(name for name, (one, _, _) in LOOKS.items() if one is look)


@given(st.sampled_from(sorted(LOOKS)), st.data(), st.integers(0, 40))
def test_a_neighbour_changes_nothing(kind: str, data: st.DataObject, at: int) -> None:
    look, honest, samples = LOOKS[kind]
    alone = told(look, "good.example.vn", honest)
    said = data.draw(hostile(*samples))
    told(look, "bad.example.vn", said[:at] + MARK.encode() + said[at:])
    assert told(look, "good.example.vn", honest) == alone
    assert MARK.encode() not in alone
