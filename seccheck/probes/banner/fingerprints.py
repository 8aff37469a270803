"""From the text of a greeting or header to the products that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from seccheck.model import safe_text
from seccheck.reference.product import Product, packager

LONGEST = 4096
"""What of a text is matched; more than any honest greeting or header."""
LONGEST_BODY = 32768
LISTS = {"server", "x-powered-by", "via", "http-body"}
"""Sources that may name several products at once."""
_IGNORED = re.compile(r"^(?:mod_|DAV/|SVN/|HTTP/|Servlet/|JSP/|JSF/|ZServer/)", re.IGNORECASE)
_TOKEN = re.compile(r"(?:^|(?<=[\s,;(]))([A-Za-z][\w.+-]*)/v?(\d+(?:\.\w+)*)")

DISTRIBUTIONS = {
    "debian": "debian", "debian/gnu": "debian", "ubuntu": "ubuntu", "raspbian": "raspbian",
    "red hat enterprise linux": "rhel", "red hat": "rhel", "redhat": "rhel", "rh": "rhel", "rhel": "rhel",
    "centos": "centos", "centos linux": "centos", "centos stream": "centos-stream",
    "almalinux": "almalinux", "rocky": "rocky-linux", "rocky linux": "rocky-linux",
    "oracle linux": "oracle-linux", "oracle linux server": "oracle-linux", "fedora": "fedora",
    "fedora linux": "fedora", "amazon": "amazon-linux", "amazon linux": "amazon-linux", "": "amazon-linux",
    "suse": "sles", "linux/suse": "sles", "opensuse": "opensuse", "freebsd": "freebsd", "netbsd": "netbsd",
    "openbsd": "openbsd", "alpine": "alpine-linux", "gentoo": "gentoo", "arch linux": "arch",
    "we do not authorize": "cpanel", "mageia": "mageia", "mandriva linux": "mandriva",
}  # fmt: skip
"""What banners call the distributions; Amazon's Apache shows an empty comment."""
SYSTEMS = {
    "win32": "windows", "win64": "windows", "windows": "windows", "unix": "unix", "linux": "linux",
    "darwin": "macos", "macosx": "macos", "netware": "netware", "os/2": "os2", "cygwin": "windows",
}  # fmt: skip
_OS_OF = {"freebsd": "freebsd", "netbsd": "netbsd", "openbsd": "openbsd", "mariadb.org": "linux"}
_BUILDS = re.compile(r"\s*(?:Apache|nginx|lighttpd)/", re.IGNORECASE)
_COMMENT = re.compile(r"^\S+ \(([^()]*)\)")


@dataclass(frozen=True)
class _Form:
    """One row of the table: how a product names itself in one kind of text."""

    pattern: re.Pattern[str]
    product: str
    os: str
    confidence: str


@cache
def _forms() -> dict[str, tuple[_Form, ...]]:
    import yaml

    text = Path(__file__).with_name("fingerprints.yaml").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = yaml.load(text, Loader=yaml.CSafeLoader)
    found: dict[str, list[_Form]] = {}
    for row in rows:
        form = _Form(
            re.compile(row["match"], re.IGNORECASE | re.ASCII),
            row["product"],
            row.get("os", ""),
            "likely" if row.get("likely") else "certain",
        )
        for source in row["source"]:
            found.setdefault(source, []).append(form)
    return {source: tuple(forms) for source, forms in found.items()}


def sources() -> frozenset[str]:
    """Every kind of text that the table knows: protocols and headers, in lower case."""
    return frozenset(_forms())


def parse(source: str, raw: str) -> tuple[Product, ...]:
    """The products that `raw` names, read from `source` (`ssh`, `server`, `smtp` …).

    A text that names nothing we know gives one product `unknown`, with the version of its first token.
    """
    text = raw[: LONGEST_BODY if source == "http-body" else LONGEST]
    products = list(_products(source, text))
    if not products and source != "http-body" and text.strip():
        products = [_unknown(source, text)]
    if source == "server":
        products = [_marked(product, text) for product in products]
    return tuple(products)


