"""Where the processes listen: as configured, or on ports that nobody else uses."""

import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.management.settings import ManagementSettings
from core.providers.settings import AsrSettings, LlmSettings, TtsSettings
from core.settings import CoreLogSettings, load_settings
from tools.oavc.stack import SERVICES, Layout

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class TwilioAccount:
    """What core is told of a Twilio that nobody else knows."""

    account_sid: str
    auth_token: str
    api_base_url: str


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


def private(path: Path | None, mi_port: int | None, twilio: TwilioAccount | None = None) -> Layout:
    """On this machine's loopback, beside whatever else runs.

    Calls come from the OpenSIPS whose MI listens on `mi_port`, from that Twilio account, or from both.
    """
    management_port, *service_ports = _free_tcp_ports(1 + len(SERVICES))
    services = dict(zip(SERVICES, service_ports, strict=True))
    transports = ["opensips"] * (mi_port is not None) + ["twilio"] * (twilio is not None)
    environ = {
        "TRANSPORTS": ",".join(transports),
        "MANAGEMENT_HOST": _LOOPBACK,
        "MANAGEMENT_PORT": str(management_port),
    }
    if mi_port is not None:
        environ |= {
            "MI_IP": _LOOPBACK,
            "MI_PORT": str(mi_port),
            "OPENSIPS_EVENT_IP": _LOOPBACK,
            "OPENSIPS_EVENT_PORT": "0",
            "OPENSIPS_RTP_BIND_IP": _LOOPBACK,
            "RTP_IP": _LOOPBACK,
        }
    if twilio is not None:
        environ |= {
            "TWILIO_ACCOUNT_SID": twilio.account_sid,
            "TWILIO_AUTH_TOKEN": twilio.auth_token,
            "TWILIO_API_BASE_URL": twilio.api_base_url,
            "TWILIO_PUBLIC_URL": f"https://{_LOOPBACK}:{management_port}",
            "TWILIO_PATH": "/twilio",
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
