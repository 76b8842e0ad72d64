"""Certificates of the configuration: what is made of them, and what is refused with the name of its field."""

from __future__ import annotations

import os
import ssl

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from destination_qdrant.errors import ConfigError
from destination_qdrant.qdrant.server import tls
from destination_qdrant.qdrant.server.access import Certificates

AUTHORITY = trustme.CA()
ISSUED = AUTHORITY.issue_cert("client@example.org")
CA = AUTHORITY.cert_pem.bytes().decode()
CHAIN = "".join(pem.bytes().decode() for pem in ISSUED.cert_chain_pems)
KEY = ISSUED.private_key_pem.bytes().decode()
OTHER_KEY = AUTHORITY.issue_cert("other@example.org").private_key_pem.bytes().decode()


def with_password(form: PrivateFormat) -> str:
    key = load_pem_private_key(KEY.encode(), None)
    return key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"x")).decode()


def handshake(client: ssl.SSLContext) -> None:
    """In memory, with a server that asks for a certificate of the same authority."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("server.example").configure_cert(server)
    AUTHORITY.configure_trust(server)
    server.verify_mode = ssl.CERT_REQUIRED
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [server.wrap_bio(up, down, server_side=True), client.wrap_bio(down, up, server_hostname="server.example")]
    for end in (*reversed(ends), *reversed(ends), ends[0]):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert ends[0].getpeercert()


@pytest.mark.parametrize("memory", [True, False], ids=["in memory", "through a file"])
@pytest.mark.parametrize(
    "spoilt",
    [
        lambda pem: pem,
        lambda pem: pem.replace("\n", " "),
        lambda pem: pem.replace("\n", "\\n"),
        lambda pem: pem.replace("\n", "\r\n"),
        lambda pem: f"subject=somebody\n\n{pem}\n  ",
    ],
    ids=["as it is", "one line", "escaped", "of Windows", "with words around it"],
)
def test_certificates_are_used_whatever_a_form_has_made_of_their_lines(
    monkeypatch: pytest.MonkeyPatch, spoilt: object, *, memory: bool
) -> None:
    assert callable(spoilt)
    if not memory:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    given = Certificates(spoilt(CA), spoilt(CHAIN), spoilt(KEY))

    handshake(tls.context(given))
    assert tls.grpc_credentials(given) == {
        "root_certificates": CA.encode(),
        "certificate_chain": CHAIN.encode(),
        "private_key": KEY.encode(),
    }


def test_without_certificates_the_usual_authorities_are_trusted() -> None:
    made = tls.context(Certificates())

    assert made.verify_mode is ssl.CERT_REQUIRED
    assert made.check_hostname
    assert made.get_ca_certs()
    assert tls.grpc_credentials(Certificates()) == {}


def test_an_authority_of_ones_own_is_the_only_one() -> None:
    assert len(tls.context(Certificates(CA)).get_ca_certs()) == 1


def broken(pem: str) -> str:
    """Still PEM, and no more what it says it is."""
    first, body, *others = pem.splitlines()
    return "\n".join([first, "A" * len(body), *others])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (Certificates("secret"), "indexing.tls.ca_certificate holds no PEM text"),
        (Certificates(KEY), "indexing.tls.ca_certificate holds no PEM text"),
        (Certificates(CA.replace("-----END", "--END")), "indexing.tls.ca_certificate holds no PEM text"),
        (Certificates(CA.replace("MII", "M!I")), "indexing.tls.ca_certificate holds no PEM text"),
        (Certificates(broken(CA)), "indexing.tls.ca_certificate holds no certificate that can be read"),
        (Certificates(None, "secret", KEY), "indexing.tls.client_certificate holds no PEM text"),
        (Certificates(None, broken(CHAIN), KEY), "indexing.tls.client_certificate holds no certificate that can be"),
        (Certificates(None, CHAIN, "secret"), "indexing.tls.client_key holds no PEM text"),
        (Certificates(None, CHAIN, CHAIN), "indexing.tls.client_key holds no PEM text"),
        (Certificates(None, CHAIN, broken(KEY)), "indexing.tls.client_key holds no private key that can be read"),
        (Certificates(None, CHAIN, OTHER_KEY), "indexing.tls.client_key is not the key of indexing.tls.client_cert"),
        (
            Certificates(None, CHAIN, with_password(PrivateFormat.PKCS8)),
            "indexing.tls.client_key is protected by a password",
        ),
        (
            Certificates(None, CHAIN, with_password(PrivateFormat.TraditionalOpenSSL)),
            "indexing.tls.client_key is protected by a password",
        ),
        (Certificates(None, CHAIN, None), "indexing.tls.client_certificate is set without indexing.tls.client_key"),
        (Certificates(None, None, KEY), "indexing.tls.client_key is set without indexing.tls.client_certificate"),
    ],
)
def test_what_cannot_be_used_is_refused_by_the_name_of_its_field_and_never_shown(
    given: Certificates, told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        tls.context(given)

    assert caught.value.message.startswith(told)
    assert "secret" not in caught.value.message
    assert caught.value.__context__ is None


def test_no_key_is_left_on_the_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tls.context(Certificates(CA, CHAIN, KEY))
    with pytest.raises(ConfigError):
        tls.context(Certificates(CA, CHAIN, OTHER_KEY))

    assert os.listdir(str(tmp_path)) == []  # noqa: PTH208 -- a plain list says most when it fails
