"""What is to be played: encoded by the speaker's side, taken packet by packet by the wheel."""

import asyncio
from collections import deque

from core.audio.codec import Codec
from core.audio.codecs import create_codec
from core.errors import CallEnded

# G.711 and G.722 alike: 64 kbit/s (RFC 3551 4.5.2, 4.5.14).
_PAYLOAD_BYTES_PER_MS = 8
# G.722 makes one byte of two samples; what is left over waits for the next call.
_PCM_UNIT_BYTES = 4


class PlayoutQueue:
    """One call's audio and digits on their way out.

    `pop`, `pop_digit` and `wants_waking` belong to the wheel's thread, everything else to the call's loop.
    No lock is needed: each counter has one writer, and taking from a deque is atomic.
    """

    def __init__(self, lead_ms: int) -> None:
        self._lead_ms = lead_ms
        self._codec: Codec | None = None
        self._ptime_ms = 0
        self._frame_bytes = 0
        self._frame_pcm_bytes = 0
        self.silence = b""
        self._frames: deque[bytes] = deque()
        # At most one: a frame that is not full yet.
        self._tail: deque[bytes] = deque()
        self._odd_pcm = b""
        # With the number of frames that go out before each.
        self._digits: deque[tuple[int, str]] = deque()
        self._frames_put = 0
        self._frames_cleared = 0
        self._frames_popped = 0
        self._played_bytes = 0
        self._generation = 0
        self._turn = asyncio.Lock()
        self._room: asyncio.Future[None] | None = None
        self._closed = False

    def configure(self, codec: Codec, ptime_ms: int) -> None:
        """What follows is encoded this way. Where that changes, what is queued is dropped."""
        if codec is self._codec and ptime_ms == self._ptime_ms:
            return
        self.clear()
        self._codec = codec
        self._ptime_ms = ptime_ms
        self._frame_bytes = ptime_ms * _PAYLOAD_BYTES_PER_MS
        self._frame_pcm_bytes = codec.sample_rate_hz * ptime_ms // 1000 * 2
        # From an encoder of its own: the call's may be in the middle of a word.
        self.silence = create_codec(codec.name).encode(bytes(self._frame_pcm_bytes))

    async def put(self, pcm: bytes) -> None:
        """Queues PCM frame by frame, waiting while more than the lead is queued. `clear` drops the rest too.

        Raises:
            CallEnded: the queue is closed.
        """
        generation = self._generation
        async with self._turn:
            offset = 0
            while not self._closed and generation == self._generation:
                if offset < len(pcm):
                    self._append(pcm[offset : offset + self._frame_pcm_bytes])
                    offset += self._frame_pcm_bytes
                if self.queued_ms > self._lead_ms:
                    await self._wait_for_room()
                elif offset >= len(pcm):
                    break
        if self._closed:
            raise CallEnded

    def put_digits(self, digits: str) -> None:
        """Queues key presses behind the audio that is queued now; `clear` does not drop them."""
        with_tail = self._take_tail()
        if with_tail:
            self._put_frame(self._padded(with_tail))
        self._digits.extend((self._frames_put, digit) for digit in digits)

    def clear(self) -> None:
        self._generation += 1
        self._odd_pcm = b""
        while self._pop_frame() is not None:
            self._frames_cleared += 1
        self._take_tail()
        self.wake()

    def close(self) -> None:
        self._closed = True
        self.clear()

    def wake(self) -> None:
        """Lets a waiting `put` look again."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    @property
    def queued_ms(self) -> float:
        try:
            tail_bytes = len(self._tail[0])
        except IndexError:
            tail_bytes = 0
        frames = self._frames_put - self._frames_cleared - self._frames_popped
        return frames * self._ptime_ms + tail_bytes / _PAYLOAD_BYTES_PER_MS

    @property
    def played_ms(self) -> float:
        return self._played_bytes / _PAYLOAD_BYTES_PER_MS

    @property
    def wants_waking(self) -> bool:
        return self._room is not None and self.queued_ms <= self._lead_ms

    def pop(self) -> bytes | None:
        """The next packet's payload, the last one filled up with silence; None when nothing is queued."""
        frame = self._pop_frame()
        if frame is not None:
            self._frames_popped += 1
            self._played_bytes += len(frame)
            return frame
        tail = self._take_tail()
        if not tail:
            return None
        self._played_bytes += len(tail)
        return self._padded(tail)

    def pop_digit(self) -> str | None:
        """The next key press, once the audio before it is gone."""
        if self._digits and self._digits[0][0] <= self._frames_popped + self._frames_cleared:
            return self._digits.popleft()[1]
        return None

    async def _wait_for_room(self) -> None:
        self._room = asyncio.get_running_loop().create_future()
        try:
            # The wheel may have made room before it could see that somebody waits.
            if self.queued_ms > self._lead_ms:
                await self._room
        finally:
            self._room = None

    def _append(self, pcm: bytes) -> None:
        assert self._codec is not None
        pcm = self._odd_pcm + pcm
        whole = len(pcm) - len(pcm) % _PCM_UNIT_BYTES
        self._odd_pcm = pcm[whole:]
        encoded = self._take_tail() + self._codec.encode(pcm[:whole])
        while len(encoded) >= self._frame_bytes:
            self._put_frame(encoded[: self._frame_bytes])
            encoded = encoded[self._frame_bytes :]
        if encoded:
            self._tail.append(encoded)

    def _put_frame(self, frame: bytes) -> None:
        # Counted first: the wheel may take it at once, and what is queued is never negative.
        self._frames_put += 1
        self._frames.append(frame)

    def _pop_frame(self) -> bytes | None:
        try:
            return self._frames.popleft()
        except IndexError:
            return None

    def _take_tail(self) -> bytes:
        try:
            return self._tail.pop()
        except IndexError:
            return b""

    def _padded(self, payload: bytes) -> bytes:
        return payload + self.silence[len(payload) :]
