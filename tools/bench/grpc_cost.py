"""What gRPC costs: the same work by the real service over a socket of this machine, and by its engine in this process.

`python -m tools.bench.grpc_cost`. CPU time is that of both processes together. The two ways take turns, and who goes
first alternates: whatever else the machine does meanwhile hits both alike.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from services.asr.engine import RecognitionOptions
from services.asr.engines.faster_whisper import FasterWhisper
from services.asr.settings import AsrSettings
from services.asr.tests import speech
from services.asr.voice_activity import SileroModel
from services.common.model_files import MODELS_DIR_DEFAULT
from services.llm.conversation import assemble
from services.llm.engine import Message, Sampling
from services.llm.engines import make_engine as make_llm_engine
from services.llm.generation import Job
from services.llm.model_thread import Ended, ModelThread
from services.llm.settings import LlmSettings
from services.tts.engine import EngineSettings
from services.tts.engines.piper import PiperEngine
from services.tts.engines.piper_voices import find_voice
from services.tts.loudness import fit
from services.tts.pcm import to_pcm
from services.tts.requests import spoken_clauses
from services.tts.settings import SynthesisSettings
from tools.bench.asr import audible, cut_out
from tools.bench.figures import FOLDER, Report, conditions, write
from tools.bench.tables import grpc_table
from tools.oavc import layouts
from tools.oavc.child import Child
from tools.oavc.console import tell
from tools.oavc.probes import grpc_ready
from tools.oavc.stack import LOG_FOLDER
from voice_api import asr_pb2, asr_pb2_grpc, llm_pb2, llm_pb2_grpc, tts_pb2, tts_pb2_grpc

if TYPE_CHECKING:
    from voice_api.asr_pb2_grpc import ASRServiceAsyncStub
    from voice_api.llm_pb2_grpc import LLMServiceAsyncStub
    from voice_api.tts_pb2_grpc import TTSServiceAsyncStub

PAIRS = 31
_RATE_HZ = 8000
_SPOKEN = "We clean the bike, adjust the brakes and the gears, check both wheels, and take it for a test ride."
_HEARD = "I would like to know how much it costs to fix a flat tire."
_PERSONA = "You are the receptionist of a bicycle shop. Answer the caller's question in one short sentence."
_ASKED = "What should I think of when I {}?"
_DEEDS = "buy a bike,clean a chain,ride at night,pump a tire,lock a bike,ride in the snow,carry a child".split(",")
_SESSION = "bench"
_ANSWER_TOKENS = 40
# Whoever hears the line has heard it all by then; it ends in a word, so that no pause begins a reading of its own.
_FED_S = 0.3
_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0
# CLOCK_PROCESS_CPUTIME_ID of another process: clock_getcpuclockid(3) makes it so of the process' id.
_CPU_CLOCK_SCHED = 2


@dataclass(frozen=True, slots=True)
class Taken:
    """One run. `figures` holds further times in ms that both ways can tell, such as that of the first token."""

    wall_ms: float
    cpu_ms: float
    figures: Mapping[str, float]


Way = Callable[[int], Awaitable[Taken]]


class Stopwatch:
    """Wall time, and CPU time of this process and of the one that serves it, from `start` on."""

    def __init__(self, server_pid: int) -> None:
        self._server_clock = (~server_pid << 3) | _CPU_CLOCK_SCHED
        self.start()

    def start(self) -> None:
        self._figures: dict[str, float] = {}
        self._cpu_s, self._began_s = self._cpu(), time.perf_counter()

    def first(self, name: str) -> None:
        """The time of the first of several events."""
        self._figures.setdefault(f"{name}_ms", 1000 * (time.perf_counter() - self._began_s))

    def stop(self, tokens: int = 0) -> Taken:
        wall_s, cpu_s = time.perf_counter() - self._began_s, self._cpu() - self._cpu_s
        if tokens:
            self._figures["token_ms"] = 1000 * wall_s / tokens
        return Taken(1000 * wall_s, 1000 * cpu_s, self._figures)

    def _cpu(self) -> float:
        return time.process_time() + time.clock_gettime(self._server_clock)


@asynccontextmanager
async def serving(name: str, environ: Mapping[str, str]) -> AsyncGenerator[tuple[grpc.aio.Channel, Stopwatch], None]:
    """A service as it is deployed, with these settings.

    Raises:
        StartFailed: it did not get ready.
    """
    # Of the layout only the service's own part is used: no OpenSIPS is asked for.
    layout = layouts.private(None, mi_port=1)
    host, port = layout.services[name]
    child = Child(name, f"services.{name}", LOG_FOLDER / f"bench-{name}.log", grpc_ready(host, port))
    await child.start({**os.environ, **layout.environ, **environ})
    try:
        await child.wait_ready(_TIMEOUT_S)
        assert child.pid is not None
        async with grpc.aio.insecure_channel(f"{host}:{port}") as channel:
            yield channel, Stopwatch(child.pid)
    finally:
        await child.stop(_STOP_TIMEOUT_S)


@asynccontextmanager
async def tts_ways() -> AsyncGenerator[tuple[Way, Way], None]:
    """A phrase of several clauses to 8 kHz PCM: rendered, levelled, resampled."""
    with tempfile.TemporaryDirectory() as folder:
        voice = str(_even_voice(Path(folder)))
        engine = PiperEngine(EngineSettings(MODELS_DIR_DEFAULT, SynthesisSettings().threads))
        engine.load(voice)
        chosen = engine.voice(Path(voice).stem)
        clauses = [clause.spoken for clause in spoken_clauses(_SPOKEN, chosen.language)]
        async with serving("tts", {"TTS_VOICE": voice, "TTS_CACHE_SIZE_MAX_BYTES": "0"}) as (channel, stopwatch):
            stub: TTSServiceAsyncStub = tts_pb2_grpc.TTSServiceStub(channel)

            async def over_grpc(_: int) -> Taken:
                stopwatch.start()
                request = tts_pb2.SynthesizeRequest(text=_SPOKEN, sample_rate=_RATE_HZ)
                async for response in stub.SynthesizeText(request, timeout=_TIMEOUT_S):
                    if response.WhichOneof("response_type") == "audio_chunk":
                        stopwatch.first("first_audio")
                return stopwatch.stop()

            async def in_process(_: int) -> Taken:
                stopwatch.start()
                for clause in clauses:
                    waveform = engine.render(clause, chosen.name, 1.0)
                    to_pcm(fit(waveform, chosen.sample_rate_hz), chosen.sample_rate_hz, _RATE_HZ)
                    stopwatch.first("first_audio")
                return stopwatch.stop()

            yield over_grpc, in_process
        engine.close()


@asynccontextmanager
async def asr_ways() -> AsyncGenerator[tuple[Way, Way], None]:
    """From the end of an utterance to its transcript; in process it is the engine's pass over the same speech."""
    engine, silero = FasterWhisper(AsrSettings(), MODELS_DIR_DEFAULT), SileroModel()
    engine.load()
    silero.load()
    samples = speech.mu_law(audible(speech.spoken(_HEARD, _RATE_HZ)))
    utterance = cut_out(samples, silero)
    frames = speech.frames(samples, _RATE_HZ)
    async with serving("asr", {}) as (channel, stopwatch):
        stub: ASRServiceAsyncStub = asr_pb2_grpc.ASRServiceStub(channel)

        async def over_grpc(_: int) -> Taken:
            stream = stub.StreamingRecognize(timeout=_TIMEOUT_S)
            config = asr_pb2.RecognitionConfig(sample_rate=_RATE_HZ, client_endpointing=True, interim_results=False)
            await stream.write(asr_pb2.StreamingRecognizeRequest(config=config))
            for frame in frames:
                await stream.write(asr_pb2.StreamingRecognizeRequest(audio_data=frame))
            await asyncio.sleep(_FED_S)
            stopwatch.start()
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
            await asyncio.sleep(_FED_S)
            stopwatch.start()
            recognition = engine.begin(RecognitionOptions())
            recognition.accept(utterance)
            recognition.final()
            return stopwatch.stop()

        yield over_grpc, in_process
    engine.close()


