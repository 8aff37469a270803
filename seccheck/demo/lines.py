"""Services that greet and speak in lines or small packets: mail, FTP, Telnet, databases, remote desktops."""

from __future__ import annotations

import struct

from seccheck.demo.loop import Talk

_LONGEST_LINE = 4096


class LineTalk(Talk):
    """A conversation of lines ended by CRLF."""

    def __init__(self) -> None:
        self._buffer = b""

    def hear(self, data: bytes) -> bytes:
        """Answers every whole line that came."""
        self._buffer += data
        answer = b""
        while not self.over and b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            answer += self.line(line.rstrip(b"\r").decode("latin-1"))
        if len(self._buffer) > _LONGEST_LINE:
            self.over = True
        return answer

    def line(self, line: str) -> bytes:
        """What the server answers to one line."""
        raise NotImplementedError


class SmtpTalk(LineTalk):
    """A mail server that relays for nobody (RFC 5321); before TLS it offers STARTTLS alone (RFC 3207)."""

    def __init__(self, host: str, *, encrypted: bool = False) -> None:
        super().__init__()
        self._host = host
        self._encrypted = encrypted
        self.upgraded = False

    def greet(self) -> bytes:
        """The greeting, which names no product."""
        return b"" if self._encrypted else f"220 {self._host} ESMTP\r\n".encode()

    def line(self, line: str) -> bytes:
        """One command, one reply."""
        match line.upper().split(" ")[0]:
            case "EHLO":
                offers = ["PIPELINING", "8BITMIME", "SMTPUTF8"] if self._encrypted else ["STARTTLS"]
                lines = [self._host, "SIZE 10485760", *offers]
                return "".join(
                    f"250{' ' if at == len(lines) else '-'}{text}\r\n" for at, text in enumerate(lines, 1)
                ).encode()
            case "HELO":
                return f"250 {self._host}\r\n".encode()
            case "STARTTLS" if not self._encrypted:
                self.upgraded = True
                self._buffer = b""  # what was sent along in clear is not believed (RFC 3207 6)
                return b"220 2.0.0 Ready to start TLS\r\n"
            case "NOOP" | "RSET":
                return b"250 2.0.0 OK\r\n"
            case "QUIT":
                self.over = True
                return b"221 2.0.0 Bye\r\n"
            case "MAIL" if not self._encrypted:
                return b"530 5.7.0 Must issue a STARTTLS command first\r\n"
            case "MAIL" | "RCPT" | "DATA":
                return b"554 5.7.1 No mail is taken here\r\n"
            case _:
                return b"502 5.5.2 Command not recognized\r\n"


class ImapTalk(LineTalk):
    """An IMAP server that lets nobody in (RFC 9051)."""

    def greet(self) -> bytes:
        """The greeting with the capabilities."""
        return b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] IMAP ready.\r\n"

    def line(self, line: str) -> bytes:
        """One tagged command, its tagged answer."""
        tag, _, rest = line.partition(" ")
        command = rest.partition(" ")[0].upper()
        if command == "CAPABILITY":
            return f"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n{tag} OK done.\r\n".encode("latin-1")
        if command == "LOGOUT":
            self.over = True
            return f"* BYE\r\n{tag} OK done.\r\n".encode("latin-1")
        ok = command == "NOOP"
        return f"{tag} {'OK done.' if ok else 'NO not here.'}\r\n".encode("latin-1")


class GreetingTalk(LineTalk):
    """Greets, and answers every line the same way."""

    def __init__(self, greeting: bytes, answer: bytes, *, farewell: bool = False) -> None:
        super().__init__()
        self._greeting = greeting
        self._answer = answer
        self._farewell = farewell

    def greet(self) -> bytes:
        """The greeting it was given."""
        return self._greeting

    def line(self, line: str) -> bytes:  # noqa: ARG002
        """The same answer to whatever is said."""
        self.over = self._farewell
        return self._answer


def exchange_bus(host: str) -> Talk:
    """The message bus of a data-sharing platform: a protocol of its own."""
    return GreetingTalk(f"+READY {host}\r\n".encode(), b"-ERR not authorised\r\n")


def ftp() -> Talk:
    """An FTP server without TLS (RFC 959)."""
    return GreetingTalk(b"220 FTP server ready\r\n", b"530 Please login with USER and PASS.\r\n")


def telnet() -> Talk:
    """A Telnet login prompt (RFC 854): DO terminal type, WILL echo, WILL suppress go-ahead."""
    return GreetingTalk(b"\xff\xfd\x18\xff\xfb\x01\xff\xfb\x03\r\nlogin: ", b"Password: ")


def redis() -> Talk:
    """A Redis that wants a password."""
    return GreetingTalk(b"", b"-NOAUTH Authentication required.\r\n")


class PostgresTalk(Talk):
    """A PostgreSQL without TLS: `N` to an SSLRequest, then a demand for a password."""

    def hear(self, data: bytes) -> bytes:
        """`N` to a wish for encryption, else the demand for a password."""
        if len(data) >= 8 and struct.unpack_from(">I", data, 4)[0] in {80877103, 80877104}:
            return b"N"
        self.over = data[:1] == b"X"
        return b"" if self.over else struct.pack(">cII", b"R", 8, 3)


class VncTalk(Talk):
    """A VNC server that says its version and no more (RFC 6143)."""

    def greet(self) -> bytes:
        """The protocol version."""
        return b"RFB 003.008\n"

    def hear(self, data: bytes) -> bytes:  # noqa: ARG002
        """No security type, and why."""
        self.over = True
        return b"\0" + _rfb_reason(b"Too many attempts")


def _rfb_reason(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


class RdpTalk(Talk):
    """A remote desktop: the connection confirm of X.224, offering TLS (MS-RDPBCGR 2.2.1.2)."""

    def hear(self, data: bytes) -> bytes:
        """The connection confirm."""
        self.over = data[:1] != b"\x03"
        return b"" if self.over else bytes.fromhex("030000130ed000001234000209080001000000")
