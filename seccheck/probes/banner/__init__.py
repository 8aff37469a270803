"""The banner probe: how a service names itself (product, version, package revision) to anybody.

One short conversation in the protocol of the declared service; of an unknown service the greeting is
awaited, then one GET is sent, and what comes tells the protocol. What stays unknown is left to `nmap -sV`
where that is installed (`versions`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from seccheck.model import Reason, as_dict, safe_text
from seccheck.probes import Endpoint, Probe, ProbeFailed, Undecided
from seccheck.probes.banner import stores, talk, versions, web
from seccheck.probes.banner.facts import BannerFacts, BannerParams
from seccheck.probes.banner.fingerprints import disclosed, on_windows, parse
from seccheck.probes.banner.talk import Heard, dialled
from seccheck.reference.product import Product
from seccheck.scope import Connection, Context

log = logging.getLogger("seccheck")

Talk = Callable[[Connection, Endpoint], Heard]
_TALKS: dict[str, Talk] = {
    "ssh": talk.ssh,
    "smtp": talk.smtp,
    "submission": talk.smtp,
    "smtps": talk.smtp,
    "imap": talk.imap,
    "imaps": talk.imap,
    "pop3": talk.pop3,
    "pop3s": talk.pop3,
    "ftp": talk.ftp,
    "ftps": talk.ftp,
    "telnet": talk.telnet,
    "http": web.http,
    "https": web.http,
    "ldap": talk.silent,
    "ldaps": talk.silent,
    "dns": talk.dns,
    "postgresql": stores.postgresql,
    "mysql": stores.mysql,
    "redis": stores.redis,
    "mongodb": stores.mongodb,
}
_OVER_TLS = {"smtps", "imaps", "pop3s", "ftps", "https", "ldaps", "tls"}
_KNOWN_BY = (
    (re.compile(rb"SSH-", re.IGNORECASE), "ssh"),
    (re.compile(rb"HTTP/1\.[01] "), "http"),
    (re.compile(rb"220[ -][^\n]*(?:SMTP|Postfix|Exim|Sendmail)", re.IGNORECASE), "smtp"),
    (re.compile(rb"220[ -]"), "ftp"),
    (re.compile(rb"\* (?:OK|PREAUTH)"), "imap"),
    (re.compile(rb"\+OK"), "pop3"),
    (re.compile(rb"...\x00[\x0a\xff]", re.DOTALL), "mysql"),
    (re.compile(rb"-(?:ERR|NOAUTH|DENIED|NOPERM) |\$\d+\r\n# Server"), "redis"),
    (re.compile(rb"ERROR\r?\n"), "memcached"),
    (re.compile(rb"It looks like you are trying to access MongoDB"), "mongodb"),
    (re.compile(rb"\xff[\xfb-\xfe]"), "telnet"),
)
"""How a service of unknown protocol is known by its first bytes."""
_PRIMARY = {"ssh", "server", "smtp", "ftp", "imap", "pop3", "telnet", "dns", "mysql"}
"""Where a name that we do not know is still worth a line without a version."""


def collect(endpoint: Endpoint, _params: BannerParams, context: Context) -> BannerFacts:
    """The names that the service of `endpoint` gives itself."""
    talking = _TALKS.get(endpoint.service)
    tls = endpoint.service in _OVER_TLS
    if talking is None:
        return _unknown(endpoint, context, tls=tls)
    if talking is stores.mongodb:
        return facts(_mongodb(endpoint, context))
    return facts(_talk(talking, endpoint, context, tls=tls))


def _unknown(endpoint: Endpoint, context: Context, *, tls: bool) -> BannerFacts:
    """A service of unknown protocol: by what it says itself, else by the lead of `nmap -sV`."""
    try:
        protocol, told = _guess(endpoint, context, tls=tls)
    except _Wordless as silence:
        lead = _lead(endpoint, context)
        if not lead:
            raise
        doubt = Undecided(fact="discloses", reason=silence.reason, detail=silence.detail)
        return BannerFacts(greeting="", products=(lead,), undecided=(doubt,))
    found = facts(told)
    lead = None if protocol else _lead(endpoint, context)
    return BannerFacts(**{**as_dict(found), "products": (lead,)}) if lead else found


def _lead(endpoint: Endpoint, context: Context) -> Product | None:
    try:
        return versions.ask(endpoint, context)
    except ProbeFailed as failure:
        log.info("nmap -sV of %s port %d: %s", endpoint.address, endpoint.port, failure)
        return None


class _Wordless(ProbeFailed):
    """A port that is open, and says nothing to any of our questions."""


def facts(told: Heard) -> BannerFacts:
    """What was heard, as facts."""
    products: list[Product] = []
    tokens: list[str] = []
    for source, text in told.texts:
        for product in parse(source, text):
            known = product.name != "unknown" or product.version or source in _PRIMARY
            if known and not any(_same(product, other) for other in products):
                products.append(product)
        if told.discloses and source in _DISCLOSING:
            tokens += [token for token in disclosed(source, text) if token not in tokens]
    if any(product.os == "windows" for product in products):
        products = [on_windows(product) for product in products]
    open_store = told.unauthenticated
    if any(product.name in {"elasticsearch", "opensearch"} and product.version for product in products):
        open_store = True
    return BannerFacts(
        greeting=told.greeting,
        products=tuple(products),
        discloses=tuple(tokens),
        unauthenticated=open_store,
        plain_login=told.plain_login,
        undecided=told.undecided,
    )


_DISCLOSING = {"server", "x-powered-by", "smtp", "ftp", "imap", "pop3", "mysql"}
"""Where a version is disclosed without need (PAT-04)."""


def _same(product: Product, other: Product) -> bool:
    return (product.name, product.version) == (other.name, other.version) and product.name != "unknown"


def _talk(talking: Talk, endpoint: Endpoint, context: Context, *, tls: bool) -> Heard:
    with dialled(endpoint, context, tls=tls) as connection:
        return talking(connection, endpoint)


def _mongodb(endpoint: Endpoint, context: Context) -> Heard:
    try:
        return _talk(stores.mongodb, endpoint, context, tls=False)
    except ProbeFailed as failure:
        if failure.reason is not Reason.UNREACHABLE or "closed" not in failure.detail:
            raise
        return _talk(stores.mongodb_before_3_6, endpoint, context, tls=False)


def _guess(endpoint: Endpoint, context: Context, *, tls: bool) -> tuple[str, Heard]:
    """A service of unknown protocol: its greeting, else its answer to one GET, else to Redis's INFO.

    Redis and memcached hang up on the GET without a word; both answer the third question. Gives the protocol
    that was recognised, or "", with what was heard. Raises `_Wordless` when it is open and answers nothing.
    """
    first, opened = b"", False
    try:
        with dialled(endpoint, context, tls=tls, seconds=talk.QUIET) as connection:
            opened = True
            first = connection.receive(4096)
    except ProbeFailed as failure:
        if failure.reason is not Reason.TIMEOUT:
            raise _Wordless(failure.reason, failure.detail) if opened else failure from None
    for question in (talk.http_request(endpoint), b"INFO server\r\n"):
        if not first:
            try:
                first = _ask(question, endpoint, context, tls=tls)
            except ProbeFailed as failure:
                raise _Wordless(failure.reason, failure.detail) if opened else failure from None
    service = next((service for form, service in _KNOWN_BY if form.search(first[:512])), "")
    if service == "mongodb" and not tls:
        return service, _mongodb(endpoint, context)
    talking = stores.memcached if service == "memcached" else _TALKS.get(service)
    if talking is not None:
        return service, _talk(talking, endpoint, context, tls=tls)
    if not first:
        raise _Wordless(Reason.UNREACHABLE, "the connection was closed without a word")
    return "", Heard(safe_text(first))


def _ask(question: bytes, endpoint: Endpoint, context: Context, *, tls: bool) -> bytes:
    """What comes back; nothing where the service hangs up on a question it does not understand."""
    with dialled(endpoint, context, tls=tls) as connection:
        try:
            connection.send(question)
            return connection.receive(4096)
        except ProbeFailed as failure:
            if failure.reason is Reason.UNREACHABLE:
                return b""
            raise


def _besides(endpoint: Endpoint, _params: BannerParams) -> int:
    """Those of `nmap -sV`, for a service that stays unknown."""
    return versions.CONNECTIONS if endpoint.service not in _TALKS else 0


def _connections(endpoint: Endpoint, _params: BannerParams) -> int:
    return 4 if endpoint.service not in _TALKS else 1


def _seconds(endpoint: Endpoint, _params: BannerParams) -> float:
    return 40.0 + versions.SECONDS if endpoint.service not in _TALKS else 25.0


PROBE = Probe(
    id="banner",
    version=1,
    subject="name",
    params=BannerParams,
    facts=BannerFacts,
    collect=collect,
    connections=_connections,
    besides=_besides,
    seconds=_seconds,
)
