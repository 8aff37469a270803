"""What the http probe can be asked, and what it answers."""

from __future__ import annotations

from typing import Literal

from seccheck.model import Record
from seccheck.probes import Facts, Params

Ask = Literal["answer", "paths", "methods", "cors", "sample"]


class HttpParams(Params):
    """What to look at: a tuple of "answer", "paths", "methods", "cors", "sample"."""

    ask: tuple[Ask, ...] = ("answer",)


class Header(Record):
    """One header field as sent, its name in lower case."""

    name: str
    value: str


class Hop(Record):
    """One answer on the way: what was asked, and where it sends the visitor."""

    url: str
    status: int
    location: str = ""
    """The target of a redirect, made absolute; empty when the answer is no redirect."""
    same_host: bool = True
    """Whether `location` stays on the host."""
    secure: bool = False
    """Whether this answer came over TLS."""


class Page(Record):
    """One answer whose headers are looked at."""

    url: str
    status: int
    secure: bool
    headers: tuple[Header, ...] = ()
    content_type: str = ""


class Hsts(Record):
    """Strict-Transport-Security (RFC 6797): the first such header of a TLS answer; absent: all falsy."""

    present: bool = False
    valid: bool = False
    """Whether a browser obeys it: a max-age, no directive twice (RFC 6797, 6.1)."""
    max_age: int = 0
    """0 when not valid: what a browser ignores counts for nothing."""
    include_subdomains: bool = False
    preload: bool = False


class Csp(Record):
    """The first Content-Security-Policy header (CSP 3); absent: all falsy."""

    present: bool = False
    """Whether a policy is enforced, whatever it says."""
    wildcard: bool = False
    """Whether it lets scripts or objects come from anywhere (`*`, a bare scheme, no rule for them)."""
    unsafe_inline: bool = False
    """Whether inline scripts run: 'unsafe-inline' without a nonce or hash."""
    unsafe_eval: bool = False
    report_only: bool = False
    """Whether there is a policy that only reports."""
    frame_ancestors: tuple[str, ...] | None = None
    """The sources of `frame-ancestors`; None when no policy has it."""


class Cookie(Record):
    """One cookie that the last answer sets; its value is not kept."""

    name: str
    session: bool
    """Whether its name is that of a session cookie, by the table in `seccheck.probes.http.headers`."""
    secure: bool
    http_only: bool
    same_site: str = ""
    """"Strict", "Lax", "None"; empty when not said, or not said validly."""


class Exposure(Record):
    """Something served that a signature in its content, not its status, proves to be there."""

    path: str
    kind: str
    """What it is, such as "git", "env", "phpinfo", "phpmyadmin"."""
    evidence: str = ""
    """Which signature told, in words; never content."""


class SecurityTxt(Record):
    """The file of RFC 9116; absent: all falsy."""

    present: bool = False
    """Whether a text with a Contact field is served."""
    path: str = ""
    contacts: tuple[str, ...] = ()
    expires: str = ""
    """As `2026-11-23T06:00:00Z`; empty when missing or not a date."""
    expired: bool = False
    """Whether `expires` had passed when it was seen."""
    problems: tuple[str, ...] = ()
    """Departures from RFC 9116, as short names: "no-expires", "contact-not-uri", "not-text-plain" …"""


class Cors(Record):
    """What a foreign Origin is answered (Fetch standard, CORS protocol)."""

    allow_origin: str = ""
    """The Access-Control-Allow-Origin that the random origin got."""
    reflects: bool = False
    """Whether a made-up origin is allowed by name: a random one, "null", or one that starts with the host."""
    credentials: bool = False
    """Whether any of the answers carries Access-Control-Allow-Credentials: true."""
    reflects_with_credentials: bool = False
    """Both in one answer: a foreign page may read with the visitor's session."""


class SampledPage(Record):
    """How many different identifiers one page or file gives out; never the identifiers."""

    path: str
    """Digits of long numbers masked."""
    size: int
    citizen_ids: int
    insurance_numbers: int
    phone_numbers: int
    people: int
    """The greatest of the counts of identifiers of persons on this page (phone numbers are not counted)."""


class HttpFacts(Facts):
    """What a web server answers to polite requests."""

    hops: tuple[Hop, ...] | None = None
    final: Page | None = None
    """The last answer after at most 5 redirects that stay on the host and in scope, whatever its status;
    None when the redirects leave or never end."""
    first_secure: Page | None = None
    """The first answer over TLS; None when there was none."""
    left_host: bool | None = None
    """Whether the redirects lead off the host or out of scope."""
    redirect_loop: bool | None = None
    """Whether there was no end after 5 redirects, or an address came twice."""
    redirects_to_https: bool | None = None
    """Whether the first answer is a redirect to https on the same host."""
    content_bytes: int | None = None
    """How many bytes of body the first answer has, counted up to a bound, as transferred."""
    hsts: Hsts | None = None
    csp: Csp | None = None
    nosniff: bool | None = None
    framing: Literal["deny", "sameorigin", "frame-ancestors", "other", "none"] | None = None
    """What governs framing: frame-ancestors before X-Frame-Options; "other": something no browser obeys."""
    framing_refused: bool | None = None
    """Whether framing by arbitrary sites is refused."""
    cookies: tuple[Cookie, ...] | None = None
    server: str | None = None
    powered_by: str | None = None
    clock_skew: int | None = None
    """Seconds by which the server's Date is ahead of this machine's clock."""

    paths_asked: int | None = None
    exposures: tuple[Exposure, ...] | None = None
    """Repository metadata, environment, backup and dump files that are served."""
    listings: tuple[Exposure, ...] | None = None
    """Directories that list what is in them."""
    debug_pages: tuple[Exposure, ...] | None = None
    """Debug, stack trace, status and actuator pages."""
    consoles: tuple[Exposure, ...] | None = None
    """Administration consoles."""
    devices: tuple[Exposure, ...] | None = None
    """Management pages of network devices and appliances."""
    security_txt: SecurityTxt | None = None

    trace: bool | None = None
    """Whether TRACE is answered with the request itself (RFC 9110, 9.3.8)."""
    cors: Cors | None = None

    sampled: tuple[SampledPage, ...] | None = None
    """What was read of the sample; a page that could not be read is in `undecided`, by its path."""
    people_on_one_page: int | None = None
    """The greatest `people` of the pages that were read."""
