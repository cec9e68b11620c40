"""Calls through the four processes with their real engines: heard, answered and interrupted, on a bad line, and with
each service killed in the middle.
"""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from core.dialogue.settings import DialogueSettings
from tests.e2e.stack import RealLine, open_real_line
from tests.integration.live_call import LiveCall
from tools.caller import timing
from tools.caller.agent_account import AgentTurn
from tools.caller.facts import Fact
from tools.caller.recorder import Recording
from tools.caller.transcriber import Transcriber, whisper_transcriber

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.engine]

APOLOGY = DialogueSettings().apology_message
OPEN = "When are you open?"
# However the transcriber writes it.
NINE_TO_SIX = "nine (?:to |until )?six"
# From config/knowledge.md, word for word.
KEPT_ANSWER = "We are open from nine to six, Monday to Saturday."
FOR_THE_MODEL = "What should I wear in the rain?"
# Until a caller may think that nobody is there.
NOT_SILENCE_S = 8.0
ANSWERED_WITHIN_S = 15.0
# With another test's processes on the same cores.
LONGEST_INTERRUPTED_MS = 1000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def line(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealLine]:
    async with open_real_line(tmp_path_factory.mktemp("stack")) as opened:
        yield opened


@pytest.fixture(scope="module")
def transcribe() -> Transcriber:
    return whisper_transcriber()


class Listener:
    """Stretches of a call, judged after it by the audio on the wire: until then the engines have the machine."""

    def __init__(self, call: LiveCall, transcribe: Transcriber) -> None:
        self._call = call
        self._transcribe = transcribe
        self._facts: list[tuple[Fact, int, int]] = []

    def expect(self, pattern: str, since_ns: int = 0) -> None:
        """The caller has heard that between then and now."""
        self._facts.append((Fact(pattern), since_ns, time.time_ns()))

    async def judge(self) -> None:
        recording = Recording(self._call.trace)
        for fact, since_ns, until_ns in self._facts:
            # Off the loop: OpenSIPS goes on answering.
            heard = await asyncio.to_thread(self._transcribe, recording.agent_between(since_ns, until_ns))
            assert fact.occurs_in(heard), (fact.pattern, heard)


async def test_call_is_greeted_answered_interrupted_and_ended_by_the_agent(
    line: RealLine, transcribe: Transcriber
) -> None:
    async with line.call() as call:
        listener = Listener(call, transcribe)
        await call.hears_something()
        listener.expect("riverside")
        asked_ns = time.time_ns()
        assert (await call.ask(OPEN)).source == "knowledge"
        listener.expect(NINE_TO_SIX, asked_ns)

        asked_ns = await call.say("What is included in a full service?")
        await call.hears(asked_ns)
        await asyncio.sleep(1.0)
        interrupting = call.utterances
        asked_ns = await call.say("Sorry, do you take credit cards?")
        silence_ms = timing.onset_to_silence_ms(call.trace, interrupting)
        assert silence_ms is not None
        assert silence_ms < LONGEST_INTERRUPTED_MS
        await call.hears_something(since_ns=asked_ns)
        listener.expect("card", asked_ns)

        await call.say("Goodbye.")
        async with asyncio.timeout(10):
            await call.sip.hung_up.wait()
    await line.opensips.settled()
    assert line.opensips.violations == []
    async with asyncio.timeout(5):
        while not (account := await call.account()).ended:
            await asyncio.sleep(0.05)
    assert account.end_reason == "agent_hung_up"
    (cut_short,) = [turn for turn in account.turns if turn.interrupted]
    assert cut_short.said.startswith("We clean the bike")
    assert len(cut_short.spoken) < len(cut_short.said)
    await listener.judge()


async def test_noise_loss_jitter_and_reorder_leave_the_answer_right(line: RealLine, transcribe: Transcriber) -> None:
    bad = {"seed": 7, "loss_percent": 2, "jitter_ms": 15, "reorder_percent": 2, "noise_dbfs": -45}
    async with line.call(network=bad) as call:
        listener = Listener(call, transcribe)
        await call.hears_something()
        asked_ns = time.time_ns()
        await call.ask(OPEN)
        listener.expect(NINE_TO_SIX, asked_ns)
    await line.opensips.settled()
    assert not all(packet.delivered for packet in call.trace.sent)
    await listener.judge()


async def test_killed_recogniser_is_apologised_for_and_used_again(line: RealLine) -> None:
    async with line.call() as call:
        await call.hears_something()
        killed_ns = time.time_ns()
        await line.kill("asr")
        await call.hears(killed_ns, NOT_SILENCE_S)
        await line.start_again("asr")
        await call.falls_quiet()
        assert [turn.said for turn in (await call.account()).turns][1:] == [APOLOGY]
        assert (await call.ask(OPEN)).said == KEPT_ANSWER
        assert call.up
    await line.opensips.settled()


async def test_killed_model_is_apologised_for_and_used_again(line: RealLine) -> None:
    async with line.call() as call:
        await call.hears_something()
        await line.kill("llm")
        asked_ns = await call.say(FOR_THE_MODEL)
        await call.hears(asked_ns, NOT_SILENCE_S)
        assert (await answered(call, 0)).said == APOLOGY
        await line.start_again("llm")
        await call.falls_quiet()
        await call.say(FOR_THE_MODEL)
        answer = await answered(call, 1)
        assert (answer.source, APOLOGY in answer.said) == ("model", False)
        assert call.up
    await line.opensips.settled()


async def test_killed_voice_leaves_what_is_kept_rendered_and_is_used_again(line: RealLine) -> None:
    async with line.call() as call:
        await call.hears_something()
        await line.kill("tts")
        assert (await call.ask(OPEN)).said == KEPT_ANSWER
        asked_ns = await call.say(FOR_THE_MODEL)
        await call.hears(asked_ns, NOT_SILENCE_S)
        assert (await answered(call, 1)).said == APOLOGY
        await line.start_again("tts")
        await call.falls_quiet()
        asked_ns = await call.say(FOR_THE_MODEL)
        answer = await answered(call, 2)
        assert (answer.source, APOLOGY in answer.said) == ("model", False)
        await call.hears(asked_ns)
        assert call.up
    await line.opensips.settled()


async def answered(call: LiveCall, number: int) -> AgentTurn:
    """The answer of that number, once its first words are spoken: a request for patience may come before it."""
    async with asyncio.timeout(ANSWERED_WITHIN_S):
        while not (answers := await call.answers())[number:] or not answers[number].said:
            await asyncio.sleep(0.05)
    return answers[number]
