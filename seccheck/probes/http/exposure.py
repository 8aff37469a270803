"""What a web server gives to those who ask for what should not be there: fixed paths, known by content."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from seccheck.model import Reason, safe_text, timestamp
from seccheck.probes import ProbeFailed, Undecided
from seccheck.probes.http.answer import TARGET, location, same_host, unhurried
from seccheck.probes.http.client import Answer, Client, Origin
from seccheck.probes.http.facts import Cors, Exposure, SecurityTxt
from seccheck.probes.http.signatures import FACTS, Signature, table
from seccheck.scope import Context

SECONDS = 240.0
"""How long all questions about paths may take together."""
_PART_BYTES = 8 * 1024
PAGE_BYTES = 64 * 1024
_FOLLOWED = 2
SILENT_IN_A_ROW = 3
_LINKED_DIRECTORIES = 5
_ERROR_SUFFIXES = ("", "/", ".zip", ".php", ".aspx", ".jsp")
_SECURITY_TXT = ("/.well-known/security.txt", "/security.txt")
_REFUSALS = {403, 406, 429, 503}


@dataclass
class Asked:
    """What has come back so far: exposures by fact, and why the asking ended early, if it did."""

    found: dict[str, dict[str, Exposure]] = field(default_factory=lambda: {fact: {} for fact in FACTS})
    doubts: dict[str, tuple[Reason, str]] = field(default_factory=dict)
    count: int = 0

    def add(self, fact: str, path: str, signature: Signature) -> None:
        """Note that `signature` was found at `path`; of several kinds on one path the first counts."""
        here = safe_text(path, 256)
        self.found[fact].setdefault(here, Exposure(path=here, kind=signature.kind, evidence=signature.tells))

    def doubt(self, facts: Iterable[str], failure: ProbeFailed, where: str) -> None:
        """Note that some of `facts` could not be told."""
        for fact in facts:
            self.doubts.setdefault(fact, (failure.reason, f"{where}: {failure.detail}"))


def path_facts(context: Context, origin: Origin, now: datetime) -> tuple[dict[str, Any], list[Undecided]]:
    """The facts of the ask "paths", by field name, and what could not be told."""
    with Client(context, origin) as client:
        asked = Asked()
        _ask_all(client, asked)
        text, doubt = _security_txt(client, now)
    facts: dict[str, Any] = {name: tuple(found.values()) for name, found in asked.found.items()}
    undecided = [
        Undecided(fact=name, reason=reason, detail=safe_text(detail, 256))
        for name, (reason, detail) in sorted(asked.doubts.items())
    ]
    if doubt:
        undecided.append(
            Undecided(fact="security_txt", reason=doubt.reason, detail=safe_text(doubt.detail, 256))
        )
    else:
        facts["security_txt"] = text
    return {**facts, "paths_asked": asked.count}, undecided


def _ask_all(client: Client, asked: Asked) -> None:
    give_up = time.monotonic() + SECONDS
    front = get(client, "/")
    strangers = [get(client, f"/seccheck-{secrets.token_hex(8)}{suffix}") for suffix in _ERROR_SUFFIXES]
    asked.count += 1 + len(strangers)
    for answer in strangers:
        if table().stack_trace.found_in(answer):
            asked.add("debug_pages", "/(a path that does not exist)", table().stack_trace)
    questions = dict(_questions(client.origin, front))
    every = {signature.fact for signatures in questions.values() for signature in signatures}
    silent = 0
    for path, signatures in questions.items():
        facts = {signature.fact for signature in signatures}
        if time.monotonic() > give_up:
            asked.doubt(every, ProbeFailed(Reason.TIMEOUT, f"{SECONDS:.0f} s have passed"), path)
            return
        try:
            answer = front if path == "/" else get(client, path, part=facts == {"exposures"})
        except ProbeFailed as failure:
            if is_refusal(client, failure):
                continue
            silent += 1
            if failure.reason is not Reason.TIMEOUT or silent == SILENT_IN_A_ROW:
                asked.doubt(every, _worn_out(failure), path)
                return
            asked.doubt(facts, failure, path)
            continue
        silent = 0
        asked.count += path != "/"
        for signature in signatures:
            if signature.found_in(answer) and _is_there(signature, path, answer, strangers):
                asked.add(signature.fact, path, signature)
    _check_that_we_were_welcome(client, front, asked)


def is_refusal(client: Client, failure: ProbeFailed) -> bool:
    """Whether a question that broke the connection (twice) was refused: the front page is still given."""
    if failure.reason is not Reason.UNREACHABLE:
        return False
    try:
        return get(client, "/").status not in _REFUSALS
    except ProbeFailed:
        return False


def _worn_out(failure: ProbeFailed) -> ProbeFailed:
    """Silence after so many answers is a limit that was reached, whatever it looks like."""
    return ProbeFailed(Reason.RATE_LIMITED, f"the server stopped answering: {failure.detail}")


def _check_that_we_were_welcome(client: Client, front: Answer, asked: Asked) -> None:
    """Refusals count only while the front page is still given: else they were for us, not for the paths."""
    if front.status in _REFUSALS:
        return
    try:
        again = get(client, "/")
        if again.status not in _REFUSALS:
            return
        failure = ProbeFailed(Reason.RATE_LIMITED, f"the front page now answers {again.status}")
    except ProbeFailed as lost:
        failure = _worn_out(lost)
    asked.doubt(FACTS, failure, "/")


def _is_there(signature: Signature, path: str, answer: Answer, strangers: list[Answer]) -> bool:
    """Whether what was found belongs to this path, rather than to every path, or to where it leads.

    A product known by name may answer on every path, and is there all the same.
    """
    if signature.fact in {"consoles", "devices"} and signature.kind != "admin-login":
        return True
    if signature.kind == "admin-login" and not answer.target.startswith(path.rstrip("/")):
        return False
    return not any(signature.found_in(stranger) for stranger in strangers)


def _questions(origin: Origin, front: Answer) -> Iterator[tuple[str, list[Signature]]]:
    """Each path once, with all that may be found there; the front page first."""
    by_path: dict[str, list[Signature]] = {"/": []}
    label = re.sub(r"^www\.", "", origin.host).partition(".")[0]
    for signature in table().by_path:
        for path in signature.paths:
            filled = path.replace("{host}", origin.host).replace("{label}", label)
            if ":" not in filled:  # an IPv6 address names no file
                by_path.setdefault(filled, []).append(signature)
    for path in (*table().listing.paths, *_linked_directories(origin, front)):
        by_path.setdefault(path, []).append(table().listing)
    yield from by_path.items()


def links(origin: Origin, page: Answer) -> list[str]:
    """The paths (with queries) on the same origin that a page links to, in order, each once.

    As a browser asks for them: what is not ASCII goes out as UTF-8, percent-encoded (RFC 3986, 2.1).
    """
    found: dict[str, None] = {}
    here = urlsplit(page.url)
    text = page.content()[:PAGE_BYTES].decode("utf-8", "replace")
    for reference in re.findall(r"(?:href|src|action)\s*=\s*[\"']?([^\"'\s<>]{1,500})", text, re.IGNORECASE)[
        :500
    ]:
        try:
            parts = urlsplit(urljoin(page.url, reference.replace("&amp;", "&")))
            same = (parts.scheme, parts.port) == (here.scheme, here.port) and same_host(
                parts.hostname or "", origin.host
            )
        except ValueError:
            continue
        if same:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            if target.startswith("/"):
                found.setdefault(quote(target, safe=TARGET))
    return list(found)


def _linked_directories(origin: Origin, front: Answer) -> list[str]:
    directories = dict.fromkeys(
        path.partition("?")[0].rpartition("/")[0] + "/" for path in links(origin, front)
    )
    directories.pop("/", None)
    return list(directories)[:_LINKED_DIRECTORIES]


def get(client: Client, path: str, *, part: bool = False) -> Answer:
    """The answer to a path; with `part`, its first bytes, else with redirects on the same origin followed."""
    fields = (("Range", f"bytes=0-{_PART_BYTES - 1}"),) if part else ()
    bound = _PART_BYTES if part else PAGE_BYTES
    answer = unhurried(client.ask(path, fields=fields, body_bytes=bound))
    for _ in range(0 if part else _FOLLOWED):
        place = location(answer)
        origin = client.origin
        if place is None or (place.scheme == "https") is not origin.secure or place.port != origin.port:
            break
        if not same_host(place.host, origin.host) or place.target == answer.target:
            break
        answer = unhurried(client.ask(place.target, body_bytes=bound))
    return answer


# ---------------------------------------------------------------------------------------------- security.txt

_FIELD = re.compile(r"^([A-Za-z-]{1,40}):(.*)$", re.MULTILINE)


def _security_txt(client: Client, now: datetime) -> tuple[SecurityTxt, ProbeFailed | None]:
    for path in _SECURITY_TXT:
        try:
            answer = get(client, path)
        except ProbeFailed as failure:
            return SecurityTxt(), failure
        found = read_security_txt(path, answer, now)
        if found.present:
            return found, None
    return SecurityTxt(), None


def read_security_txt(path: str, answer: Answer, now: datetime) -> SecurityTxt:
    """What an answer says as a file of RFC 9116; a page that says nothing of contacts is no such file."""
    text = answer.content()[:PAGE_BYTES].decode("utf-8", "replace").replace("\r\n", "\n")
    values: dict[str, list[str]] = {}
    for name, value in _FIELD.findall(text):
        values.setdefault(name.lower(), []).append(value.strip())
    contacts = values.get("contact", [])
    if answer.status != 200 or not contacts or re.match(r"\s*<", text):
        return SecurityTxt()
    problems = []
    if not re.match(r"(?i)text/plain\s*(;|$)", answer.first("content-type")):
        problems.append("not-text-plain")
    if not answer.url.startswith("https:"):
        problems.append("not-https")
    if path != _SECURITY_TXT[0]:
        problems.append("not-well-known")
    if any(not re.match(r"(?i)(mailto:|tel:|https://)\S", contact) for contact in contacts):
        problems.append("contact-not-uri")
    dates = values.get("expires", [])
    expires = _internet_date(dates[0]) if dates else None
    if len(dates) != 1:
        problems.append("no-expires" if not dates else "several-expires")
    elif expires is None:
        problems.append("expires-not-date")
    return SecurityTxt(
        present=True,
        path=path,
        contacts=tuple(safe_text(contact, 256) for contact in contacts[:16]),
        expires=timestamp(expires) if expires else "",
        expired=expires is not None and expires <= now,
        problems=tuple(problems),
    )


def _internet_date(text: str) -> datetime | None:
    """An RFC 3339 date and time in UTC, or None."""
    if not re.fullmatch(r"(?i)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):  # an offset may lead out of the calendar
        return None


# -------------------------------------------------------------------------------------------- TRACE and CORS


_TRACE_SECONDS = 4.0
"""Some servers wait for more when they are asked with a method they don't know."""


