"""Command line: is a gRPC service healthy? Flags and exit codes are grpc-health-probe's.

What it adds is the reason: the server's own (services.common.health), or what to do about a refused connection.
"""

import argparse
import socket
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

import grpc
from grpc_health.v1 import health_pb2

from services.common.go_duration import parse_duration_s
from services.common.health import ACTION_METADATA_KEY, REASON_METADATA_KEY
from services.common.probe_credentials import CredentialsError, tls_credentials

EXIT_OK = 0
EXIT_ARGUMENTS = 1
EXIT_CONNECTION = 2
EXIT_RPC = 3
EXIT_UNHEALTHY = 4
EXIT_SPIFFE = 20


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_ARGUMENTS, f"error: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code; what is wrong, and what to do about it, goes to stderr."""
    options = _arguments(argv)
    if options.version:
        print("oavc-health-probe; flags and exit codes of grpc-health-probe 0.4")  # noqa: T201
        return EXIT_OK
    if options.spiffe:
        _tell("error: -spiffe is not supported by this probe; use -tls with certificate files")
        return EXIT_SPIFFE
    try:
        credentials, channel_options = _credentials(options)
    except CredentialsError as error:
        _tell(f"error: failed to initialize tls credentials: {error}")
        return EXIT_ARGUMENTS
    channel_options.append(("grpc.primary_user_agent", options.user_agent))
    compression = grpc.Compression.Gzip if options.gzip else grpc.Compression.NoCompression
    target = _target(options.addr)
    started_s = time.monotonic()
    refusal = _refusal(target, options.connect_timeout)
    if refusal:
        _tell(refusal)
        return EXIT_CONNECTION
    channel = (
        grpc.insecure_channel(target, channel_options, compression)
        if credentials is None
        else grpc.secure_channel(target, credentials, channel_options, compression)
    )
    with channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=options.connect_timeout)
        except grpc.FutureTimeoutError:
            _tell(
                f"timeout: failed to connect service {options.addr!r} within {options.connect_timeout} s\n"
                "  The port is open but speaks no gRPC"
                + (" with this TLS configuration." if credentials else "; if it expects TLS, add -tls.")
            )
            return EXIT_CONNECTION
        if options.v:
            _tell(f"connection established (took {time.monotonic() - started_s:.3f} s)")
        return _check(channel, options)


def _check(channel: grpc.Channel, options: argparse.Namespace) -> int:
    started_s = time.monotonic()
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    request = health_pb2.HealthCheckRequest(service=options.service)
    try:
        response, call = check.with_call(request, timeout=options.rpc_timeout, metadata=options.rpc_header)
    except grpc.RpcError as error:
        _tell(_rpc_failure(error, options))
        return EXIT_RPC
    if response.status != health_pb2.HealthCheckResponse.SERVING:
        name = health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
        _tell(f"service unhealthy (responded with {name!r})")
        said = dict(call.trailing_metadata() or ())
        for key in (REASON_METADATA_KEY, ACTION_METADATA_KEY):
            if key in said:
                _tell(f"  {key.removeprefix('x-health-')}: {said[key]!s}")
        return EXIT_UNHEALTHY
    if options.v:
        _tell(f"time elapsed: rpc={time.monotonic() - started_s:.3f} s")
    _tell("status: SERVING")
    return EXIT_OK


def _rpc_failure(error: grpc.RpcError, options: argparse.Namespace) -> str:
    code, details = error.code(), error.details()
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return (
            f"timeout: health rpc did not complete within {options.rpc_timeout} s\n"
            "  The process is stuck or overloaded; its log says what it is doing. -rpc-timeout gives it longer."
        )
    if code is grpc.StatusCode.NOT_FOUND:
        return f"error: {details or f'no service {options.service!r} here'}\n  Choose one of them with -service."
    return f"error: health rpc failed: {code.name}: {details}"


def _refusal(target: str, timeout_s: float) -> str:
    """Why no TCP connection is to be had, and what to do; "" if there is one, or none to try."""
    host, separator, port = target.rpartition(":")
    host = host.removeprefix("dns:").lstrip("/").strip("[]")
    if target.startswith("unix:") or not separator or not port.isdigit():
        return ""
    try:
        socket.create_connection((host, int(port)), timeout_s).close()
    except ConnectionRefusedError:
        return (
            f"error: failed to connect service at {target!r}: connection refused\n"
            "  Nothing listens there. Start the service (`oavc up`), or give its address with -addr."
        )
    except TimeoutError:
        return (
            f"timeout: failed to connect service {target!r} within {timeout_s} s\n"
            "  The address does not answer: check that the host is up and no firewall drops the connection."
        )
    except socket.gaierror as error:
        return (
            f"error: failed to connect service at {target!r}: {error.strerror}\n"
            f"  The name {host!r} is not known: check -addr, or the name of the service in compose or Kubernetes."
        )
    except OSError as error:
        return f"error: failed to connect service at {target!r}: {error.strerror or error}"
    return ""


