"""Where an observation looked, and how to look again by hand."""

from __future__ import annotations

import shlex

from seccheck.reports.run import Seen, TargetEntry

STARTTLS = {
    "smtp": "smtp",
    "submission": "smtp",
    "imap": "imap",
    "pop3": "pop3",
    "ftp": "ftp",
    "ldap": "ldap",
    "postgresql": "postgres",
    "mysql": "mysql",
}
"""What `openssl s_client -starttls` calls the services that begin in clear text."""


def host_of(target: TargetEntry) -> str:
    """The host of a target as it stands in a URL."""
    return _bracketed(target.host or target.address or "")


def where(look: Seen) -> str:
    """Where an observation looked, as people write it."""
    place = look.endpoint
    host = _bracketed(place.host or place.address)
    text = f"{place.service} {host}:{place.port}".strip() if place.port else host
    return f"{text} ({place.address})" if place.address and place.host not in {"", place.address} else text


def by_hand(look: Seen, target: TargetEntry | None) -> str:
    """A command that many administrators have and that shows much the same, or nothing."""
    place = look.endpoint
    name = place.host or (target.host if target else None) or place.address
    at = place.address or name
    port = place.port or (target.port if target else 0) or 0
    match look.probe:
        case "tls" if port:
            connect = shlex.quote(f"{_bracketed(at)}:{port}")
            starttls = f" -starttls {STARTTLS[place.service]}" if place.service in STARTTLS else ""
            return f"openssl s_client -connect {connect} -servername {shlex.quote(name)}{starttls} </dev/null"
        case "http" | "banner" if place.service in {"http", "https"}:
            return f"curl -sSIk {shlex.quote(f'{place.service}://{_bracketed(name)}:{port}/')}"
        case "ssh" if port:
            return f"nmap -Pn -p {port} --script ssh2-enum-algos,ssh-auth-methods {shlex.quote(at)}"
        case "ports":
            return f"nmap -Pn --top-ports 1000 {shlex.quote(at)}"
        case "dns":
            return f"dig +dnssec {shlex.quote(name)}"
        case "ipv6":
            return f"curl -6 -sSIk {shlex.quote(f'https://{_bracketed(name)}:{port}/')}"
        case "mail":
            return f"dig TXT {shlex.quote(name)}"
        case _:
            return ""


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
