"""What response headers mean to a browser: pure functions from field values to facts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from typing import Literal

from seccheck.model import safe_text
from seccheck.probes.http.facts import Cookie, Csp, Hsts

_LARGEST = 2**53
_TEXT = 256

SESSION_COOKIES = (
    # servers and frameworks
    "phpsessid", "jsessionid*", "asp.net_sessionid", "aspsessionid*", ".aspxauth", ".aspnet.application*",
    ".aspnetcore.session", ".aspnetcore.cookies*", ".aspnetcore.identity.*", "fedauth", "cfid", "cftoken",
    "connect.sid", "sessionid", "session", "session_id", "session-id", "sess", "sid", "ssid", "*_session",
    "*-session", "*_session_id", "*sessionid", "*sessid", "*_sess", "*_sid", "rack.session", "play_session",
    "symfony", "beaker.session.id",
    # applications
    "wordpress_logged_in_*", "wordpress_sec_*", "wordpress_[0-9a-f]*", "sess[0-9a-f]*", "ssess[0-9a-f]*",
    "moodlesession*", "ojssid", "simplesaml*", "keycloak_session*", "keycloak_identity*", "auth_session_id*",
    "grafana_session*", "ltpatoken*", "msisauth*", ".dotnetnuke",
    # tokens that stand for a login
    "token", "access_token", "accesstoken", "auth_token", "authtoken", "id_token", "refresh_token", "jwt",
    "jwt_token", "auth", "authorization", "remember_token", "rememberme", "remember_me", "remember_web_*",
)  # fmt: skip
"""Names of cookies that stand for a visitor's session or login, in lower case, as patterns."""
_JOOMLA_SESSION = re.compile(r"[0-9a-f]{32}")
_PREFIXES = ("__host-", "__secure-", "__http-")
_BLANKET_HOSTS = {"*", "*:*", "//*"}
_BLANKET_SCHEMES = {"http:", "https:", "ws:", "wss:", "data:", "blob:", "filesystem:"}


def hsts(value: str | None) -> Hsts:
    """What a Strict-Transport-Security value says (RFC 6797, 6.1); one that browsers ignore says nothing."""
    if value is None:
        return Hsts()
    directives: dict[str, str] = {}
    valid = True
    for part in value.split(";"):
        name, _, argument = part.strip().partition("=")
        name = name.strip().lower()
        if name:
            valid &= name not in directives
            directives[name] = argument.strip().strip('"').strip()
    age = directives.get("max-age", "")
    valid &= bool(re.fullmatch(r"[0-9]+", age))
    if not valid:
        return Hsts(present=True)
    return Hsts(
        present=True,
        valid=True,
        max_age=min(int(age.lstrip("0")[:17] or "0"), _LARGEST),
        include_subdomains="includesubdomains" in directives,
        preload="preload" in directives,
    )


def nosniff(value: str | None) -> bool:
    """Whether the first token of X-Content-Type-Options is `nosniff` (Fetch standard)."""
    return (value or "").partition(",")[0].strip().lower() == "nosniff"


def _policies(value: str) -> list[dict[str, tuple[str, ...]]]:
    """The policies of one header value: directives with their sources; of a name the first counts (CSP 3)."""
    policies = []
    for text in value.split(","):
        directives: dict[str, tuple[str, ...]] = {}
        for part in text.split(";"):
            name, *sources = part.split() or [""]
            if name:
                directives.setdefault(name.lower(), tuple(source.lower() for source in sources))
        if directives:
            policies.append(directives)
    return policies


def _blanket(sources: Iterable[str]) -> bool:
    """Whether anything may come: `*`, a bare scheme, or any host of a scheme."""
    for source in sources:
        host = re.sub(r"^(https?|wss?)://", "", source).removesuffix("/")
        if source in _BLANKET_SCHEMES or host in _BLANKET_HOSTS or re.fullmatch(r"\*:(\d+|\*)", host):
            return True
    return False


def _trusts_by_nonce(sources: Sequence[str]) -> bool:
    """Whether hosts and schemes are ignored: 'strict-dynamic' stands beside a nonce or hash (CSP 3)."""
    return "'strict-dynamic'" in sources and any(
        source.startswith(("'nonce-", "'sha256-", "'sha384-", "'sha512-")) for source in sources
    )


def _lets_scripts_in(policy: dict[str, tuple[str, ...]]) -> bool:
    """Whether a policy has a blanket wildcard where it matters: default, scripts, objects."""
    scripts = policy.get("script-src", policy.get("default-src"))
    if scripts is None:
        return True
    watched = [
        policy.get(name, ()) for name in ("default-src", "script-src", "script-src-elem", "object-src")
    ]
    return any(_blanket(sources) and not _trusts_by_nonce(sources) for sources in watched)


