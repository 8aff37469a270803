"""What the mail probe can be asked, and what it answers."""

from __future__ import annotations

from typing import Literal

from seccheck.model import Record
from seccheck.probes import Facts, Params


class MailParams(Params):
    """What to look at: a tuple of "spf", "dkim", "dmarc", "mta-sts", "mx"."""

    ask: tuple[Literal["spf", "dkim", "dmarc", "mta-sts", "mx"], ...] = ("spf", "dmarc")
    selectors: tuple[str, ...] = ()
    """DKIM selectors to look for, beside the common ones."""


class Spf(Record):
    """The SPF record of the domain (RFC 7208); absent: all falsy."""

    present: bool = False
    valid: bool = False
    """One record, no syntax error, no more than 10 lookups (RFC 7208, 4.6.4) as far as it was followed."""
    record: str = ""
    ending: Literal["-all", "~all", "?all", "+all", "none", ""] = ""
    """What the record says of everybody else, redirects followed; "none": nothing, which means neutral."""
    lookups: int = 0
    problems: tuple[str, ...] = ()


class DkimKey(Record):
    """One DKIM key found (RFC 6376, 3.6.1)."""

    selector: str
    key_type: str
    bits: int
    revoked: bool
    """An empty key: mail signed with it is to be refused."""
    testing: bool = False


class Dmarc(Record):
    """The DMARC policy that holds for the domain (RFC 7489); absent: all falsy."""

    present: bool = False
    valid: bool = False
    at: str = ""
    """The name that holds the record: of the domain itself, or of its organisational domain."""
    policy: Literal["none", "quarantine", "reject", ""] = ""
    """What holds for mail from this very domain: `p`, or `sp` of the organisational domain."""
    subdomain_policy: Literal["none", "quarantine", "reject", ""] = ""
    percent: int = 100
    testing: bool = False
    """`t=y`: the policy is not to be applied."""
    reports_to: tuple[str, ...] = ()
    record: str = ""
    problems: tuple[str, ...] = ()


class Mx(Record):
    """One mail exchanger."""

    preference: int
    host: str
    addresses: tuple[str, ...] = ()


class MtaSts(Record):
    """The MTA-STS record (RFC 8461, 3.1); its policy file is not fetched. Absent: all falsy."""

    present: bool = False
    id: str = ""


class MailFacts(Facts):
    """What a domain publishes about its mail."""

    spf: Spf | None = None
    dkim: tuple[DkimKey, ...] | None = None
    """Keys found; none found is only a fact when the domain has no `_domainkey` names at all."""
    dmarc: Dmarc | None = None
    organisational_domain: str | None = None
    mta_sts: MtaSts | None = None
    tls_reporting: bool | None = None
    """Whether a TLSRPT record stands (RFC 8460)."""
    mx: tuple[Mx, ...] | None = None
    receives_mail: bool | None = None
    """False: a null MX (RFC 7505), or neither MX nor address."""
