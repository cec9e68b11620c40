"""The four processes on this machine, as compose and Kubernetes start them elsewhere."""

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.oavc.child import Child
from tools.oavc.probes import core_ready, grpc_ready

LOG_FOLDER = Path("build/logs")
SERVICES = ("asr", "llm", "tts")
# The packets of a call must never wait for a recogniser or a model.
_SERVICE_NICENESS = 5
_READY_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 10.0
_HERE = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})


@dataclass(frozen=True)
class Layout:
    """Where each process listens.

    Attributes:
        services: host and port by name; those on other machines are left alone.
        environ: what the processes are given besides our own environment.
    """

    services: Mapping[str, tuple[str, int]]
    management_port: int
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def management_url(self) -> str:
        return f"http://127.0.0.1:{self.management_port}"


class Stack:
    """Runs from entry to exit."""

    def __init__(self, layout: Layout, *, for_calls: bool, log_folder: Path = LOG_FOLDER) -> None:
        """`for_calls`: core counts as ready only once a call would reach it."""
        self._layout = layout
        self._core_ready = core_ready(layout.management_url, for_calls=for_calls)
        self._log_folder = log_folder
        self.children = list(self._children())

    async def __aenter__(self) -> Self:
        """Starts all, all at once; `ready` waits for them.

        Raises:
            OSError: a process cannot be started.
        """
        environ = {**os.environ, "PYTHONUNBUFFERED": "1", **self._layout.environ}
        try:
            for child in self.children:
                await child.start(environ)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stop()

    async def ready(self) -> None:
        """Returns once every process is ready.

        Raises:
            StartFailed: one is not, with the end of its log.
        """
        waiting = [asyncio.ensure_future(child.wait_ready(_READY_TIMEOUT_S)) for child in self.children]
        try:
            await asyncio.gather(*waiting)
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def any_ends(self) -> tuple[Child, int]:
        """The first process that ends, and its exit code."""
        waiting = {asyncio.ensure_future(child.wait()): child for child in self.children}
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
        ended = done.pop()
        return waiting[ended], ended.result()

    def reload(self) -> None:
        """Has core read its configuration again: the services do so only when they start."""
        self.children[0].reload()

    @property
    def startup_s(self) -> dict[str, float]:
        return {child.name: child.startup_s for child in self.children if child.startup_s is not None}

    def rss_mb(self) -> dict[str, float]:
        return {child.name: child.rss_mb() for child in self.children}

    def _children(self) -> Iterable[Child]:
        yield Child("core", "core", self._log_folder / "core.log", self._core_ready)
        for name in SERVICES:
            host, port = self._layout.services[name]
            if host in _HERE:
                yield Child(
                    name,
                    f"services.{name}",
                    self._log_folder / f"{name}.log",
                    grpc_ready("127.0.0.1", port),
                    _SERVICE_NICENESS,
                )

    async def _stop(self) -> None:
        # Core first: it ends its calls while its services still answer.
        for child in self.children[:1]:
            await child.stop(_STOP_TIMEOUT_S)
        await asyncio.gather(*(child.stop(_STOP_TIMEOUT_S) for child in self.children[1:]))
