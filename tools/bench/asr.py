"""Word error rate, cost and latency of speech recognition on a telephone line: `python -m tools.bench.asr`.

Phrases as callers say them, spoken by Piper, go through 8 kHz mu-law: clean, in noise at 15 dB, and with 2 % of the
packets lost and nothing in their place. Cost is the process' CPU time, latency what a client of the real service sees.
"""

import argparse
import asyncio
import json
import platform
import re
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc
import jiwer
import numpy as np
import psutil
from prometheus_client import CollectorRegistry

from services.asr.engine import Engine, RecognitionOptions, Samples
from services.asr.engines.faster_whisper import FasterWhisper
from services.asr.engines.whisper_window import ADAPTIVE, FULL, WindowShape
from services.asr.resample import Upsampler
from services.asr.segmenter import Segmenter
from services.asr.service import AsrService
from services.asr.settings import AsrSettings
from services.asr.tests import speech
from services.asr.voice_activity import SileroModel
from services.common.lifecycle import Lifecycle
from services.common.model_files import MODELS_DIR_DEFAULT
from services.common.testing import running_server
from voice_api import asr_pb2, asr_pb2_grpc

PHRASES = (
    "Hi, what time do you open on Sunday?",
    "Are you open on Christmas Day?",
    "Can I book a table for four tomorrow evening?",
    "How much is a large margherita pizza?",
    "Where are you located?",
    "Is there somewhere to park nearby?",
    "Do you deliver to the north side of town?",
    "I would like to cancel my reservation, please.",
    "Can I speak to a real person?",
    "Yes, that is correct.",
    "No, thank you.",
    "Do you have anything without gluten?",
    "My name is Peter Miller.",
    "Could you repeat that, please?",
    "What is the phone number of your other restaurant?",
    "I ordered a pizza an hour ago and it still has not arrived.",
    "Do you take credit cards or only cash?",
    "We will be six people, and two of them are children.",
    "Can you put me through to the manager?",
    "How long is the wait for a table right now?",
    "What kind of desserts do you have today?",
    "I want to change my booking from Friday to Saturday.",
    "Stop, that is not what I asked.",
    "Is the restaurant accessible with a wheelchair?",
    "Thanks a lot, goodbye.",
    "Yes.",
)

RATE_HZ = 8000
SNR_DB = 15.0
LOSS = 0.02
CONDITIONS = ("clean", "noise", "loss")
# About 40 dB below the voice.
AUDIBLE = 200
# Core decides on the end of a turn so long after the last word.
END_OF_TURN_S = 0.3

WINDOWS = {
    "30 s": FULL,
    "max(12, len+3)": WindowShape(1200, 300),
    "max(10, len+3)": ADAPTIVE,
    "max(8, len+3)": WindowShape(800, 300),
    "max(6, len+2)": WindowShape(600, 200),
}

_CONTRACTIONS = {
    "what's": "what is",
    "that's": "that is",
    "we'll": "we will",
    "i'd": "i would",
    "hasn't": "has not",
    "good-bye": "goodbye",
    "good bye": "goodbye",
}
_NUMBERS = {"2": "two", "4": "four", "6": "six", "1": "one"}


@dataclass(frozen=True)
class WindowFigures:
    """One window under one condition. `read_again`: doubtful readings repeated in the full window, all included."""

    window: str
    condition: str
    word_error_rate_percent: float
    exact: int
    phrases: int
    read_again: int
    cpu_s_per_phrase: float
    wall_ms_median: float


