"""TLS to a collector: authorities of one's own, and a client that shows who it is."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
import story
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from receiver import Receiver


@dataclass
class Files:
    """PEM files of a certificate and its key."""

    certificate: str
    key: str


Issuer = tuple[x509.Name, ec.EllipticCurvePrivateKey]


def issue(directory: Path, name: str, issuer: Issuer | None) -> tuple[Files, Issuer]:
    """A certificate for the loopback address, or without an issuer that of an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    issuer_name, issuer_key = issuer or (subject, key)
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    certificate = builder.sign(issuer_key, hashes.SHA256())
    files = Files(os.fspath(directory / f"{name}.pem"), os.fspath(directory / f"{name}.key"))
    Path(files.certificate).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    Path(files.key).write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files, (subject, key)


@pytest.mark.parametrize(
    ("trusts", "shows", "arrives"),
    [(True, True, True), (True, False, False), (False, True, False)],
)
def test_both_sides_are_checked(tmp_path: Path, trusts: bool, shows: bool, arrives: bool) -> None:
    authority, issuer = issue(tmp_path, "authority", None)
    stranger, _ = issue(tmp_path, "stranger", None)
    server, _ = issue(tmp_path, "server", issuer)
    client, _ = issue(tmp_path, "client", issuer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate, server.key)
    context.load_verify_locations(authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    trusted = authority if trusts else stranger
    environment = {"OTEL_EXPORTER_OTLP_CERTIFICATE": trusted.certificate}
    if shows:
        environment["OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"] = client.certificate
        environment["OTEL_EXPORTER_OTLP_CLIENT_KEY"] = client.key
    with Receiver(context) as receiver:
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.url
        done = story.run(FLUSH_TIMEOUT_S="20" if arrives else "1", **environment)
    assert len(receiver.spans) == (3 if arrives else 0)
    assert done["left"] == (0 if arrives else 3), done
