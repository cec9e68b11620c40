"""What a transport is, and what the process gives to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from core.leg import CallHandler
from core.media.plane import MediaPlane
from services.common.settings import Section


class Transport(Protocol):
    """A way for calls to come in."""

    name: str

    async def run(self, handler: CallHandler) -> None:
        """Serves until cancelled: every call it hears of is given to `handler`. Peers may start later, and restart.

        Raises:
            OSError: its own sockets cannot be opened.
        """

    @property
    def ready(self) -> bool:
        """Whether a call placed now would reach us."""

    @property
    def routes(self) -> Sequence[web.AbstractRouteDef]:
        """What it serves in the process' HTTP server; not guarded by the management interface's token."""

    async def drain(self) -> None:
        """Refuses new calls from now on (`Draining`); calls that are up go on."""


class Dialler(Protocol):
    """A transport that can also place calls."""

    name: str

    async def place(self, called: str, caller: str, parameters: Mapping[str, str]) -> str:
        """Calls a number from one of ours; returns the `call_id` with which the call then comes in as any other.

        Args:
            called: E.164 with its plus, or a SIP URI.

        Raises:
            ValueError: that is no number it can call.
            SignallingError: it was not placed.
        """


@dataclass(frozen=True, slots=True)
class Host:
    """What the process has for its transports.

    Attributes:
        admission: raises `CallRefused` where a call that came now would be refused. `CallHandler` asks again.
        placed_call_over: to be told the `call_id` of a placed call that is over, whether or not it came in.
    """

    plane: MediaPlane
    admission: Callable[[], None]
    placed_call_over: Callable[[str], None] = lambda _call_id: None


class TransportFactory(Protocol):
    """How one transport is configured and made."""

    @property
    def sections(self) -> Sequence[type[Section]]:
        """What it reads of the settings. Its module imports little beside them: it is asked in every process."""

    def problems(self, settings: Mapping[type[Section], Section], *, places_calls: bool) -> list[str]:
        """What of the settings stands against making it, and against its placing calls where it is to."""

    def build(self, settings: Mapping[type[Section], Section], host: Host) -> Transport:
        """The transport, not yet running.

        Raises:
            ConfigurationError: what it needs is not installed, or not set.
        """