def _lets_inline_in(policy: dict[str, tuple[str, ...]]) -> bool:
    scripts = policy.get("script-src", policy.get("default-src"))
    if scripts is None:
        return True
    keyed = any(source.startswith(("'nonce-", "'sha")) for source in scripts)
    return "'unsafe-inline'" in scripts and not keyed and "'strict-dynamic'" not in scripts


def csp(value: str | None, report_only: str | None = None) -> Csp:
    """What a Content-Security-Policy value comes to: its policies all hold, so the strictest decides."""
    policies = _policies(value or "")
    if not policies:
        return Csp(report_only=bool(report_only))
    scripts = [policy.get("script-src", policy.get("default-src", ("'unsafe-eval'",))) for policy in policies]
    ancestors = [policy["frame-ancestors"] for policy in policies if "frame-ancestors" in policy]
    ancestors.sort(key=_blanket)  # each must allow the page that frames, so one that refuses decides
    return Csp(
        present=True,
        wildcard=all(_lets_scripts_in(policy) for policy in policies),
        unsafe_inline=all(_lets_inline_in(policy) for policy in policies),
        unsafe_eval=all("'unsafe-eval'" in sources for sources in scripts),
        report_only=bool(report_only),
        frame_ancestors=tuple(safe_text(one, _TEXT) for one in ancestors[0][:64]) if ancestors else None,
    )


Framing = Literal["deny", "sameorigin", "frame-ancestors", "other", "none"]


def framing(policy: Csp, frame_options: str | None) -> tuple[Framing, bool]:
    """What governs framing, and whether framing by any site is refused (CSP 3, 6.4.2; RFC 7034)."""
    if policy.frame_ancestors is not None:
        return "frame-ancestors", not _blanket(policy.frame_ancestors)
    if frame_options is None:
        return "none", False
    match frame_options.partition(",")[0].strip().lower():
        case "deny":
            return "deny", True
        case "sameorigin":
            return "sameorigin", True
        case _:  # ALLOW-FROM and mistakes: no browser of today obeys them
            return "other", False


def is_session(name: str) -> bool:
    """Whether a cookie's name is one that sessions go by."""
    plain = name.lower()
    for prefix in _PREFIXES:
        plain = plain.removeprefix(prefix)
    return bool(_JOOMLA_SESSION.fullmatch(plain)) or any(
        fnmatchcase(plain, pattern) for pattern in SESSION_COOKIES
    )


def cookies(values: Iterable[str], now: datetime) -> tuple[Cookie, ...]:
    """The cookies that Set-Cookie fields set (RFC 6265, 5.2), those that only delete one left out."""
    found: dict[str, Cookie] = {}
    for value in values:
        pair, *attributes = value.split(";")
        name, equals, _ = pair.partition("=")
        said = {}
        for attribute in attributes:
            key, _, argument = attribute.partition("=")
            said[key.strip().lower()] = argument.strip()
        name = name.strip() if equals else ""
        if _is_deletion(said, now) or not pair.strip():
            continue
        same_site = said.get("samesite", "").capitalize()
        found[name] = Cookie(
            name=safe_text(name, _TEXT),
            session=is_session(name),
            secure="secure" in said,
            http_only="httponly" in said,
            same_site=same_site if same_site in {"Strict", "Lax", "None"} else "",
        )
    return tuple(found[name] for name in sorted(found))


def _is_deletion(said: dict[str, str], now: datetime) -> bool:
    age = said.get("max-age", "")
    if re.fullmatch(r"-?[0-9]{1,18}", age):  # Max-Age has precedence over Expires
        return int(age) <= 0
    expires = http_date(said.get("expires", ""))
    return expires is not None and expires <= now


def without_value(set_cookie: str) -> str:
    """A Set-Cookie field for the record: name and attributes, its value left out."""
    pair, semicolon, attributes = set_cookie.partition(";")
    name, equals, _ = pair.partition("=")
    return f"{name}{equals}…{semicolon}{attributes}" if equals else f"…{semicolon}{attributes}"


def http_date(text: str) -> datetime | None:
    """The time an HTTP date writes (RFC 9110, 5.6.7; the dashes of old cookies accepted), or None."""
    try:
        moment = parsedate_to_datetime(re.sub(r"(?<=\d)-(?=[A-Za-z])|(?<=[A-Za-z])-(?=\d)", " ", text))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
