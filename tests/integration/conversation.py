"""What a test's caller does on a call, on whatever line: says, hears, asks, and looks up what core says of it."""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from tests.support.voices import speech
from tools.caller.agent_account import AgentAccount, AgentTurn, Management
from tools.caller.ear import Ear
from tools.caller.script import CallScript
from tools.caller.trace import Trace

QUESTION = "When are you open?"
_NS_PER_S = 1_000_000_000
_POLL_S = 0.02
# A tone has no pauses.
QUIET_S = 0.35
_PATIENCE_S = 12.0


async def until(condition: Callable[[], bool], within_s: float, what: str) -> None:
    """Returns once the condition holds.

    Raises:
        TimeoutError: it does not in time; the message says what was waited for.
    """
    deadline_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{what}: not within {within_s:g} s")
        await asyncio.sleep(_POLL_S)


class Handset(Protocol):
    """What the caller speaks into, and hears with."""

    @property
    def trace(self) -> Trace: ...

    @property
    def ear(self) -> Ear: ...

    @property
    def busy(self) -> bool: ...

    def say(self, pcm: bytes, utterance: int, /) -> None: ...


class Conversation:
    """A call that a test holds; each kind of line has its own.

    Attributes:
        utterances: how often the caller has spoken.
    """

    def __init__(self, script: CallScript, management: Management, transport: str, quiet_s: float) -> None:
        """`quiet_s` is a pause after which the agent has said all."""
        self.script = script
        self._management = management
        self._transport = transport
        self._quiet_s = quiet_s
        self._since_s = time.time() - 1
        self.utterances = 0

    async def __aenter__(self) -> Self:
        """The call is up."""
        raise NotImplementedError

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.hang_up()

    @property
    def handset(self) -> Handset:
        raise NotImplementedError

    @property
    def up(self) -> bool:
        """The agent has not hung up."""
        raise NotImplementedError

    async def hang_up(self) -> None:
        """Harmless when repeated."""
        raise NotImplementedError

    @property
    def trace(self) -> Trace:
        return self.handset.trace

    async def hears(self, since_ns: int = 0, within_s: float = _PATIENCE_S) -> None:
        """Returns once the agent has begun to speak.

        Raises:
            TimeoutError: the caller hears nothing.
        """
        ear = self.handset.ear
        await until(lambda: ear.began_after(since_ns) is not None, within_s, "the agent is heard")

    async def hears_something(self, within_s: float = _PATIENCE_S, since_ns: int = 0) -> None:
        """Returns once the agent has spoken and is quiet again.

        Raises:
            TimeoutError: the caller hears nothing.
        """
        await self.hears(since_ns, within_s)
        await self.falls_quiet()

    async def falls_quiet(self) -> None:
        """Returns once the agent says nothing."""
        ear = self.handset.ear
        await until(lambda: time.time_ns() - ear.last_ns > self._quiet_s * _NS_PER_S, 20.0, "the agent is quiet again")

    async def say(self, text: str = QUESTION) -> int:
        """Speaks; the moment of the last sound, by the packets themselves: this loop may learn of it late."""
        utterance = self.utterances
        self.utterances += 1
        self.handset.say(speech(text), utterance)
        await until(lambda: not self.handset.busy, 20.0, "the caller has spoken")
        spoken_ns = self.trace.last_audible_ns(utterance)
        assert spoken_ns is not None
        return spoken_ns

    async def ask(self, text: str = QUESTION, within_s: float = _PATIENCE_S) -> AgentTurn:
        """Speaks, hears an answer out, and returns what core says of it: so there is audio both ways."""
        before = len(await self.answers())
        spoken_ns = await self.say(text)
        await self.hears_something(within_s, spoken_ns)
        answers = await self.answers()
        assert len(answers) > before, "the agent spoke, but not in answer"
        return answers[-1]

    async def account(self) -> AgentAccount:
        account = await self._management.find(self.script.caller, self._since_s, self._transport)
        assert account is not None, "core has no account of the call"
        return account

    async def answers(self) -> list[AgentTurn]:
        """What the agent said to what it heard."""
        return [turn for turn in (await self.account()).turns if turn.heard]
