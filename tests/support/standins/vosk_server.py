"""The public Vosk server, as github.com/alphacep/vosk-server's websocket/asr_server.py behaves, message by message.

python -m tests.support.standins.vosk_server --port 2700 --engine scripted|vosk|whisper
"""

import argparse
import asyncio
import contextlib
import json
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from core.providers.asr.scripted import LINES
from tests.support.standins.decoders import Decoder, MakeDecoder, ScriptedDecoder, Transcribe, TranscribingDecoder
from tests.support.standins.http_server import HttpStandIn, cut

RATE_HZ = 8000.0
THREADS = 2
EOF = '{"eof" : 1}'
RESET = '{"reset" : 1}'


class VoskServer(HttpStandIn):
    """One server; its decoders are made as `make` says.

    Attributes:
        refusal: HTTP status with which it refuses connections.
        may_read: it takes no message before.
        may_answer_end: it does not say the last words of an utterance before.
        die_after: replies after which it cuts a connection.
        end_after: replies after which it closes one in good order.
        takes_config_for_audio: as websocket-cpp does, and resets too; it does not close after eof either.
        knows_reset: servers since the end of 2023 do.
        configs, eofs, resets: what clients sent.
        running: connections that are up.
    """

    def __init__(self, make: MakeDecoder, port: int = 0) -> None:
        super().__init__(port=port)
        self.refusal: int | None = None
        self.may_read = asyncio.Event()
        self.may_answer_end = asyncio.Event()
        self.may_read.set()
        self.may_answer_end.set()
        self.die_after: int | None = None
        self.end_after: int | None = None
        self.takes_config_for_audio = False
        self.knows_reset = True
        self.resets = 0
        self.configs: list[dict[str, Any]] = []
        self.eofs = 0
        self.audio_bytes = 0
        self.running = 0
        self._make = make
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="vosk")

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return [web.get("/", self._recognise)]

    async def _recognise(self, request: web.Request) -> web.StreamResponse:
        if self.refusal is not None:
            return web.Response(status=self.refusal, reason="as the test wants it")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.running += 1
        try:
            await self._serve(request, socket)
        finally:
            self.running -= 1
        return socket

    async def _serve(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        decoder: Decoder | None = None
        config: dict[str, Any] = {}
        decoder_used = False
        replies = 0
        loop = asyncio.get_running_loop()
        while True:
            await self.may_read.wait()
            message = await socket.receive()
            if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                return
            if isinstance(message.data, str) and "config" in message.data:
                config = json.loads(message.data)["config"]
                self.configs.append(config)
                if self.takes_config_for_audio:
                    await socket.send_str('{"partial" : ""}')
                continue
            if decoder is None:
                decoder = self._make(float(config.get("sample_rate", RATE_HZ)), config.get("phrase_list"))
            if message.data == EOF:
                self.eofs += 1
            elif message.data == RESET and self.knows_reset:
                self.resets += 1
            elif isinstance(message.data, str) and not self.takes_config_for_audio:
                # The real one gives it to Kaldi's binding, which raises.
                await socket.close(code=aiohttp.WSCloseCode.INTERNAL_ERROR)
                return
            if isinstance(message.data, str) and decoder_used:
                await self.may_answer_end.wait()
            decoder_used = True
            reply, stop = await loop.run_in_executor(self._threads, self._process, decoder, message.data)
            await socket.send_str(reply)
            replies += 1
            if stop and not self.takes_config_for_audio:
                return
            if replies == self.die_after:
                cut(request.transport)
            if replies == self.end_after:
                return

    def _process(self, decoder: Decoder, message: str | bytes) -> tuple[str, bool]:
        if message == EOF or (message == RESET and self.knows_reset):
            return decoder.FinalResult(), message == EOF
        if isinstance(message, str):
            return decoder.PartialResult(), False
        self.audio_bytes += len(message)
        return (decoder.Result() if decoder.AcceptWaveform(message) else decoder.PartialResult()), False


def scripted(lines: Iterable[str] = LINES) -> MakeDecoder:
    """The lines, over and over, whichever connection they are heard on."""
    endless = cycle(lines)
    return lambda rate_hz, _phrases: ScriptedDecoder(rate_hz, endless)


def transcribing(transcribe: Transcribe) -> MakeDecoder:
    return lambda rate_hz, _phrases: TranscribingDecoder(rate_hz, transcribe)


def kaldi(folder: Path) -> MakeDecoder:
    """Vosk itself with the model in the folder."""
    import vosk

    vosk.SetLogLevel(-1)
    model = vosk.Model(str(folder))

    def make(rate_hz: float, phrases: list[str] | None) -> Decoder:
        grammar = (json.dumps(phrases, ensure_ascii=False),) if phrases else ()
        decoder: Decoder = vosk.KaldiRecognizer(model, rate_hz, *grammar)
        return decoder

    return make


def whisper() -> Transcribe:
    """The packaged Whisper model."""
    import numpy as np
    import soxr
    from faster_whisper import WhisperModel

    from services.asr.engines.faster_whisper import MODEL_DEFAULT
    from services.common.model_files import resolve

    model = WhisperModel(str(resolve(MODEL_DEFAULT, Path("models"))), device="cpu", compute_type="int8")

    def transcribe(pcm: bytes, rate_hz: int) -> str:
        samples = soxr.resample(np.frombuffer(pcm, "<i2").astype(np.float32) / 32768, rate_hz, 16000)
        segments, _ = model.transcribe(samples, beam_size=1, temperature=0.0, language="en", without_timestamps=True)
        return " ".join(segment.text.strip() for segment in segments)

    return transcribe


def _make(engine: str, model: str) -> MakeDecoder:
    if engine == "whisper":
        return transcribing(whisper())
    if engine == "vosk":
        from services.asr.tests.conftest import steady_vosk_model

        return kaldi(Path(model) if model else steady_vosk_model(Path(tempfile.mkdtemp())))
    return scripted()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=2700)
    parser.add_argument("--engine", choices=("scripted", "vosk", "whisper"), default="scripted")
    parser.add_argument("--model", default="", help="folder of a Vosk model; the packaged Korean one otherwise")
    options = parser.parse_args()

    async def run() -> None:
        async with VoskServer(_make(options.engine, options.model), options.port) as server:
            print(f"listening on {server.url}", flush=True)  # noqa: T201
            await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


if __name__ == "__main__":
    main()
