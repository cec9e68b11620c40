"""What gRPC costs: the same work through a service on a socket of this machine, and in process without one.

`python -m tools.bench.grpc_cost`. Client, server and engine share this process, so that its CPU time counts all of them
and both ways use the very same loaded engine. The two ways take turns, and who goes first alternates: whatever else the
machine does meanwhile hits both alike.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from services.asr.engine import RecognitionOptions, Samples, Transcript
from services.asr.engines.faster_whisper import FasterWhisper
from services.asr.service import AsrService
from services.asr.settings import AsrSettings
from services.asr.tests import speech
from services.asr.voice_activity import SileroModel
from services.common.lifecycle import Lifecycle
from services.common.model_files import MODELS_DIR_DEFAULT
from services.common.testing import running_server
from services.llm.conversation import assemble
from services.llm.engine import Engine as LlmEngine
from services.llm.engine import Message, Sampling
from services.llm.engines import make_engine as make_llm_engine
from services.llm.generation import Job
from services.llm.model_thread import Ended
from services.llm.service import LlmService
from services.llm.settings import LlmSettings
from services.tts.engine import Engine as TtsEngine
from services.tts.engine import EngineSettings
from services.tts.engines.piper import PiperEngine
from services.tts.engines.piper_voices import find_voice
from services.tts.loudness import fit
from services.tts.pcm import to_pcm
from services.tts.requests import spoken_clauses
from services.tts.service import TtsService
from services.tts.settings import SynthesisSettings
from tools.bench.figures import FOLDER, Report, conditions, write
from tools.bench.tables import grpc_table
from tools.oavc.console import tell
from voice_api import asr_pb2, asr_pb2_grpc, llm_pb2, llm_pb2_grpc, tts_pb2, tts_pb2_grpc

if TYPE_CHECKING:
    from voice_api.asr_pb2_grpc import ASRServiceAsyncStub
    from voice_api.llm_pb2_grpc import LLMServiceAsyncStub
    from voice_api.tts_pb2_grpc import TTSServiceAsyncStub

PAIRS = 21
_RATE_HZ = 8000
_SPOKEN = "We clean the bike, adjust the brakes and the gears, check both wheels, and take it for a test ride."
_HEARD = "I would like to know how much it costs to fix a flat tire."
_PERSONA = "You are the receptionist of a bicycle shop. Answer the caller's question in one short sentence."
_ASKED = "What should I think of when I {}?"
_DEEDS = "buy a bike,clean a chain,ride at night,pump a tire,lock a bike,ride in the snow,carry a child".split(",")
_ANSWER_TOKENS = 40
# Whoever hears the line has heard it all by then, and no pause has begun a reading of its own.
_FED_S = 0.3
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Taken:
    """One run. `figures` holds further times in ms that both ways can tell, such as that of the first token."""

    wall_ms: float
    cpu_ms: float
    figures: dict[str, float]


Way = Callable[[int], Awaitable[Taken]]


@asynccontextmanager
async def tts_ways(engine: TtsEngine | None = None, voice: str = "") -> AsyncGenerator[tuple[Way, Way], None]:
    """A phrase of several clauses to 8 kHz PCM: rendered, levelled, resampled."""
    with tempfile.TemporaryDirectory() as folder:
        if engine is None:
            engine = PiperEngine(EngineSettings(MODELS_DIR_DEFAULT))
            voice = str(_even_voice(Path(folder)))
        settings = SynthesisSettings(voice=voice, cache_size_max_bytes=0)
        lifecycle = Lifecycle()
        async with running_server(TtsService(settings, engine, lifecycle), lifecycle=lifecycle) as channel:
            stub: TTSServiceAsyncStub = tts_pb2_grpc.TTSServiceStub(channel)
            chosen = engine.voice(Path(voice).stem)
            clauses = [clause.spoken for clause in spoken_clauses(_SPOKEN, chosen.language)]

            async def over_grpc(_: int) -> Taken:
                stopwatch = _Stopwatch()
                request = tts_pb2.SynthesizeRequest(text=_SPOKEN, voice=chosen.name, sample_rate=_RATE_HZ)
                async for response in stub.SynthesizeText(request, timeout=_TIMEOUT_S):
                    if response.WhichOneof("response_type") == "audio_chunk":
                        stopwatch.first("first_audio")
                return stopwatch.stop()

            async def in_process(_: int) -> Taken:
                stopwatch = _Stopwatch()
                for clause in clauses:
                    waveform = engine.render(clause, chosen.name, 1.0)
                    to_pcm(fit(waveform, chosen.sample_rate_hz), chosen.sample_rate_hz, _RATE_HZ)
                    stopwatch.first("first_audio")
                return stopwatch.stop()

            yield over_grpc, in_process


@asynccontextmanager
async def asr_ways() -> AsyncGenerator[tuple[Way, Way], None]:
    """From the end of an utterance to its transcript; in process it is the engine's pass over the same samples."""
    settings = AsrSettings()
    engine = _Remembering(settings, MODELS_DIR_DEFAULT)
    lifecycle = Lifecycle()
    service = AsrService(engine, SileroModel(), settings, lifecycle, CollectorRegistry())
    samples = speech.mu_law(_without_tail(speech.spoken(_HEARD, _RATE_HZ)))
    frames = speech.frames(samples, _RATE_HZ)
    async with running_server(service, lifecycle=lifecycle) as channel:
        stub: ASRServiceAsyncStub = asr_pb2_grpc.ASRServiceStub(channel)

        async def over_grpc(_: int) -> Taken:
            stream = stub.StreamingRecognize(timeout=_TIMEOUT_S)
            config = asr_pb2.RecognitionConfig(sample_rate=_RATE_HZ, client_endpointing=True)
            await stream.write(asr_pb2.StreamingRecognizeRequest(config=config))
            for frame in frames:
                await stream.write(asr_pb2.StreamingRecognizeRequest(audio_data=frame))
            await asyncio.sleep(_FED_S)
            stopwatch = _Stopwatch()
            finalize = asr_pb2.Finalize(utterance_id=1)
            await stream.write(asr_pb2.StreamingRecognizeRequest(finalize=finalize))
            async for response in stream:
                if response.is_final:
                    break
            taken = stopwatch.stop()
            await stream.done_writing()
            async for _rest in stream:
                pass
            return taken

        async def in_process(_: int) -> Taken:
            stopwatch = _Stopwatch()
            recognition = engine.begin(RecognitionOptions())
            recognition.accept(engine.samples)
            recognition.final()
            return stopwatch.stop()

        yield over_grpc, in_process


