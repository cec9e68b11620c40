"""The voice of a Piper server over WebSocket: JSON request; JSON start, binary 16-bit mono PCM, JSON completion.

Deployed servers differ in the names within the JSON messages, so these are told apart by their place, and by words
that all use. Each request has a connection of its own, and stopping is closing it: that is all that every server
takes for a stop. Figures: docs/providers/piper_ws.md.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any, ClassVar

import numpy as np
import soxr

from core.errors import ProviderRejected, ProviderTimeout, ProviderUnavailable
from core.providers.base import Message
from core.providers.server_text import server_text
from core.providers.settings import TtsSettings
from core.providers.web_socket import Received, WebSocketConnection, WebSocketServer
from services.common.settings import Section, key

NAME = "piper_ws"
RETRY_AFTER_S = 0.05
RATES_HZ = range(4000, 192_001)
# Of a message between the start and the completion: more follows.
_UNDER_WAY = ("start", "begin", "chunk", "progress", "audio_info", "info")


class PiperWsSettings(Section):
    section: ClassVar[str] = "tts.piper_ws"
    url: str = key("ws://localhost:8000/tts", env="PIPER_URL", pattern=r"^wss?://", help="WebSocket URL of the server")
    sample_rate: int = key(
        0,
        unit="Hz",
        ge=0,
        le=192_000,
        help="Rate of a server that neither sends what it is asked for nor says its own, such as 22050; 0 otherwise",
    )


SETTINGS = PiperWsSettings


class PiperWsSynthesizer:
    """Synthesis by the server at `[tts.piper_ws] url`."""

    name = NAME

    def __init__(self, settings: TtsSettings, own: PiperWsSettings) -> None:
        self._settings = settings
        self._known_rate_hz = own.sample_rate
        self._server = WebSocketServer(NAME, own.url, settings.timeout)
        self._server.start()

    @property
    def ready(self) -> bool:
        return self._server.ready

    async def synthesize(self, text: str, sample_rate_hz: int) -> AsyncGenerator[bytes, None]:
        connection = await self._connect()
        try:
            request = {"text": text, "sample_rate": sample_rate_hz}
            await connection.send(request | ({"voice": self._settings.voice} if self._settings.voice else {}))
            audio = _Audio(self._known_rate_hz or sample_rate_hz, sample_rate_hz)
            started = False
            while (message := await self._receive(connection)) is not None:
                if isinstance(message, bytes):
                    started = True
                    if pcm := audio.convert(message):
                        yield pcm
                    continue
                fields = _fields(message)
                _raise_refusal(fields, text)
                if started and not _is_under_way(fields):
                    break
                started = True
                audio.note_rate(_rate_hz(fields))
            else:
                if not audio.came:
                    raise ProviderUnavailable(NAME, "the server closed the connection before any audio")
            if rest := audio.rest():
                yield rest
        finally:
            await connection.close()

    async def close(self) -> None:
        await self._server.close()

    async def _connect(self) -> WebSocketConnection:
        for _ in range(self._settings.max_retries):
            try:
                return await self._server.connect()
            except ProviderUnavailable:
                await asyncio.sleep(RETRY_AFTER_S)
        return await self._server.connect()

    async def _receive(self, connection: WebSocketConnection) -> Received | None:
        try:
            async with asyncio.timeout(self._settings.timeout):
                return await connection.receive()
        except TimeoutError as error:
            raise ProviderTimeout(NAME, "the server does not go on") from error


class _Audio:
    """One utterance's PCM on its way to the rate that was asked for."""

    def __init__(self, rate_hz: int, wanted_hz: int) -> None:
        self.came = False
        self._wanted_hz = wanted_hz
        self._half_sample = b""
        self._converter: Any = None
        self._rate_hz = rate_hz
        self.note_rate(rate_hz)

    def note_rate(self, rate_hz: int | None) -> None:
        """The server says its rate; later than the first audio it is not believed."""
        if rate_hz is None or self.came:
            return
        self._rate_hz = rate_hz
        other = rate_hz != self._wanted_hz
        self._converter = soxr.ResampleStream(rate_hz, self._wanted_hz, 1, dtype="int16") if other else None

    def convert(self, pcm: bytes) -> bytes:
        self.came = True
        pcm = self._half_sample + pcm
        whole = len(pcm) & ~1
        self._half_sample = pcm[whole:]
        return self._resampled(pcm[:whole], last=False)

    def rest(self) -> bytes:
        """What the filter still holds. Half a sample at the end is none."""
        return self._resampled(b"", last=True)

    def _resampled(self, pcm: bytes, *, last: bool) -> bytes:
        if self._converter is None:
            return pcm
        resampled: bytes = self._converter.resample_chunk(np.frombuffer(pcm, "<i2"), last=last).tobytes()
        return resampled


def _fields(message: str) -> dict[str, Any]:
    try:
        fields = json.loads(message)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _kind(fields: dict[str, Any]) -> str:
    """What a message calls itself."""
    return next((str(fields[name]).lower() for name in ("type", "event", "status") if fields.get(name)), "")


def _is_under_way(fields: dict[str, Any]) -> bool:
    return _kind(fields).startswith(_UNDER_WAY)


def _raise_refusal(fields: dict[str, Any], text: str) -> None:
    reason = fields.get("error")
    if not reason and _kind(fields) in ("error", "failed"):
        reason = fields.get("message") or fields.get("detail") or "no details"
    if reason:
        told = reason.get("message", reason) if isinstance(reason, dict) else reason
        raise ProviderRejected(NAME, server_text(told, (Message("assistant", text),)))


def _rate_hz(fields: dict[str, Any]) -> int | None:
    """The rate that a start message names, itself or in an object within it."""
    for holder in (fields, *(value for value in fields.values() if isinstance(value, dict))):
        for name in ("sample_rate", "sampleRate", "sample_rate_hz"):
            rate = holder.get(name)
            if isinstance(rate, int) and rate in RATES_HZ:
                return rate
    return None


def build(settings: TtsSettings, own: PiperWsSettings) -> PiperWsSynthesizer:
    return PiperWsSynthesizer(settings, own)
