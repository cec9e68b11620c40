"""What the agent does when it is cut short, kept waiting, or made to say something else."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from core.dialogue.settings import DialogueSettings, SessionSettings
from core.errors import ProviderUnavailable, TransferFailed
from core.leg import EndReason
from core.pipeline import outage
from core.pipeline.settings import AudioSettings
from core.providers.asr.scripted import ScriptedRecognizer, ScriptedStream
from core.providers.base import RecognitionStream
from core.providers.llm.scripted import ScriptedGenerator
from tests.core.pipeline.conftest import Place, Setup

LONG_ANSWER = "It is blue as the sea on a summer day, and now and then it is as grey as a mouse. "


async def test_a_noise_during_the_filler_leaves_the_question_to_be_answered(place: Place) -> None:
    setup = Setup(
        recognizer=ScriptedRecognizer(["What colour is it?", ""], repeat=False),
        generator=ScriptedGenerator("Blue.", 3.0),
        dialogue=DialogueSettings(idle_timeout_s=0, filler_after_ms=200),
    )
    talk = await place(setup)
    await talk.heard_out(0)
    talk.say()
    await talk.turn(1)
    await asyncio.sleep(0.3)

    talk.say("Hm, hm.")
    await talk.until(lambda: talk.record.turns[-1].spoken == "Blue.")

    assert talk.record.turns[-1].heard == "What colour is it?"
    assert [exchange.heard for exchange in talk.dialogue.conversation.exchanges] == ["", "What colour is it?"]


async def test_a_goodbye_that_a_noise_interrupts_still_ends_the_call(place: Place) -> None:
    talk = await place(Setup(recognizer=ScriptedRecognizer(["Goodbye.", ""], repeat=False)))
    await talk.heard_out(0)
    talk.say()
    await talk.turn(1)
    await asyncio.sleep(0.5)

    talk.say("Hm, hm.")

    assert (await talk.end()).reason is EndReason.AGENT_HUNG_UP


async def test_a_transfer_announced_before_a_hold_happens_after_it(place: Place) -> None:
    setup = Setup(dialogue=DialogueSettings(idle_timeout_s=0, transfer_target="sip:desk@example.com"))
    talk = await place(setup)
    await talk.heard_out(0)
    talk.caller.press("0#")
    await talk.turn(1)
    await asyncio.sleep(0.5)

    talk.caller.hold()
    await talk.heard_out(1)
    talk.caller.resume()

    assert (await talk.end()).reason is EndReason.TRANSFERRED


async def test_a_question_that_a_hold_cut_off_is_answered_after_it(place: Place) -> None:
    setup = Setup(recognizer=ScriptedRecognizer(["What colour is it?"]), generator=ScriptedGenerator("Blue.", 1.0))
    talk = await place(setup)
    await talk.heard_out(0)
    talk.say()
    await talk.until(lambda: len(talk.record.turns) == 2)

    talk.caller.hold()
    await talk.until(lambda: talk.record.turns[1].interrupted)
    talk.caller.resume()
    turn = await talk.heard_out(2)

    assert (turn.heard, turn.spoken) == ("What colour is it?", "Blue.")


class _ReluctantGenerator(ScriptedGenerator):
    """Speaks, and takes a second to stop."""

    async def generate(self, *_: object) -> AsyncGenerator[str, None]:
        try:
            yield LONG_ANSWER
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1.0)


async def test_silence_does_not_wait_for_a_provider_to_stop(place: Place) -> None:
    setup = Setup(
        recognizer=ScriptedRecognizer(["What colour is it?"]),
        generator=_ReluctantGenerator(),
        dialogue=DialogueSettings(idle_timeout_s=0, max_sentences=5, grounded=False),
    )
    talk = await place(setup)
    await talk.heard_out(0)
    talk.say()
    await talk.turn(1)
    await asyncio.sleep(0.5)
    assert talk.caller.leg.queued_ms

    talk.caller.press("5")
    await asyncio.sleep(0.2)

    assert not talk.caller.leg.queued_ms
    assert (await talk.heard_out(1)).interrupted


class _BreakableStream(ScriptedStream):
    broken = False

    async def send(self, pcm: bytes) -> None:
        if self.broken:
            raise ProviderUnavailable("test", "gone")
        await super().send(pcm)


class _BreakableRecognizer(ScriptedRecognizer):
    """Hears until `away` is set."""

    def __init__(self) -> None:
        super().__init__(["What colour is it?"])
        self.streams: list[_BreakableStream] = []
        self.away = False

    async def open(self, *_: object) -> RecognitionStream:
        if self.away:
            raise ProviderUnavailable("test", "gone")
        self.streams.append(_BreakableStream(["What colour is it?"], 16000))
        return self.streams[-1]

    def go_away(self) -> None:
        self.away = True
        self.streams[-1].broken = True


async def test_words_heard_before_an_apology_are_kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "BEFORE_APOLOGY_S", 0.1)
    recognizer = _BreakableRecognizer()
    setup = Setup(
        recognizer=recognizer,
        generator=ScriptedGenerator("It is blue as the sea. And it is as grey as a mouse, on the other side.", 0.2),
    )
    talk = await place(setup)
    await talk.heard_out(0)
    talk.say()
    await talk.turn(1)

    recognizer.go_away()
    apology = await talk.heard_out(2)

    assert apology.spoken == setup.dialogue.apology_message
    assert talk.record.turns[1].spoken.startswith("It is blue as the sea.")
    assert talk.dialogue.conversation.exchanges[1].spoken == talk.record.turns[1].spoken


async def test_an_apology_does_not_take_the_place_of_an_answer_that_is_being_made(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "BEFORE_APOLOGY_S", 0.1)
    recognizer = _BreakableRecognizer()
    setup = Setup(recognizer=recognizer, generator=ScriptedGenerator("Blue.", 1.2))
    talk = await place(setup)
    await talk.heard_out(0)
    talk.say()
    await talk.until(lambda: len(talk.record.turns) == 2)

    recognizer.go_away()
    turn = await talk.heard_out(1)

    assert turn.spoken == "Blue."


async def test_a_caller_who_is_taken_back_during_an_answer_is_not_asked_whether_they_are_there(place: Place) -> None:
    setup = Setup(
        session=SessionSettings(welcome_message=""),
        dialogue=DialogueSettings(idle_timeout_s=1.0, digits_timeout_s=0.2),
        recognizer=ScriptedRecognizer([""]),
        generator=ScriptedGenerator(LONG_ANSWER, 0.01),
    )
    talk = await place(setup)
    talk.caller.hold()
    talk.caller.press("5")
    await talk.turn(0)

    talk.caller.resume()
    turn = await talk.heard_out(0)

    assert turn.spoken == LONG_ANSWER.strip()
    assert len(talk.record.turns) == 1


async def test_keys_pressed_while_the_caller_speaks_are_answered_after_their_turn(place: Place) -> None:
    setup = Setup(
        recognizer=ScriptedRecognizer(["Hm."]),
        generator=ScriptedGenerator("Blue.", 0.005),
        dialogue=DialogueSettings(idle_timeout_s=0, digits_timeout_s=0.2),
    )
    talk = await place(setup)
    await talk.heard_out(0)
    talk.say("I would like to know when you are open and whether I can pay by card at the counter.")
    await asyncio.sleep(1.0)

    talk.caller.press("5")
    turn = await talk.turn(1)

    assert turn.heard == "[5]"
    assert not talk.caller.leg.to_speak
    assert (await talk.heard_out(1)).spoken == "Blue."
    assert [exchange.heard for exchange in talk.dialogue.conversation.exchanges] == ["", "Hm.", "[5]"]


async def test_keys_whose_answer_was_not_heard_are_answered_as_keys_after_a_hold(place: Place) -> None:
    generator = ScriptedGenerator("Blue.", 1.0)
    talk = await place(Setup(generator=generator))
    await talk.heard_out(0)
    talk.caller.press("5#")
    await talk.until(lambda: generator.asked)

    talk.caller.hold()
    await talk.until(lambda: talk.record.turns[1].interrupted)
    talk.caller.resume()
    turn = await talk.heard_out(2)

    assert turn.heard == "[5]"
    assert [asked[-1] for asked in generator.asked] == [generator.asked[0][-1]] * 2


class _SlowTransfer:
    """A phone that does not say what became of its transfer."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.outcome = asyncio.Event()

    async def __call__(self, target: str) -> None:
        self.asked.set()
        await self.outcome.wait()
        raise TransferFailed("the phone answered 603 Decline")


