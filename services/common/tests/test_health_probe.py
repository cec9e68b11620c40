"""The probe takes grpc-health-probe's flags, gives its exit codes, and says what to do."""

import argparse
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from services.common.go_duration import parse_duration_s
from services.common.health import ACTION_METADATA_KEY, REASON_METADATA_KEY
from services.common.health_probe import main
from services.common.tests.tls_material import CERTIFICATE, KEY

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

Answer = Callable[[Any, Any], health_pb2.HealthCheckResponse]


class Server:
    """A gRPC server whose health is what `answer` says; `requests` and `metadata` are what it was asked."""

    def __init__(self) -> None:
        self.answer: Answer = lambda request, context: health_pb2.HealthCheckResponse(status=SERVING)
        self.requests: list[str] = []
        self.metadata: dict[str, str | bytes] = {}
        handler = grpc.unary_unary_rpc_method_handler(
            self._check,
            request_deserializer=health_pb2.HealthCheckRequest.FromString,
            response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
        )
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),)
        )
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        credentials = grpc.ssl_server_credentials([(KEY, CERTIFICATE)])
        self.tls_port = self.server.add_secure_port("127.0.0.1:0", credentials)
        self.server.start()

    def _check(self, request: Any, context: Any) -> health_pb2.HealthCheckResponse:
        self.requests.append(request.service)
        self.metadata = dict(context.invocation_metadata())
        return self.answer(request, context)


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    server = Server()
    yield server
    server.server.stop(0).wait()


@pytest.fixture
def server(shared_server: Server) -> Server:
    shared_server.answer = lambda request, context: health_pb2.HealthCheckResponse(status=SERVING)
    shared_server.requests.clear()
    return shared_server


Probe = Callable[..., tuple[int, str]]


@pytest.fixture
def probe(capfd: pytest.CaptureFixture[str]) -> Probe:
    def run(*arguments: str) -> tuple[int, str]:
        try:
            code = main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capfd.readouterr()
        return code, captured.err + captured.out

    return run


@pytest.mark.parametrize(
    "arguments",
    [
        ("-addr", "127.0.0.1:{port}"),
        ("-addr=127.0.0.1:{port}",),
        ("--addr=127.0.0.1:{port}", "--service", "readiness"),
        ("-addr=:{port}", "-connect-timeout=500ms", "-rpc-timeout", "1m30s", "-gzip", "-user-agent", "kubelet"),
        ("-addr=dns:///127.0.0.1:{port}",),
        ("-tls=false", "-addr=127.0.0.1:{port}", "-v"),
    ],
)
def test_a_serving_server_gives_0(server: Server, probe: Probe, arguments: tuple[str, ...]) -> None:
    code, said = probe(*(each.format(port=server.port) for each in arguments))
    assert (code, said.splitlines()[-1]) == (0, "status: SERVING")


def test_what_is_asked_for_is_sent(server: Server, probe: Probe) -> None:
    probe(
        f"-addr=127.0.0.1:{server.port}",
        "-service=readiness",
        "-user-agent=kubelet",
        "-rpc-header=Authorization: Bearer x:y",
        "-rpc-header",
        "x-a:1",
    )
    assert server.requests == ["readiness"]
    assert str(server.metadata["user-agent"]).startswith("kubelet ")
    assert (server.metadata["authorization"], server.metadata["x-a"]) == ("Bearer x:y", "1")


def test_a_server_that_does_not_serve_gives_4_and_its_reason(server: Server, probe: Probe) -> None:
    def answer(request: Any, context: Any) -> health_pb2.HealthCheckResponse:
        context.set_trailing_metadata(
            ((REASON_METADATA_KEY, "model missing: x"), (ACTION_METADATA_KEY, "get it with: oavc models fetch x"))
        )
        return health_pb2.HealthCheckResponse(status=NOT_SERVING)

    server.answer = answer
    code, said = probe(f"-addr=127.0.0.1:{server.port}")
    assert code == 4
    assert said.splitlines() == [
        "service unhealthy (responded with 'NOT_SERVING')",
        "  reason: model missing: x",
        "  action: get it with: oavc models fetch x",
    ]


