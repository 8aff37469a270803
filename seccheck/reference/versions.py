"""The order of versions: one for what upstream projects write, dpkg's for package revisions."""

from __future__ import annotations

import re
from functools import lru_cache

_RUN = re.compile(r"(?P<number>\d+)|(?P<mark>[-~.])?(?P<word>[a-z]+)|(?P<tilde>~)")
_EARLIER = {
    "alpha": 1, "a": 1, "beta": 2, "b": 2, "m": 2, "milestone": 2, "dev": 0, "snapshot": 0, "pre": 3,
    "preview": 3, "ea": 3, "cr": 4, "rc": 4,
}  # fmt: skip
_MARKED = {"a", "b", "m"}
"""Single letters mean a pre-release only behind a mark (`9.0.0-M1`, `9.0.0.M1`); `1.3.5b` follows `1.3.5`."""

Part = tuple[int, int, str]
_LONGEST = 256
"""Characters of a package version that are compared; the longest of Debian has 50."""
_END: Part = (2, 0, "")
"""What a missing part counts as: the number nought, after a pre-release and before a later letter."""


@lru_cache(maxsize=65536)
def parts(version: str) -> tuple[Part, ...]:
    """`version` as comparable parts: pre-release words, then numbers from nought, with letters between.

    The order of kinds at one place: pre-release (0), number nought or nothing (2), letter (3), number above
    nought (4): `1.3.6rc1` < `1.3.6` = `1.3.6.0` < `1.3.6a` < `1.3.6.1`.
    """
    found: list[Part] = []
    for run in _RUN.finditer(version.lower()):
        if run["number"]:
            value = int(run["number"][:18])
            found.append((4, value, "") if value else _END)
        elif run["tilde"]:
            found.append((0, -1, ""))
        else:
            word = run["word"]
            earlier = word in _EARLIER and (word not in _MARKED or bool(run["mark"]))
            if run["mark"] == "~":
                found.append((0, -1, word))
            else:
                found.append((0, _EARLIER[word], word) if earlier else (3, 0, word))
    return tuple(found)


def compare(left: str, right: str) -> int:
    """Below, at or above nought as `left` is earlier than, the same as, or later than `right`."""
    ours, theirs = parts(left), parts(right)
    width = max(len(ours), len(theirs))
    a = ours + (_END,) * (width - len(ours))
    b = theirs + (_END,) * (width - len(theirs))
    return (a > b) - (a < b)


def reaches(version: str, bound: str) -> bool:
    """Whether `version` is `bound`, earlier, or a build of `bound` (`15.4.2.126` of `15.4.2`)."""
    ours, limit = parts(version), parts(bound)
    if len(ours) > len(limit) and ours[: len(limit)] == limit and ours[len(limit)][0] != 3:
        return True
    return compare(version, bound) <= 0


def within(version: str, branch: str) -> bool:
    """Whether `version` begins with all parts of `branch`: `2.4.71` belongs to `2.4`, `2.40` does not."""
    ours, stem = parts(version), parts(branch)
    return bool(stem) and ours[: len(stem)] == stem


def compare_packages(left: str, right: str) -> int:
    """The same for package versions, by the order of dpkg (deb-version(7)).

    Characters that dpkg does not know (rpm's underscore) part a version as a dot does.
    """
    from debian.debian_support import Version

    a, b = Version(_as_dpkg(left)), Version(_as_dpkg(right))
    return (a > b) - (a < b)


def _as_dpkg(version: str) -> str:
    epoch, colon, rest = version.partition(":")
    if not (colon and epoch.isascii() and epoch.isdigit()):
        epoch, rest = "0", version
    return f"{epoch[:9]}:{re.sub(r'[^A-Za-z0-9.+~-]', '.', rest[:_LONGEST]) or '0'}"


def upstream(package_version: str) -> str:
    """The upstream number inside a package version: `1:9.2p1-2+deb12u10` → `9.2p1`."""
    number = package_version.split(":", 1)[-1].rsplit("-", 1)[0]
    return re.split(r"[+~](?:dfsg|ds|really|git|deb|ubuntu)", number, maxsplit=1)[0]


def revision(package_version: str) -> str:
    """The distribution's part of a package version: `1:9.2p1-2+deb12u10` → `2+deb12u10`."""
    _, dash, part = package_version.rpartition("-")
    return part if dash else ""
