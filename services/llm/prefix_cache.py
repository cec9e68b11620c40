"""Who holds which tokens in the model's cache: every session keeps its prompt, common beginnings are held once.

The cache has room for so many sequences and so many tokens. Both are taken from the session longest idle.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count

from services.llm.engine import Engine


@dataclass(eq=False, slots=True)
class Place:
    """One sequence, and what it holds.

    Attributes:
        session_id: whose prompt it was last, "" for nobody's.
        reserved: tokens that its request may still add.
    """

    sequence: int
    tokens: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)
    session_id: str = ""
    busy: bool = False
    pinned: bool = False
    reserved: int = 0
    last_used: int = 0


class PrefixCache:
    """Used by one thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._capacity = engine.info.context_tokens
        self._places = [Place(sequence) for sequence in range(engine.info.sequences)]
        self._clock = count(1)
        self._cell_numbers = count()
        # How many sequences hold each cell: shared beginnings take their room once.
        self._holders: Counter[int] = Counter()

    @property
    def used_tokens(self) -> int:
        return len(self._holders)

    @property
    def request_tokens_max(self) -> int:
        """What a request can hold at most, were it alone with what is pinned."""
        pinned = sum(len(place.tokens) for place in self._places if place.pinned)
        return min(self._engine.info.sequence_tokens, self._capacity - pinned)

    def acquire(self, session_id: str, prompt: Sequence[int], answer_tokens: int) -> Place | None:
        """A place that holds as much of the beginning of `prompt` as is known, with room for the rest and an answer.

        With an answer at least the prompt's last token is left to evaluate: the first draw needs it.
        None where there is no room until another request ends.
        """
        reusable = len(prompt) - 1 if answer_tokens else len(prompt)
        target = self._target(session_id, prompt)
        if target is None:
            return None
        donor = max(self._places, key=lambda place: (_common(place.tokens, prompt), place is target))
        known = min(_common(donor.tokens, prompt), reusable)
        needed = len(prompt) - known + answer_tokens
        if not self._has_room(needed, donor.cells[:known]):
            return None
        if donor is target:
            self.truncate(target, known)
        else:
            self._copy(donor, target, known)
        target.busy, target.session_id = True, session_id
        target.reserved = len(prompt) - len(target.tokens) + answer_tokens
        self._evict()
        return target

    def append(self, place: Place, tokens: Sequence[int]) -> None:
        """The engine has evaluated more tokens."""
        cells = [next(self._cell_numbers) for _ in tokens]
        place.tokens.extend(tokens)
        self._hold(place, cells)
        place.reserved = max(place.reserved - len(tokens), 0)

    def release(self, place: Place, *, pinned: bool = False) -> None:
        """Its request has ended; what it holds stays for the session's next one, or, pinned, for good."""
        place.busy, place.reserved, place.last_used = False, 0, next(self._clock)
        place.pinned = pinned

    def forget(self, session_id: str) -> bool:
        """Frees what a session holds. Where a request of it still runs, its place is nobody's once that ends."""
        places = [place for place in self._places if session_id and place.session_id == session_id]
        for place in places:
            place.session_id = ""
            if not place.busy:
                self.truncate(place, 0)
        return bool(places)

    def truncate(self, place: Place, length: int) -> None:
        if length == len(place.tokens):
            return
        kept = self._engine.truncate(place.sequence, length)
        self._drop(place.cells[kept:])
        del place.tokens[kept:], place.cells[kept:]

    def _target(self, session_id: str, prompt: Sequence[int]) -> Place | None:
        idle = [place for place in self._places if not place.busy and not place.pinned]
        own = [place for place in idle if session_id and place.session_id == session_id]
        if own:
            return max(own, key=lambda place: _common(place.tokens, prompt))
        # An empty one costs nobody anything; else whoever has been silent longest.
        return min(idle, key=lambda place: (bool(place.tokens), place.last_used), default=None)

    def _has_room(self, needed: int, known: Sequence[int]) -> bool:
        """Whether so many more cells could be had, were all idle sessions evicted."""
        lasting = {cell for place in self._places if place.busy or place.pinned for cell in place.cells}
        return self._capacity - len(lasting.union(known)) - self._reserved >= needed

    def _evict(self) -> None:
        """Makes what is reserved true, at the cost of the sessions longest idle."""
        idle = [place for place in self._places if not place.busy and not place.pinned]
        for place in sorted(idle, key=lambda place: place.last_used):
            if self.used_tokens + self._reserved <= self._capacity:
                return
            self.truncate(place, 0)

    @property
    def _reserved(self) -> int:
        return sum(place.reserved for place in self._places if place.busy)

    def _copy(self, donor: Place, target: Place, length: int) -> None:
        self.truncate(target, 0)
        kept = self._engine.share(donor.sequence, target.sequence, length)
        target.tokens = donor.tokens[:kept]
        self._hold(target, donor.cells[:kept])

    def _hold(self, place: Place, cells: Sequence[int]) -> None:
        place.cells.extend(cells)
        self._holders.update(cells)

    def _drop(self, cells: Iterable[int]) -> None:
        for cell in cells:
            self._holders[cell] -= 1
            if not self._holders[cell]:
                del self._holders[cell]


def _common(held: Sequence[int], wanted: Sequence[int]) -> int:
    """The length of the common beginning."""
    for at, (one, other) in enumerate(zip(held, wanted, strict=False)):
        if one != other:
            return at
    return min(len(held), len(wanted))
