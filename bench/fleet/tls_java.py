"""Java's TLS, which still knows SSL 3, RC4, DES and EXPORT where it is told to."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from bench.fleet.yard import Yard
from tests.tools import tool

PORT = 8443


def cases(yard: Yard) -> None:
    """All of them, in one virtual machine, which is asked once before, since it is slow when it is new."""
    if not shutil.which("javac"):
        return
    specifications = []
    listens = []

    def site(
        name: str,
        protocols: str,
        suites: str = "-",
        client: str = "-",
        kind: str = "rsa2048",
        **truth: object,
    ) -> None:
        address = yard.address()
        store = _store(yard.good.leaf(f"java-{name}", address, kind=kind))
        specifications.append(f"{address} {PORT} {store} {protocols} {suites} {client}")
        listens.append((address, PORT))
        truth["free"] = f"{truth.get('free', '')} TLS-09"
        yard.one(f"java-{name}", address, PORT, "https", **truth)

    modern, gcm = "TLSv1.2,TLSv1.3", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
    both = f"TLS_AES_128_GCM_SHA256,{gcm}"
    site("strong", modern, both)
    site("tls13", "TLSv1.3")
    site("tls12", "TLSv1.2", gcm, fails="TLS-04")
    site("ecdsa", modern, both.replace("_RSA_", "_ECDSA_"), kind="p256")
    site(
        "tls11",
        "TLSv1.1,TLSv1.2,TLSv1.3",
        f"{both},TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
        fails="TLS-03 TLS-06",
    )
    site(
        "ssl3-only",
        "SSLv3",
        "SSL_RSA_WITH_3DES_EDE_CBC_SHA",
        fails="TLS-03 TLS-04 TLS-05 TLS-06",
        free="TLS-07 TLS-10 TLS-08 WEB-* DAT-01 ADM-04 PAT-04",
    )
    site(
        "ssl3-too",
        "SSLv3,TLSv1.2,TLSv1.3",
        f"{both},TLS_RSA_WITH_AES_128_CBC_SHA",
        fails="TLS-03 TLS-06",
        free="TLS-10",
    )
    # SSL 3.0 knows no curves by its letter, and Java speaks it with them all the same
    site(
        "ssl3-ecdhe",
        "SSLv3,TLSv1.2,TLSv1.3",
        f"{both},TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
        fails="TLS-03 TLS-06",
        free="TLS-10",
    )
    site(
        "rc4",
        modern,
        f"{both},SSL_RSA_WITH_RC4_128_SHA,SSL_RSA_WITH_RC4_128_MD5",
        fails="TLS-05 TLS-06",
        free="TLS-10",
    )
    site(
        "rc4-tls10",
        "TLSv1,TLSv1.3",
        "TLS_AES_128_GCM_SHA256,SSL_RSA_WITH_RC4_128_SHA",
        fails="TLS-03 TLS-05 TLS-06",
        free="TLS-10",
    )
    site("3des", modern, f"{both},TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", fails="TLS-05 TLS-06")
    site(
        "des",
        "TLSv1,TLSv1.2",
        f"{gcm},SSL_RSA_WITH_DES_CBC_SHA",
        fails="TLS-03 TLS-04 TLS-05 TLS-06",
        free="TLS-10",
    )
    site(
        "export",
        "TLSv1,TLSv1.2",
        f"{gcm},SSL_RSA_EXPORT_WITH_RC4_40_MD5",
        fails="TLS-04",
        free="TLS-03 TLS-05 TLS-06 TLS-10 TLS-07",
    )
    site("null", modern, f"{both},TLS_RSA_WITH_NULL_SHA256", fails="TLS-05 TLS-06", free="TLS-10")
    site("anon", modern, f"{both},TLS_ECDH_anon_WITH_AES_128_CBC_SHA", fails="TLS-05 TLS-06")
    site("dhe", modern, f"{both},TLS_DHE_RSA_WITH_AES_128_GCM_SHA256")
    site("all", "SSLv3,TLSv1,TLSv1.1,TLSv1.2,TLSv1.3", fails="TLS-03 TLS-06", free="TLS-10 TLS-05")
    site("client-want", modern, both, "want")
    site("client-need", modern, both, "need", opens="TLS-08 WEB-* ADM-04 DAT-01 PAT-04")
    classes = yard.folder / "classes"
    source = Path(__file__).with_name("Stacks.java")
    subprocess.run(["javac", "-d", str(classes), str(source)], check=True, capture_output=True)
    options = ["-Djdk.tls.rejectClientInitiatedRenegotiation=true", "-Xmx128m", "-cp", str(classes)]
    yard.run("java", *options, "Stacks", *specifications, listens=listens)
    for address, port in 3 * listens:
        asked = [tool("openssl"), "s_client", "-connect", f"{address}:{port}", "-cipher", "ALL:@SECLEVEL=0"]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)


def _store(file: Path) -> Path:
    """The PKCS #12 form of a PEM file with key and chain."""
    data = file.read_bytes()
    key = serialization.load_pem_private_key(data.split(b"-----BEGIN CERTIFICATE")[0], None)
    leaf, *rest = x509.load_pem_x509_certificates(data)
    packed = pkcs12.serialize_key_and_certificates(
        b"k",
        key,
        leaf,
        rest,
        serialization.BestAvailableEncryption(b"changeit"),  # type: ignore[arg-type]
    )
    store = file.with_suffix(".p12")
    store.write_bytes(packed)
    return store