@dataclass(frozen=True)
class LatencyFigures:
    """What a client of the service waits, per utterance.

    Attributes:
        finalize_to_final_ms: the transcript after the end of the turn was decided.
        speech_to_stable_ms: the first transcript of the whole utterance after its last sample.
        share_of_a_core: CPU time of the whole process over the time of the conversation.
    """

    utterances: int
    finalize_to_final_ms_p50: float
    finalize_to_final_ms_max: float
    speech_to_stable_ms_p50: float
    speech_to_stable_ms_max: float
    share_of_a_core: float


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools.bench.asr", description=__doc__)
    parser.add_argument("--windows", default="30 s;max(10, len+3)", help="'all', or names joined by ';'")
    parser.add_argument("--utterances", type=int, default=12, help="of the latency part, in real time")
    parser.add_argument("--out", type=Path, default=Path("build/bench/asr.json"))
    arguments = parser.parse_args(argv)
    names = list(WINDOWS) if arguments.windows == "all" else arguments.windows.split(";")
    windows = [each for name in names for each in measure_window(name)]
    latency = asyncio.run(measure_latency(PHRASES[: arguments.utterances]))
    report = {
        "machine": f"{platform.machine()}, {psutil.cpu_count()} cores",
        "date": time.strftime("%Y-%m-%d"),
        "load": psutil.getloadavg()[0],
        "windows": [asdict(each) for each in windows],
        "latency": asdict(latency),
        "rss_mb": round(psutil.Process().memory_info().rss / 1e6),
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=2) + "\n")
    print_tables(windows, latency)
    return 0


def telephone(phrase: str, condition: str, seed: int) -> speech.Samples:
    """The phrase as it comes off the line, with a little of what surrounds it."""
    samples = np.concatenate(
        (speech.silence(0.3, RATE_HZ), speech.spoken(phrase, RATE_HZ), speech.silence(0.3, RATE_HZ))
    )
    if condition == "noise":
        samples = speech.noisy(samples, SNR_DB, seed)
    if condition == "loss":
        samples = speech.lossy(samples, RATE_HZ, LOSS, seed)
    return speech.mu_law(samples)


def measure_window(name: str) -> Iterator[WindowFigures]:
    engine = FasterWhisper(AsrSettings(), MODELS_DIR_DEFAULT, WINDOWS[name])
    engine.load()
    silero = SileroModel()
    silero.load()
    for condition in CONDITIONS:
        heard, walls_ms = [], []
        again_before, cpu_before = engine.read_twice, time.process_time()
        for seed, phrase in enumerate(PHRASES):
            samples = cut_out(telephone(phrase, condition, seed), silero)
            started_s = time.perf_counter()
            heard.append(recognised(engine, samples))
            walls_ms.append((time.perf_counter() - started_s) * 1000)
        references, hypotheses = [plain(each) for each in PHRASES], [plain(each) for each in heard]
        yield WindowFigures(
            window=name,
            condition=condition,
            word_error_rate_percent=round(100 * jiwer.wer(references, hypotheses), 1),
            exact=sum(map(str.__eq__, references, hypotheses)),
            phrases=len(PHRASES),
            read_again=engine.read_twice - again_before,
            cpu_s_per_phrase=round((time.process_time() - cpu_before) / len(PHRASES), 3),
            wall_ms_median=round(statistics.median(walls_ms), 1),
        )
    engine.close()


def audible(samples: speech.Samples) -> speech.Samples:
    """Without the quiet that the voice ends with, so that the end is the last sound."""
    return samples[: int(np.flatnonzero(np.abs(samples) > AUDIBLE)[-1]) + 1]


def cut_out(samples: speech.Samples, silero: SileroModel) -> Samples:
    """The speech, as the service cuts it out of a stream."""
    settings = AsrSettings()
    segmenter = Segmenter(silero.stream(), settings.vad_threshold, settings.margin_ms / 1000)
    segmenter.feed(Upsampler().feed(samples.astype(np.float32) / np.float32(32768)))
    segmenter.flush()
    return segmenter.utterance.take()


def recognised(engine: Engine, samples: Samples) -> str:
    recognition = engine.begin(RecognitionOptions())
    recognition.accept(samples)
    return recognition.final().text


def plain(text: str) -> str:
    """Words as they sound: no case, no punctuation, contractions and digits spoken out."""
    text = text.lower()
    for short, long in _CONTRACTIONS.items():
        text = text.replace(short, long)
    words = re.sub(r"[^a-z0-9' ]", " ", text).split()
    return " ".join(_NUMBERS.get(word, word) for word in words)