def answers_trace(context: Context, origin: Origin) -> bool:
    """Whether a TRACE request comes back in the answer's body (RFC 9110, 9.3.8)."""
    token = secrets.token_hex(8)
    with Client(context, origin) as client:
        try:
            answer = unhurried(
                client.ask("/", method="TRACE", fields=(("X-Seccheck", token),), seconds=_TRACE_SECONDS)
            )
        except ProbeFailed as failure:
            if is_refusal(client, failure):
                return False
            raise
    return answer.status == 200 and token.encode() in answer.content()


def cors(context: Context, origin: Origin, target: str) -> Cors:
    """What foreign origins may read: a random one, `null`, and one whose name starts with the host."""
    stranger = f"https://{secrets.token_hex(8)}.example"
    lookalike = f"https://{origin.host.strip('[]').replace(':', '-')}.{stranger.removeprefix('https://')}"
    allowed = []
    with Client(context, origin) as client:
        for foreign in (stranger, lookalike, "null"):
            answer = unhurried(client.ask(target, fields=(("Origin", foreign),)))
            named = answer.first("access-control-allow-origin").strip()
            credentials = answer.first("access-control-allow-credentials").strip() == "true"
            allowed.append((named, named == foreign, credentials))
    return Cors(
        allow_origin="(the origin that asked)" if allowed[0][1] else safe_text(allowed[0][0], 256),
        reflects=any(reflected for _, reflected, _ in allowed),
        credentials=any(credentials for _, _, credentials in allowed),
        reflects_with_credentials=any(reflected and credentials for _, reflected, credentials in allowed),
    )