async def test_the_caller_is_heard_while_a_transfer_is_under_way(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = Setup(dialogue=DialogueSettings(idle_timeout_s=0, transfer_target="sip:desk@example.com"))
    talk = await place(setup)
    transfer = _SlowTransfer()
    monkeypatch.setattr(talk.caller.leg, "transfer", transfer)
    await talk.heard_out(0)
    talk.caller.press("0#")
    await asyncio.wait_for(transfer.asked.wait(), 15)

    talk.say()
    turn = await talk.heard_out(2)
    transfer.outcome.set()
    await talk.until(lambda: talk.record.turns[-1].spoken == setup.dialogue.no_transfer_message)

    assert turn.heard == "When are you open?"


async def test_a_call_that_ends_during_a_transfer_leaves_nothing_behind(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = await place(Setup(dialogue=DialogueSettings(idle_timeout_s=0, transfer_target="sip:desk@example.com")))
    transfer = _SlowTransfer()
    monkeypatch.setattr(talk.caller.leg, "transfer", transfer)
    await talk.heard_out(0)
    talk.caller.press("0#")
    await asyncio.wait_for(transfer.asked.wait(), 15)

    talk.caller.hang_up()

    assert (await talk.end()).reason is EndReason.CALLER_HUNG_UP


class _StubbornGenerator(ScriptedGenerator):
    """Says nothing while it is stubborn, and stops only long after it was told to."""

    stubborn = True

    async def generate(self, *_: object) -> AsyncGenerator[str, None]:
        if self.stubborn:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(5.0)
        yield "It is blue."


async def test_a_model_that_does_not_stop_keeps_nobody_waiting(place: Place) -> None:
    generator = _StubbornGenerator()
    setup = Setup(
        recognizer=ScriptedRecognizer(["What colour is it?", "And why?"], repeat=False),
        generator=generator,
        session=SessionSettings(welcome_message=""),
        dialogue=DialogueSettings(idle_timeout_s=0, filler_after_ms=5000),
        audio=AudioSettings(endpoint_ms=200, silence_timeout_ms=300),
    )
    talk = await place(setup)
    talk.say("What colour is it?")
    await talk.until(lambda: talk.record.turns)
    generator.stubborn = False

    talk.say("Why?")
    turn = await talk.heard_out(1)

    assert (turn.heard, turn.spoken) == ("What colour is it? And why?", "It is blue.")
    assert turn.started_s - turn.silent_since_s < 0.7