def test_a_server_of_another_make_gives_4_without_a_reason(server: Server, probe: Probe) -> None:
    server.answer = lambda request, context: health_pb2.HealthCheckResponse(status=NOT_SERVING)
    code, said = probe(f"-addr=127.0.0.1:{server.port}")
    assert (code, said) == (4, "service unhealthy (responded with 'NOT_SERVING')\n")


@pytest.mark.parametrize(
    ("status", "details", "expected"),
    [
        (grpc.StatusCode.NOT_FOUND, "no service 'x' here, only ''", "Choose one of them with -service"),
        (grpc.StatusCode.UNIMPLEMENTED, "", "does not implement the grpc health protocol"),
        (grpc.StatusCode.INTERNAL, "broken", "error: health rpc failed: INTERNAL: broken"),
    ],
)
def test_a_failing_check_gives_3(
    server: Server, probe: Probe, status: grpc.StatusCode, details: str, expected: str
) -> None:
    server.answer = lambda request, context: context.abort(status, details)
    code, said = probe(f"-addr=127.0.0.1:{server.port}")
    assert code == 3
    assert expected in said


def test_a_check_that_takes_too_long_gives_3(server: Server, probe: Probe) -> None:
    release = threading.Event()

    def answer(request: Any, context: Any) -> health_pb2.HealthCheckResponse:
        release.wait(5)
        return health_pb2.HealthCheckResponse()

    server.answer = answer
    code, said = probe(f"-addr=127.0.0.1:{server.port}", "-rpc-timeout=50ms")
    release.set()
    assert code == 3
    assert "stuck or overloaded" in said