@asynccontextmanager
async def llm_ways(engine: LlmEngine | None = None) -> AsyncGenerator[tuple[Way, Way], None]:
    """A new question behind a persona that is evaluated already; in process it is asked of the model's own thread."""
    settings = LlmSettings()
    engine = engine or make_llm_engine(settings, MODELS_DIR_DEFAULT)
    lifecycle = Lifecycle()
    service = LlmService(settings, lifecycle, engine=engine)
    async with running_server(service, lifecycle=lifecycle) as channel:
        stub: LLMServiceAsyncStub = llm_pb2_grpc.LLMServiceStub(channel)

        async def over_grpc(number: int) -> Taken:
            stopwatch, tokens = _Stopwatch(), 0
            request = llm_pb2.TextProcessingRequest(
                text=_question(number),
                system_prompt=_PERSONA,
                temperature=0,
                max_tokens=_ANSWER_TOKENS,
                session_id="over-grpc",
            )
            async for response in stub.ProcessText(request, timeout=_TIMEOUT_S):
                stopwatch.first("first_token")
                tokens = response.usage.completion_tokens if response.done else tokens
            return stopwatch.stop(tokens)

        async def in_process(number: int) -> Taken:
            stopwatch, tokens = _Stopwatch(), 0
            # The schema has floats of 32 bits; what is drawn at temperature 0 does not depend on the rest.
            sampling = Sampling(0.0, 0.9, settings.repeat_penalty, settings.seed)
            told = assemble(_PERSONA, (Message("user", _question(number)),))
            job = Job(engine.encode(told), _ANSWER_TOKENS, sampling, session_id="in-process")
            async for event in service.servicer.thread.submit(job).events():
                stopwatch.first("first_token")
                tokens = event.usage.completion_tokens if isinstance(event, Ended) else tokens
            return stopwatch.stop(tokens)

        yield over_grpc, in_process


