"""TLS for the health probe, from files, or from whatever the server shows."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc


class CredentialsError(Exception):
    """A file is not there, or the server shows no certificate."""


def tls_credentials(
    *,
    target: str,
    verify: bool,
    ca_cert: str,
    client_cert: str,
    client_key: str,
    server_name: str,
    timeout_s: float,
) -> tuple[grpc.ChannelCredentials, list[tuple[str, str | int]]]:
    """The credentials, and the channel options that go with them."""
    options: list[tuple[str, str | int]] = []
    roots = _read(ca_cert)
    if not verify:
        roots, server_name = _trust_what_is_shown(target, timeout_s)
    if server_name:
        options.append(("grpc.ssl_target_name_override", server_name))
    return grpc.ssl_channel_credentials(roots, _read(client_key), _read(client_cert)), options


def _read(path: str) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CredentialsError(f"{path}: {error.strerror}") from error


def _trust_what_is_shown(target: str, timeout_s: float) -> tuple[bytes, str]:
    """gRPC for Python always verifies: so the server's own certificate becomes the root, its own name the name."""
    host, _, port = target.rpartition(":")
    address = (host.strip("[]"), int(port) if port.isdigit() else 443)
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    try:
        with _connected(address, unverified, timeout_s) as connection:
            shown = connection.getpeercert(binary_form=True)
        if shown is None:
            raise CredentialsError(f"{target} shows no certificate")
        pem = ssl.DER_cert_to_PEM_cert(shown)
        return pem.encode(), _name_of(pem, address, timeout_s) or address[0]
    except OSError as error:
        raise CredentialsError(f"{target}: {error}") from error


def _name_of(pem: str, address: tuple[str, int], timeout_s: float) -> str:
    """A name the certificate is for: Python decodes a certificate only once it has verified it."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    trusting.load_verify_locations(cadata=pem)
    with _connected(address, trusting, timeout_s) as connection:
        decoded: Any = connection.getpeercert() or {}
    for kind, name in decoded.get("subjectAltName", ()):
        if kind in {"DNS", "IP Address"}:
            return str(name).replace("*", "any", 1)
    return next((value for ((field, value), *_) in decoded.get("subject", ()) if field == "commonName"), "")


@contextlib.contextmanager
def _connected(address: tuple[str, int], context: ssl.SSLContext, timeout_s: float) -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection(address, timeout_s) as plain,
        context.wrap_socket(plain, server_hostname=address[0]) as connection,
    ):
        yield connection
