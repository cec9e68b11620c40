"""What a recogniser was given since its last final, to be given to another one again."""

from collections import deque
from collections.abc import Iterator

# As long as a turn is by default; of a longer one the beginning is lost.
KEPT_S = 20.0
# Short enough that a pause stays one; of much audio the pieces are longer, for streams queue only so many.
PIECE_S = 0.2
PIECES_MAX = 50


class KeptAudio:
    """Audio, and between it the utterances that were ended by `finalize`; drops the oldest audio."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._size_max = int(KEPT_S * sample_rate_hz) * 2
        self._size = 0
        self._items: deque[bytes | int] = deque()

    def add(self, item: bytes | int) -> None:
        """The next stretch of audio, or the id of the utterance that ends here."""
        self._items.append(item)
        if isinstance(item, int):
            return
        self._size += len(item)
        while self._size > self._size_max:
            index, oldest = next((n, each) for n, each in enumerate(self._items) if isinstance(each, bytes))
            del self._items[index]
            self._size -= len(oldest)

    def forget(self, utterance_id: int) -> None:
        """This utterance is answered, and with it all before."""
        while utterance_id in self._items:
            item = self._items.popleft()
            if isinstance(item, bytes):
                self._size -= len(item)

    def pieces(self) -> Iterator[bytes | int]:
        """Everything, in order, in few pieces."""
        size = max(int(PIECE_S * self._rate_hz), self._size // 2 // PIECES_MAX) * 2
        piece = bytearray()
        for item in self._items:
            if isinstance(item, bytes):
                piece += item
                while len(piece) >= size:
                    yield bytes(piece[:size])
                    del piece[:size]
                continue
            if piece:
                yield bytes(piece)
                piece.clear()
            yield item
        if piece:
            yield bytes(piece)
