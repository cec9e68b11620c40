"""A stand-in of Twilio, core and a wire for phones, and the proof that a test has left nothing behind in core."""

import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.integration.conversation import QUIET_S, Conversation
from tests.integration.core_process import CoreProcess, Held, Sections
from tests.integration.line import left_in, nothing_is, settled_down
from tools.caller.agent_account import AgentTurn, Management
from tools.caller.script import CallScript, HangUp
from tools.caller.stream_phone import StreamPhone
from tools.caller.stream_wire import StreamWire
from tools.caller.twilio import AgentAddress, TwilioStandIn
from tools.caller.twilio_call import TwilioCall

_ANSWERED_S = 5.0


class _NotingPhone(StreamPhone):
    """Also counts what it is sent, by the names of the events."""

    def __init__(self, script: CallScript, events: Counter[str]) -> None:
        super().__init__(script, 0)
        self._events = events

    def receive(self, text: str, at_ns: int) -> None:
        self._events[json.loads(text)["event"]] += 1
        super().receive(text, at_ns)


class TwilioLiveCall(Conversation):
    """A phone on a call over Twilio that a test holds. Up from entry to `hang_up`, or to exit.

    Attributes:
        carried: the call as Twilio sees it.
        events: how often the agent has sent each kind of message.
    """

    def __init__(
        self,
        twilio: TwilioStandIn,
        wire: StreamWire,
        agent: AgentAddress,
        management: Management,
        script: CallScript,
        quiet_s: float = QUIET_S,
    ) -> None:
        super().__init__(script, management, "twilio", quiet_s)
        self.events: Counter[str] = Counter()
        phone = _NotingPhone(script, self.events)
        self.carried = TwilioCall(twilio, wire, agent, phone, script.caller, script.called)

    async def __aenter__(self) -> Self:
        try:
            await self.carried.answered(_ANSWERED_S)
        except BaseException:
            await self.carried.close()
            raise
        return self

    @property
    def handset(self) -> TwilioCall:
        return self.carried

    @property
    def up(self) -> bool:
        return not self.carried.hung_up

    async def hang_up(self) -> None:
        await self.carried.close()


@dataclass
class Exchange:
    """What a test calls through.

    Attributes:
        agent: where Twilio finds core.
    """

    twilio: TwilioStandIn
    core: CoreProcess
    wire: StreamWire
    agent: AgentAddress
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def call(self, agent: AgentAddress | None = None, **script: object) -> TwilioLiveCall:
        """A call from a caller of its own; up once it is entered. `script` are keys of `CallScript`."""
        keys = {"step": (HangUp(do="hang_up"),), "caller": f"+49301{next(self._numbers):06d}", **script}
        told = CallScript.model_validate(keys)
        return TwilioLiveCall(self.twilio, self.wire, agent or self.agent, Management(self.core.url), told)

    async def ordinary_call(self) -> AgentTurn:
        """A whole call: greeting, question, answer, hang-up."""
        async with self.call() as call:
            await call.hears_something()
            return await call.ask()

    async def warmed_up(self) -> Held:
        """What core holds once it has had a call, and none is up."""
        await self.ordinary_call()
        return await settled_down(self.core)

    async def nothing_left(self, before: Held) -> None:
        """Returns once no call, task, thread or descriptor is left over. Raises AssertionError: something stays."""

        async def left() -> Mapping[str, object]:
            return await left_in(self.core, before)

        await nothing_is(left)


def settings_for(
    twilio: TwilioStandIn, transports: str = "twilio", keys: Mapping[str, object] | None = None
) -> Sections:
    """What core is told of that Twilio; `keys` are others of its section."""
    account = {
        "account_sid": twilio.account_sid,
        "auth_token": twilio.auth_token,
        "api_base_url": twilio.rest.url,
    }
    return {"transports": {"enabled": transports}, "twilio": {**account, **(keys or {})}}


@asynccontextmanager
async def open_exchange(
    folder: Path, settings: Sections | None = None, environ: Mapping[str, str] | None = None, **keys: object
) -> AsyncIterator[Exchange]:
    """All of it, with core ready; `keys` are further ones of core's [twilio]."""
    async with TwilioStandIn() as twilio:
        sections = {**settings_for(twilio, keys=keys), **(settings or {})}
        core = CoreProcess(folder, settings=sections, environ=environ)
        try:
            await core.start()
            with StreamWire() as wire:
                yield Exchange(twilio, core, wire, AgentAddress(core.url))
        finally:
            await core.stop()
