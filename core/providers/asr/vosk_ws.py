"""The recogniser of a Vosk server (github.com/alphacep/vosk-server, websocket/asr_server.py).

The server ends utterances by its own endpointing, and says the last words of an unfinished one when it is told
`{"reset" : 1}`, or `{"eof" : 1}`, after which it is done with the connection. So `finalize` is a reset. Where the
server knows none, as those before the end of 2023 and the one in C++, it is eof, and while the server reads the
last words the next connection is opened; the queue holds the audio meanwhile. A reset is the faster: the decoder
keeps the part of its graph that it has built. Feeding silence until the server endpoints was no choice: it takes
its 0.5 s of audio at the least, and at times never happens. Figures: docs/providers/vosk_ws.md.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import ClassVar

from core.errors import ProviderError, ProviderUnavailable
from core.providers.asr.vosk_utterance import EOF, RESET, VoskUtterance, parsed, text_of
from core.providers.base import RecognitionStream, Transcript
from core.providers.settings import AsrSettings
from core.providers.web_socket import WebSocketConnection, WebSocketServer
from services.common.settings import Section, key

NAME = "vosk_ws"
# Two seconds of 20 ms frames: a recogniser that does not read for longer is not keeping up.
QUEUE_FRAMES = 100
# Utterances whose finals are awaited; with more, the audio of the next one waits.
QUEUE_UTTERANCES = 4
# Kaldi reads in steps of 0.2 s: answers to shorter messages say nothing more.
MESSAGE_MS = 60
# A server that is asked whether it knows a reset makes its decoder first.
RESET_TIMEOUT_S = 2.0
# One that was too busy to answer that may know resets all the same.
RESET_RETRY_S = 60.0

Connect = Callable[[], Awaitable[VoskUtterance]]


class VoskWsSettings(Section):
    section: ClassVar[str] = "asr.vosk_ws"
    url: str = key("ws://localhost:2700", env="VOSK_URL", pattern=r"^wss?://", help="WebSocket URL of the Vosk server")
    phrase_list: tuple[str, ...] = key(
        (), help="The only phrases that are recognised, for closed menus; empty: the whole language of the model"
    )
    # What models read into silence and coughs (github.com/alphacep/vosk-api, issues 361, 797, 1139).
    noise_words: tuple[str, ...] = key(
        ("the", "huh", "einen", "nun"), help="Words that the model hears in noise: an utterance of nothing else is none"
    )


SETTINGS = VoskWsSettings


class VoskRecognitionStream:
    """One call's audio, over one connection, or over one after another."""

    def __init__(self, connect: Connect, first: VoskUtterance, sample_rate_hz: int) -> None:
        self._connect = connect
        self._message_bytes = 2 * sample_rate_hz * MESSAGE_MS // 1000
        self._outgoing: asyncio.Queue[bytes | int] = asyncio.Queue(QUEUE_FRAMES)
        # In the order of their finals; an error is why there is no further one, None that the stream is closed.
        self._utterances: asyncio.Queue[VoskUtterance | ProviderError | None] = asyncio.Queue(QUEUE_UTTERANCES)
        self._utterances.put_nowait(first)
        self._open = {first.connection}
        self._closed = False
        self._writer = asyncio.get_running_loop().create_task(self._write(first), name="asr-writer")

    async def send(self, pcm: bytes) -> None:
        self._put(pcm)

    async def finalize(self, utterance_id: int) -> None:
        self._put(utterance_id)

    async def transcripts(self) -> AsyncIterator[Transcript]:
        while not self._closed:
            utterance = await self._utterances.get()
            if utterance is None:
                return
            if isinstance(utterance, ProviderError):
                raise utterance
            try:
                async for transcript in utterance.transcripts():
                    yield transcript
            except ProviderError:
                if self._closed:
                    return
                self._writer.cancel()
                raise
            if utterance.is_last:
                self._open.discard(utterance.connection)
                await utterance.connection.close()

    async def close(self) -> None:
        self._closed = True
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)
        while self._utterances.full():
            self._utterances.get_nowait()
        self._utterances.put_nowait(None)
        await asyncio.gather(*(connection.close() for connection in self._open))

    def _put(self, item: bytes | int) -> None:
        if self._writer.done():
            raise ProviderUnavailable(NAME, "the recognition stream has broken")
        try:
            self._outgoing.put_nowait(item)
        except asyncio.QueueFull as error:
            raise ProviderUnavailable(NAME, "the recogniser does not keep up with the call's audio") from error

    async def _write(self, utterance: VoskUtterance) -> None:
        try:
            while True:
                utterance_id = await self._write_audio(utterance)
                await utterance.end(utterance_id)
                utterance = await self._connect() if utterance.is_last else utterance.following()
                self._open.add(utterance.connection)
                await self._utterances.put(utterance)
        except ProviderError as error:
            await self._utterances.put(error)

    async def _write_audio(self, utterance: VoskUtterance) -> int:
        """The audio up to the end of the utterance, whose id it gives."""
        audio = bytearray()
        while isinstance(item := await self._outgoing.get(), bytes):
            audio += item
            if len(audio) >= self._message_bytes:
                await utterance.send(bytes(audio))
                audio.clear()
        if audio:
            await utterance.send(bytes(audio))
        return item


