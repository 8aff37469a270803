# ruff: noqa: E501 (server configurations and truths stand as they are written)
"""TLS as others write it: GnuTLS, NSS, mbedTLS, wolfSSL, Go's, Python's, and stunnel before a site."""

from __future__ import annotations

import json
import os
import shutil
import ssl
from pathlib import Path

from bench.fleet.servers import Site, answer, there_is, tls_context
from bench.fleet.tls_openssl import WEB_BARE
from bench.fleet.yard import Yard

PORT = 8443


def cases(yard: Yard) -> None:
    """Those that are installed."""
    python(yard)
    stunnel(yard)
    if there_is("node"):
        node(yard)
    if there_is("lighttpd"):
        lighttpd(yard)
    if there_is("caddy"):
        caddy(yard)


# ------------------------------------------------------------------------------------------------------ python


def python(yard: Yard) -> None:
    """Python's ssl, with closes that are not announced, and names that are wanted."""

    def site(name: str, *, host: str = "", sni: str = "", **truth: object) -> None:
        address = yard.address()
        context = tls_context(yard.good.leaf(f"py-{name}", host or address), **tls)  # type: ignore[arg-type]
        if sni:
            context.sni_callback = _wants(host, sni)
        served = Site({"/": answer()}, tls=context, **how)  # type: ignore[arg-type]
        yard.serve(address, PORT, served)
        yard.one(f"python-{name}", address, PORT, "https", host, **truth)

    tls: dict[str, object] = {}
    how: dict[str, object] = {}
    site("plain")
    how = {"farewell": False}
    site("rude")
    how = {"kept": True}
    site("kept")
    how = {"piece": 7, "pause": 0.0005}
    site("small-pieces")
    how = {}
    site("sni-alert", host="a.example.gov.vn", sni="alert")
    site("sni-close", host="b.example.gov.vn", sni="close")
    site("sni-internal-error", host="c.example.gov.vn", sni="internal")
    site("level1", level=1)
    site("level2", level=2)
    tls = {"highest": ssl.TLSVersion.TLSv1_2}
    site("tls12-level2", level=2)
    site("tls12", fails="TLS-04")
    site("sni-close-tls12", host="d.example.gov.vn", sni="close", fails="TLS-04")
    tls = {"lowest": ssl.TLSVersion.TLSv1, "ciphers": "ECDHE+AESGCM:ECDHE-RSA-AES128-SHA:@SECLEVEL=0"}
    site("tls10", fails="TLS-03 TLS-06")
    tls = {
        "lowest": ssl.TLSVersion.TLSv1,
        "highest": ssl.TLSVersion.TLSv1,
        "ciphers": "ALL:!aNULL:!DH:@SECLEVEL=0",
    }
    site("tls10-only", fails="TLS-03 TLS-04 TLS-06", free="TLS-05")
    tls = {"clients": yard.good.root_file, "required": True}
    access = "TLS-08 WEB-* ADM-04 DAT-01 PAT-04"
    site("client-required", opens=access, unsure="TLS-09")
    tls = {"clients": yard.good.root_file}
    site("client-optional", unsure="TLS-09")


