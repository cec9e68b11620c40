"""Core as a process of its own on a loopback address of its own: started, asked, weighed and ended."""

import asyncio
import itertools
import json
import os
import signal
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from tools.oavc.child import Child
from tools.oavc.probes import core_ready

KNOWLEDGE = """Q: When are you open?
A: Nine to six.

Q: Where can I park?
A: Behind the shop.
"""
GREETING = "Hello."
MI_PORT = 8080
EVENT_PORT = 8090
MANAGEMENT_PORT = 8081
# Below those that the system hands out to others.
_RTP_MIN_PORT, _RTP_MAX_PORT = 20000, 20099
_READY_TIMEOUT_S = 40.0
_READINGS = 5
_TIMEOUT = aiohttp.ClientTimeout(total=5.0)
_numbers = itertools.count(1)

Sections = Mapping[str, Mapping[str, object]]

# Scripted providers, short answers, and no patience where a test would have to wait.
_SETTINGS: Sections = {
    "asr": {"provider": "scripted"},
    "llm": {"provider": "scripted"},
    "tts": {"provider": "scripted"},
    "session": {"welcome_message": GREETING},
    "dialogue": {"idle_timeout_s": 0},
    "performance": {"max_concurrent_sessions": 30, "memory_limit_mb": 4096},
    "media": {"port_quarantine_s": 0.2, "bind_retry_s": 0.5},
}


def own_address() -> str:
    """A loopback address that no other test uses: its ports are all free, whatever runs beside."""
    worker = os.getpid()
    return f"127.{64 + next(_numbers) % 128}.{worker >> 8 & 0xFF}.{worker & 0xFF}"


@dataclass(frozen=True, slots=True)
class Held:
    """What the process holds of the system, and of its event loop."""

    fds: int
    threads: int
    tasks: int
    rss_mb: float


class CoreProcess:
    """`python -m core`; started once or, after its end, again.

    Attributes:
        config: its file; what is written to it, or to `environ`, is in force from the next start.
    """

    def __init__(
        self,
        folder: Path,
        address: str = "",
        settings: Sections | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """`settings` are sections of the INI file, over those of the tests; `environ` is over the file."""
        self.address = address or own_address()
        self.url = f"http://{self.address}:{MANAGEMENT_PORT}"
        self.environ = dict(environ or {})
        self.config = folder / "core.ini"
        self._folder = folder
        knowledge = folder / "knowledge.md"
        knowledge.write_text(KNOWLEDGE, encoding="utf-8")
        own: dict[str, dict[str, object]] = {
            "opensips": {
                "mi_ip": self.address,
                "mi_port": MI_PORT,
                "event_ip": self.address,
                "event_port": EVENT_PORT,
                "advertised_ip": self.address,
                "watch_interval_s": 0.25,
                "session_journal": folder / "sessions",
            },
            "media": {
                "rtp_bind_ip": self.address,
                "rtp_min_port": _RTP_MIN_PORT,
                "rtp_max_port": _RTP_MAX_PORT,
            },
            "dialogue": {"knowledge": knowledge},
            "management": {"host": self.address, "port": MANAGEMENT_PORT},
        }
        self.config.write_text(_ini([_SETTINGS, own, settings or {}]), encoding="utf-8")
        self._starts = 0
        self._child = self._new_child(for_calls=False)

    @property
    def pid(self) -> int:
        assert self._child.pid is not None, "not running"
        return self._child.pid

    async def start(self, *, for_calls: bool = True, wait: bool = True) -> None:
        """Returns once it is ready; without `for_calls` OpenSIPS may still be missing."""
        self._child = self._new_child(for_calls)
        own = {"PYTHONUNBUFFERED": "1", "OAVC_CONFIG_FILE": str(self.config)}
        await self._child.start({**os.environ, **own, **self.environ})
        if wait:
            await self._child.wait_ready(_READY_TIMEOUT_S)

    async def stop(self) -> None:
        await self._child.stop(15.0)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def exit_code(self, within_s: float) -> int:
        async with asyncio.timeout(within_s):
            return await self._child.wait()

    async def kill(self) -> None:
        """As the system kills one that has run out of memory."""
        self.signal(signal.SIGKILL)
        await self.exit_code(5.0)
        await self.stop()

    async def get(self, path: str) -> Any:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session, session.get(self.url + path) as response:
            return await response.json() if "json" in response.content_type else await response.text()

    async def calls(self) -> list[dict[str, Any]]:
        """The calls that are up."""
        return list((await self.get("/api/v1/calls"))["calls"])

    async def metric(self, name: str) -> float:
        """A metric without labels."""
        lines = (await self.get("/metrics")).splitlines()
        return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])

    async def held(self) -> Held:
        # First: the connection that asks would count.
        tasks = int(await self.metric("oavc_event_loop_tasks"))
        process = psutil.Process(self.pid)
        return Held(process.num_fds(), process.num_threads(), tasks, process.memory_info().rss / 2**20)

    def rtp_ports_in_use(self) -> list[int]:
        """Those that cannot be bound."""
        taken = []
        for port in range(_RTP_MIN_PORT, _RTP_MAX_PORT + 1):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind((self.address, port))
                except OSError:
                    taken.append(port)
        return taken

    def logged(self, *levels: str) -> list[dict[str, Any]]:
        """The log's entries of these levels since the last start; what is no JSON counts as an error."""
        entries = []
        for line in self._child.log_path.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"level": "ERROR", "message": line}
            if entry["level"] in levels:
                entries.append(entry)
        return entries

    def errors(self) -> list[dict[str, Any]]:
        return self.logged("ERROR", "CRITICAL")

    def _new_child(self, for_calls: bool) -> Child:
        self._starts += 1
        log = self._folder / f"core-{self._starts}.log"
        return Child("core", "core", log, core_ready(self.url, for_calls=for_calls))


@dataclass(frozen=True, slots=True)
class SocketQueue:
    """A UDP socket as the kernel sees it: what waits to be read, and how much did not fit since it was opened."""

    waiting_bytes: int
    drops: int


def socket_queue(address: str, port: int) -> SocketQueue:
    """Raises: LookupError, where no such socket is bound."""
    local = f"{int.from_bytes(socket.inet_aton(address), 'little'):08X}:{port:04X}"
    # Read piece by piece: while sockets come and go elsewhere, one may be left out.
    for _ in range(_READINGS):
        for line in Path("/proc/net/udp").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[1] == local:
                return SocketQueue(int(fields[4].split(":")[1], 16), int(fields[-1]))
    raise LookupError(f"no socket on {address}:{port}")


def _ini(layers: Iterable[Sections]) -> str:
    merged: dict[str, dict[str, object]] = {}
    for sections in layers:
        for name, keys in sections.items():
            merged.setdefault(name, {}).update(keys)
    return "\n".join(
        line for name, keys in merged.items() for line in (f"[{name}]", *(f"{key} = {keys[key]}" for key in keys))
    )
