"""Whole handshakes through nassl, driven byte by byte and without its socket loop.

The one module that knows nassl. It drives the private `_ssl` and `_network_bio` of its clients, because the
public methods read from a blocking socket without a deadline; nassl is pinned to a minor version for that.
"""

from __future__ import annotations

import base64
from typing import Any

from seccheck.probes.tls import hello as h
from seccheck.probes.tls.answer import Outcome, Reply

_BIO = 4096
"""Bytes fed at a time: nassl's BIO pair is small."""
_MAX = 1_000_000
_SECONDS_FOR_A_WORD = 2.0
"""How long to wait for the word after the handshake: a ticket, an alert, no renegotiation."""


class Handshake:
    """A handshake to its end: the chain and staple of TLS 1.3, and whether a client certificate is a must."""

    def __init__(self, version: int, name: str) -> None:
        self.reply = Reply()
        self.done = False
        self._version, self._name = version, name
        self._client: Any = None
        self._finished = False
        self._after_it = b""
        self._taken = 0

    def opening(self) -> bytes:
        """The hello."""
        self._client = self._make()
        return self._advance()

    def _make(self) -> Any:
        from nassl.ssl_client import OpenSslVerifyEnum, OpenSslVersionEnum, SslClient

        version = OpenSslVersionEnum.TLSV1_3 if self._version == h.TLS13 else OpenSslVersionEnum.TLSV1_2
        client = SslClient(
            ssl_version=version,
            ssl_verify=OpenSslVerifyEnum.NONE,
            server_name_indication=self._name or None,
        )
        if self._version == h.TLS12:
            client.set_cipher_list("ALL:@SECLEVEL=0")
        client.set_tlsext_status_ocsp()
        return client

    def feed(self, data: bytes) -> bytes:
        """Take the server's bytes; give ours."""
        self._taken += len(data)
        if self._taken > _MAX:
            return self._end(Outcome.GARBAGE, f"more than {_MAX} bytes")
        if self._finished:
            self._after_it += data
        out = b""
        for at in range(0, len(data), _BIO):
            self._client._network_bio.write(data[at : at + _BIO])  # noqa: SLF001  # see the module
            out += self._advance()
            if self.done:
                break
        return out

    def _advance(self) -> bytes:
        from nassl._nassl import OpenSSLError, WantReadError, WantX509LookupError

        try:
            if self._finished:
                self._after()
            else:
                self._shake(WantX509LookupError)
        except WantReadError:
            pass
        except OpenSSLError as error:
            self._failed(str(error))
        return self._outgoing()

    def _shake(self, wants_certificate: type[Exception]) -> None:
        try:
            self._client._ssl.do_handshake()  # noqa: SLF001
        except wants_certificate:
            self.reply.wants_certificate = True
            self._client._ssl_ctx.set_client_cert_cb_NULL()  # noqa: SLF001
            self._client._ssl.do_handshake()  # noqa: SLF001
        self._finished = True
        self._handshaken()

    def _handshaken(self) -> None:
        """The handshake is over on our side: read what it brought."""
        self._take_chain()
        if not self.reply.wants_certificate or self._version != h.TLS13:
            self.reply.needs_certificate = False if self.reply.wants_certificate else None
            self._end(Outcome.FLIGHT)

    def _take_chain(self) -> None:
        self.reply.version = self._version
        self.reply.certificates = tuple(_der(pem) for pem in self._client.get_received_chain())
        staple = self._client.get_tlsext_status_ocsp_resp()
        self.reply.staple = staple.as_der_bytes() if staple else b""

    def _after(self) -> None:
        """After a TLS 1.3 handshake without the certificate that was asked for: a ticket, or the alert."""
        from nassl._nassl import WantReadError

        try:
            self._client._ssl.read(1)  # noqa: SLF001
        except WantReadError:
            if len(self._after_it) < 5 + int.from_bytes(self._after_it[3:5], "big"):
                return  # not even one record yet
        self.reply.needs_certificate = False  # something was said, and it was no alert
        self._end(Outcome.FLIGHT)

    def _failed(self, error: str) -> None:
        demand = "certificate required" in error or "bad certificate" in error or "handshake failure" in error
        if self.reply.wants_certificate and demand:
            self._take_chain()
            self.reply.needs_certificate = True
            self._end(Outcome.FLIGHT, "wants a client certificate")
        else:
            self._end(Outcome.FLIGHT if self._finished else Outcome.ALERT, error)

    def _outgoing(self) -> bytes:
        bio = self._client._network_bio  # noqa: SLF001
        out = b""
        while pending := bio.pending():
            out += bio.read(pending)
        return out

    def _end(self, outcome: Outcome, detail: str = "") -> bytes:
        self.reply.outcome, self.reply.detail = outcome, detail
        self.done = True
        return b""

    def lost(self, outcome: Outcome, detail: str = "") -> None:
        """The connection ended, or its time."""
        if self._finished:
            self._end(Outcome.FLIGHT, detail)  # the chain is known; whether the certificate is a must is not
        else:
            self._end(outcome, detail)

    def patience(self) -> float | None:
        """A short while for the word after the handshake."""
        return _SECONDS_FOR_A_WORD if self._finished else None


