"""A phone on a call that a test holds: it asks, hears, and hangs up when it is told to."""

import asyncio
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from tests.support.voices import speech
from tools.caller.agent_account import AgentAccount, AgentTurn, Management
from tools.caller.offer import make_offer, read_answer
from tools.caller.opensips import OpenSipsStandIn
from tools.caller.phone import Phone, Remote
from tools.caller.script import CallScript, HangUp
from tools.caller.sip_call import SipCall
from tools.caller.trace import Trace
from tools.caller.wire import Wire

QUESTION = "When are you open?"
_NS_PER_S = 1_000_000_000
_POLL_S = 0.02
# A tone has no pauses.
_QUIET_S = 0.35
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


class LiveCall:
    """Up from entry to `hang_up`, or to exit.

    Attributes:
        phone: its media; `sip`: its signalling.
        remote: where the agent's answer wants the caller's packets.
        utterances: how often the caller has spoken.
    """

    phone: Phone
    sip: SipCall
    remote: Remote

    def __init__(
        self,
        opensips: OpenSipsStandIn,
        wire: Wire,
        management: Management,
        caller: str,
        script: Mapping[str, object],
        quiet_s: float = _QUIET_S,
    ) -> None:
        """`script` are keys of `CallScript`; `quiet_s` is a pause after which the agent has said all."""
        self.script = CallScript.model_validate({"step": (HangUp(do="hang_up"),), "caller": caller, **script})
        self._opensips = opensips
        self._wire = wire
        self._management = management
        self._since_s = time.time() - 1
        self.utterances = 0
        self._over = False
        self._quiet_s = quiet_s

    async def __aenter__(self) -> Self:
        self.phone = self._wire.open(self.script)
        try:
            offer = make_offer(self._wire.address, self.phone.local_port, "PCMU", 1)
            self.sip = self._opensips.invite(offer, caller=self.script.caller, called=self.script.called)
            reply = await self.sip.final()
            assert reply.status == 200, f"{reply.status} {reply.reason}"
            self.remote = read_answer(reply.body, "PCMU")
            self.phone.connect(self.remote)
            self.sip.ack()
        except BaseException:
            self._wire.hang_up(self.phone)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.hang_up()

    @property
    def trace(self) -> Trace:
        return self.phone.trace

    @property
    def up(self) -> bool:
        """The agent has not hung up."""
        return not self.sip.hung_up.is_set()

    async def hears(self, since_ns: int = 0, within_s: float = _PATIENCE_S) -> None:
        """Returns once the agent has begun to speak.

        Raises:
            TimeoutError: the caller hears nothing.
        """
        ear = self.phone.ear
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
        ear = self.phone.ear
        await until(lambda: time.time_ns() - ear.last_ns > self._quiet_s * _NS_PER_S, 20.0, "the agent is quiet again")

    async def say(self, text: str = QUESTION) -> int:
        """Speaks; the moment of the last sound, by the packets themselves: this loop may learn of it late."""
        utterance = self.utterances
        self.utterances += 1
        self.phone.say(speech(text), utterance)
        await until(lambda: not self.phone.busy, 20.0, "the caller has spoken")
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
        account = await self._management.find(self.script.caller, self._since_s)
        assert account is not None, "core has no account of the call"
        return account

    async def answers(self) -> list[AgentTurn]:
        """What the agent said to what it heard."""
        return [turn for turn in (await self.account()).turns if turn.heard]

    async def vanish(self) -> None:
        """The phone loses its network: no packet and no BYE comes any more."""
        self._over = True
        self._wire.hang_up(self.phone)

    async def hang_up(self) -> None:
        """Harmless when repeated."""
        if self._over:
            return
        self._over = True
        self.phone.sending = False
        if self.up:
            await self.sip.request("BYE", timeout_s=3.0)
        self._wire.hang_up(self.phone)
