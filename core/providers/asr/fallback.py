"""Recognisers of which each takes over from the one before it, within the turn."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence

from core.errors import ProviderError, ProviderTimeout, ProviderUnavailable
from core.providers.asr.kept_audio import KeptAudio
from core.providers.asr.line import Line
from core.providers.base import RecognitionStream, Recognizer, Transcript
from core.providers.member import Candidates, Member, note_takeover
from core.providers.settings import AsrSettings
from core.providers.supply import Leaving


class FallbackRecognizer:
    """A `Recognizer` made of several. It does not close them: they may be shared.

    A stream stays with the recogniser that it has come to; the next call's begins with the first that is well.
    """

    def __init__(self, members: Sequence[Member[Recognizer]], settings: AsrSettings) -> None:
        self.members = tuple(members)
        self.budget_s = settings.budget_ms / 1000
        self.leaving = Leaving()
        self.name = self.members[0].provider.name
        self._timeout_s = settings.timeout

    @property
    def ready(self) -> bool:
        return any(member.provider.ready for member in self.members)

    async def open(self, sample_rate_hz: int, phrases: Sequence[str] = ()) -> RecognitionStream:
        candidates = Candidates(self.members)
        line = await self.open_line(candidates, sample_rate_hz, phrases)
        return FallbackStream(self, line, sample_rate_hz, phrases)

    async def open_line(
        self,
        candidates: Candidates[Recognizer],
        sample_rate_hz: int,
        phrases: Sequence[str],
        failed: Member[Recognizer] | None = None,
        error: ProviderError | None = None,
    ) -> Line:
        """A stream of the first candidate that opens one, in the place of the `failed` one's.

        Raises:
            ProviderError: the last one's, where none does.
        """
        while (member := candidates.next()) is not None:
            if failed is not None and error is not None:
                note_takeover("asr", error, failed, member)
            trial = member.breaker.began()
            try:
                # The last one is given the time that its service has anyway.
                async with asyncio.timeout(self.budget_s if candidates.replaceable else self._timeout_s):
                    stream = await member.provider.open(sample_rate_hz, phrases)
                return Line(member, stream, trial)
            except TimeoutError:
                error = ProviderTimeout(member.provider.name, "no stream was opened in time")
            except ProviderError as refusal:
                error = refusal
            except BaseException:
                trial.abandoned()
                raise
            trial.failed(error)
            failed = member
        raise error or ProviderUnavailable(self.name, "there is no other recogniser")

    async def close(self) -> None:
        """Leaves the members open."""
        await self.leaving.stopped()


class FallbackStream:
    """One call's audio, on its way to whichever recogniser hears it.

    Where one breaks, or leaves a final due for longer than `budget_ms` while a healthy one stands behind it, the
    next hears again what no final has answered yet. `transcripts` does the changing: it must be read.
    """

    def __init__(self, recognizer: FallbackRecognizer, line: Line, sample_rate_hz: int, phrases: Sequence[str]) -> None:
        self._recognizer = recognizer
        self._rate_hz = sample_rate_hz
        self._phrases = phrases
        self._kept = KeptAudio(sample_rate_hz)
        self._line = line
        self._candidates = self._others()
        # While another recogniser is opened, and hears it all again, what is new waits here.
        self._waiting: deque[bytes | int] | None = None
        self._due: deque[int] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(self, pcm: bytes) -> None:
        await self._pass_on(pcm)

    async def finalize(self, utterance_id: int) -> None:
        await self._pass_on(utterance_id)
        self._due.append(utterance_id)
        if self._timer is None:
            self._await_final()

    async def transcripts(self) -> AsyncIterator[Transcript]:
        while not self._closed:
            try:
                transcript = await self._line.next()
            except ProviderError as error:
                if not self._closed:
                    await self._change(error)
                continue
            self._note(transcript)
            yield transcript

    async def close(self) -> None:
        self._closed = True
        self._stop_timer()
        await self._line.close()

    async def _pass_on(self, item: bytes | int) -> None:
        if self._closed:
            raise ProviderUnavailable(self._recognizer.name, "the stream is closed")
        self._kept.add(item)
        if self._waiting is not None:
            self._waiting.append(item)
        else:
            await self._line.give(item)

    def _note(self, transcript: Transcript) -> None:
        self._candidates = self._others()
        if not transcript.is_final:
            return
        self._line.answered()
        self._kept.forget(transcript.utterance_id)
        while self._due and self._due[0] <= transcript.utterance_id:
            self._due.popleft()
        self._await_final()

    async def _change(self, error: ProviderError) -> None:
        """Lets the next recogniser hear what is not yet answered. Raises the last one's error where there is none."""
        self._stop_timer()
        self._waiting = deque()
        recognizer, failed = self._recognizer, self._line.member
        recognizer.leaving.watch(asyncio.get_running_loop().create_task(self._line.close(), name="asr-close"))
        try:
            self._line = await recognizer.open_line(self._candidates, self._rate_hz, self._phrases, failed, error)
        except ProviderError:
            self._closed = True
            raise
        if self._closed:
            await self._line.close()
            return
        self._waiting = deque(self._kept.pieces())
        while self._waiting:
            await self._line.give(self._waiting.popleft())
            # The stream's writer has its turn, or its queue would overflow.
            await asyncio.sleep(0)
        self._waiting = None
        self._await_final()

    def _others(self) -> Candidates[Recognizer]:
        return Candidates([member for member in self._recognizer.members if member is not self._line.member])

    def _await_final(self) -> None:
        self._stop_timer()
        if self._due and self._waiting is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._recognizer.budget_s, self._lose_patience, self._line)

    def _lose_patience(self, line: Line) -> None:
        self._timer = None
        if self._candidates.replaceable:
            line.fail(ProviderTimeout(line.member.provider.name, "no final came in time"))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