@asynccontextmanager
async def llm_ways(engine_name: str = "llama_cpp") -> AsyncGenerator[tuple[Way, Way], None]:
    """A question behind a persona that is evaluated already; in process it is asked of a model thread of our own."""
    settings = LlmSettings.model_validate({"engine": engine_name, "system_prompt": _PERSONA})
    engine = make_llm_engine(settings, MODELS_DIR_DEFAULT)
    engine.load()
    thread = ModelThread(engine, settings.parallel, settings.waiting_max)
    thread.start()
    persona = Job(engine.encode_prefix(assemble(_PERSONA, ())), max_tokens=0, pinned=True)
    async for _ in thread.submit(persona).events():
        pass
    async with serving("llm", {"LLM_ENGINE": engine_name, "LLM_SYSTEM_PROMPT": _PERSONA}) as (channel, stopwatch):
        stub: LLMServiceAsyncStub = llm_pb2_grpc.LLMServiceStub(channel)

        async def over_grpc(number: int) -> Taken:
            # The same questions come back, and are to be evaluated anew; the persona stays.
            await stub.EndSession(llm_pb2.EndSessionRequest(session_id=_SESSION))
            stopwatch.start()
            tokens = 0
            request = llm_pb2.TextProcessingRequest(
                text=_question(number),
                system_prompt=_PERSONA,
                temperature=0,
                max_tokens=_ANSWER_TOKENS,
                session_id=_SESSION,
            )
            async for response in stub.ProcessText(request, timeout=_TIMEOUT_S):
                stopwatch.first("first_token")
                tokens = response.usage.completion_tokens if response.done else tokens
            return stopwatch.stop(tokens)

        async def in_process(number: int) -> Taken:
            await thread.forget(_SESSION)
            stopwatch.start()
            tokens = 0
            sampling = Sampling(0.0, repeat_penalty=settings.repeat_penalty, seed=settings.seed)
            prompt = engine.encode(assemble(_PERSONA, (Message("user", _question(number)),)))
            job = Job(prompt, _ANSWER_TOKENS, sampling, session_id=_SESSION)
            async for event in thread.submit(job).events():
                stopwatch.first("first_token")
                tokens = event.usage.completion_tokens if isinstance(event, Ended) else tokens
            return stopwatch.stop(tokens)

        yield over_grpc, in_process
    if await thread.stop():
        engine.close()


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


def _even_voice(folder: Path) -> Path:
    """The packaged voice without the noise that makes every rendering as long as chance has it."""
    files = find_voice(SynthesisSettings().voice, MODELS_DIR_DEFAULT)
    model = folder / f"even-{files.model.name}"
    model.symlink_to(files.model.resolve())
    inference = {**files.config["inference"], "noise_scale": 0.0, "noise_w": 0.0}
    model.with_name(model.name + ".json").write_text(json.dumps({**files.config, "inference": inference}))
    return model


def _question(number: int) -> str:
    return _ASKED.format(_DEEDS[number % len(_DEEDS)])


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
