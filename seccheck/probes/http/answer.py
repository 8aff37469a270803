"""The answer to a visitor: redirects followed while they stay on the host and in scope, then the headers."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from seccheck.model import Reason, safe_text
from seccheck.probes import Endpoint, ProbeFailed, Undecided
from seccheck.probes.http import headers
from seccheck.probes.http.client import Answer, Client, Origin
from seccheck.probes.http.facts import Header, Hop, Page
from seccheck.scope import Context

MAX_REDIRECTS = 5
TARGET = "/?:@!$&'()*+,;=%-._~[]"
"""What stands for itself in the target of a request."""
_REDIRECTS = {301, 302, 303, 307, 308}
CONTENT_BYTES = 64 * 1024
_KEPT_FIELDS = 64
_KEPT_LENGTH = 1024
_FROM_THE_END = ("csp", "nosniff", "framing", "framing_refused", "cookies")
_CERTIFICATE_WANTED = re.compile(
    rb"No required SSL certificate was sent|Cannot perform Post-Handshake Authentication|403\.7\b"
)


@dataclass(frozen=True)
class Place:
    """Where a Location leads."""

    url: str
    scheme: str
    host: str
    port: int
    target: str


@dataclass
class Walk:
    """The answers on the way from the first address, and how the way ended."""

    answers: list[tuple[Origin, Answer]] = field(default_factory=list)
    left: bool = False
    """The last redirect leads off the host, or where this host must not be asked."""
    loop: bool = False
    failure: ProbeFailed | None = None
    """Why a redirect on the host could not be followed."""

    @property
    def arrived(self) -> bool:
        """Whether the last answer is where a visitor ends up."""
        return not (self.left or self.loop or self.failure)


def origin_of(endpoint: Endpoint) -> Origin:
    """The origin that `endpoint` declares."""
    return Origin(
        host=endpoint.host or endpoint.address,
        address=endpoint.address,
        port=endpoint.port,
        secure=endpoint.service == "https",
    )


def same_host(one: str, other: str) -> bool:
    """Whether two host names, or addresses, are the same one written in two ways."""
    return _plain_host(one) == _plain_host(other)


def _plain_host(host: str) -> str:
    host = host.strip("[]").rstrip(".").lower()
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


def location(answer: Answer) -> Place | None:
    """Where a redirect leads, read as a browser does (backslashes, spaces, controls); None when it is none.

    A place that cannot be understood has no host, which is nobody's.
    """
    text = answer.first("location")
    if answer.status not in _REDIRECTS or not text:
        return None
    cleaned = re.sub(r"[\x00-\x20\x7f]+", lambda match: "%20" * match[0].count(" "), text.strip())
    before, mark, after = cleaned.partition("?")
    try:
        url = urljoin(answer.url, before.replace("\\", "/") + mark + after)
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return Place(text, "", "", 0, "/")
    scheme = parts.scheme.lower()
    raw = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    encoded = raw.encode("latin-1", "ignore")  # the bytes that were sent
    target = quote(encoded, safe=TARGET)
    return Place(url, scheme, host, port or {"http": 80, "https": 443}.get(scheme, 0), target)


def walk(context: Context, origin: Origin, target: str = "/", *, body_bytes: int = CONTENT_BYTES) -> Walk:
    """Follow redirects from `target` while they stay on the host: at most five, one connection each.

    Only the address of `origin` is ever dialled. Raises `ProbeFailed` when the first answer does not come,
    and with the reason rate-limited whenever the server says it has had enough (429).
    """
    way = Walk()
    seen: set[str] = set()
    while True:
        seen.add(origin.url(target))
        try:
            with Client(context, origin) as client:
                answer = unhurried(client.ask(target, body_bytes=body_bytes))
        except ProbeFailed as failure:
            if not way.answers:
                raise
            way.failure = failure
            return way
        way.answers.append((origin, answer))
        place = location(answer)
        if place is None:
            return way
        if not _may_follow(place, origin):
            way.left = True
            return way
        origin = Origin(origin.host, origin.address, place.port, place.scheme == "https")
        target = place.target
        if len(way.answers) > MAX_REDIRECTS or origin.url(target) in seen:
            way.loop = True
            return way


def unhurried(answer: Answer) -> Answer:
    """The answer, unless the server says it has had enough of us (RFC 6585, 4): that is `ProbeFailed`."""
    if answer.status == 429:
        raise ProbeFailed(Reason.RATE_LIMITED, "the server answers 429 Too Many Requests")
    return answer


def shut_out(answer: Answer) -> ProbeFailed | None:
    """Why nothing of the site was seen, where `answer` asks for a client certificate; else None."""
    if answer.status in {400, 403} and _CERTIFICATE_WANTED.search(answer.content()):
        return ProbeFailed(Reason.ACCESS, "the server wants a client certificate")
    return None


def _may_follow(place: Place, origin: Origin) -> bool:
    """Whether a redirect stays on the host, on a port where web servers are."""
    web_port = place.port in {80, 443, origin.port} or place.port >= 1024
    return place.scheme in {"http", "https"} and same_host(place.host, origin.host) and web_port


def answer_facts(way: Walk, now: datetime) -> tuple[dict[str, Any], list[Undecided]]:
    """The facts of the ask "answer", by field name, and what could not be told."""
    first_origin, first = way.answers[0]
    last_origin, last = way.answers[-1]
    secure = [page for page in way.answers if page[0].secure]
    place = location(first)
    facts: dict[str, Any] = {
        "hops": tuple(_hop(origin, answer) for origin, answer in way.answers),
        "final": _page(last_origin, last) if way.arrived else None,
        "first_secure": _page(*secure[0]) if secure else None,
        "left_host": way.left,
        "redirect_loop": way.loop,
        "redirects_to_https": None
        if first_origin.secure
        else bool(place and place.scheme == "https" and same_host(place.host, first_origin.host)),
        "content_bytes": min(len(first.body), CONTENT_BYTES),
        "server": safe_text(_bytes(last.first("server")), 256),
        "powered_by": safe_text(_bytes(last.first("x-powered-by")), 256),
    }
    undecided: list[Undecided] = []
    if date := headers.http_date(first.first("date")):
        facts["clock_skew"] = round((date - now).total_seconds())
    else:
        undecided.append(Undecided(fact="clock_skew", reason=Reason.UNDISCLOSED, detail="no Date is sent"))
    obstacle = _obstacle(way, last)
    if obstacle:
        undecided += [
            Undecided(fact=name, reason=obstacle.reason, detail=obstacle.detail) for name in _FROM_THE_END
        ]
    else:
        facts |= _header_facts(last, now)
    told_by = last if way.arrived and last_origin.secure else secure[0][1] if secure else None
    if told_by is None:
        undecided.append(Undecided(fact="hsts", reason=Reason.NOT_OFFERED, detail="no answer came over TLS"))
    elif obstacle and obstacle.reason is not Reason.OUT_OF_SCOPE:
        undecided.append(Undecided(fact="hsts", reason=obstacle.reason, detail=obstacle.detail))
    else:
        facts["hsts"] = headers.hsts(_first(told_by, "strict-transport-security"))
    return facts, undecided


def _obstacle(way: Walk, last: Answer) -> ProbeFailed | None:
    """Why the headers at the end of the way can't be told, if they can't."""
    if way.failure:
        return way.failure
    if way.left:
        return ProbeFailed(Reason.OUT_OF_SCOPE, "a redirect leads off the host")
    if way.loop:
        return ProbeFailed(
            Reason.OUT_OF_SCOPE, f"the redirects do not end (after {len(way.answers)} answers)"
        )
    return shut_out(last)


def _header_facts(answer: Answer, now: datetime) -> dict[str, Any]:
    policy = headers.csp(
        _first(answer, "content-security-policy"), _first(answer, "content-security-policy-report-only")
    )
    framing, refused = headers.framing(policy, _first(answer, "x-frame-options"))
    return {
        "csp": policy,
        "nosniff": headers.nosniff(_first(answer, "x-content-type-options")),
        "framing": framing,
        "framing_refused": refused,
        "cookies": headers.cookies(answer.every("set-cookie"), now),
    }


def _first(answer: Answer, name: str) -> str | None:
    """Of a header sent twice the first counts."""
    return next(iter(answer.every(name)), None)


def _hop(origin: Origin, answer: Answer) -> Hop:
    place = location(answer)
    return Hop(
        url=safe_text(answer.url),
        status=answer.status,
        location=safe_text(_bytes(place.url)) if place else "",
        same_host=place is None or same_host(place.host, origin.host),
        secure=origin.secure,
    )


def _page(origin: Origin, answer: Answer) -> Page:
    kept = [
        (name, headers.without_value(value) if name == "set-cookie" else value)
        for name, value in answer.fields[:_KEPT_FIELDS]
    ]
    return Page(
        url=safe_text(answer.url),
        status=answer.status,
        secure=origin.secure,
        headers=tuple(
            Header(name=safe_text(name, 128), value=safe_text(_bytes(value), _KEPT_LENGTH))
            for name, value in kept
        ),
        content_type=safe_text(_bytes(answer.content_type), 128),
    )


def _bytes(text: str) -> bytes:
    """The bytes of a field value that was read as ISO 8859-1 (`…` and the like, our own, as UTF-8)."""
    return b"".join(
        character.encode("latin-1") if ord(character) < 256 else character.encode() for character in text
    )
