"""A sample of what a site gives to everybody, counted for identifiers of persons: counts, never values.

Read are the front page, a few pages and files it links to, and a few places where interfaces answer in bulk.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from seccheck.model import Reason, safe_text
from seccheck.probes import ProbeFailed
from seccheck.probes.http.answer import unhurried
from seccheck.probes.http.client import Answer, Client, Origin
from seccheck.probes.http.exposure import SILENT_IN_A_ROW, is_refusal, links
from seccheck.probes.http.facts import SampledPage
from seccheck.scope import Context

_PAGES = 8
_FILES = 8
_INTERFACES = (
    "/api/users",
    "/api/v1/users",
    "/api/citizens",
    "/api/v1/citizens",
    "/users.json",
    "/export.csv",
)
_FILE_BYTES = 1024 * 1024
_UNPACKED_BYTES = 4 * 1024 * 1024
_MEMBERS = 24
_FILE = re.compile(r"\.(?:csv|tsv|txt|json|xml|xlsx|docx|ods|odt)$", re.IGNORECASE)
_UNREAD = re.compile(
    r"\.(?:pdf|xls|doc|zip|rar|7z|gz|png|jpe?g|gif|svg|webp|ico|css|js|mjs|map|woff2?|ttf|eot|mp[34]|avi|exe|apk)$",
    re.IGNORECASE,
)
_ACTS = re.compile(
    r"log-?out|sign-?out|dang-?xuat|thoat|delete|remove|xoa|huy|unsubscribe|reset", re.IGNORECASE
)
"""Links that might do something: not followed."""
_LISTS = re.compile(
    r"danh-?sach|ket-?qua|tra-?cuu|thong-?bao|cong-?dan|ho-?so|list|result|report|api|export|user",
    re.IGNORECASE,
)

_CODES = (
    "01 02 04 06 08 10 11 12 14 15 17 19 20 22 24 25 26 27 30 31 33 34 35 36 37 38 40 42 44 45 46 48 49 51 "
    "52 54 56 58 60 62 64 66 67 68 70 72 74 75 77 79 80 82 83 84 86 87 89 91 92 93 94 95 96"
)
PROVINCES = frozenset(f"0{code}" for code in _CODES.split())
"""How citizen identity numbers begin: the codes of the 63 provinces."""
_CITIZEN = re.compile(r"(?<![\d./-])(\d{3})[ .]?([0-3]\d{2})[ .]?(\d{3})[ .]?(\d{3})(?![\d/-])")
_HEALTH_CARD = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}[1-5](\d{2})(\d{10})(?!\d)")
_TEN_DIGITS = re.compile(r"(?<![\d./+-])(\d{2})\d{8}(?![\d/-])")
_ABOUT_INSURANCE = re.compile(
    r"BHXH|b\u1ea3o hi\u1ec3m x\u00e3 h\u1ed9i|s\u1ed5 b\u1ea3o hi\u1ec3m", re.IGNORECASE
)
_PHONE = re.compile(r"(?<!\d)(?:\+?84|0)[ .-]?([35789](?:[ .-]?\d){8})(?!\d)")


class Sample(NamedTuple):
    """The pages that were read, those with most persons first, and what could not be read."""

    pages: tuple[SampledPage, ...]
    doubts: tuple[tuple[str, ProbeFailed], ...]
    """Paths, with why nothing was read there."""


def sample(context: Context, origin: Origin, front: Answer, year: int) -> Sample:
    """A sample of the site. `front` is the page a visitor ends up on."""
    pages = {front.target: front} if front.status == 200 else {}
    doubts: dict[str, ProbeFailed] = {}
    with Client(context, origin) as client:
        linked = [path for path in links(origin, front) if not _UNREAD.search(_plain(path))]
        chosen = sorted(
            (path for path in linked if not _FILE.search(_plain(path)) and not _ACTS.search(path)),
            key=lambda path: not _LISTS.search(path),
        )
        _read(client, chosen[:_PAGES], pages, doubts)
        files = dict.fromkeys(
            path
            for page in list(pages.values())
            for path in links(origin, page)
            if _FILE.search(_plain(path)) and not _ACTS.search(path)
        )
        _read(client, (*list(files)[:_FILES], *_INTERFACES), pages, doubts)
    counted = [count(path, answer, year) for path, answer in pages.items()]
    ranked = sorted(counted, key=lambda page: (-page.people, page.path))
    return Sample(tuple(ranked), tuple((_masked(path), failure) for path, failure in doubts.items()))


def _plain(path: str) -> str:
    return path.partition("?")[0]


def _read(
    client: Client,
    paths: list[str] | tuple[str, ...],
    pages: dict[str, Answer],
    doubts: dict[str, ProbeFailed],
) -> None:
    """Read `paths` into `pages`; one that could not be read goes to `doubts`, unless it was refused."""
    silent = 0
    for path in paths:
        if path in pages:
            continue
        if any(one.reason is Reason.RATE_LIMITED for one in doubts.values()) or silent == SILENT_IN_A_ROW:
            return  # the server has had enough of us; the sample is in doubt already
        try:
            answer = unhurried(client.ask(path, body_bytes=_FILE_BYTES))
        except ProbeFailed as failure:
            if not is_refusal(client, failure):
                doubts[path] = failure
                silent += 1
            continue
        silent = 0
        if answer.status == 200:
            pages[path] = answer


def count(path: str, answer: Answer, year: int) -> SampledPage:
    """How many different identifiers `answer` gives out; nobody was born after `year`."""
    body = answer.content()
    citizens: set[str] = set()
    insured: set[str] = set()
    phones: set[str] = set()
    for text in _texts(body):
        citizens |= {"".join(match.groups()) for match in _CITIZEN.finditer(text) if _is_citizen(match, year)}
        insured |= {match[2] for match in _HEALTH_CARD.finditer(text) if f"0{match[1]}" in PROVINCES}
        if _ABOUT_INSURANCE.search(text):
            insured |= {match[0] for match in _TEN_DIGITS.finditer(text) if _is_insurance_number(match)}
        phones |= {re.sub(r"\D", "", match[1]) for match in _PHONE.finditer(text)}
    return SampledPage(
        path=_masked(path),
        size=len(body),
        citizen_ids=len(citizens),
        insurance_numbers=len(insured),
        phone_numbers=len(phones),
        people=max(len(citizens), len(insured)),
    )


def _masked(path: str) -> str:
    """A path for the record, its long numbers left out."""
    return safe_text(re.sub(r"(%[0-9A-Fa-f]{2})|\d{6,}", lambda match: match[1] or "…", path), 256)


def _is_citizen(match: re.Match[str], year: int) -> bool:
    """Whether twelve digits have the form of a citizen's number: province, sex, year of birth and so on."""
    century, of_century = divmod(int(match[2]), 100)
    born = 1900 + 100 * (century // 2) + of_century
    return match[1] in PROVINCES and born <= year and len(set(match[0])) > 2


def _is_insurance_number(match: re.Match[str]) -> bool:
    """Whether ten digits may be a social insurance number: a province first, and not a mobile phone."""
    return f"0{match[1]}" in PROVINCES and not _PHONE.fullmatch(match[0])


def _texts(body: bytes) -> Iterator[str]:
    """What is to be read in a body: itself, or the parts of an office document that hold its text."""
    if body.startswith(b"PK\x03\x04"):
        for name, content in _members(body):
            if re.search(r"sharedStrings|worksheets/|word/document|content\.xml", name):
                yield content.decode("utf-8", "replace")
    elif body.startswith((b"\xff\xfe", b"\xfe\xff")):
        yield body.decode("utf-16", "replace")
    elif b"\0" not in body[:4096]:
        yield body.decode("utf-8", "replace")


def _members(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """The members of a ZIP file, front to back, for as much of it as was read, unpacked up to a bound."""
    place, left = 0, _UNPACKED_BYTES
    for _ in range(_MEMBERS):
        place = archive.find(b"PK\x03\x04", place)
        if place < 0 or left <= 0 or place + 30 > len(archive):
            return
        method = int.from_bytes(archive[place + 8 : place + 10], "little")
        packed = int.from_bytes(archive[place + 18 : place + 22], "little")
        name_size = int.from_bytes(archive[place + 26 : place + 28], "little")
        extra_size = int.from_bytes(archive[place + 28 : place + 30], "little")
        name = archive[place + 30 : place + 30 + name_size].decode("utf-8", "replace")
        start = place + 30 + name_size + extra_size
        if method == 8:
            unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                content = unpacker.decompress(archive[start:], left)
            except zlib.error:
                content = b""
            place = len(archive) - len(unpacker.unused_data) if unpacker.eof else start + 1
        else:
            content = archive[start : start + min(packed, left)] if method == 0 else b""
            place = start + 1
        left -= len(content)
        yield name, content