class Renegotiation(Handshake):
    """A handshake up to TLS 1.2, and then a second one that the client starts (RFC 5246 7.4.1.1).

    Where the server lacks RFC 5746, only nassl's legacy client tries. A greeting that the server sends of
    itself is read first: OpenSSL takes no application data within a handshake.
    """

    def __init__(self, version: int, name: str, *, legacy: bool, greets: bool = False) -> None:
        super().__init__(version, name)
        self._again = False
        self._greets = greets
        self._legacy = legacy or version == h.SSL3

    def _make(self) -> Any:
        from nassl.legacy_ssl_client import LegacySslClient
        from nassl.ssl_client import OpenSslVerifyEnum, OpenSslVersionEnum, SslClient

        versions = {
            h.SSL3: OpenSslVersionEnum.SSLV3,
            h.TLS10: OpenSslVersionEnum.TLSV1,
            h.TLS11: OpenSslVersionEnum.TLSV1_1,
            h.TLS12: OpenSslVersionEnum.TLSV1_2,
        }
        kind = LegacySslClient if self._legacy else SslClient
        client = kind(ssl_version=versions[self._version], ssl_verify=OpenSslVerifyEnum.NONE)
        client.set_cipher_list("ALL:!aNULL" if self._legacy else "ALL:!aNULL:@SECLEVEL=0")
        if self._name and self._version != h.SSL3:
            client.set_tlsext_host_name(self._name)
        return client

    def _handshaken(self) -> None:
        if self._again:
            self.reply.verdict = True
            self._end(Outcome.FLIGHT)
            return
        self.reply.version = self._version
        if self._greets:
            self._after()  # it may have come with the last of the handshake
        else:
            self._renegotiate()

    def _take_chain(self) -> None:
        self.reply.version = self._version
        self.reply.certificates = tuple(_der(pem) for pem in self._client.get_received_chain())
        staple = self._client.get_tlsext_status_ocsp_resp()
        self.reply.staple = staple.as_der_bytes() if staple else b""

    def _after(self) -> None:
        """The greeting."""
        self._client._ssl.read(_BIO)  # noqa: SLF001
        self._renegotiate()

    def _renegotiate(self) -> None:
        self._again, self._finished = True, False
        self._client._ssl.renegotiate()  # noqa: SLF001
        self._client._ssl.do_handshake()  # noqa: SLF001
        self._handshaken()

    def _failed(self, error: str) -> None:
        if self._again:
            refused = any(word in error for word in ("no renegotiation", "alert", "shut down by peer"))
            self.reply.verdict = False if refused else None
            self._end(Outcome.FLIGHT, error)
        else:
            self._end(Outcome.ALERT, error)

    def lost(self, outcome: Outcome, detail: str = "") -> None:
        """A close or reset on the attempt refuses it, when it comes again; silence says nothing."""
        if self._again:
            self.reply.verdict = str(Outcome.CLOSED) if outcome in {Outcome.CLOSED, Outcome.RESET} else None
            self._end(Outcome.FLIGHT, f"{outcome}")
        else:
            self._end(outcome, detail)

    def patience(self) -> float | None:
        """A short while for the greeting, and for the answer to the attempt."""
        return _SECONDS_FOR_A_WORD if self._again or self._finished else None


def _der(pem: str) -> bytes:
    return base64.b64decode("".join(pem.strip().splitlines()[1:-1]))
