"""Symmetric RTP: whose packets are the caller's, and where ours go (RFC 4961, RFC 7362)."""

from typing import Literal

LatchPolicy = Literal["address", "host", "any"]

# How near a source is to the address in the SDP.
_ELSEWHERE, _SAME_HOST, _SAME_ADDRESS = range(3)
_LOWEST_RANK = {"any": _ELSEWHERE, "host": _SAME_HOST, "address": _SAME_ADDRESS}
_HOST = slice(4, 8)
_PACKETS_AFTER_MOVE = 50


class SourceLock:
    """Addresses are compared as the kernel writes them (`datagram_socket.encode_address`).

    The address in the SDP is believed at once. Any other source that the policy allows must first show some packets
    in a row with one SSRC; then it is the only one, unless a source nearer to the SDP speaks up after all.
    """

    def __init__(self, policy: LatchPolicy, packets: int) -> None:
        self._lowest_rank = _LOWEST_RANK[policy]
        self._packets = packets
        self._candidate: tuple[bytes, int] | None = None
        self._candidate_packets = 0
        self._expected = b""
        # Where the caller's packets came from before the last negotiation, and whether they may still.
        self._previous = b""
        self._moved = False
        self.locked: bytes | None = None

    def expect(self, address: bytes) -> None:
        """The SDP names an address, for the first time or anew: the lock opens."""
        self._previous = self.destination
        self._moved = address != self._expected
        self._expected = address
        self.locked = None
        self._candidate = None
        self._candidate_packets = 0

    @property
    def destination(self) -> bytes:
        """Where our packets go: back to where the caller's come from (RFC 4961), else where the SDP says."""
        if self.locked is not None:
            return self.locked
        return self._expected if self._moved else self._previous

    def excludes(self, source: bytes) -> bool:
        """Whether nothing that comes from there can be the caller's, whatever it is."""
        locked = self.locked
        if source == locked:
            return False
        rank = self._rank(source)
        return rank < self._lowest_rank or (locked is not None and rank <= self._rank(locked))

    def accepts(self, source: bytes, ssrc: int) -> bool:
        """Whether a valid packet is the caller's; called for each one in turn."""
        if source == self.locked:
            return True
        if self.excludes(source):
            return False
        rank = self._rank(source)
        if (source, ssrc) != self._candidate:
            self._candidate = (source, ssrc)
            self._candidate_packets = 0
        self._candidate_packets += 1
        # What the caller has just moved away from may go on for a while.
        left = self._moved and source == self._previous and rank < _SAME_ADDRESS
        if self._candidate_packets >= (_PACKETS_AFTER_MOVE if left else self._packets):
            self.locked = source
            return True
        stays = not self._moved and source == self._previous
        return self.locked is None and (rank == _SAME_ADDRESS or stays)

    def accepts_control(self, source: bytes) -> bool:
        """Whether RTCP from there is the caller's: it may come from a port of its own."""
        return source[_HOST] in (self.destination[_HOST], self._expected[_HOST])

    def _rank(self, source: bytes) -> int:
        if source == self._expected:
            return _SAME_ADDRESS
        return _SAME_HOST if source[_HOST] == self._expected[_HOST] else _ELSEWHERE
