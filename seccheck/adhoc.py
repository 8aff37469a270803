"""A registry for a pipeline's own target: one system, no file. Public targets need somebody's word."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from seccheck.errors import InputError
from seccheck.permission import Scope, parse_address
from seccheck.registry import Registry, load_registry
from seccheck.resolution import Resolution
from seccheck.resolve import resolve
from seccheck.system import Target

STAGING = "staging"
"""The tag of a system not in service yet: what is asked of a published name does not apply to it."""


def registry_for(
    urls: Sequence[str], level: int, trust: Sequence[Path], reference: str
) -> tuple[Registry, dict[str, Resolution]]:
    """The registry of one system with these targets, and what their names resolve to.

    Raises `InputError` when a target is public and `reference` does not say who allowed it.
    """
    data: dict[str, Any] = {
        "seccheck": "registry/1",
        "name": {"vi": "Cổng kiểm soát của quy trình phát hành", "en": "Pipeline gate"},
        "language": "en",
        "units": [
            {"id": "pipeline", "kind": "other", "name": {"vi": "Quy trình phát hành", "en": "Pipeline"}}
        ],
        "trust": [str(path.resolve()) for path in trust],
        "systems": [
            {
                "id": "target",
                "unit": "pipeline",
                "name": {"vi": "Hệ thống được kiểm tra", "en": "System under test"},
                "level": level,
                "targets": list(urls),
            }
        ],
    }
    draft = _load(data, authorised=False)
    names = resolve(
        sorted({one.host for one in draft.systems[0].targets if not one.literal_address}), Scope()
    )
    addresses = sorted({address for one in draft.systems[0].targets for address in _addresses(one, names)})
    public = [address for address in addresses if parse_address(address).is_global]
    if public and not reference:
        raise InputError.at(
            "--target",
            f"{public[0]} is a public address; expected the word of whoever may allow scanning it",
            hint='--i-am-authorised "who, and by what document"',
        )
    data["networks"] = [f"{address}/{ip_address(address).max_prefixlen}" for address in addresses] or [
        "127.0.0.0/8"
    ]
    if not public:
        data["systems"][0]["tags"] = [STAGING]
    today = datetime.now(UTC).date()
    data["authorisation"] = {
        "approved_by": reference or "the pipeline, for its own private or loopback target",
        "document": reference or "none needed",
        "valid": {"from": today - timedelta(days=1), "until": today + timedelta(days=1)},
    }
    return _load(data), names


def _load(data: dict[str, Any], *, authorised: bool = True) -> Registry:
    """Read `data` the way any registry is read, so that its mistakes are told the same way."""
    import yaml

    with TemporaryDirectory() as place:
        path = Path(place) / "--target"
        path.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
        return load_registry(path, authorised=authorised)


def _addresses(target: Target, names: dict[str, Resolution]) -> tuple[str, ...]:
    return (target.literal_address,) if target.literal_address else names[target.host].addresses
