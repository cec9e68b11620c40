"""Where the processes listen: as configured, or on ports that nobody else uses."""

import contextlib
import socket
from collections.abc import Mapping
from pathlib import Path

from core.management.settings import ManagementSettings
from core.providers.settings import AsrSettings, LlmSettings, TtsSettings
from core.settings import CoreLogSettings, load_settings
from tools.oavc.stack import SERVICES, Layout

_LOOPBACK = "127.0.0.1"


def configured(path: Path | None, environ: Mapping[str, str], *, watched: bool = False) -> Layout:
    """As the file and the environment say; `watched`: people read the logs as they come.

    Raises:
        ConfigurationError: every problem at once.
    """
    loaded = load_settings(path, environ)
    stages = {"asr": loaded[AsrSettings], "llm": loaded[LlmSettings], "tts": loaded[TtsSettings]}
    return Layout(
        services={name: (stage.host, stage.port) for name, stage in stages.items()},
        management_port=loaded[ManagementSettings].port,
        environ={
            **({"OAVC_CONFIG_FILE": str(path)} if path else {}),
            # The processes write to files, and cannot see who reads them.
            **({"LOG_FORMAT": "console"} if watched and loaded[CoreLogSettings].format == "auto" else {}),
        },
    )


def private(path: Path | None, mi_port: int) -> Layout:
    """On this machine's loopback, beside whatever else runs, with the OpenSIPS whose MI listens on `mi_port`."""
    management_port, *service_ports = _free_tcp_ports(1 + len(SERVICES))
    services = dict(zip(SERVICES, service_ports, strict=True))
    environ = {
        "MI_IP": _LOOPBACK,
        "MI_PORT": str(mi_port),
        "OPENSIPS_EVENT_IP": _LOOPBACK,
        "OPENSIPS_EVENT_PORT": "0",
        "OPENSIPS_RTP_BIND_IP": _LOOPBACK,
        "RTP_IP": _LOOPBACK,
        "MANAGEMENT_HOST": _LOOPBACK,
        "MANAGEMENT_PORT": str(management_port),
    }
    for name, port in services.items():
        environ |= {
            f"{name.upper()}_SERVICE_HOST": _LOOPBACK,
            f"{name.upper()}_BIND_IP": _LOOPBACK,
            f"{name.upper()}_SERVICE_PORT": str(port),
        }
    if path is not None:
        environ["OAVC_CONFIG_FILE"] = str(path)
    return Layout({name: (_LOOPBACK, port) for name, port in services.items()}, management_port, environ)


def _free_tcp_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; one may be taken before it is used, though hardly."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((_LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]
