"""The certificates of the configuration, made fit for the HTTP library and for gRPC.

They are tried out here: gRPC says of one that it cannot use no more than that no connection came about, and asks for the
password of a key at the terminal.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from ...errors import ConfigError
from .access import Certificates
from .address import Address
from .errors import NoAnswer

_AUTHORITY: Final = "indexing.tls.ca_certificate"
_CLIENT: Final = "indexing.tls.client_certificate"
_KEY: Final = "indexing.tls.client_key"

_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----(.*?)-----END \1-----", re.DOTALL)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_CERTIFICATES: Final = re.compile(r"(?:X509 |TRUSTED )?CERTIFICATE")
_KEYS: Final = re.compile(r"(?:[A-Z]{1,10} )?PRIVATE KEY")
_LINE: Final = 64
_LOOK_SECONDS: Final = 3.0


def context(certificates: Certificates) -> ssl.SSLContext:
    """What the HTTP library is to use for https.

    Raises:
        ConfigError: a certificate or the key cannot be used; names the field and shows nothing of it.
    """
    made = _trusting(certificates.authority)
    if certificates.client is not None or certificates.client_key is not None:
        _show(made, _chain(certificates.client), _private_key(certificates.client_key))
    return made


def kind_of(error: ssl.SSLError) -> NoAnswer:
    """Which of the ways in which TLS does not come about this is."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _BY_VERIFICATION.get(error.verify_code, "untrusted")
    return kind_of_text(str(error))


def kind_of_text(text: str) -> NoAnswer:
    """The same for a text of OpenSSL, or of the library that gRPC has in its place."""
    for pattern, kind in _BY_TEXT:
        if pattern.search(text):
            return kind
    return "tls"


#: OpenSSL's numbers.
_BY_VERIFICATION: Final[dict[int, NoAnswer]] = {9: "expired", 10: "expired", 62: "other name", 64: "other name"}
_BY_TEXT: Final[tuple[tuple[re.Pattern[str], NoAnswer], ...]] = (
    (re.compile("WRONG_VERSION_NUMBER|HTTP_REQUEST|PACKET_LENGTH_TOO_LONG|RECORD_LAYER_FAILURE"), "no TLS"),
    (re.compile("certificate has expired|certificate is not yet valid"), "expired"),
    (re.compile("Peer name|[Hh]ostname"), "other name"),
    (re.compile("CERTIFICATE_VERIFY_FAILED"), "untrusted"),
    (re.compile("ALERT_(?:NO_|BAD_|UNSUPPORTED_)?CERT|ALERT_UNKNOWN_CA|CERTIFICATE_REQUIRED"), "client certificate"),
)


def is_wanted(address: Address) -> bool:
    """Whether a server that was spoken to without TLS wants it."""
    indifferent = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    indifferent.check_hostname = False
    indifferent.verify_mode = ssl.CERT_NONE  # nothing is sent; whether it is trusted is asked when it is used
    try:
        with _handshake(address, indifferent):
            return True
    except ssl.SSLError as error:
        return kind_of(error) == "client certificate"
    except OSError:
        return False


def told_after_handshake(address: Address, made: ssl.SSLContext) -> NoAnswer | None:
    """What a server that hung up has against us.

    With TLS 1.3 it says so after the handshake, and a request that is sent meanwhile can cost its answer.
    """
    try:
        with _handshake(address, made) as connection:
            connection.recv(1)
    except ssl.SSLEOFError:
        return None
    except ssl.SSLError as error:
        return kind_of(error)
    except OSError:
        return None
    return None


