"""`openssl s_server` in many moods: versions, suites, groups, certificates, names, client certificates."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import dh
from cryptography.hazmat.primitives.serialization import Encoding, ParameterFormat

from bench.fleet.pki import CLIENTS_ONLY, openssl
from bench.fleet.yard import Yard
from tests.tools import tool

PORT = 8443
ANY_LEVEL = "@SECLEVEL=0"
OAKLEY = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"
    "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF",
    16,
)
"""The second Oakley group, of 1024 bits (RFC 2409, 6.2)."""
WEB_BARE = "TLS-08 WEB-01 WEB-02 WEB-03"
"""What a page of `s_server -www` fails, since it comes without headers."""


class Bench:
    """Starts servers, each on an address of its own."""

    def __init__(self, yard: Yard) -> None:
        self.yard = yard
        yard.file("plain.cnf", "")
        self.environment = {**os.environ, "OPENSSL_CONF": str(yard.folder / "plain.cnf")}

    def chain(self, address: str, name: str, **options: object) -> list[str | Path]:
        """Options for a chain of the registered authority."""
        return given(self.yard.good.leaf(name, address, **options))  # type: ignore[arg-type]

    def s_server(
        self,
        name: str,
        *options: str | Path,
        chain: list[str | Path] | None = None,
        at: str = "",
        **truth: object,
    ) -> str:
        """A target of service `tls`; `truth` as for a case."""
        address = at or self.yard.address()
        host = str(truth.pop("host", ""))
        service = str(truth.pop("service", "tls"))
        made = chain if chain is not None else self.chain(host or address, f"s-{name}")
        command = (tool("openssl"), "s_server", "-accept", f"{address}:{PORT}", "-www", *made, *options)
        self.yard.run(*command, listens=[(address, PORT)], environment=self.environment)
        self.yard.one(f"openssl-{name}", address, PORT, service, host, **truth)
        return address


def given(file: Path, which: str = "") -> list[str | Path]:
    """The options for a PEM file with key and chain; `which` is "" or "d", for the second certificate."""
    return [f"-{which}cert", file, f"-{which}key", file, f"-{which}cert_chain", file]


def groups(yard: Yard) -> dict[int, Path]:
    """Diffie-Hellman parameters by size."""
    found = {}
    for bits in (1024, 2048, 3072):
        path = yard.folder / f"dh{bits}.pem"
        if bits == 1024:
            numbers = dh.DHParameterNumbers(OAKLEY, 2).parameters()
            path.write_bytes(numbers.parameter_bytes(Encoding.PEM, ParameterFormat.PKCS3))
        else:
            openssl(
                "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", f"group:ffdhe{bits}", "-out", path
            )
        found[bits] = path
    return found


def cases(yard: Yard) -> None:
    """All of them."""
    bench = Bench(yard)
    versions(bench)
    suites(bench)
    exchanges(bench)
    certificates(bench)
    names(bench)
    clients(bench)
    others(bench)


STRONG = ("-cipher", "ECDHE+AESGCM:ECDHE+CHACHA20")


def versions(bench: Bench) -> None:
    s = bench.s_server
    s("usual", fails="TLS-06")
    s("usual-level2", level=2)
    s("strong", *STRONG)
    s("tls13", "-tls1_3")
    s("tls12", "-tls1_2", *STRONG, fails="TLS-04")
    s("tls12-level2", "-tls1_2", *STRONG, level=2)
    s("no-tls13", "-no_tls1_3", *STRONG, fails="TLS-04")
    old = f"DEFAULT:{ANY_LEVEL}"
    s("tls11", "-tls1_1", "-cipher", old, fails="TLS-03 TLS-04 TLS-06")
    s("tls10", "-tls1", "-cipher", old, fails="TLS-03 TLS-04 TLS-06")
    s("tls10-level1", "-tls1", "-cipher", old, level=1, fails="TLS-03")
    s("all-versions", "-min_protocol", "TLSv1", "-cipher", old, fails="TLS-03 TLS-06")
    s(
        "tls10-tls13",
        "-no_tls1_1",
        "-no_tls1_2",
        "-min_protocol",
        "TLSv1",
        "-cipher",
        old,
        fails="TLS-03 TLS-06",
    )
    s("tls11-tls13", "-no_tls1_2", "-min_protocol", "TLSv1.1", "-cipher", old, fails="TLS-03 TLS-06")
    s(
        "tls10-strong12",
        "-min_protocol",
        "TLSv1",
        "-no_tls1_1",
        "-cipher",
        f"ECDHE-RSA-AES128-SHA:ECDHE+AESGCM:{ANY_LEVEL}",
        fails="TLS-03 TLS-06",
    )


def suites(bench: Bench) -> None:
    s = bench.s_server
    strong = "ECDHE-RSA-AES256-GCM-SHA384"
    modern = ("-no_tls1", "-no_tls1_1")
    s("cbc-sha256", "-cipher", f"{strong}:ECDHE-RSA-AES128-SHA256", fails="TLS-06")
    s("cbc-only", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256", fails="TLS-04 TLS-06")
    s("static-gcm", "-cipher", f"{strong}:AES256-GCM-SHA384", fails="TLS-06")
    s("static-only", "-tls1_2", "-cipher", "AES256-GCM-SHA384", fails="TLS-04 TLS-06", opens="TLS-07")
    s("static-ccm", "-cipher", f"{strong}:AES128-CCM", fails="TLS-06")
    s("fs-ccm", "-cipher", f"{strong}:DHE-RSA-AES128-CCM")
    s("aria", "-tls1_2", "-cipher", "ECDHE-ARIA256-GCM-SHA384", fails="TLS-04")
    s("camellia", *modern, "-cipher", f"{strong}:ECDHE-RSA-CAMELLIA128-SHA256:{ANY_LEVEL}", fails="TLS-06")
    s(
        "camellia-only",
        "-tls1_2",
        "-cipher",
        f"CAMELLIA128-SHA256:{ANY_LEVEL}",
        fails="TLS-04 TLS-06",
        opens="TLS-07",
    )
    s("null", *modern, "-cipher", f"{strong}:NULL-SHA256:{ANY_LEVEL}", fails="TLS-05 TLS-06")
    s("null-ec", *modern, "-cipher", f"{strong}:ECDHE-RSA-NULL-SHA:{ANY_LEVEL}", fails="TLS-05 TLS-06")
    s(
        "null-last",
        *modern,
        "-serverpref",
        "-cipher",
        f"ALL:!aNULL:NULL-SHA:{ANY_LEVEL}",
        fails="TLS-05 TLS-06",
    )
    s("null-level1", *modern, "-cipher", f"{strong}:NULL-MD5:{ANY_LEVEL}", level=1, fails="TLS-05")
    s("anon", *modern, "-cipher", f"{strong}:AECDH-AES128-SHA:{ANY_LEVEL}", fails="TLS-05 TLS-06")
    s(
        "anon-dh",
        *modern,
        "-cipher",
        f"{strong}:ADH-AES128-GCM-SHA256:{ANY_LEVEL}",
        fails="TLS-05 TLS-06 TLS-07",
    )
    s(
        "anon-only",
        "-nocert",
        "-tls1_2",
        "-cipher",
        f"aNULL:{ANY_LEVEL}",
        chain=[],
        fails="TLS-04 TLS-05 TLS-06",
        opens="CRT-*",
        free="TLS-07",
    )
    s(
        "ecdsa-ccm8",
        "-tls1_2",
        "-cipher",
        f"ECDHE-ECDSA-AES128-CCM8:ECDHE-ECDSA-AES128-GCM-SHA256:{ANY_LEVEL}",
        chain=bench.chain("127.99.0.1", "s-unused", kind="p256"),
        fails="TLS-04 CRT-02",
        free="TLS-06",
    )
    s("serverpref", "-serverpref", "-cipher", "ECDHE+AESGCM:AES128-SHA", fails="TLS-06")
    s("clientpref-cbc-last", *modern, "-cipher", f"ECDHE+AESGCM:AES256-SHA:{ANY_LEVEL}", fails="TLS-06")
    s("tls13-ccm8", "-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_8_SHA256")
    s("tls13-one", "-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256")


def exchanges(bench: Bench) -> None:
    s = bench.s_server
    dh = groups(bench.yard)
    both = "ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256"
    s("dh1024", "-dhparam", dh[1024], "-cipher", f"{both}:{ANY_LEVEL}", fails="TLS-07")
    s(
        "dh1024-only",
        "-tls1_2",
        "-dhparam",
        dh[1024],
        "-cipher",
        f"DHE-RSA-AES128-GCM-SHA256:{ANY_LEVEL}",
        fails="TLS-04 TLS-07",
    )
    s("dh2048", "-dhparam", dh[2048], "-cipher", both)
    s("dh3072-only", "-tls1_2", "-dhparam", dh[3072], "-cipher", "DHE-RSA-AES256-GCM-SHA384", fails="TLS-04")
    s(
        "dh1024-tls10",
        "-min_protocol",
        "TLSv1",
        "-dhparam",
        dh[1024],
        "-cipher",
        f"ECDHE+AESGCM:DHE-RSA-AES128-SHA:{ANY_LEVEL}",
        fails="TLS-03 TLS-06 TLS-07",
    )
    s("p256", *STRONG, "-curves", "P-256")
    s("p521", *STRONG, "-curves", "P-521")
    s("x448", *STRONG, "-curves", "X448")
    s("x25519", *STRONG, "-curves", "X25519")
    s("p224", *STRONG, "-curves", "P-256:secp224r1", fails="TLS-07")
    s(
        "p192-only",
        "-tls1_2",
        "-cipher",
        f"ECDHE+AESGCM:{ANY_LEVEL}",
        "-curves",
        "prime192v1",
        fails="TLS-04 TLS-07",
    )
    s("secp256k1", *STRONG, "-curves", "X25519:secp256k1", fails="TLS-07")
    s("sect", *STRONG, "-curves", "P-256:sect283k1", fails="TLS-07")
    s("brainpool", "-tls1_2", *STRONG, "-curves", "brainpoolP256r1:brainpoolP384r1", fails="TLS-04")
    s("ffdhe", "-tls1_3", "-curves", "ffdhe2048")
    s("ffdhe-many", "-tls1_3", "-curves", "ffdhe2048:ffdhe3072:P-256")
    s("many-groups", *STRONG, "-curves", "X25519:P-256:X448:P-521:P-384:ffdhe2048:ffdhe3072:ffdhe4096")


def certificates(bench: Bench) -> None:
    good, bad = bench.yard.good, bench.yard.bad

    def s(name: str, chain: list[str | Path], at: str, *options: str | Path, **truth: object) -> None:
        bench.s_server(name, *STRONG, *options, chain=chain, at=at, **truth)

    def made(name: str, **truth: object) -> None:
        """A leaf made as told; `truth` and the options of the leaf by their names."""
        address = bench.yard.address()
        options = {
            k: truth.pop(k) for k in list(truth) if k not in {"fails", "opens", "level", "free", "passes"}
        }
        authority = bad if options.pop("other", False) else good
        host = str(options.pop("named", address))
        hosts = () if host == "-" else (host,)
        s(f"crt-{name}", given(authority.leaf(f"s-crt-{name}", *hosts, **options)), address, **truth)  # type: ignore[arg-type]

    made("p256", kind="p256")
    made("p384", kind="p384")
    made("p521", kind="p521")
    made("rsa3072", kind="rsa3072")
    made("rsa4096", kind="rsa4096")
    made("ed25519", kind="ed25519")
    made("ed448", kind="ed448")
    made("brainpool", kind="bp256", fails="TLS-04", free="PAT-04 TLS-09")
    made("expired", days=(-90, -1), fails="CRT-03")
    made("expired-an-hour-ago", days=(-90, -0.04), fails="CRT-03")
    made("ends-in-an-hour", days=(-90, 0.04))
    made("not-yet", days=(1, 90), fails="CRT-03")
    made("other-name", named="127.99.0.1", fails="CRT-02")
    made("no-names", named="-", subject="127.99.0.1", fails="CRT-02")
    made("self-signed", self_signed=True, fails="CRT-01")
    made("unknown-authority", other=True, fails="CRT-01")
    made("no-intermediate", chain="leaf", fails="CRT-01")
    made("with-root", chain="leaf middle root")
    made("twice", chain="leaf leaf middle")
    made("unordered", chain="leaf root middle")
    made("clients-only", purposes=CLIENTS_ONLY, fails="CRT-01")
    expired = good.issuer(days=(-900, -1))
    made("expired-intermediate", middle=expired, fails="CRT-01")
    made("no-ca", middle=good.issuer(ca=False), fails="CRT-01")
    made("expired-and-foreign", other=True, days=(-90, -1), named="127.99.0.1", fails="CRT-01 CRT-02 CRT-03")

    for digest, whom in (
        ("sha1", "leaf"),
        ("sha1", "middle"),
        ("md5", "leaf"),
        ("sha224", "leaf"),
        ("sha512", "leaf"),
    ):
        address = bench.yard.address()
        file = good.weakly_signed(f"s-{digest}-{whom}", address, digest, whom=whom)
        truth = {} if digest == "sha512" else {"fails": "CRT-05"}
        s(f"crt-{digest}-{whom}", given(file), address, "-cipher", f"ECDHE+AESGCM:{ANY_LEVEL}", **truth)
    for kind in ("rsa1024", "rsa2047", "p224", "p192"):
        address = bench.yard.address()
        file = good.leaf(f"s-crt-{kind}", address, kind=kind)
        more = {"free": "TLS-04 TLS-07 TLS-10"} if kind[0] == "p" else {}
        s(f"crt-{kind}", given(file), address, "-cipher", f"ECDHE+AESGCM:{ANY_LEVEL}", fails="CRT-04", **more)

    two = bench.yard.address()
    s(
        "two-good",
        [*given(good.leaf("s-two-r", two)), *given(good.leaf("s-two-e", two, kind="p256"), "d")],
        two,
    )
    for defect, options, fails in (
        ("expired", {"days": (-90, -2)}, "CRT-03"),
        ("foreign", {"other": True}, "CRT-01"),
        ("misnamed", {"named": "127.99.0.2"}, "CRT-02"),
        ("short", {"kind": "rsa1024"}, "CRT-04"),
    ):
        for weak in ("rsa", "ec"):
            if (defect, weak) == ("short", "ec"):
                continue
            at = bench.yard.address()
            kinds = {"rsa": "rsa2048", "ec": "p256"}
            chosen = dict(options)
            authority = bad if chosen.pop("other", False) else good
            host = str(chosen.pop("named", at))
            wrong = authority.leaf(f"s-two-{defect}-{weak}-w", host, **{"kind": kinds[weak], **chosen})  # type: ignore[arg-type]
            right = good.leaf(f"s-two-{defect}-{weak}-r", at, kind=kinds["ec" if weak == "rsa" else "rsa"])
            chain = [*given(right), *given(wrong, "d")]
            s(f"two-{defect}-{weak}", chain, at, "-cipher", f"ECDHE+AESGCM:{ANY_LEVEL}", fails=fails)

    for state, verdict in (("good", "passes"), ("revoked", "fails"), ("unknown", "opens")):
        at = bench.yard.address()
        file = good.leaf(f"s-staple-{state}", at)
        staple = good.staple(file, state)
        s(f"staple-{state}", given(file), at, "-status", "-status_file", staple, **{verdict: "CRT-06"})
    at = bench.yard.address()
    file = good.leaf("s-staple-old", at)
    s("staple-old", given(file), at, "-status_file", good.staple(file, "good", age_days=30), opens="CRT-06")
    at = bench.yard.address()
    file, other = good.leaf("s-staple-other", at), good.leaf("s-staple-other-leaf", at)
    s("staple-of-another", given(file), at, "-status_file", good.staple(other, "good"), opens="CRT-06")


def names(bench: Bench) -> None:
    """The certificate that a visitor gets under the registered name counts, and no other."""
    good, bad = bench.yard.good, bench.yard.bad

    def s(name: str, host: str, default: Path, named: Path, *options: str, **truth: object) -> None:
        sni = ["-servername", host, "-cert2", named, "-key2", named, *options]
        chain = ["-cert", default, "-key", default, "-cert_chain", default]
        bench.s_server(name, *STRONG, *sni, chain=chain, host=host, **truth)

    host = "portal.example.gov.vn"
    right = good.leaf("n-right", host)
    wild = good.leaf("n-wild", "*.example.gov.vn")
    foreign = bad.leaf("n-foreign", "other.example.com")
    whole = good.leaf("n-default", "default.example.gov.vn")
    # -cert2 sends no chain of its own: the intermediate comes from the registered trust where it is needed
    s("sni-default-right", host, right, right, free="CRT-01")
    s("sni-default-wrong", host, foreign, right, free="CRT-01")
    s("sni-fatal", host, foreign, right, "-servername_fatal", free="CRT-01")
    s("sni-named-wrong", host, right, whole, fails="CRT-02", free="CRT-01")
    bench.s_server("name-wildcard", *STRONG, chain=given(wild), host=host)
    bench.s_server(
        "name-wildcard-deep", *STRONG, chain=given(wild), host="a.b.example.gov.vn", fails="CRT-02"
    )
    bench.s_server("name-wildcard-bare", *STRONG, chain=given(wild), host="example.gov.vn", fails="CRT-02")
    bench.s_server("name-case", *STRONG, chain=given(good.leaf("n-case", "Portal.Example.GOV.vn")), host=host)
    bench.s_server(
        "name-idn",
        *STRONG,
        chain=given(good.leaf("n-idn", "xn--bo-hg4a.example.vn")),
        host="b\u1ea3o.example.vn",
        free="CRT-02",
    )
    bench.s_server(
        "name-partial-wild",
        *STRONG,
        chain=given(good.leaf("n-part", "p*.example.gov.vn")),
        host=host,
        fails="CRT-02",
    )
    bench.s_server("name-other", *STRONG, chain=given(whole), host=host, fails="CRT-02")
    bench.s_server("name-tls12-only", "-tls1_2", *STRONG, chain=given(right), host=host, fails="TLS-04")
    bench.s_server(
        "name-tls10-only",
        "-tls1",
        "-cipher",
        f"DEFAULT:{ANY_LEVEL}",
        chain=given(right),
        host=host,
        fails="TLS-03 TLS-04 TLS-06",
    )


def clients(bench: Bench) -> None:
    s = bench.s_server
    root = bench.yard.good.root_file
    s("client-optional", *STRONG, "-verify", "1", "-CAfile", root)
    s(
        "client-required",
        *STRONG,
        "-Verify",
        "1",
        "-verify_return_error",
        "-CAfile",
        root,
        unsure="TLS-09",
        opens="PAT-04",
    )
    s(
        "client-required-tls12",
        "-tls1_2",
        *STRONG,
        "-Verify",
        "1",
        "-verify_return_error",
        "-CAfile",
        root,
        fails="TLS-04",
        unsure="TLS-09",
        opens="PAT-04",
    )
    s(
        "client-required-tls13",
        "-tls1_3",
        "-Verify",
        "1",
        "-verify_return_error",
        "-CAfile",
        root,
        opens="PAT-04",
    )
    s(
        "client-required-tls10",
        "-tls1",
        "-cipher",
        f"DEFAULT:{ANY_LEVEL}",
        "-Verify",
        "1",
        "-CAfile",
        root,
        fails="TLS-03 TLS-04 TLS-06",
        unsure="TLS-09 TLS-10",
        opens="PAT-04",
    )
    s(
        "client-static-rsa",
        "-tls1_2",
        "-cipher",
        "AES128-GCM-SHA256",
        "-Verify",
        "1",
        "-CAfile",
        root,
        fails="TLS-04 TLS-06",
        opens="TLS-07 PAT-04",
        unsure="TLS-09 TLS-10",
    )


def others(bench: Bench) -> None:
    s = bench.s_server
    s("renegotiates", "-tls1_2", *STRONG, "-client_renegotiation", fails="TLS-04 TLS-09")
    s("renegotiates-beside-tls13", *STRONG, "-client_renegotiation", fails="TLS-09")
    s("renegotiates-level1", *STRONG, "-client_renegotiation", level=1)
    s("legacy-renegotiation", *STRONG, "-legacy_renegotiation")
    s("no-renegotiation", *STRONG, "-no_renegotiation")
    s("compression", *STRONG, "-comp")
    s("alpn-h2", *STRONG, "-alpn", "h2")
    s("small-records", *STRONG, "-max_send_frag", "512")
    s("no-tickets", *STRONG, "-num_tickets", "0", "-no_ticket")
    s("no-etm", *STRONG, "-no_etm")
    s("psk-too", *STRONG, "-psk", "abcdef")
    s("no-middlebox", "-tls1_3", "-no_middlebox")
    s("web", *STRONG, service="https", fails=WEB_BARE)
    s(
        "web-tls10",
        "-tls1",
        "-cipher",
        f"DEFAULT:{ANY_LEVEL}",
        service="https",
        fails=f"TLS-03 TLS-04 TLS-06 {WEB_BARE}",
    )
    s(
        "web-renegotiation",
        "-tls1_2",
        *STRONG,
        "-client_renegotiation",
        service="https",
        fails=f"TLS-04 TLS-09 {WEB_BARE}",
    )
