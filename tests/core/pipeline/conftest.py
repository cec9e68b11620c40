"""A conversation on a loopback leg, with providers that a test can script and break."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from core.dialogue.dialogue import Dialogue, fixed_phrases
from core.dialogue.http_tool import HttpToolSettings
from core.dialogue.knowledge import Knowledge, parse
from core.dialogue.settings import DialogueSettings, SessionSettings
from core.leg import CallLeg, LegEnded
from core.observability.call_record import CallRecord, TurnRecord
from core.pipeline.call_pipeline import Conversations
from core.pipeline.phrase_book import PhraseBook
from core.pipeline.settings import AudioSettings
from core.pipeline.voice_activity import VoiceActivity
from core.providers.asr.scripted import ScriptedRecognizer
from core.providers.base import GenerationParameters, Generator, Providers, Recognizer, Synthesizer
from core.providers.llm.scripted import ScriptedGenerator
from core.providers.tts.scripted import ScriptedSynthesizer
from core.transports.loopback import LoopbackCaller, LoopbackTransport
from tests.support.virtual_time import VirtualTime
from tests.support.voices import speech

KNOWLEDGE = Knowledge(
    parse(
        "Q: When are you open?\n"
        "A: We are open from nine to six, Monday to Saturday, and on Sunday the shop is closed all day long.\n\n"
        "Q: Can I pay by card?\nA: Yes, by card."
    )
)
WAIT_S = 15.0


@dataclass
class Setup:
    """What a test may change before the call."""

    recognizer: Recognizer = field(default_factory=lambda: ScriptedRecognizer(["When are you open?"]))
    generator: Generator = field(default_factory=lambda: ScriptedGenerator("It is blue.", 0.005))
    synthesizer: Synthesizer = field(default_factory=lambda: ScriptedSynthesizer(0.01))
    session: SessionSettings = field(default_factory=lambda: SessionSettings(welcome_message="Hello."))
    dialogue: DialogueSettings = field(default_factory=lambda: DialogueSettings(idle_timeout_s=0))
    http_tool: HttpToolSettings = field(default_factory=HttpToolSettings)
    audio: AudioSettings = field(default_factory=AudioSettings)
    rendered: bool = True


class Talk:
    """A call that is up."""

    def __init__(self, caller: LoopbackCaller, record: CallRecord, dialogue: Dialogue) -> None:
        self.caller = caller
        self.record = record
        self.dialogue = dialogue
        self.ended: LegEnded | None = None

    def say(self, text: str = "When are you open?") -> None:
        """The caller speaks; what is recognised is up to the script."""
        self.caller.speak(speech(text))

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                await asyncio.sleep(0.01)

    async def turn(self, count: int) -> TurnRecord:
        """The turn of that number, once something of it was said."""
        await self.until(lambda: len(self.record.turns) > count and self.record.turns[count].started_s)
        return self.record.turns[count]

    async def heard_out(self, count: int) -> TurnRecord:
        """The turn of that number, once the caller has heard all they will of it."""
        await self.until(lambda: len(self.record.turns) > count and self.record.turns[count].spoken)
        return self.record.turns[count]

    async def end(self) -> LegEnded:
        await self.until(lambda: self.ended)
        assert self.ended is not None
        return self.ended


Place = Callable[[Setup], Awaitable[Talk]]


@pytest.fixture
async def passing_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """How time passes during a call: virtually, unless a module has it otherwise."""
    monkeypatch.setattr(time, "monotonic", VirtualTime(asyncio.get_running_loop()).now)


@pytest.fixture
async def place(passing_time: None) -> AsyncIterator[Place]:
    """Places calls; ends them, and looks for what they leave behind."""
    transport = LoopbackTransport()
    talks: list[Talk] = []
    pending: dict[str, tuple[Talk, Conversations]] = {}
    before = asyncio.all_tasks()

    async def handle(leg: CallLeg) -> None:
        await leg.answer()
        talk, conversations = pending[leg.info.call_id]
        talk.ended = await conversations.run(leg, talk.dialogue, talk.record, [])

    async def place_call(setup: Setup) -> Talk:
        providers = Providers(setup.recognizer, setup.generator, setup.synthesizer)
        book = PhraseBook(setup.synthesizer, 2**24)
        if setup.rendered:
            await book.render(fixed_phrases(setup.session, setup.dialogue, KNOWLEDGE), 8000)
        conversations = Conversations(providers, book, setup.audio, GenerationParameters(), VoiceActivity())
        caller = transport.call()
        info = caller.leg.info
        talk = Talk(
            caller,
            CallRecord(info.call_id, "loopback", info.caller, info.called),
            Dialogue(setup.session, setup.dialogue, KNOWLEDGE, setup.http_tool),
        )
        pending[info.call_id] = talk, conversations
        talks.append(talk)
        await caller.answered()
        return talk

    serving = asyncio.create_task(transport.run(handle))
    yield place_call
    for talk in talks:
        talk.caller.hang_up()
        await talk.end()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    left = await _tasks_left(before)
    assert not left, [task.get_name() for task in left]


async def _tasks_left(before: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    """What still runs although every call has ended, after a moment to wind up."""
    for _ in range(100):
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        if not left:
            break
        await asyncio.sleep(0.01)
    return {task for task in left if task is not None}


class BrokenSynthesizer(ScriptedSynthesizer):
    """Fails from the moment `broken` is set."""

    broken: Exception | None = None

    async def synthesize(self, text: str, sample_rate_hz: int) -> AsyncGenerator[bytes, None]:
        if self.broken is not None:
            raise self.broken
        async for pcm in super().synthesize(text, sample_rate_hz):
            yield pcm


class BrokenGenerator(ScriptedGenerator):
    """Fails after some words."""

    def __init__(self, words: Sequence[str], error: Exception) -> None:
        super().__init__()
        self._words = words
        self._error = error

    async def generate(self, *_: object) -> AsyncGenerator[str, None]:
        for word in self._words:
            yield word
        raise self._error
