"""What an open port says itself: a greeting, or the answer to one GET. A port number proves no service."""

from __future__ import annotations

import re
from typing import NamedTuple

from seccheck.model import Reason
from seccheck.probes import ProbeFailed
from seccheck.probes.ports.table import TABLE
from seccheck.scope import USER_AGENT, Connection, Context

SECONDS = 6.0
"""How long a port may take to say what it is; many FTP servers look up our name before they greet."""
CURIOUS_SECONDS = 1.5
"""The same for a port where a greeting would be a surprise: most that wait there, wait for us to speak first.
A declared service is then spoken to, and has the full time; others are left alone."""
MAX_BYTES = 16384


class Identity(NamedTuple):
    """The service that identified itself, or why none did."""

    confirmed: str = ""
    reason: Reason = Reason.UNDISCLOSED


# Services of the table that are asked by HTTP: the path, and whether TLS is usual there.
_HTTP: dict[str, tuple[str, bool]] = {
    "docker": ("/version", False),
    "docker-tls": ("/version", True),
    "etcd": ("/version", False),
    "kubernetes": ("/version", True),
    "kubelet": ("/pods", True),
    "kubelet-read-only": ("/pods", False),
    "nomad": ("/v1/status/leader", False),
    "consul": ("/v1/status/leader", False),
    "consul-tls": ("/v1/status/leader", True),
    "vault": ("/v1/sys/health", False),
    "gocd": ("/go/api/version", False),
    "proxmox": ("/", True),
    "hdfs": ("/", False),
    "spark": ("/", False),
    "spark-rest": ("/", False),
    "hbase": ("/", False),
    "keystone": ("/", False),
    "nova": ("/", False),
    "vmware-appliance": ("/", True),
    "http": ("/", False),
    "https": ("/", True),
}
_GREETING = {"ftp", "telnet"}
_FRONT_DOORS = {80, 443}
"""The http probe asks these, and a console there is a site of its own; here they are only listened to."""
_PRINTERS = range(9100, 9108)
"""Raw printer ports (JetDirect): whatever is said there comes out on paper."""

EXPECTED = {
    "ftp": "ftp",
    "telnet": "telnet",
    "docker": "docker-api",
    "docker-tls": "docker-api",
    "etcd": "etcd",
    "kubernetes": "kubernetes-api",
    "kubelet": "kubelet",
    "kubelet-read-only": "kubelet",
    "nomad": "nomad",
    "consul": "consul",
    "consul-tls": "consul",
    "vault": "vault",
    "gocd": "gocd",
    "proxmox": "proxmox",
}
"""What the service of a table port identifies itself as: silence there leaves that name in doubt."""

# Name, and what only that service says over HTTP: all the words of a row, lower case. The first row decides.
# Plain searches, no patterns with "anything between": what is searched here, a hostile server wrote.
_HTTP_SIGNS: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    ("docker-api", (b'"apiversion"', b'"minapiversion"')),
    ("docker-api", (b'"apiversion"', b'"kernelversion"')),
    ("docker-api", (b"\nserver: docker/",)),
    ("etcd", (b'"etcdserver"',)),
    ("kubernetes-api", (b'"gitversion"', b'"goversion"')),
    ("kubernetes-api", (b'"kind"', b'"status"', b'"apiversion"', b'"v1"')),
    ("kubelet", (b'"kind"', b'"podlist"')),
    ("kubelet", (b"forbidden (user=system:anonymous",)),
    ("consul", (b"\nx-consul-",)),
    ("consul", (b':8300"',)),
    ("nomad", (b"\nx-nomad-",)),
    ("nomad", (b':4647"',)),
    ("vault", (b'"initialized"', b'"sealed"')),
    ("jenkins", (b"\nx-jenkins:",)),
    ("jenkins", (b"\nx-hudson:",)),
    ("gitlab", (b"\nx-gitlab-",)),
    ("teamcity", (b"\nteamcity-node-id:",)),
    ("teamcity", (b"\nwww-authenticate:", b'realm="teamcity"')),
    ("gocd", (b"vnd.go.cd",)),
    ("gocd", (b"\nlocation:", b"/go/auth/")),
    ("sonarqube", (b"<title>sonarqube",)),
    ("nexus", (b"\nserver: nexus/",)),
    ("artifactory", (b"\nx-artifactory-",)),
    ("artifactory", (b"\nx-jfrog-",)),
    ("argo-cd", (b"<title>argo cd",)),
    ("airflow", (b"<title>airflow",)),
    ("portainer", (b"<title>portainer",)),
    ("rancher", (b"\nx-rancher-",)),
    ("rancher", (b"\nx-api-schemas:",)),
    ("kubernetes-dashboard", (b"<title>kubernetes dashboard",)),
    ("proxmox", (b"\nserver: pve-api",)),
    ("proxmox", (b"proxmox virtual environment",)),
    ("hadoop", (b"<title>namenode information",)),
    ("hadoop", (b"<title>hadoop",)),
    ("spark", (b"<title>spark master",)),
    ("spark", (b"serversparkversion",)),
    ("jupyter", (b"<title>jupyter",)),
    ("jupyter", (b"\nserver: tornadoserver", b"\nlocation: /tree")),
    ("jupyter", (b"\nserver: tornadoserver", b"\nlocation: /lab")),
    ("keystone", (b'"media-types"', b"openstack.identity")),
)
_GREETINGS: tuple[tuple[str, re.Pattern[bytes]], ...] = tuple(
    (name, re.compile(pattern, re.IGNORECASE | re.DOTALL))
    for name, pattern in (
        ("ssh", rb"SSH-[12]\."),
        ("telnet", rb"\xff[\xfb-\xfe]."),
        ("smtp", rb"220[ -][^\r\n]*(?:smtp|mail)"),
        ("ftp", rb"220[ -].*ftp"),
        ("pop3", rb"\+OK\b"),
        ("imap", rb"\* (?:OK|PREAUTH|BYE)\b"),
        ("vnc", rb"RFB \d{3}\.\d{3}\n"),
        ("rsync", rb"@RSYNCD:"),
        ("mysql", rb"...\0(?:\x0a[0-9]|\xff)"),
        ("telnet", rb"[\x09-\x7e]{0,800}\b(?:login|username|user name):\s{0,8}\Z"),
    )
)


