"""What the ssh probe can be asked, and what it answers."""

from __future__ import annotations

from typing import Literal

from seccheck.probes import Facts, Params


class SshParams(Params):
    """What to look at: a tuple of "algorithms", "authentication"."""

    ask: tuple[Literal["algorithms", "authentication"], ...] = ("algorithms",)


class SshFacts(Facts):
    """What an SSH server offers (RFC 4253, RFC 4252)."""

    identification: str | None = None
    """The identification string, such as `SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3`."""
    protocols: tuple[str, ...] | None = None
    """The protocol versions spoken: "1", "2" (`SSH-1.99` means both: RFC 4253, 5.1)."""
    kex: tuple[str, ...] | None = None
    """Key exchange methods offered, the markers that share their list left out."""
    host_key_algorithms: tuple[str, ...] | None = None
    ciphers: tuple[str, ...] | None = None
    """Of both directions together."""
    macs: tuple[str, ...] | None = None
    """Of both directions together."""
    rsa_host_key_bits: tuple[int, ...] | None = None
    """The size of the RSA host key; empty when the server has none."""
    authentications: tuple[str, ...] | None = None
    """The methods that can continue after one `none` request (RFC 4252, 5.2); "none": that logged in."""