def _target(addr: str) -> str:
    """Go takes ":5000" for this machine."""
    return f"localhost{addr}" if addr.startswith(":") else addr


def _credentials(
    options: argparse.Namespace,
) -> tuple[grpc.ChannelCredentials | None, list[tuple[str, str | int]]]:
    if options.alts:
        return grpc.alts_channel_credentials(), []
    if not options.tls:
        return None, []
    return tls_credentials(
        target=_target(options.addr),
        verify=not options.tls_no_verify,
        ca_cert=options.tls_ca_cert,
        client_cert=options.tls_client_cert,
        client_key=options.tls_client_key,
        server_name=options.tls_server_name,
        timeout_s=options.connect_timeout,
    )


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _Parser(prog="oavc-health-probe", description=__doc__, allow_abbrev=False)

    def text(name: str, default: str, help_text: str) -> None:
        parser.add_argument(f"-{name}", f"--{name}", default=default, help=help_text)

    def switch(name: str, help_text: str, *more: str) -> None:
        flags = [f"-{name}", f"--{name}", *more]
        parser.add_argument(*flags, nargs="?", type=_go_bool, const=True, default=False, help=help_text)

    def duration(name: str, help_text: str) -> None:
        parser.add_argument(
            f"-{name}", f"--{name}", type=parse_duration_s, default=1.0, metavar="DURATION", help=help_text
        )

    text("addr", "", "(required) host:port to connect to")
    text("service", "", 'name to check: "" (default), liveness, readiness, or a full service name')
    text("user-agent", "grpc_health_probe", "user agent of the request")
    duration("connect-timeout", "time for the connection, such as 250ms (default 1s)")
    duration("rpc-timeout", "time for the check (default 1s)")
    parser.add_argument(
        "-rpc-header",
        "--rpc-header",
        action="append",
        type=_header,
        default=[],
        metavar="'NAME: VALUE'",
        help="more metadata; may be given several times",
    )
    switch("tls", "use TLS")
    switch("tls-no-verify", "(with -tls) do not verify the server's certificate")
    text("tls-ca-cert", "", "(with -tls) file of trusted certificates")
    text("tls-client-cert", "", "(with -tls) client certificate; needs -tls-client-key")
    text("tls-client-key", "", "(with -tls) client key; needs -tls-client-cert")
    text("tls-server-name", "", "(with -tls) name to verify the server's certificate by")
    switch("alts", "use ALTS")
    switch("gzip", "compress the request")
    switch("spiffe", "not supported here: ends with 20")
    switch("v", "say more", "-verbose", "--verbose")
    switch("version", "show the version and end")
    options = parser.parse_args(argv)
    problem = "" if options.version else _contradiction(options)
    if problem:
        parser.error(problem)
    return options


def _contradiction(options: argparse.Namespace) -> str:
    """What the flags together make impossible, "" for nothing."""
    if not options.addr:
        return "-addr not specified"
    if options.alts and options.spiffe:
        return "-alts and -spiffe are mutually incompatible"
    if options.alts and options.tls:
        return "cannot specify -tls with -alts"
    for name in ("tls_no_verify", "tls_ca_cert", "tls_client_cert", "tls_server_name"):
        if getattr(options, name) and not options.tls:
            return f"specified -{name.replace('_', '-')} without specifying -tls"
    if bool(options.tls_client_cert) != bool(options.tls_client_key):
        given, other = ("cert", "key") if options.tls_client_cert else ("key", "cert")
        return f"specified -tls-client-{given} without specifying -tls-client-{other}"
    for name in ("tls_ca_cert", "tls_server_name"):
        if options.tls_no_verify and getattr(options, name):
            return f"cannot specify -{name.replace('_', '-')} with -tls-no-verify (it would not be used)"
    return ""


def _go_bool(text: str) -> bool:
    known = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
    try:
        return known[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"invalid boolean value {text!r}") from None


def _header(text: str) -> tuple[str, str]:
    name, separator, value = text.partition(":")
    if not separator:
        raise argparse.ArgumentTypeError(f"invalid RPC header, expected 'name: value', got {text!r}")
    return name.strip().lower(), value.strip()


def _tell(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201  it is a command


if __name__ == "__main__":
    sys.exit(main())