STAGES = {"asr": asr_ways, "llm": llm_ways, "tts": tts_ways}


async def compare(over_grpc: Way, in_process: Way, pairs: int) -> Report:
    """Both ways so many times each, in turns, after one of each that does not count."""
    ways = {"grpc": over_grpc, "in_process": in_process}
    taken: dict[str, list[Taken]] = {name: [] for name in ways}
    for number in range(-1, pairs):
        order = list(ways) if number % 2 else list(reversed(ways))
        for name in order if number >= 0 else ways:
            run = await ways[name](number)
            if number >= 0:
                taken[name].append(run)
    return compared(taken["grpc"], taken["in_process"])


def compared(over_grpc: Sequence[Taken], in_process: Sequence[Taken]) -> Report:
    """Medians of each way, their ratio, and the median of what gRPC added within a pair."""
    names = ["wall_ms", "cpu_ms", *over_grpc[0].figures]
    rows = {}
    for name in names:
        a, b = ([_figure(run, name) for run in runs] for runs in (over_grpc, in_process))
        rows[name] = {
            "grpc": round(statistics.median(a), 3),
            "in_process": round(statistics.median(b), 3),
            "ratio": round(statistics.median(a) / statistics.median(b), 4),
            "added": round(statistics.median(x - y for x, y in zip(a, b, strict=True)), 3),
        }
    return {"pairs": len(over_grpc), "figures": rows}


def _figure(run: Taken, name: str) -> float:
    if name in run.figures:
        return run.figures[name]
    return run.wall_ms if name == "wall_ms" else run.cpu_ms


class _Stopwatch:
    """Wall and CPU time from its making on."""

    def __init__(self) -> None:
        self._figures: dict[str, float] = {}
        self._cpu_s, self._began_s = time.process_time(), time.perf_counter()

    def first(self, name: str) -> None:
        """The time of the first of several events."""
        self._figures.setdefault(f"{name}_ms", 1000 * (time.perf_counter() - self._began_s))

    def stop(self, tokens: int = 0) -> Taken:
        wall_s, cpu_s = time.perf_counter() - self._began_s, time.process_time() - self._cpu_s
        if tokens:
            self._figures["ms_per_token"] = 1000 * wall_s / tokens
        return Taken(1000 * wall_s, 1000 * cpu_s, self._figures)


class _Remembering(FasterWhisper):
    """Keeps what it was last given to read, so that it can be read again."""

    samples: Samples

    def read(self, samples: Samples, options: RecognitionOptions) -> Transcript:
        self.samples = samples
        return super().read(samples, options)


def _even_voice(folder: Path) -> Path:
    """The packaged voice without the noise that makes every rendering as long as chance has it."""
    files = find_voice(SynthesisSettings().voice, MODELS_DIR_DEFAULT)
    model = folder / f"even-{files.model.name}"
    model.symlink_to(files.model.resolve())
    inference = {**files.config["inference"], "noise_scale": 0.0, "noise_w": 0.0}
    model.with_name(model.name + ".json").write_text(json.dumps({**files.config, "inference": inference}))
    return model


def _without_tail(samples: speech.Samples) -> speech.Samples:
    from tools.bench.asr import audible

    return audible(samples)


def _question(number: int) -> str:
    """Another one each time, or the cache would have the answer's first token ready."""
    return _ASKED.format(_DEEDS[number % len(_DEEDS)]) + " Again, please." * (number // len(_DEEDS) % 4)


async def measure(stages: Sequence[str], pairs: int) -> Report:
    report = conditions()
    report["stages"] = {}
    for stage in stages:
        async with STAGES[stage]() as (over_grpc, in_process):
            report["stages"][stage] = await compare(over_grpc, in_process, pairs)
    return report


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools.bench.grpc_cost", description=__doc__)
    parser.add_argument("--stages", default=",".join(STAGES), help="default: %(default)s")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="runs of each way (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="three of each way")
    parser.add_argument("--out", type=Path, default=FOLDER / "grpc.json")
    options = parser.parse_args(argv)
    pairs = 3 if options.quick else options.pairs
    report = asyncio.run(measure(options.stages.split(","), pairs))
    write(report, options.out)
    tell(grpc_table(report))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