def _products(source: str, text: str) -> Iterator[Product]:
    taken: set[str] = set()
    for form in _forms().get(source, ()):
        found = form.pattern.search(text)
        if not found or form.product in taken:
            continue
        taken.add(form.product)
        yield _product(form, found, source, text)
        if source not in LISTS:
            return


def _product(form: _Form, found: re.Match[str], source: str, text: str) -> Product:
    groups = {key: safe_text(value or "", 128) for key, value in found.groupdict().items()}
    revision = groups.get("revision", "").strip()
    marker = groups.get("distribution", "").strip().lower()
    distribution = DISTRIBUTIONS.get(marker, _slug(marker)) if marker else ""
    told, release = packager(revision)
    if told and (not distribution or told in {"ubuntu", "sury", "mariadb.org"}):
        distribution = told
    version = groups.get("version", "").rstrip(".")
    if form.product == "openssh":
        version = version.lower()
    elif form.product == "citrix-netscaler":
        version = version.lower().replace(": build ", "-")
    whole = text if source not in LISTS else found[0]
    return Product(
        name=form.product,
        version=version,
        distribution=distribution,
        release=release,
        revision=revision,
        os=form.os or _OS_OF.get(distribution, "linux" if distribution else ""),
        source=source,
        raw=safe_text(whole.strip(), 512),
        confidence=form.confidence,
    )


def _unknown(source: str, text: str) -> Product:
    version = ""
    if source in LISTS:
        version = next((token[2] for token in _TOKEN.finditer(text) if not _IGNORED.match(token[0])), "")
    return Product(name="unknown", version=version, source=source, raw=safe_text(text.strip(), 512))


def _marked(product: Product, header: str) -> Product:
    """The product with what the header's comment says of the builder, which holds for all it lists."""
    comment = _COMMENT.match(header.strip())
    if not comment or product.distribution:
        return product
    words = comment[1].strip().lower()
    system = SYSTEMS.get(words, "")
    if system:
        return _with(product, "", product.os or system)
    distribution = DISTRIBUTIONS.get(words) or next(
        (slug for name, slug in DISTRIBUTIONS.items() if name and words.startswith(name)), ""
    )
    if not distribution and _BUILDS.match(header):  # an unknown word there is somebody's own build
        distribution = _slug(words)
    if not distribution:
        return product
    return _with(product, distribution, product.os or _OS_OF.get(distribution, "linux"))


def _with(product: Product, distribution: str, os: str) -> Product:
    return Product(
        name=product.name,
        version=product.version,
        distribution=distribution,
        release=product.release,
        revision=product.revision,
        os=os,
        source=product.source,
        raw=product.raw,
        confidence=product.confidence,
    )


def on_windows(product: Product) -> Product:
    """The product as it is when something else in the same answer proves Windows."""
    return product if product.os or product.distribution else _with(product, "", "windows")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", safe_text(text, 40)).strip("-")


# ---------------------------------------------------------------------------------------- what is disclosed

_VERSION = re.compile(r"(?<!\d)\d+(?:[.]\d+)+")


def beyond_major(version: str) -> bool:
    """Whether a version says more than the major release: `1.22.1` and `8.2` do, `10.0` and `2` do not."""
    found = _VERSION.search(version)
    return found is not None and any(int(part[:9]) for part in found[0].split(".")[1:])


def disclosed(source: str, raw: str) -> tuple[str, ...]:
    """The product tokens of `raw` that carry a version beyond the major release."""
    if source in {"server", "x-powered-by"}:
        tokens = [found[0] for found in _TOKEN.finditer(raw[:LONGEST]) if beyond_major(found[2])]
        if tokens:
            return tuple(safe_text(token, 128) for token in tokens)
    named = [product for product in parse(source, raw) if beyond_major(product.version)]
    return tuple(f"{product.name} {product.version}" for product in named)