class VoskWsRecognizer:
    """Recognition by the Vosk server at `[asr.vosk_ws] url`."""

    name = NAME

    def __init__(self, settings: AsrSettings, own: VoskWsSettings) -> None:
        self._phrase_list = list(own.phrase_list)
        self._noise_words = frozenset(own.noise_words)
        self._resets: bool | None = None
        self._ask_from_s = 0.0
        self._server = WebSocketServer(NAME, own.url, settings.timeout)
        self._server.start()

    @property
    def ready(self) -> bool:
        return self._server.ready

    async def open(self, sample_rate_hz: int, phrases: Sequence[str] = ()) -> RecognitionStream:
        # Vosk cannot be biased: `phrases` as its list would take every other word away.
        async def connect() -> VoskUtterance:
            return await self._begin(sample_rate_hz)

        return VoskRecognitionStream(connect, await connect(), sample_rate_hz)

    async def close(self) -> None:
        await self._server.close()

    async def _begin(self, sample_rate_hz: int) -> VoskUtterance:
        clock = asyncio.get_running_loop().time
        knows: bool | None = self._resets
        if self._resets is not False and clock() >= self._ask_from_s:
            connection = await self._configured(sample_rate_hz)
            knows = await self._answers_reset(connection)
            if knows:
                self._resets = True
                return VoskUtterance(NAME, connection, RESET, self._noise_words)
            await connection.close()
            if knows is None:
                self._ask_from_s = clock() + RESET_RETRY_S
        connection = await self._configured(sample_rate_hz)
        if knows is False:
            self._resets = False
        return VoskUtterance(NAME, connection, EOF, self._noise_words)

    async def _configured(self, sample_rate_hz: int) -> WebSocketConnection:
        config: dict[str, object] = {"sample_rate": sample_rate_hz, "words": False, "max_alternatives": 0}
        if self._phrase_list:
            config["phrase_list"] = self._phrase_list
        connection = await self._server.connect()
        try:
            await connection.send({"config": config})
        except (ProviderError, asyncio.CancelledError):
            await connection.close()
            raise
        return connection

    async def _answers_reset(self, connection: WebSocketConnection) -> bool | None:
        """Whether the server takes it for what it is, and not for audio; None where it does not say.

        It makes its decoder on the way.
        """
        try:
            await connection.send(RESET)
            async with asyncio.timeout(RESET_TIMEOUT_S):
                answer = await connection.receive()
        except TimeoutError:
            return None
        except ProviderError:
            return False
        except asyncio.CancelledError:
            await connection.close()
            raise
        return answer is not None and text_of(parsed(answer)) is not None


def build(settings: AsrSettings, own: VoskWsSettings) -> VoskWsRecognizer:
    return VoskWsRecognizer(settings, own)
