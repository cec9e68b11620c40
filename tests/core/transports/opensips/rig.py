"""A connector beside a stand-in of OpenSIPS."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from core.leg import CallHandler, CallLeg, EndReason, LegEnded, LegEvent
from core.media.plane import MediaPlane
from core.transports.opensips.dialog import DialogState
from core.transports.opensips.leg import OpenSipsLeg
from core.transports.opensips.settings import OpenSipsSettings
from core.transports.opensips.transport import OpenSipsTransport
from tools.caller.opensips import OpenSipsStandIn
from tools.caller.sip_call import SipCall

OFFER = (
    "v=0\r\no=h4 53655765 2353687637 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 16000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
    "a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
)


@dataclass
class Conversation:
    """A handler that answers, and remembers what the leg told."""

    answers: bool = True
    before_answer: Callable[[CallLeg], Awaitable[None]] | None = None
    after_answer: Callable[[CallLeg], Awaitable[None]] | None = None
    legs: list[CallLeg] = field(default_factory=list)
    events: list[LegEvent] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def __call__(self, leg: CallLeg) -> None:
        await self._note(self.legs, leg)
        try:
            if self.before_answer is not None:
                await self.before_answer(leg)
            if self.answers:
                await leg.answer()
            if self.after_answer is not None:
                await self.after_answer(leg)
            while True:
                event = await leg.receive()
                if type(event).__name__ != "AudioReceived":
                    await self._note(self.events, event)
                if isinstance(event, LegEnded):
                    return
        except Exception as error:
            await self._note(self.errors, error)
            raise

    async def _note(self, where: list[Any], what: Any) -> None:
        async with self._news:
            where.append(what)
            self._news.notify_all()

    async def leg(self, number: int = 0) -> CallLeg:
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: len(self.legs) > number)
        return self.legs[number]

    async def saw(self, event: LegEvent) -> None:
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: event in self.events)

    async def ended(self) -> EndReason:
        """Why the last call ended."""

        def last() -> bool:
            return bool(self.events) and isinstance(self.events[-1], LegEnded)

        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(last)
        event = self.events[-1]
        assert isinstance(event, LegEnded)
        return event.reason


class Rig:
    """One connector, one OpenSIPS."""

    def __init__(self, opensips: OpenSipsStandIn, plane: MediaPlane) -> None:
        self.opensips = opensips
        self.plane = plane
        self.conversation = Conversation()
        self.handler: CallHandler | None = None
        self.transport: OpenSipsTransport
        self._running: asyncio.Task[None] | None = None

    def settings(self, **changes: Any) -> OpenSipsSettings:
        given: dict[str, Any] = {
            "mi_port": self.opensips.mi_port,
            "event_ip": "127.0.0.1",
            "event_port": 0,
            "watch_interval_s": 0.05,
            "mi_timeout_s": 0.25,
            "shutdown_timeout_s": 2.0,
        }
        return OpenSipsSettings(**(given | changes))

    async def connect(self, **changes: Any) -> None:
        """Starts a connector and returns once OpenSIPS knows it."""
        self.start(**changes)
        await self.opensips.wait_subscribed()
        await until(lambda: self.transport.ready)

    def start(self, **changes: Any) -> None:
        self.transport = OpenSipsTransport(self.settings(**changes), self.plane)
        self._running = asyncio.get_running_loop().create_task(self.transport.run(self._handle))

    async def _handle(self, leg: CallLeg) -> None:
        await (self.handler or self.conversation)(leg)

    async def answered(self) -> SipCall:
        """A call that is up, on both sides."""
        call = self.opensips.invite(OFFER)
        assert (await call.final()).status == 200
        call.ack()
        await until(lambda: self.leg(call).dialog.state is DialogState.CONFIRMED)
        return call

    def leg(self, call: SipCall) -> OpenSipsLeg:
        return self.transport._legs[call.key]

    async def crash(self) -> None:
        """The connector dies without a word: nothing that it would still send goes out."""
        self.transport.events.close()
        self.transport.mi.close()
        self.transport.mi._resolved = _no_socket  # type: ignore[method-assign]
        await self.disconnect()

    async def disconnect(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})
            self._running = None

    async def quiet(self) -> None:
        """Returns once no call is left anywhere."""
        await self.opensips.settled()
        await until(lambda: self.transport.calls == 0 and not self.transport.orphans)


async def _no_socket() -> Any:
    raise OSError("crashed")


async def until(true: Callable[[], bool], timeout_s: float = 5.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not true():
            await asyncio.sleep(0.002)
