"""Facts about sessions (UpdateContext), put into their later prompts; bounded, and forgotten after silence."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

FACTS_MAX = 32
NAME_MAX_CHARS = 64
VALUE_MAX_CHARS = 512


@dataclass(slots=True)
class _Facts:
    used_s: float
    values: dict[str, str] = field(default_factory=dict)


class Sessions:
    """The facts of each session. The session longest silent makes room for a new one."""

    def __init__(self, sessions_max: int, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._sessions_max = sessions_max
        self._ttl_s = ttl_s
        self._clock = clock
        self._sessions: OrderedDict[str, _Facts] = OrderedDict()

    def __len__(self) -> int:
        self._expire()
        return len(self._sessions)

    def update(self, session_id: str, updates: Mapping[str, str]) -> int:
        """Adds and replaces facts; an empty value removes one. How many the session has now.

        Raises:
            ValueError: more, or longer, than a prompt should carry; nothing is changed.
        """
        self._expire()
        known = self._sessions.get(session_id)
        values = dict(known.values) if known else {}
        for name, value in ((_one_line(name), _one_line(value)) for name, value in updates.items()):
            if not name or len(name) > NAME_MAX_CHARS:
                raise ValueError(f"the name of a fact has 1 to {NAME_MAX_CHARS} characters, not {len(name)}")
            if len(value) > VALUE_MAX_CHARS:
                raise ValueError(f"fact {name!r} has {len(value)} characters of {VALUE_MAX_CHARS}")
            values.pop(name, None)
            if value:
                values[name] = value
        if len(values) > FACTS_MAX:
            raise ValueError(f"a session has at most {FACTS_MAX} facts, not {len(values)}")
        self._sessions[session_id] = _Facts(self._clock(), values)
        self._sessions.move_to_end(session_id)
        while len(self._sessions) > self._sessions_max:
            self._sessions.popitem(last=False)
        return len(values)

    def facts(self, session_id: str) -> Mapping[str, str]:
        """What is known, oldest first; the session counts as used."""
        self._expire()
        known = self._sessions.get(session_id)
        if known is None:
            return {}
        known.used_s = self._clock()
        self._sessions.move_to_end(session_id)
        return known.values

    def end(self, session_id: str) -> bool:
        """Forgets a session; whether there was one."""
        return self._sessions.pop(session_id, None) is not None

    def _expire(self) -> None:
        # They are kept in the order of their last use.
        oldest_s = self._clock() - self._ttl_s
        while self._sessions and next(iter(self._sessions.values())).used_s <= oldest_s:
            self._sessions.popitem(last=False)


def _one_line(text: str) -> str:
    return " ".join(text.split())
