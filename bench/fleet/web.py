# ruff: noqa: E501 (server configurations and truths stand as they are written)
"""Web servers: headers in every spelling, redirects in every direction, cookies, and answers that are barely HTTP."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

from bench.fleet.servers import GOOD_HEADERS, NOT_FOUND, Request, Site, answer, tls_context
from bench.fleet.truth import At, Case
from bench.fleet.yard import Yard

PORT = 8443
HTTP = 8080
HSTS, CSP, SNIFF, FRAME = GOOD_HEADERS
Answer = bytes | Callable[[Request], bytes]


def cases(yard: Yard) -> None:
    """All of them."""
    headers(yard)
    cookies(yard)
    statuses(yard)
    secure_redirects(yard)
    plain_redirects(yard)
    contents(yard)
    protocol(yard)
    wrongly_declared(yard)
    levels(yard)


class Sites:
    """Starts sites that answer with modern TLS."""

    def __init__(self, yard: Yard) -> None:
        self.yard = yard

    def __call__(self, name: str, front: Answer, *, level: int = 3, **more: object) -> str:
        address = self.yard.address()
        how = {
            key: more.pop(key)
            for key in list(more)
            if key in {"farewell", "piece", "pause", "kept", "traces"}
        }
        pages = {"/": front, **more.pop("pages", {})}  # type: ignore[dict-item]
        elsewhere = more.pop("elsewhere", NOT_FOUND)
        context = tls_context(self.yard.good.leaf(f"w-{name}", address))
        self.yard.serve(address, PORT, Site(pages, elsewhere, tls=context, **how))  # type: ignore[arg-type]
        self.yard.one(f"web-{name}", address, PORT, "https", level=level, **more)
        return address


def fields(**changes: str | None) -> dict[str, str]:
    """The good headers, some changed or (None) left out."""
    names = {"hsts": HSTS, "csp": CSP, "sniff": SNIFF, "frame": FRAME}
    made = dict(GOOD_HEADERS)
    for key, value in changes.items():
        made.pop(names[key])
        if value is not None:
            made[names[key]] = value
    return made


def headers(yard: Yard) -> None:
    site = Sites(yard)

    def sent(name: str, lines: dict[str, str] | str, **truth: object) -> None:
        site(name, answer(headers=lines), **truth)  # type: ignore[arg-type]

    sent("good", GOOD_HEADERS)
    sent("lower-case", {key.lower(): value for key, value in GOOD_HEADERS.items()})
    sent("upper-case", {key.upper(): value for key, value in GOOD_HEADERS.items()})
    sent(
        "odd-values",
        fields(hsts='MAX-AGE="63072000" ; IncludeSubDomains', sniff="NoSniff", frame="sameOrigin"),
    )
    sent("spaces", fields(hsts="  max-age = 31536000 ;; includeSubDomains ; preload  "))
    # HSTS
    sent("hsts-zero", fields(hsts="max-age=0; includeSubDomains"), fails="TLS-08")
    sent("hsts-short", fields(hsts="max-age=31535999; includeSubDomains"), fails="TLS-08")
    sent("hsts-short-level1", fields(hsts="max-age=60"), level=1)
    sent("hsts-host-alone", fields(hsts="max-age=31536000"), fails="TLS-08")
    sent("hsts-host-alone-level2", fields(hsts="max-age=31536000"), level=2)
    sent("hsts-no-age", fields(hsts="includeSubDomains"), fails="TLS-08")
    sent("hsts-words", fields(hsts="max-age=one-year; includeSubDomains"), fails="TLS-08")
    sent("hsts-negative", fields(hsts="max-age=-31536000; includeSubDomains"), fails="TLS-08")
    sent("hsts-huge", fields(hsts="max-age=99999999999999999999999; includeSubDomains"))
    sent("hsts-commas", fields(hsts="max-age=31536000, includeSubDomains"), fails="TLS-08")
    sent(
        "hsts-twice-in-one",
        fields(hsts="max-age=31536000; max-age=31536000; includeSubDomains"),
        fails="TLS-08",
    )
    rest = "".join(f"{key}: {value}\r\n" for key, value in fields(hsts=None).items())
    good, bad = f"{HSTS}: max-age=31536000; includeSubDomains\r\n", f"{HSTS}: max-age=0\r\n"
    sent("hsts-good-then-bad", good + bad + rest)
    sent("hsts-bad-then-good", bad + good + rest, fails="TLS-08")
    # CSP
    sent(
        "csp-report-only",
        {**fields(csp=None), "Content-Security-Policy-Report-Only": "default-src 'self'"},
        fails="WEB-01",
    )
    sent("csp-star", fields(csp="default-src *"), fails="WEB-01")
    sent("csp-star-scripts", fields(csp="default-src 'self'; script-src *"), fails="WEB-01")
    sent("csp-scheme", fields(csp="default-src https:"), fails="WEB-01")
    sent("csp-star-images", fields(csp="default-src 'self'; img-src *"))
    sent("csp-star-host", fields(csp="default-src 'self' *.example.com"))
    sent("csp-none", fields(csp="default-src 'none'"))
    sent("csp-empty", fields(csp=""), fails="WEB-01")
    sent("csp-meta", fields(csp=None), fails="WEB-01")
    sent(
        "csp-nonce",
        fields(csp="script-src 'nonce-abc' 'strict-dynamic' https:; object-src 'none'; base-uri 'none'"),
    )
    rest = "".join(f"{key}: {value}\r\n" for key, value in fields(csp=None).items())
    sent("csp-good-then-star", f"{CSP}: default-src 'self'\r\n{CSP}: default-src *\r\n" + rest)
    sent(
        "csp-star-then-good", f"{CSP}: default-src *\r\n{CSP}: default-src 'self'\r\n" + rest, fails="WEB-01"
    )
    # framing
    sent("frame-none", fields(frame=None, csp="default-src 'self'"), fails="WEB-03")
    sent("frame-csp-none", fields(frame=None, csp="default-src 'self'; frame-ancestors 'none'"))
    sent("frame-csp-self", fields(frame=None, csp="default-src 'self'; frame-ancestors 'self'"))
    sent("frame-csp-host", fields(frame=None, csp="default-src 'self'; frame-ancestors https://a.example.vn"))
    sent("frame-csp-star", fields(frame=None, csp="default-src 'self'; frame-ancestors *"), fails="WEB-03")
    sent("frame-csp-star-and-deny", fields(csp="default-src 'self'; frame-ancestors *"), fails="WEB-03")
    sent(
        "frame-allow-from",
        fields(frame="ALLOW-FROM https://a.example.vn", csp="default-src 'self'"),
        fails="WEB-03",
    )
    sent("frame-allowall", fields(frame="ALLOWALL", csp="default-src 'self'"), fails="WEB-03")
    sent("frame-misspelt", fields(frame="SAME-ORIGIN", csp="default-src 'self'"), fails="WEB-03")
    rest = "".join(
        f"{key}: {value}\r\n" for key, value in fields(frame=None, csp="default-src 'self'").items()
    )
    sent("frame-twice", f"{FRAME}: SAMEORIGIN\r\n{FRAME}: DENY\r\n" + rest)
    # nosniff
    sent("sniff-none", fields(sniff=None), fails="WEB-02")
    sent("sniff-other", fields(sniff="sniff"), fails="WEB-02")
    sent("sniff-quoted", fields(sniff='"nosniff"'), fails="WEB-02")
    sent("nothing", {}, fails="TLS-08 WEB-01 WEB-02 WEB-03")
    sent("nothing-level1", {}, level=1, fails="WEB-02 WEB-03")
    # form
    sent(
        "folded",
        "Strict-Transport-Security: max-age=31536000;\r\n includeSubDomains\r\n"
        + "".join(f"{k}: {v}\r\n" for k, v in fields(hsts=None).items()),
    )
    big = "".join(f"X-Filler-{number}: {'x' * 600}\r\n" for number in range(60))
    sent("big-before", big + "".join(f"{k}: {v}\r\n" for k, v in GOOD_HEADERS.items()))
    sent(
        "many-before",
        "".join(f"X-{n}: 1\r\n" for n in range(150))
        + "".join(f"{k}: {v}\r\n" for k, v in GOOD_HEADERS.items()),
    )
    sent("latin", {**GOOD_HEADERS, "X-Note": "caf\u00e9"})
    sent(
        "space-before-colon",
        "".join(f"{key} : {value}\r\n" for key, value in GOOD_HEADERS.items()),
        free="TLS-08 WEB-01 WEB-02 WEB-03",
    )


def cookies(yard: Yard) -> None:
    site = Sites(yard)

    def sets(name: str, *lines: str, **truth: object) -> None:
        text = "".join(f"{key}: {value}\r\n" for key, value in GOOD_HEADERS.items())
        text += "".join(f"Set-Cookie: {line}\r\n" for line in lines)
        site(f"cookie-{name}", answer(headers=text), **truth)  # type: ignore[arg-type]

    sets("good", "JSESSIONID=a; Path=/; Secure; HttpOnly; SameSite=Lax")
    sets("strict", "sessionid=a; path=/; secure; httponly; samesite=strict")
    sets("host", "__Host-session=a; Path=/; Secure; HttpOnly; SameSite=Strict")
    sets("no-same-site", "PHPSESSID=a; Path=/; Secure; HttpOnly", fails="WEB-04")
    sets("same-site-none", "PHPSESSID=a; Path=/; Secure; HttpOnly; SameSite=None", fails="WEB-04")
    sets("same-site-odd", "PHPSESSID=a; Path=/; Secure; HttpOnly; SameSite=Yes", fails="WEB-04")
    sets("no-http-only", "ASP.NET_SessionId=a; Secure; SameSite=Lax", fails="WEB-04")
    sets("no-secure", "connect.sid=a; HttpOnly; SameSite=Lax", fails="WEB-04")
    sets("host-bare", "__Host-session=a; Path=/; Secure", fails="WEB-04")
    sets("other-secure", "theme=dark; Secure")
    sets("other-bare", "theme=dark", fails="WEB-04")
    sets("second-bad", "theme=dark; Secure", "JSESSIONID=a; Secure", fails="WEB-04")
    sets(
        "laravel",
        "laravel_session=abc; expires=Fri, 31 Dec 2038 23:59:59 GMT; Max-Age=7200; path=/; secure; httponly; samesite=lax",
    )
    sets("odd-case", "JsessionId=a;SECURE;HTTPONLY;SAMESITE=LAX")
    sets("deleted", "JSESSIONID=; Max-Age=0", "JSESSIONID=; expires=Thu, 01 Jan 1970 00:00:00 GMT")
    sets("level1", "JSESSIONID=a", level=1, fails="WEB-04")


def statuses(yard: Yard) -> None:
    site = Sites(yard)
    for status in (
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "500 Internal Server Error",
        "503 Service Unavailable",
        "204 No Content",
    ):
        code = status[:3]
        body = b"" if code == "204" else b"<html>no</html>"
        # without a page that may be read there is nothing to sample; refusals tell little about paths
        free = "DAT-01" + (" WEB-05 WEB-06 WEB-07 WEB-08 ADM-04" if code == "503" else "")
        everywhere = answer(status, body=body)
        site(f"{code}-good", everywhere, elsewhere=everywhere, free=free)
        if code != "204":
            site(
                f"{code}-bare",
                answer(status, {}, body),
                elsewhere=answer(status, {}, body),
                fails="TLS-08 WEB-01 WEB-02 WEB-03",
                free=free,
            )
    site("always-200", answer(), elsewhere=answer())
    site("no-reason", answer("200"))
    site("http10", answer(start="HTTP/1.0"))
    site("bare-newlines", answer().replace(b"\r\n", b"\n"))
    site("interim", b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" + answer())
    site("continue", b"HTTP/1.1 100 Continue\r\n\r\n" + answer())


def _moves(
    to: str, status: str = "302 Found", headers: dict[str, str] | None = None, body: bytes = b""
) -> bytes:
    return answer(status, {**(GOOD_HEADERS if headers is None else headers), "Location": to}, body)


def secure_redirects(yard: Yard) -> None:
    """The headers count on the last answer that stays on the host."""
    site = Sites(yard)
    bare = answer(headers={})
    none = "WEB-01 WEB-02 WEB-03"
    site("to-good", _moves("/in", headers={}), pages={"/in": answer()})
    site("to-bare", _moves("/in"), pages={"/in": bare}, fails=f"TLS-08 {none}")
    site("relative", _moves("in"), pages={"/in": bare}, fails=f"TLS-08 {none}")
    site("dots", _moves("./a/../in"), pages={"/in": bare}, fails=f"TLS-08 {none}")
    site("empty-location", _moves(""), fails="")
    five = {f"/{n}": _moves(f"/{n + 1}", headers={}) for n in range(1, 5)} | {"/5": answer()}
    site("five-hops", _moves("/1", headers={}), pages=five)
    six = {f"/{n}": _moves(f"/{n + 1}") for n in range(1, 6)} | {"/6": bare}
    site("six-hops", _moves("/1"), pages=six, opens="WEB-01 WEB-02 WEB-03 WEB-04", free="DAT-01")
    loop = "WEB-01 WEB-02 WEB-03 WEB-04"
    site("loop", _moves("/"), opens=loop, free="DAT-01")
    site("loop-of-two", _moves("/b"), pages={"/b": _moves("/")}, opens=loop, free="DAT-01")
    site("loop-bare", _moves("/", headers={}), fails="TLS-08", opens=loop, free="DAT-01")
    numbers = itertools.count()
    endless = lambda _: _moves(f"/n{next(numbers)}")  # noqa: E731
    site(
        "endless",
        endless,
        elsewhere=endless,
        opens=loop,
        free="DAT-01 WEB-05 WEB-06 WEB-07 WEB-08 ADM-04 WEB-09 WEB-10",
    )
    site("leaves", _moves("https://www.example.org/"), opens=loop, free="DAT-01")
    site(
        "leaves-bare",
        _moves("https://www.example.org/", headers={}),
        fails="TLS-08",
        opens=loop,
        free="DAT-01",
    )
    site("leaves-to-address", _moves("https://127.99.0.9/"), opens=loop, free="DAT-01")
    site(
        "leaves-late", _moves("/a"), pages={"/a": _moves("//other.example.org/x")}, opens=loop, free="DAT-01"
    )
    site("leaves-backslash", _moves("\\\\other.example.org/x"), opens=loop, free="DAT-01")
    site("leaves-user", _moves("https://127.20.0.1@other.example.org/"), opens=loop, free="DAT-01")
    site("javascript", _moves("javascript:alert(1)"), opens=loop, free="DAT-01")
    site(
        "meta-refresh", answer(body=b'<meta http-equiv="refresh" content="0; url=https://www.example.org/">')
    )
    site("refresh-header", answer(headers={**GOOD_HEADERS, "Refresh": "0; url=https://www.example.org/"}))
    site("300", _moves("/in", "300 Multiple Choices"), pages={"/in": bare})
    site("304", answer("304 Not Modified", body=b""), free="DAT-01")
    site("location-on-200", answer(headers={**GOOD_HEADERS, "Location": "/in"}), pages={"/in": bare})
    site(
        "two-locations",
        answer("302 Found", "Location: /in\r\nLocation: /out\r\n", b""),
        pages={"/in": answer(), "/out": bare},
    )
    # the cookie of a redirect is not one of the last answer
    cookie = {**GOOD_HEADERS, "Set-Cookie": "JSESSIONID=1", "Location": "/in"}
    site("cookie-on-redirect", answer("302 Found", cookie, b""), pages={"/in": answer()}, free="WEB-04")

    # down to plain HTTP on the same host, where the last answer stands
    address = yard.address()
    yard.serve(address, HTTP, Site({"/": bare}))
    context = tls_context(yard.good.leaf("w-downgrade", address))
    yard.serve(address, PORT, Site({"/": _moves(f"http://{address}:{HTTP}/", headers={})}, tls=context))
    yard.add(
        Case(
            "web-downgrade",
            [At(address, PORT, "https", fails=f"TLS-08 {none}", free="TLS-08 DAT-01")],
            approved={address: [HTTP, PORT]},
        )
    )
    address = yard.address()
    context = tls_context(yard.good.leaf("w-elsewhere", address))
    yard.serve(address, PORT, Site({"/": _moves(f"https://{address}:9444/")}, tls=context))
    yard.serve(address, 9444, Site({"/": bare}, tls=context))
    yard.add(
        Case(
            "web-other-port",
            [At(address, PORT, "https", fails=f"TLS-08 {none}", free="DAT-01")],
            approved={address: [9444, PORT]},
        )
    )


def plain_redirects(yard: Yard) -> None:
    """What an http address may answer: a redirect to https on the same host, and nothing else."""

    def pair(
        name: str, front: Answer, *, host: str = "", fails: str = "", with_https: bool = True, **truth: str
    ) -> None:
        address = yard.address()
        said = host or address
        filled = front.replace(b"HOST", said.encode()) if isinstance(front, bytes) else front
        yard.serve(address, HTTP, Site({"/": filled}, kept=bool(truth.pop("kept", ""))))
        targets = [At(said, HTTP, "http", address if host else "", "plain", fails=fails, **truth)]
        if with_https:
            context = tls_context(yard.good.leaf(f"p-{name}", said))
            yard.serve(address, PORT, Site({"/": answer()}, tls=context))
            targets.append(At(said, PORT, "https", address if host else "", "secure"))
        yard.add(Case(f"plain-{name}", targets))

    no = "TLS-02"
    for status in (
        "301 Moved Permanently",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ):
        pair(f"to-https-{status[:3]}", _moves(f"https://HOST:{PORT}/", status, {}))
    pair("to-https-usual-port", _moves("https://HOST/", headers={}))
    pair("to-https-upper", _moves(f"HTTPS://HOST:{PORT}/", headers={}))
    pair("to-https-name", _moves(f"https://HOST:{PORT}/x?y=z", headers={}), host="p.example.gov.vn")
    pair("to-https-name-case", _moves("https://P.Example.GOV.vn/", headers={}), host="p.example.gov.vn")
    pair(
        "to-https-name-dot",
        _moves("https://p.example.gov.vn./", headers={}),
        host="p.example.gov.vn",
        free="TLS-02",
    )
    pair("to-https-text", _moves("https://HOST/", headers={}, body=b"<p>moved</p>" * 40))
    pair("to-https-content", _moves("https://HOST/", headers={}, body=b"<p>content</p>" * 4000), fails=no)
    pair("to-www", _moves("https://www.p.example.gov.vn/", headers={}), host="p.example.gov.vn", fails=no)
    pair("to-address", _moves("https://127.99.0.1/", headers={}), host="p.example.gov.vn", fails=no)
    pair("to-other", _moves("https://www.example.org/", headers={}), fails=no)
    pair("to-http", _moves(f"http://HOST:{HTTP}/in", headers={}), fails=no)
    pair("to-path", _moves("/in", headers={}), fails=no)
    pair("to-scheme-relative", _moves("//HOST:8443/", headers={}), fails=no)
    pair("loop", _moves("/", headers={}), fails=no)
    pair("content", answer(headers={}), fails=no)
    pair(
        "meta-refresh",
        answer(headers={}, body=b'<meta http-equiv="refresh" content="0;url=https://HOST/">'),
        fails=no,
    )
    pair("script", answer(headers={}, body=b'<script>location="https://HOST/"</script>'), fails=no)
    pair("redirect-without-location", answer("301 Moved Permanently", {}), fails=no)
    pair("404", answer("404 Not Found", {}), fails=no)
    pair("403", answer("403 Forbidden", {}), fails=no)
    pair("300", _moves("https://HOST/", "300 Multiple Choices", {}), fails=no)
    pair("ignored-hsts", answer(), fails=no)
    pair("alone", answer(headers={}), with_https=False, fails="TLS-01 TLS-02 WEB-01 WEB-02 WEB-03")
    pair("alone-good-headers", answer(), with_https=False, fails="TLS-01 TLS-02")
    pair(
        "alone-to-https",
        _moves("https://HOST/", headers={}),
        with_https=False,
        fails="TLS-01",
        opens="WEB-01 WEB-02 WEB-03 WEB-04",
        free="DAT-01",
    )
    pair(
        "kept",
        _moves(f"https://HOST:{PORT}/", headers={}).replace(b"Connection: close", b"Connection: keep-alive"),
        kept="yes",
    )

    # an http target with https on another host of the same system: judged as if alone
    address = yard.address()
    yard.serve(address, HTTP, Site({"/": _moves("https://q.example.gov.vn:8443/", headers={})}))
    context = tls_context(yard.good.leaf("p-otherhost", "q.example.gov.vn"))
    yard.serve(address, PORT, Site({"/": answer()}, tls=context))
    yard.add(
        Case(
            "plain-https-elsewhere",
            [
                At(
                    "r.example.gov.vn",
                    HTTP,
                    "http",
                    address,
                    "plain",
                    fails="TLS-01 TLS-02",
                    opens="WEB-01 WEB-02 WEB-03 WEB-04",
                    free="DAT-01",
                ),
                At("q.example.gov.vn", PORT, "https", address, "secure"),
            ],
        )
    )
    # nobody there
    address = yard.address()
    context = tls_context(yard.good.leaf("p-closed", address))
    yard.serve(address, PORT, Site({"/": answer()}, tls=context))
    yard.add(
        Case(
            "plain-closed",
            [
                At(address, HTTP, "http", "", "plain", opens="TLS-02 PAT-04"),
                At(address, PORT, "https", "", "secure"),
            ],
        )
    )


def contents(yard: Yard) -> None:
    """What should not be served, and what only looks like it."""
    site = Sites(yard)
    text = partial(answer, content_type="text/plain")
    site("git", answer(), pages={"/.git/HEAD": text(body=b"ref: refs/heads/main\n")}, fails="WEB-05")
    site(
        "env",
        answer(),
        pages={"/.env": text(body=b"APP_KEY=base64:xyz\nDB_PASSWORD=secret\n")},
        fails="WEB-05",
    )
    site("env-html", answer(), pages={"/.env": answer(body=b"<html>APP_KEY=no such page</html>")})
    site(
        "dump",
        answer(),
        pages={"/backup.sql": text(body=b"-- MySQL dump 10.13\nCREATE TABLE users (id int);\n")},
        fails="WEB-05",
    )
    site("soft-404", answer(), elsewhere=answer(body=b"<html><title>Khong tim thay</title></html>"))
    site(
        "listing",
        answer(
            body=b'<html><head><title>Index of /</title></head><body><h1>Index of /</h1><hr><pre><a href="../">../</a>\n<a href="a.txt">a.txt</a></pre></body></html>'
        ),
        fails="WEB-06",
    )
    site(
        "phpinfo",
        answer(),
        pages={
            "/phpinfo.php": answer(body=b"<html><head><title>PHP 8.2.1 - phpinfo()</title></head></html>")
        },
        fails="WEB-07",
        free="PAT-*",
    )
    site(
        "server-status",
        answer(),
        pages={
            "/server-status": answer(
                body=b"<html><head>\n<title>Apache Status</title>\n</head><body><h1>Apache Server Status for x</h1></body></html>"
            )
        },
        fails="WEB-07",
    )
    site("trace", answer(), traces=True, fails="WEB-07")
    site(
        "actuator",
        answer(),
        pages={
            "/actuator": answer(
                content_type="application/json", body=b'{"_links":{"env":{"href":"http://x/actuator/env"}}}'
            )
        },
        fails="WEB-07",
    )
    site(
        "phpmyadmin",
        answer(),
        pages={"/phpmyadmin/": answer(body=b"<html><head><title>phpMyAdmin</title></head></html>")},
        fails="WEB-08",
    )

    def reflecting(credentials: bool) -> Callable[[Request], bytes]:
        def front(request: Request) -> bytes:
            extra = {}
            if origin := request.fields.get("origin"):
                extra = {"Access-Control-Allow-Origin": origin}
                if credentials:
                    extra["Access-Control-Allow-Credentials"] = "true"
            return answer(headers={**GOOD_HEADERS, **extra})

        return front

    site("cors-credentials", reflecting(True), fails="WEB-09")
    site("cors-reflects", reflecting(False))
    star = {**GOOD_HEADERS, "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true"}
    site("cors-star", answer(headers=star))
    site("cors-level1", reflecting(True), level=1)
    people = "".join(f"<tr><td>0010{90 + n % 9}0{n:05d}</td></tr>" for n in range(40)).encode()
    site("people", answer(body=b"<html><table>" + people + b"</table></html>"), fails="DAT-01")
    contact = answer(
        content_type="text/plain", body=b"Contact: mailto:soc@example.vn\nExpires: 2099-01-01T00:00:00Z\n"
    )
    site("security-txt", answer(), pages={"/.well-known/security.txt": contact}, passes="WEB-10")
    expired = answer(
        content_type="text/plain", body=b"Contact: mailto:soc@example.vn\nExpires: 2020-01-01T00:00:00Z\n"
    )
    site("security-txt-expired", answer(), pages={"/.well-known/security.txt": expired}, fails="WEB-10")


def protocol(yard: Yard) -> None:
    """Answers that are hardly HTTP, or never end."""
    site = Sites(yard)
    none = "TLS-08 WEB-* ADM-04 DAT-01 PAT-04"
    head = answer(length=False).partition(b"\r\n\r\n")[0]
    chunked = head + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    site("chunked", chunked + b"5\r\nhello\r\n0\r\n\r\n")
    site("chunked-broken", chunked + b"zz\r\nhello\r\n", free="DAT-01")
    site(
        "chunked-for-ever",
        chunked + b"400\r\n" + b"x" * 1024 + b"\r\n" + 4000 * (b"400\r\n" + b"y" * 1024 + b"\r\n"),
        free="DAT-01",
    )
    site("short-body", head + b"\r\nContent-Length: 100000\r\n\r\nhello", free="DAT-01")
    site("long-body", answer(body=b"z" * 3_000_000), free="DAT-01")
    site("http09", b"<html>hello</html>", opens=none)
    site("no-headers-end", head, opens=none)
    site("garbage", b"\x00\xff" * 3000, opens=none)
    site(
        "h2-only",
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80\x00\x04\x00\x01\x00\x00\x00\x05\x00\xff\xff\xff",
        opens=none,
    )
    site(
        "huge-header",
        b"HTTP/1.1 200 OK\r\nX-Big: " + b"x" * 10_000_000 + b"\r\n" + answer().partition(b"\r\n")[2],
        opens=none,
    )
    site("silent", b"", opens=none)
    site("byte-by-byte", answer(), piece=1, pause=0.0002)
    site(
        "gone-421",
        answer("421 Misdirected Request", {}, b""),
        fails="TLS-08 WEB-01 WEB-02 WEB-03",
        free="DAT-01",
    )
    site(
        "429",
        answer("429 Too Many Requests"),
        elsewhere=answer("429 Too Many Requests"),
        opens="TLS-08 WEB-* ADM-04 DAT-01",
    )
    counts = itertools.count()

    def tired(_request: Request) -> bytes:
        return answer() if next(counts) < 30 else answer("429 Too Many Requests", {})

    site(
        "tired",
        tired,
        elsewhere=lambda _: NOT_FOUND if next(counts) < 30 else answer("429 Too Many Requests", {}),
        opens="WEB-05 WEB-06 WEB-07 WEB-08 ADM-04 WEB-10",
        unsure="TLS-08 WEB-01 WEB-02 WEB-03 WEB-04 WEB-09 PAT-04",
        free="DAT-01",
    )


def wrongly_declared(yard: Yard) -> None:
    """Services that are not what the registry says."""
    no_tls = "TLS-03 TLS-04 TLS-05 TLS-06 TLS-07 TLS-09 TLS-10 CRT-*"
    web = "TLS-08 WEB-* ADM-04 DAT-01"

    def plain(name: str, service: str, speaks: Answer | Site, **truth: object) -> None:
        address = yard.address()
        served = speaks if isinstance(speaks, Site) else Site({"/": speaks})
        yard.serve(address, PORT, served)
        yard.one(f"declared-{name}", address, PORT, service, **truth)

    plain(
        "http-as-https", "https", Complaining({"/": answer()}), fails="TLS-01", opens=f"{no_tls} {web} PAT-04"
    )
    plain("http-as-tls", "tls", Complaining({"/": answer()}), fails="TLS-01", opens=f"{no_tls} PAT-04")
    # one that waits for the end of a request that never comes says nothing to a hello; it answers HTTP, though
    plain("patient-http-as-https", "https", answer(), fails="TLS-01", opens=f"{no_tls} {web} PAT-04")

    def greets(text: bytes) -> Callable[[object, int], None]:
        def handler(peer: object, _number: int) -> None:
            peer.sendall(text)  # type: ignore[attr-defined]
            while peer.recv(4096):  # type: ignore[attr-defined]
                pass

        return handler

    for name, text, seen in (
        ("smtp", b"220 mail.example.vn ESMTP\r\n", ""),
        ("ssh", b"SSH-2.0-Server\r\n", "ADM-01"),  # which it is, whatever it is declared to be
        ("text", b"hello there\r\n", ""),
    ):
        address = yard.address()
        yard.serve(address, PORT, greets(text))
        yard.one(
            f"declared-{name}-as-tls",
            address,
            PORT,
            "tls",
            fails=f"TLS-01 {seen}",
            opens=f"{no_tls} PAT-04",
            free="PAT-*",
        )
        address = yard.address()
        yard.serve(address, PORT, greets(text))
        yard.one(
            f"declared-{name}-as-https",
            address,
            PORT,
            "https",
            fails=f"TLS-01 {seen}",
            opens=f"{no_tls} {web} PAT-04",
            free="PAT-*",
        )
    # TLS on a port that is declared to be http
    address = yard.address()
    context = tls_context(yard.good.leaf("d-tls", address))
    yard.serve(address, HTTP, Site({"/": answer()}, tls=context))
    yard.one(
        "declared-tls-as-http",
        address,
        HTTP,
        "http",
        fails="TLS-01",
        opens="TLS-02 WEB-* ADM-04 DAT-01 PAT-04",
    )
    # nobody there
    address = yard.address()
    yard.serve(address, 9999, greets(b"hi\r\n"))
    yard.add(
        Case(
            "declared-closed",
            [At(address, PORT, "https", opens=f"TLS-01 {no_tls} {web} PAT-04")],
            approved={address: [9999, PORT]},
            unsure="NET-*",
            free="NET-01 NET-02 NET-03 NET-04 NET-05 ADM-01",
        )
    )


class Complaining(Site):
    """A plain site that answers 400 at once to what is no request, as most servers do."""

    def __call__(self, peer, number):  # type: ignore[no-untyped-def]  # as Site
        begun = peer.recv(5, 2)  # MSG_PEEK
        if begun[:1] == b"\x16" or begun[:1] >= b"\x80":
            peer.recv(65536)
            peer.sendall(answer("400 Bad Request", {}))
            return
        super().__call__(peer, number)


def levels(yard: Yard) -> None:
    """What grows with the level, on the same defective site; several systems on one address; two names on one."""
    for level in range(1, 6):
        address = yard.address()
        context = tls_context(yard.good.leaf(f"l-{level}", address))
        page = answer(headers={"Strict-Transport-Security": "max-age=31536000", "X-Frame-Options": "DENY"})
        yard.serve(address, PORT, Site({"/": page}, tls=context))
        fails = "WEB-02" + (" WEB-01 TLS-08" if level >= 3 else "")
        yard.one(f"level-{level}", address, PORT, "https", level=level, fails=fails)

    shared = yard.address()
    for name, page, fails in (("a", answer(), ""), ("b", answer(headers={}), "TLS-08 WEB-01 WEB-02 WEB-03")):
        port = PORT if name == "a" else 9444
        host = f"{name}.shared.example.gov.vn"
        context = tls_context(yard.good.leaf(f"shared-{name}", host))
        yard.serve(shared, port, Site({"/": page}, tls=context))
        yard.add(
            Case(
                f"shared-{name}",
                [At(host, port, "https", shared)],
                fails=fails,
                approved={shared: [PORT, 9444]},
            )
        )
    # the neighbour's port is open on this address, and this system did not approve it
    yard.add(Case("shared-c", [At("a.shared.example.gov.vn", PORT, "https", shared)], fails="NET-01"))

    # one address and port, two names, each with a certificate of its own; one has expired
    both = yard.address()
    contexts = {
        "x.two.example.gov.vn": tls_context(yard.good.leaf("two-x", "x.two.example.gov.vn")),
        "y.two.example.gov.vn": tls_context(yard.good.leaf("two-y", "y.two.example.gov.vn", days=(-40, -4))),
    }
    front = tls_context(yard.bad.leaf("two-front", "front.example.com", self_signed=True))
    front.sni_callback = lambda sock, name, _: (
        setattr(sock, "context", contexts[name]) if name in contexts else None
    )  # type: ignore[assignment]

    def by_host(request: Request) -> bytes:
        return answer(headers={} if request.fields.get("host", "").startswith("y.") else None)

    yard.serve(both, PORT, Site({"/": by_host}, tls=front))
    yard.add(
        Case(
            "two-names",
            [
                At("x.two.example.gov.vn", PORT, "https", both, "x"),
                At(
                    "y.two.example.gov.vn",
                    PORT,
                    "https",
                    both,
                    "y",
                    fails="CRT-03 TLS-08 WEB-01 WEB-02 WEB-03",
                ),
                At("z.two.example.gov.vn", PORT, "https", both, "z", fails="CRT-01 CRT-02"),
            ],
        )
    )
