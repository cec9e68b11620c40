"""A caller whose event loop is late, as on a busy machine, misses nothing of what its phone has heard."""

import time
from typing import Literal

import pytest

from tools.caller.caller import play_call
from tools.caller.ear import Ear
from tools.caller.script import CallScript, HangUp, Listen
from tools.caller.trace import Trace

_NS_PER_MS = 1_000_000


class LateCall:
    """The agent has greeted by the time that its answer is read."""

    def __init__(self) -> None:
        self.trace = Trace()
        self.ear = Ear()
        self.busy = self.hung_up = False

    async def answered(self, within_s: float) -> int:
        now_ns = time.time_ns()
        self.trace.invited_ns = now_ns - 500 * _NS_PER_MS
        for ago_ms in range(400, 300, -20):
            self.ear.heard(now_ns - ago_ms * _NS_PER_MS)
        self.trace.replied_ns = now_ns
        return 200

    def say(self, pcm: bytes, utterance: int) -> None:
        """Nobody does."""

    async def press(self, digits: str, by: Literal["rfc4733", "info"]) -> None:
        """Nobody does."""

    async def hold(self, direction: Literal["sendonly", "inactive"]) -> None:
        """Nobody does."""

    async def resume(self) -> None:
        """Nobody does."""

    def fall_silent(self) -> None:
        """Is silent."""

    async def hang_up(self) -> None:
        """Is over."""

    async def close(self) -> None:
        """Holds nothing."""


class LateLine:
    transport = "opensips"

    async def dial(self, script: CallScript, caller: str, called: str, stream: int) -> LateCall:
        return LateCall()


class Watched:
    def __init__(self) -> None:
        self.reply_ms = 0.0

    def picked_up(self, reply_ms: float) -> None:
        self.reply_ms = reply_ms

    def caller_says(self, utterance: int, text: str) -> None:
        """Nothing is said."""

    def agent_answers(self, utterance: int, voice_to_voice_ms: float) -> None:
        """Nothing is answered."""


async def test_greeting_heard_before_the_answer_is_read_is_a_greeting() -> None:
    script = CallScript(step=(Listen(do="listen", within_s=0.3, quiet_ms=100), HangUp(do="hang_up")))
    watched = Watched()
    record = await play_call(LateLine(), script, [], observer=watched)
    assert record.failures == []
    assert watched.reply_ms == pytest.approx(500, abs=1)
