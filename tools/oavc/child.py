"""One process of the stack: started, watched until it is ready, weighed, and stopped by its id."""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import IO

import psutil

_POLL_S = 0.05
_LOG_LINES = 15

# Why a process is not ready yet, "" once it is.
ReadyProbe = Callable[[], Awaitable[str]]


class StartFailed(Exception):
    """A process ended or did not get ready; the message says why and shows the end of its log."""


class Child:
    """A Python module run as a process, its output in a log file."""

    def __init__(self, name: str, module: str, log_path: Path, ready: ReadyProbe, niceness: int = 0) -> None:
        self.name = name
        self.log_path = log_path
        self.startup_s: float | None = None
        self._module = module
        self._ready = ready
        self._niceness = niceness
        self._process: asyncio.subprocess.Process | None = None
        self._log: IO[bytes] | None = None
        self._started_s = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self, environ: Mapping[str, str]) -> None:
        """Starts it, in a process group of its own: a Ctrl-C is for us, who then stop it in order."""
        command = [sys.executable, "-m", self._module]
        if self._niceness and shutil.which("nice"):
            command = ["nice", "-n", str(self._niceness), *command]
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self._log = self.log_path.open("wb")
        self._started_s = time.monotonic()
        self._process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    async def wait_ready(self, timeout_s: float) -> None:
        """Returns once it is ready; `startup_s` then holds how long that took.

        Raises:
            StartFailed: it ended, or took longer.
        """
        assert self._process is not None, "not started"
        reason = "it was not asked yet"
        while time.monotonic() - self._started_s < timeout_s:
            if self._process.returncode is not None:
                raise StartFailed(self._failure(f"ended with code {self._process.returncode}"))
            reason = await self._ready()
            if not reason:
                self.startup_s = time.monotonic() - self._started_s
                return
            await asyncio.sleep(_POLL_S)
        raise StartFailed(self._failure(f"not ready after {timeout_s:g} s: {reason}"))

    async def wait(self) -> int:
        """Its exit code, once it has ended."""
        assert self._process is not None, "not started"
        return await self._process.wait()

    def reload(self) -> None:
        """SIGHUP, unless it has ended."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGHUP)

    async def stop(self, timeout_s: float) -> None:
        """SIGTERM, and SIGKILL for one that does not end in time."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), timeout_s)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._log is not None:
            self._log.close()
            self._log = None

    def rss_mb(self) -> float:
        """Resident memory of the process and its children, in MB of 2**20 bytes; 0 where it has ended."""
        if self._process is None:
            return 0.0
        try:
            parent = psutil.Process(self._process.pid)
            processes = [parent, *parent.children(recursive=True)]
            return float(sum(process.memory_info().rss for process in processes)) / 2**20
        except psutil.NoSuchProcess:
            return 0.0

    def _failure(self, what: str) -> str:
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        tail = "".join(f"\n    {line}" for line in lines[-_LOG_LINES:])
        return f"{self.name}: {what}\n  the end of {os.path.relpath(self.log_path)}:{tail or ' (empty)'}"
