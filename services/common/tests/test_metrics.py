"""/metrics is served on a port of its own."""

import socket
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Counter

from services.common.metrics import REGISTRY, MetricsServer, process_rpc_metrics


def test_the_registry_is_served_and_the_port_is_free_afterwards() -> None:
    registry = CollectorRegistry()
    Counter("oavc_test_total", "A test's.", registry=registry).inc(3)
    server = MetricsServer("127.0.0.1", 0, registry)
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=5) as response:
        assert b"oavc_test_total 3.0" in response.read()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), 5)


def test_the_process_registers_its_rpc_metrics_once() -> None:
    assert process_rpc_metrics() is process_rpc_metrics()
    with process_rpc_metrics().measure("test.Metrics", "Once") as outcome:
        outcome.code = "NOT_FOUND"
    labels = {"service": "test.Metrics", "method": "Once", "code": "NOT_FOUND"}
    assert REGISTRY.get_sample_value("oavc_rpc_total", labels) == 1