@contextmanager
def _handshake(address: Address, made: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    host = address.host.strip("[]")
    with (
        socket.create_connection((host, address.port), _LOOK_SECONDS) as plain,
        made.wrap_socket(plain, server_hostname=host) as connection,
    ):
        yield connection


def grpc_credentials(certificates: Certificates) -> dict[str, bytes]:
    """The same as options of the client, which takes them out again before it opens a channel."""
    parts = {
        "root_certificates": certificates.authority and _pem(certificates.authority, _CERTIFICATES, _AUTHORITY),
        "certificate_chain": certificates.client and _chain(certificates.client),
        "private_key": certificates.client_key and _private_key(certificates.client_key),
    }
    return {name: pem.encode() for name, pem in parts.items() if pem}


def _trusting(authority: str | None) -> ssl.SSLContext:
    if authority is None:
        try:
            return httpx.create_ssl_context()
        except OSError:
            pass  # raised below, so that nothing of the path rides along
        raise ConfigError(
            "The certificates that the environment names (SSL_CERT_FILE or SSL_CERT_DIR) cannot be read; correct the "
            "variable, or remove it."
        )
    pem = _pem(authority, _CERTIFICATES, _AUTHORITY)
    try:
        return ssl.create_default_context(cadata=pem)
    except ssl.SSLError:
        # Raised outside of the handler: nothing of a foreign text that may quote the certificate rides along.
        pass
    raise ConfigError(f"{_AUTHORITY} holds no certificate that can be read; copy the PEM file again.")


def _show(made: ssl.SSLContext, chain: str, key: str) -> None:
    """Let the context show this certificate to servers that ask for one."""
    try:
        ssl.create_default_context(cadata=chain)
    except ssl.SSLError:
        unreadable = True
    else:
        unreadable = False
    if unreadable:
        raise ConfigError(f"{_CLIENT} holds no certificate that can be read; copy the PEM file again.")
    try:
        with _file(f"{chain}{key}".encode()) as path:
            made.load_cert_chain(path, password=lambda: b"")  # without it OpenSSL asks at the terminal
    except ssl.SSLError as error:
        reason = error.reason or ""
    else:
        return
    if reason == "KEY_VALUES_MISMATCH":
        raise ConfigError(f"{_KEY} is not the key of {_CLIENT}; give the two that belong together.")
    if re.search("TOO_SMALL|TOO_WEAK", reason):
        raise ConfigError(f"{_CLIENT} or its key is too weak for TLS today; have a new one made.")
    raise ConfigError(f"{_KEY} holds no private key that can be read; copy the PEM file again.")


def _chain(text: str | None) -> str:
    if text is None:
        raise ConfigError(f"{_KEY} is set without {_CLIENT}; set both or neither.")
    return _pem(text, _CERTIFICATES, _CLIENT)


def _private_key(text: str | None) -> str:
    if text is None:
        raise ConfigError(f"{_CLIENT} is set without {_KEY}; set both or neither.")
    if "ENCRYPTED" in text:
        raise ConfigError(f"{_KEY} is protected by a password; give it without one.")
    return _pem(text, _KEYS, _KEY)


def _pem(text: str, label: re.Pattern[str], field: str) -> str:
    """The blocks with such a label, each line where it belongs: forms and environments lose or escape line ends."""
    blocks = [
        _block(found[1], "".join(found[2].replace("\\n", "\n").split()))
        for found in _BLOCK.finditer(text)
        if label.fullmatch(found[1])
    ]
    if not blocks or None in blocks:
        raise ConfigError(f"{field} holds no PEM text: it begins with -----BEGIN and ends with -----END … -----.")
    return "".join(block for block in blocks if block)


def _block(label: str, body: str) -> str | None:
    if not _BASE64.fullmatch(body):
        return None
    lines = [body[start : start + _LINE] for start in range(0, len(body), _LINE)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


@contextmanager
def _file(content: bytes) -> Iterator[str]:
    """A path to this content, for OpenSSL, which reads keys from files only: in memory where the system can do that.

    Elsewhere it is a file that nobody else may read, and is removed at once.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("key", os.MFD_CLOEXEC)
        try:
            path = f"/proc/self/fd/{descriptor}"
            if Path(path).exists():
                os.write(descriptor, content)
                yield path
                return
        finally:
            os.close(descriptor)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "key.pem"
        file.touch(0o600)
        file.write_bytes(content)
        yield str(file)