def test_a_refused_connection_gives_2_at_once_and_says_what_to_start(probe: Probe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    code, said = probe(f"-addr=127.0.0.1:{port}", "-connect-timeout=60s")
    assert code == 2
    assert "Nothing listens there. Start the service (`oavc up`)" in said


def test_an_unknown_name_gives_2(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(address: tuple[str, int], timeout: float) -> socket.socket:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", unknown)
    code, said = probe("-addr=asr-servcie:50051")
    assert code == 2
    assert "The name 'asr-servcie' is not known" in said


@pytest.mark.parametrize(
    ("error", "expected"),
    [(TimeoutError(), "no firewall drops"), (OSError(101, "Network is unreachable"), "unreachable")],
)
def test_an_address_that_does_not_answer_gives_2(
    probe: Probe, monkeypatch: pytest.MonkeyPatch, error: OSError, expected: str
) -> None:
    def fail(address: tuple[str, int], timeout: float) -> socket.socket:
        raise error

    monkeypatch.setattr(socket, "create_connection", fail)
    code, said = probe("-addr=192.0.2.1:50051")
    assert code == 2
    assert expected in said


def test_a_port_that_speaks_something_else_gives_2(probe: Probe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code, said = probe(f"-addr=127.0.0.1:{silent.getsockname()[1]}", "-connect-timeout=200ms")
    assert code == 2
    assert "The port is open but speaks no gRPC; if it expects TLS, add -tls." in said


def test_a_unix_socket_can_be_probed(probe: Probe, tmp_path: Path) -> None:
    code, said = probe(f"-addr=unix:{tmp_path}/none.sock", "-connect-timeout=100ms")
    assert code == 2
    assert said.startswith("timeout")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(CERTIFICATE)
    return path


def test_tls_verifies_by_the_given_certificate_and_name(server: Server, probe: Probe, certificate: Path) -> None:
    code, said = probe(
        f"-addr=127.0.0.1:{server.tls_port}", "-tls", f"-tls-ca-cert={certificate}", "-tls-server-name=asr-service"
    )
    assert (code, said) == (0, "status: SERVING\n")


def test_tls_without_verification_takes_what_is_shown(server: Server, probe: Probe) -> None:
    code, said = probe(f"-addr=127.0.0.1:{server.tls_port}", "-tls", "-tls-no-verify")
    assert (code, said) == (0, "status: SERVING\n")


def test_tls_takes_a_client_certificate(server: Server, probe: Probe, certificate: Path, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(KEY)
    code, _ = probe(
        f"-addr=127.0.0.1:{server.tls_port}",
        "-tls",
        "-tls-no-verify",
        f"-tls-client-cert={certificate}",
        f"-tls-client-key={key}",
    )
    assert code == 0


def test_an_unverified_certificate_gives_2(server: Server, probe: Probe) -> None:
    code, said = probe(f"-addr=127.0.0.1:{server.tls_port}", "-tls", "-connect-timeout=300ms")
    assert code == 2
    assert "with this TLS configuration" in said


def test_credentials_that_cannot_be_made_give_1(server: Server, probe: Probe) -> None:
    code, said = probe(f"-addr=127.0.0.1:{server.port}", "-tls", "-tls-ca-cert=/none.pem")
    assert (code, said) == (
        1,
        "error: failed to initialize tls credentials: /none.pem: No such file or directory\n",
    )
    assert probe(f"-addr=127.0.0.1:{server.port}", "-tls", "-tls-no-verify")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "-addr not specified"),
        (("-addr=x:1", "-connect-timeout=0s"), "must be greater than zero"),
        (("-addr=x:1", "-rpc-timeout=5"), "invalid duration '5'"),
        (("-addr=x:1", "-tls-no-verify"), "specified -tls-no-verify without specifying -tls"),
        (("-addr=x:1", "-tls-ca-cert=x"), "specified -tls-ca-cert without specifying -tls"),
        (("-addr=x:1", "-tls-server-name=x"), "specified -tls-server-name without specifying -tls"),
        (("-addr=x:1", "-tls", "-tls-client-cert=x"), "-tls-client-cert without specifying -tls-client-key"),
        (("-addr=x:1", "-tls", "-tls-client-key=x"), "-tls-client-key without specifying -tls-client-cert"),
        (("-addr=x:1", "-tls", "-tls-no-verify", "-tls-ca-cert=x"), "cannot specify -tls-ca-cert with -tls-no-verify"),
        (
            ("-addr=x:1", "-tls", "-tls-no-verify", "-tls-server-name=x"),
            "cannot specify -tls-server-name with -tls-no-verify",
        ),
        (("-addr=x:1", "-alts", "-tls"), "cannot specify -tls with -alts"),
        (("-addr=x:1", "-alts", "-spiffe"), "mutually incompatible"),
        (("-addr=x:1", "-tls=perhaps"), "invalid boolean value 'perhaps'"),
        (("-addr=x:1", "-rpc-header=x"), "expected 'name: value'"),
        (("-addr=x:1", "-nope"), "unrecognized arguments: -nope"),
    ],
)
def test_impossible_arguments_give_1(probe: Probe, arguments: tuple[str, ...], expected: str) -> None:
    code, said = probe(*arguments)
    assert code == 1
    assert expected in said


def test_spiffe_gives_20_for_it_is_not_supported(probe: Probe) -> None:
    assert probe("-addr=x:1", "-spiffe")[0] == 20


def test_alts_is_tried(server: Server, probe: Probe) -> None:
    assert probe(f"-addr=127.0.0.1:{server.port}", "-alts", "-connect-timeout=100ms")[0] == 2


def test_the_version_needs_no_address(probe: Probe) -> None:
    code, said = probe("-version")
    assert code == 0
    assert "oavc-health-probe" in said


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("1s", 1), ("1.5s", 1.5), ("1m30s", 90), ("2h", 7200), ("3us", 3e-6)]
)
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1", "s", "-1s", "1 s", "0s", "1s1"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        parse_duration_s(text)


def test_the_command_runs(server: Server) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.common.health_probe", f"-addr=127.0.0.1:{server.port}"],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "status: SERVING\n")