def askable(port: int) -> bool:
    """Whether an open `port` may be listened to, at least: FTP and Telnet hide on every number."""
    return port not in _PRINTERS


def expected(port: int) -> str:
    """What the usual service of `port` would identify itself as; "" when we could not tell."""
    return EXPECTED.get(TABLE[port].service, "") if port in TABLE else ""


def identify(context: Context, address: str, port: int, *, declared: bool = False) -> Identity:
    """What answers on an open `port`; at most three connections, no login, nothing that changes state."""
    service = TABLE[port].service if port in TABLE else ""
    try:
        if service in _HTTP and port not in _FRONT_DOORS:
            return _by_get(context, address, port, *_HTTP[service])
        spoken_to = declared and port not in _FRONT_DOORS
        return _by_greeting(context, address, port, greets=service in _GREETING, declared=spoken_to)
    except ProbeFailed as failure:
        return Identity("", failure.reason)


def recognise(said: bytes) -> str:
    """The service whose own words `said` are; "" when we do not know them."""
    if said.startswith(b"HTTP/"):
        text = said.lower()
        return next((name for name, words in _HTTP_SIGNS if all(word in text for word in words)), "http")
    return next((name for name, pattern in _GREETINGS if pattern.match(said)), "")


def _by_greeting(context: Context, address: str, port: int, *, greets: bool, declared: bool) -> Identity:
    first = SECONDS if greets and not declared else CURIOUS_SECONDS
    with context.dial(address, port, seconds=first, max_bytes=MAX_BYTES) as connection:
        try:
            said = connection.receive(4096)
        except ProbeFailed as failure:
            if failure.reason is not Reason.TIMEOUT or not declared:
                raise
            # A word that FTP and SMTP know, and that HTTP and TLS servers refuse at once: it ends the wait.
            connection.renew(SECONDS, MAX_BYTES)
            connection.send(b"HELP\r\n\r\n")
            said = connection.receive(4096)
        while said.startswith(b"220-") and not re.search(rb"(?m)^220 [^\n]*\n", said) and len(said) < 8192:
            if not (more := connection.receive(4096)):
                break
            said += more
        name = "" if _wrong_way(said) else recognise(said)
        if not name and said.startswith(b"220"):
            # FTP and SMTP greet alike; SYST is FTP's (RFC 959, 4.1.3), and refused before the login with 530.
            connection.send(b"SYST\r\n")
            name = "ftp" if re.match(rb"215|331|530", connection.receive(512)) else "smtp"
        return Identity(name)


def _by_get(context: Context, address: str, port: int, path: str, tls: bool) -> Identity:
    """Ask as is usual on the port, then the other way where that brings no HTTP; who spoke first is heard."""
    problem = Reason.UNDISCLOSED
    for secured in (tls, not tls):
        try:
            said = _get(context, address, port, path, secured)
        except ProbeFailed as failure:
            problem = failure.reason
            if problem is Reason.ACCESS:
                break
            continue
        if TABLE[port].service == "kubelet" and said.endswith(b"\r\n\r\nUnauthorized"):
            return Identity("kubelet")  # a bare word, telling only on this port
        if (name := recognise(said)) and not _wrong_way(said):
            return Identity(name)
        if said and not said.startswith(b"HTTP/"):  # it spoke, and not HTTP: perhaps before it was asked
            return _by_greeting(context, address, port, greets=True, declared=False)
    return Identity("", problem)


_COMPLAINTS = (b"plain http", b"http request to an https server", b"speaking plain http")


def _wrong_way(said: bytes) -> bool:
    """Whether a server complains of plain HTTP on its TLS port, as nginx, Apache and Go do."""
    text = said.lower()
    return text[8:13] == b" 400 " and any(word in text for word in _COMPLAINTS)


def _get(context: Context, address: str, port: int, path: str, secured: bool) -> bytes:
    host = f"[{address}]" if ":" in address else address
    with context.dial(address, port, seconds=SECONDS, max_bytes=MAX_BYTES) as connection:
        if secured:
            connection.start_tls(address)
        lines = (f"GET {path} HTTP/1.1", f"Host: {host}:{port}", f"User-Agent: {USER_AGENT}")
        connection.send("\r\n".join((*lines, "Accept: */*", "Connection: close", "", "")).encode())
        return _all(connection)


def _all(connection: Connection) -> bytes:
    """What comes until the end, the cap or the deadline; a late end takes nothing from what was said."""
    said = b""
    try:
        while more := connection.receive():
            said += more
    except ProbeFailed:
        if not said:
            raise
    return said
