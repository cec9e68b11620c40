"""When the agent is heard to speak, as it happens; the exact figures come from the trace afterwards."""

_PAUSE_NS = 200_000_000


class Ear:
    """Fed by the thread that receives, read by the one that plays the script."""

    def __init__(self) -> None:
        self._unconfirmed_ns: int | None = None
        self.began_ns: list[int] = []
        self.last_ns = 0

    def heard(self, at_ns: int) -> None:
        """An audible packet came. A single one is a click; two together are speech."""
        if at_ns - self.last_ns > _PAUSE_NS:
            self._unconfirmed_ns = at_ns
        elif self._unconfirmed_ns is not None:
            self.began_ns.append(self._unconfirmed_ns)
            self._unconfirmed_ns = None
        self.last_ns = at_ns

    def began_after(self, since_ns: int) -> int | None:
        """When the first stretch of speech began that did so after that moment."""
        return next((at_ns for at_ns in self.began_ns if at_ns > since_ns), None)
