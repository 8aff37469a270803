"""DKIM keys, DMARC policies, mail exchangers, and the records that make transport safer."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

import dns.name

from seccheck.model import Reason, safe_text
from seccheck.probes import ProbeFailed
from seccheck.probes.mail.facts import DkimKey, Dmarc, MtaSts, Mx
from seccheck.probes.mail.organisation import organisational_domain
from seccheck.resolve import Stub, name_of, sorted_addresses, texts_at

Name = dns.name.Name
SELECTORS = (
    "default", "dkim", "dkim1", "mail", "email", "smtp", "mx", "key1", "k1", "k2", "k3", "s1", "s2", "s", "x",
    "selector", "selector1", "selector2", "google", "20230601", "zoho", "zmail", "mailo", "fm1", "fm2", "fm3",
    "protonmail", "mandrill", "everlytickey1", "mxvault", "pic", "sig1", "ms", "hse1", "a1", "m1",
)  # fmt: skip
"""DKIM selectors that mail software and services use unless told otherwise."""
_POLICIES = {"none", "quarantine", "reject"}
_MOST_EXCHANGERS = 16


def tags(text: str) -> dict[str, str]:
    """A list of tag=value pairs (RFC 6376, 3.2), names in lower case; the first of a name counts."""
    found: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if equals:
            found.setdefault(name.strip().lower(), value.strip())
    return found


# ------------------------------------------------------------------------------------------------------ DKIM


def dkim(stub: Stub, domain: Name, more: tuple[str, ...]) -> tuple[DkimKey, ...]:
    """The keys found under the common selectors and `more`.

    Selectors can't be listed: none found means nothing, unless the domain has no name `_domainkey` at all
    (RFC 8020). Raises `ProbeFailed` with the reason undisclosed where it means nothing.
    """
    folder = _under("_domainkey", domain)
    keys = []
    for selector in dict.fromkeys((*more, *SELECTORS)):
        for text in texts_at(stub, _under(selector, folder)):
            fields = tags(text)
            if "p" in fields and fields.get("v", "DKIM1") == "DKIM1":
                keys.append(_key(selector, fields))
                break
    if not keys and stub.ask(folder, "TXT").exists:
        raise ProbeFailed(Reason.UNDISCLOSED, "no DKIM key under the selectors that were tried")
    return tuple(keys)


def _key(selector: str, fields: dict[str, str]) -> DkimKey:
    material = re.sub(r"\s", "", fields["p"])
    kind = fields.get("k", "rsa").lower()
    return DkimKey(
        selector=safe_text(selector, 64),
        key_type=safe_text(kind, 32),
        bits=_bits(kind, material),
        revoked=not material,
        testing="y" in fields.get("t", "").lower().split(":"),
    )


def _bits(kind: str, material: str) -> int:
    """The size of a key; 0 when it can't be read."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        raw = base64.b64decode(material, validate=True)
        if kind == "ed25519":
            return len(raw) * 8
        key = load_der_public_key(raw)
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        return 0
    return key.key_size if isinstance(key, RSAPublicKey) else 0


# ------------------------------------------------------------------------------------------------------ DMARC


def dmarc(stub: Stub, domain: Name) -> Dmarc:
    """The policy for mail from `domain`: its own, else its organisational domain's (RFC 7489, 6.6.3)."""
    own = _dmarc_at(stub, domain, inherited=False)
    parent = name_of(organisational_domain(domain.to_text()))
    if own.present or parent == domain:
        return own
    return _dmarc_at(stub, parent, inherited=True)


def _dmarc_at(stub: Stub, domain: Name, *, inherited: bool) -> Dmarc:
    texts = texts_at(stub, _under("_dmarc", domain))
    found = [text for text in texts if re.match(r"v\s*=\s*DMARC1\s*(?:;|$)", text)]
    if not found:
        return Dmarc()
    at = safe_text(domain.to_text(omit_final_dot=True), 255)
    record = safe_text(found[0], 512)
    if len(found) > 1:
        return Dmarc(present=True, at=at, record=record, problems=("several-records",))
    fields = tags(found[0])
    problems = []
    reports = tuple(safe_text(uri.strip(), 256) for uri in fields.get("rua", "").split(",") if uri.strip())
    policy = fields.get("p", "").lower()
    if policy not in _POLICIES:
        problems.append("no-policy" if not policy else "unknown-policy")
        policy = "none" if reports else ""  # RFC 7489, 6.6.3
    below = fields.get("sp", policy).lower()
    if below not in _POLICIES:
        below = policy
    percent = fields.get("pct", "100")
    if not re.fullmatch(r"\d{1,3}", percent) or int(percent) > 100:
        problems.append("pct-no-percentage")
        percent = "100"
    return Dmarc(
        present=True,
        valid=policy != "",
        at=at,
        policy=below if inherited else policy,  # type: ignore[arg-type]
        subdomain_policy=below,  # type: ignore[arg-type]
        percent=int(percent),
        testing=fields.get("t", "").lower() == "y",
        reports_to=reports[:16],
        record=record,
        problems=tuple(problems),
    )


# -------------------------------------------------------------------------------------------------- transport


def transport_policies(stub: Stub, domain: Name) -> dict[str, Any]:
    """Whether MTA-STS and TLS reporting are announced (RFC 8461, 3.1; RFC 8460, 3)."""
    policies = [text for text in texts_at(stub, _under("_mta-sts", domain)) if re.match(r"v=STSv1\s*;", text)]
    reports = [
        text
        for text in texts_at(stub, _under("_smtp", _under("_tls", domain)))
        if re.match(r"v=TLSRPTv1\s*;", text)
    ]
    one = len(policies) == 1  # several are none (RFC 8461, 3.1)
    return {
        "mta_sts": MtaSts(present=one, id=safe_text(tags(policies[0]).get("id", ""), 64) if one else ""),
        "tls_reporting": len(reports) == 1,
    }


def exchangers(stub: Stub, domain: Name) -> dict[str, Any]:
    """The mail exchangers with their addresses, and whether the domain receives mail (RFC 5321, 5.1)."""
    records = sorted(stub.ask(domain, "MX").rrset or (), key=lambda one: (one.preference, one.exchange))
    found = tuple(
        Mx(
            preference=record.preference,
            host=safe_text(record.exchange.to_text(omit_final_dot=True), 255),
            addresses=_addresses(stub, record.exchange),
        )
        for record in records[:_MOST_EXCHANGERS]
        if record.exchange != dns.name.root
    )
    receives = bool(found) if records else bool(_addresses(stub, domain))
    return {"mx": found, "receives_mail": receives}


def _addresses(stub: Stub, name: Name) -> tuple[str, ...]:
    return sorted_addresses((*stub.ask(name, "A").texts(), *stub.ask(name, "AAAA").texts()))


def _under(label: str, domain: Name) -> Name:
    """A name below `domain`; `label` may hold several."""
    return name_of(f"{label}.{domain.to_text()}")
