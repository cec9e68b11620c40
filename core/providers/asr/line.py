"""One recogniser's stream within a call that may change recognisers: what it is given, and what it hears."""

import asyncio
import logging

from core.errors import ProviderError, ProviderUnavailable
from core.providers.base import RecognitionStream, Recognizer, Transcript
from core.providers.breaker import Trial
from core.providers.member import Member
from core.providers.supply import STOP_TIMEOUT_S

log = logging.getLogger(__name__)

# A call reads them at once; a recogniser that has more to say waits.
UNREAD_MAX = 64


class Line:
    """A stream that has been opened. Each utterance is a trial of its recogniser, the first one being given."""

    def __init__(self, member: Member[Recognizer], stream: RecognitionStream, trial: Trial) -> None:
        self.member = member
        self._stream = stream
        self._trial = trial
        self._heard: asyncio.Queue[Transcript | None] = asyncio.Queue(UNREAD_MAX)
        self._failure: Exception | None = None
        self._reader = asyncio.get_running_loop().create_task(self._read(), name=f"asr:{member.provider.name}")

    async def give(self, item: bytes | int) -> None:
        """Audio, or the id of the utterance that ends here. A failure is for `next` to tell."""
        if self._failure is not None:
            return
        try:
            if isinstance(item, bytes):
                await self._stream.send(item)
            else:
                await self._stream.finalize(item)
        except ProviderError as error:
            self.fail(error)

    async def next(self) -> Transcript:
        """The next transcript.

        Raises:
            ProviderError: there is none any more.
        """
        transcript = None if self._failure else await self._heard.get()
        if self._failure is not None:
            raise self._failure
        assert transcript is not None
        return transcript

    def answered(self) -> None:
        """A final came when it was wanted."""
        self._trial.succeeded()
        self._trial = self.member.breaker.began()

    def fail(self, error: Exception) -> None:
        """Nothing is heard of it from now on."""
        if self._failure is None:
            self._failure = error
            self._trial.failed(error)
            if self._heard.empty():
                self._heard.put_nowait(None)

    async def close(self) -> None:
        """Returns when the recogniser has stopped, or takes too long to."""
        self._trial.abandoned()
        self.fail(ProviderUnavailable(self.member.provider.name, "the stream is closed"))
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._stream.close()
        except TimeoutError:
            log.debug("recognition stream does not close", extra={"provider": self.member.provider.name})
        self._reader.cancel()
        await asyncio.wait({self._reader}, timeout=STOP_TIMEOUT_S)

    async def _read(self) -> None:
        try:
            async for transcript in self._stream.transcripts():
                await self._heard.put(transcript)
            self.fail(ProviderUnavailable(self.member.provider.name, "it has ended the stream"))
        except Exception as error:
            self.fail(error)