def _wants(host: str, how: str) -> object:
    """Refuses a hello with another name, or none."""

    def callback(_sock: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> int | None:
        if name == host:
            return None
        if how == "close":
            raise ConnectionError  # pragma: no cover  # the connection is dropped with an alert of its own
        return (
            ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
            if how == "alert"
            else ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        )

    return callback


# ----------------------------------------------------------------------------------------------------- stunnel


def stunnel(yard: Yard) -> None:
    """stunnel before a plain site, one section for each case."""
    inside = yard.address()
    yard.serve(inside, 8081, Site({"/": answer()}))
    sections = []
    listens = []

    def section(name: str, *lines: str, host: str = "", leaf: Path | None = None, **truth: object) -> None:
        address = yard.address()
        file = leaf or yard.good.leaf(f"st-{name}", host or address)
        usual = [f"accept = {address}:{PORT}", f"connect = {inside}:8081", f"cert = {file}"]
        sections.append("\n".join([f"[{name}]", *usual, *lines]))
        listens.append((address, PORT))
        yard.one(f"stunnel-{name}", address, PORT, "https", host, **truth)

    strong = "ciphers = ECDHE+AESGCM:ECDHE+CHACHA20"
    section("strong", strong, "options = NO_RENEGOTIATION")
    section("usual", fails="TLS-06", free="TLS-05 TLS-09")
    section("no-renegotiation", strong, "renegotiation = no")
    section(
        "renegotiates",
        strong,
        "renegotiation = yes",
        "sslVersionMax = TLSv1.2",
        fails="TLS-04",
        free="TLS-09",
    )
    section("tls12", strong, "sslVersion = TLSv1.2", "options = NO_RENEGOTIATION", fails="TLS-04")
    section("tls13", "sslVersion = TLSv1.3")
    section(
        "tls10",
        "securityLevel = 0",
        "sslVersionMin = TLSv1",
        "ciphers = ECDHE-RSA-AES128-SHA:ECDHE+AESGCM:@SECLEVEL=0",
        "options = NO_RENEGOTIATION",
        fails="TLS-03 TLS-06",
    )
    section("p384", strong, "curves = P-384", "options = NO_RENEGOTIATION")
    section(
        "expired",
        strong,
        "options = NO_RENEGOTIATION",
        leaf=yard.good.leaf("st-old", "127.99.0.1", days=(-30, -3)),
        fails="CRT-02 CRT-03",
    )
    section(
        "client-required",
        strong,
        "verifyChain = yes",
        f"CAfile = {yard.good.root_file}",
        "options = NO_RENEGOTIATION",
        opens="TLS-08 WEB-* ADM-04 DAT-01 PAT-04",
        unsure="TLS-09",
    )
    config = yard.file("stunnel.conf", "foreground = yes\npid =\ndebug = 3\n" + "\n".join(sections) + "\n")
    yard.run("stunnel4", config, listens=listens)


# -------------------------------------------------------------------------------------------------------- node

_NODE = """
const https = require('https'), fs = require('fs');
for (const [address, port, file, options] of JSON.parse(process.argv[1])) {
  const pem = fs.readFileSync(file);
  https.createServer({key: pem, cert: pem, ...options}, (request, response) => {
    response.setHeader('Strict-Transport-Security', 'max-age=31536000; includeSubDomains');
    response.setHeader('Content-Security-Policy', "default-src 'self'; frame-ancestors 'none'");
    response.setHeader('X-Content-Type-Options', 'nosniff');
    response.statusCode = request.url == '/' ? 200 : 404;
    response.end('Xin chao');
  }).listen(port, address);
}
"""


def node(yard: Yard) -> None:
    """Node, which brings an OpenSSL of its own."""
    made = []

    def site(name: str, options: dict[str, object], **truth: object) -> None:
        address = yard.address()
        file = yard.good.leaf(f"node-{name}", address)
        made.append([address, PORT, str(file), options])
        yard.one(f"node-{name}", address, PORT, "https", **truth)

    strong = {"ciphers": "TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256"}
    site("strong", strong, free="TLS-09")
    site("usual", {}, fails="TLS-06", free="TLS-09")
    site(
        "tls10",
        {"minVersion": "TLSv1", "ciphers": "ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0"},
        fails="TLS-03 TLS-06",
        free="TLS-04 TLS-09",
    )
    site("p256", {**strong, "ecdhCurve": "prime256v1"}, free="TLS-09")
    yard.run("node", "-e", _NODE, json.dumps(made), listens=[(one[0], PORT) for one in made])


# ---------------------------------------------------------------------------------------------------- lighttpd


_BROKEN = "TLS-* CRT-* WEB-* ADM-04 DAT-01 PAT-04"
"""Here these two answer no browser (mod_nss: TLS 1.3 without a suite; mod_wolfssl: no status request)."""


def lighttpd(yard: Yard) -> None:
    """lighttpd on five TLS libraries."""
    modules = Path(str(shutil.which("lighttpd"))).resolve().parents[1] / "lib/lighttpd"
    page = yard.file("lighttpd/index.html", "<p>Xin chao</p>").parent
    for library in ("openssl", "gnutls", "mbedtls", "nss", "wolfssl"):
        if not (modules / f"mod_{library}.so").exists():
            continue
        sockets = []
        listens = []

        def site(name: str, commands: dict[str, str], **truth: object) -> None:
            address = yard.address()
            file = yard.good.leaf(f"lt-{library}-{name}", address)  # noqa: B023
            if library == "wolfssl":  # which knows other words  # noqa: B023
                commands = {key: value for key, value in commands.items() if key != "CipherString"}
            said = ", ".join(f'"{key}" => "{value}"' for key, value in commands.items())
            sockets.append(  # noqa: B023
                f'$SERVER["socket"] == "{address}:{PORT}" {{ ssl.engine = "enable" ssl.pemfile = "{file}" '
                f"ssl.openssl.ssl-conf-cmd = ({said}) }}"
            )
            listens.append((address, PORT))  # noqa: B023
            truth["fails"] = f"{truth.get('fails', '')} {WEB_BARE}"
            yard.one(f"lighttpd-{library}-{name}", address, PORT, "https", **truth)  # noqa: B023

        modern = {"MinProtocol": "TLSv1.2", "CipherString": "EECDH+AESGCM"}
        weak = "TLS-06" if library == "gnutls" else ""  # which makes that list longer
        weak += " TLS-07" if library == "mbedtls" else ""
        old = "TLS-04" if library in {"mbedtls", "nss"} else ""  # which agree on 1.3, and then fail
        site("modern", modern, fails=f"{weak} {old}", free=_BROKEN if library in {"nss", "wolfssl"} else "")
        site(
            "tls12",
            {**modern, "MaxProtocol": "TLSv1.2"},
            fails=f"{weak} TLS-04",
            free=_BROKEN if library == "wolfssl" else "",
        )
        site(
            "old",
            {"MinProtocol": "TLSv1", "CipherString": "HIGH"},
            free=f"TLS-03 TLS-04 TLS-05 TLS-06 TLS-07 TLS-10 {_BROKEN if library in {'nss', 'wolfssl'} else ''}",
        )
        first = yard.address()
        config = yard.file(
            f"lighttpd-{library}.conf",
            f'server.modules = ("mod_{library}") server.document-root = "{page}" server.bind = "{first}" '
            f'server.port = 8089 server.tag = "" index-file.names = ("index.html") '
            f'mimetype.assign = (".html" => "text/html") {" ".join(sockets)}\n',
        )
        yard.run("lighttpd", "-D", "-f", config, "-m", modules, listens=listens)


# ------------------------------------------------------------------------------------------------------- caddy


def caddy(yard: Yard) -> None:
    """Go's TLS."""
    blocks = []
    listens = []

    def site(name: str, *lines: str, kind: str = "rsa2048", **truth: object) -> None:
        address = yard.address()
        host = f"{name}.go.example.gov.vn"
        file = yard.good.leaf(f"go-{name}", host, kind=kind)
        headers = (
            'header Strict-Transport-Security "max-age=31536000; includeSubDomains"\n'
            "header Content-Security-Policy \"default-src 'self'; frame-ancestors 'none'\"\n"
            "header X-Content-Type-Options nosniff\n"
        )
        inner = "\n".join(lines)
        blocks.append(
            f"https://{host}:{PORT} {{\nbind {address}\ntls {file} {file} {{\n{inner}\n}}\n{headers}"
            "route {\nrespond / hello 200\nrespond 404\n}\n}"
        )
        listens.append((address, PORT))
        yard.one(f"go-{name}", address, PORT, "https", host, **truth)

    site("usual", free="TLS-06")
    site("strong", "ciphers TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")
    site("tls13", "protocols tls1.3 tls1.3")
    site("tls12", "protocols tls1.2 tls1.2", "ciphers TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", fails="TLS-04")
    site("p256", "curves secp256r1")
    site("ecdsa", "ciphers TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", kind="p256")
    site("ed25519", "ciphers TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", kind="ed25519")
    site("client", "client_auth {\nmode require\n}", opens="TLS-08 WEB-* ADM-04 DAT-01 PAT-04", free="TLS-06")
    config = yard.file("Caddyfile", "{\nadmin off\nauto_https off\n}\n" + "\n".join(blocks) + "\n")
    environment = {**os.environ, "HOME": str(yard.folder), "XDG_DATA_HOME": str(yard.folder)}
    yard.run(
        "caddy", "run", "--adapter", "caddyfile", "--config", config, listens=listens, environment=environment
    )