async def measure_latency(phrases: Sequence[str]) -> LatencyFigures:
    """A call in real time against the service on a socket of this machine."""
    settings = AsrSettings()
    engine = FasterWhisper(settings, MODELS_DIR_DEFAULT)
    lifecycle = Lifecycle()
    service = AsrService(engine, SileroModel(), settings, lifecycle, CollectorRegistry())
    async with running_server(service, lifecycle=lifecycle) as channel:
        return await _converse(channel, phrases)


async def _converse(channel: grpc.aio.Channel, phrases: Sequence[str]) -> LatencyFigures:
    spoken_s: dict[int, float] = {}
    asked_s: dict[int, float] = {}
    stable_ms: dict[int, float] = {}
    final_ms: dict[int, float] = {}
    current = 0
    stream = asr_pb2_grpc.ASRServiceStub(channel).StreamingRecognize()

    async def listen() -> None:
        async for response in stream:
            now_s = time.monotonic()
            if response.is_final and response.utterance_id in asked_s:
                number = response.utterance_id
                final_ms[number] = (now_s - asked_s[number]) * 1000
                stable_ms.setdefault(number, (now_s - spoken_s[number]) * 1000)
            elif response.is_stable and current in spoken_s and current not in asked_s:
                stable_ms[current] = (now_s - spoken_s[current]) * 1000

    config = asr_pb2.RecognitionConfig(sample_rate=RATE_HZ, interim_results=True, client_endpointing=True)
    await stream.write(asr_pb2.StreamingRecognizeRequest(config=config))
    listening = asyncio.create_task(listen())
    started_s, cpu_before, sent = time.monotonic(), time.process_time(), 0

    async def send(samples: speech.Samples) -> None:
        nonlocal sent
        for frame in speech.frames(samples, RATE_HZ):
            sent += 1
            await asyncio.sleep(max(0.0, started_s + sent * speech.FRAME_MS / 1000 - time.monotonic()))
            await stream.write(asr_pb2.StreamingRecognizeRequest(audio_data=frame))

    for current, phrase in enumerate(phrases, 1):
        await send(speech.silence(0.4, RATE_HZ))
        await send(speech.mu_law(audible(speech.spoken(phrase, RATE_HZ))))
        spoken_s[current] = time.monotonic()
        await send(speech.silence(END_OF_TURN_S, RATE_HZ))
        asked_s[current] = time.monotonic()
        finalize = asr_pb2.Finalize(utterance_id=current)
        await stream.write(asr_pb2.StreamingRecognizeRequest(finalize=finalize))
    await stream.done_writing()
    await listening
    elapsed_s, cpu_s = time.monotonic() - started_s, time.process_time() - cpu_before
    return LatencyFigures(
        utterances=len(final_ms),
        finalize_to_final_ms_p50=round(statistics.median(final_ms.values()), 1),
        finalize_to_final_ms_max=round(max(final_ms.values()), 1),
        speech_to_stable_ms_p50=round(statistics.median(stable_ms.values()), 1),
        speech_to_stable_ms_max=round(max(stable_ms.values()), 1),
        share_of_a_core=round(cpu_s / elapsed_s, 2),
    )


def print_tables(windows: Sequence[WindowFigures], latency: LatencyFigures) -> None:
    lines = ["| window | line | WER % | exact | read again | CPU s | wall ms |", "|---|---|---|---|---|---|---|"]
    lines += [
        f"| {each.window} | {each.condition} | {each.word_error_rate_percent} | {each.exact}/{each.phrases}"
        f" | {each.read_again} | {each.cpu_s_per_phrase} | {each.wall_ms_median} |"
        for each in windows
    ]
    lines += ["", "| latency over gRPC, real time | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in asdict(latency).items()]
    print("\n".join(lines))  # noqa: T201 - it is the command's output


if __name__ == "__main__":
    raise SystemExit(main())
