"""What the banner probe is asked and what it answers."""

from __future__ import annotations

from seccheck.probes import Facts, Params
from seccheck.reference.product import Product


class BannerParams(Params):
    """Nothing to choose: one short conversation answers all that is asked of a banner."""


class BannerFacts(Facts):
    """How a service names itself to anybody who connects."""

    greeting: str | None = None
    """What the service said first, or the headers of its answer; empty when it said nothing that names it."""
    products: tuple[Product, ...] | None = None
    """Every product that the greeting names; empty when it names none."""
    discloses: tuple[str, ...] | None = None
    """Product tokens that carry a version beyond the major release, in places where nobody needs them."""
    unauthenticated: bool | None = None
    """Whether a data store gave out its state to an anonymous client; None where this was not asked."""
    plain_login: bool | None = None
    """Whether a mailbox takes a login without TLS: IMAP without LOGINDISABLED (RFC 9051, 6.2.3), POP3 with
    USER or SASL PLAIN before STLS (RFC 2595, 2.1); None for other services, or where it was not told."""
