"""The conversation as it happens: what the caller says from the script, what the agent says from core's own account."""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence

from tools.caller.agent_account import AccountError, AgentAccount, AgentTurn, Management
from tools.oavc.console import styled, tell

_POLL_S = 0.25
# How long core's last words about a call may come after its end.
_ENDED_TIMEOUT_S = 3.0


class LiveConversation:
    """Prints one call. Used as its observer, with `follow` running beside it."""

    def __init__(
        self, management: Management, caller: str, transport: str | None = None, *, labelled: bool = False
    ) -> None:
        """`labelled`: each line says which transport's call it is of, where several are shown at once."""
        self._management = management
        self._caller = caller
        self._transport = transport
        self._label = f"{transport:<9}" if labelled else ""
        self._since = time.time() - 1.0
        self._shown = 0
        self._spoken_before = ""
        self.account: AgentAccount | None = None

    def picked_up(self, reply_ms: float) -> None:
        self._tell([styled(f"  answered after {reply_ms:.1f} ms", "dim")])

    def caller_says(self, _utterance: int, text: str) -> None:
        self._show_finished(overtaken=False)
        self._tell([f"  {styled('caller', 'cyan', 'bold')}  {text}"])

    def agent_answers(self, utterance: int, voice_to_voice_ms: float) -> None:
        """The agent's words are shown once core has said them all."""

    async def follow(self) -> None:
        """Asks core until the call has ended, or for ever."""
        while self.account is None or not self.account.ended:
            await self._refresh()
            self._show_finished(overtaken=False)
            await asyncio.sleep(_POLL_S)

    async def finish(self) -> AgentAccount | None:
        """Core's account of the call after its end, None where it has none."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ENDED_TIMEOUT_S):
                await self.follow()
        self._show_finished(overtaken=True)
        return self.account

    async def _refresh(self) -> None:
        # The report tells what is missing; the call itself goes on without us.
        with contextlib.suppress(AccountError):
            found = await self._management.find(self._caller, self._since, self._transport)
            self.account = found or self.account

    def _show_finished(self, *, overtaken: bool) -> None:
        turns = self.account.turns if self.account else ()
        while self._shown < len(turns):
            turn = turns[self._shown]
            last = self._shown == len(turns) - 1
            complete = bool(turn.said) and turn.spoken == turn.said and turn.spoken == self._spoken_before
            self._spoken_before = turn.spoken
            if last and not complete and not overtaken:
                return
            self._shown += 1
            self._spoken_before = ""
            if turn.said or turn.heard:
                self._tell(describe_turn(turn))

    def _tell(self, lines: Sequence[str]) -> None:
        label = styled(self._label, "dim") if self._label else ""
        tell("\n".join(f"{label}{line}" for line in lines))


def describe_turn(turn: AgentTurn) -> list[str]:
    """The agent's part of a turn as lines: words, then where they come from and where the time went."""
    words = turn.said or "(nothing)"
    if turn.interrupted:
        words = f"{turn.spoken} {styled('(interrupted)', 'yellow')}"
    lines = [f"  {styled('agent', 'green', 'bold')}   {words}"]
    if turn.heard:
        lines.append(styled(f"          {turn.source}, {describe_stages(turn.stages_ms)}", "dim"))
        lines.append(styled(f"          heard: {turn.heard}", "dim"))
    return lines


def describe_stages(stages_ms: Mapping[str, float]) -> str:
    if not stages_ms:
        return "no audio"
    parts = [f"{name} {spent:.0f}" for name, spent in stages_ms.items() if name != "total"]
    return f"{stages_ms.get('total', sum(stages_ms.values())):.0f} ms = {' + '.join(parts)}"
