"""What goes out on one call: a packet for every packet time, whether there is anything to say or not."""

from collections import deque
from random import Random

from core.media.playout_queue import PlayoutQueue
from core.rtp.dtmf import key_payloads
from core.rtp.sender import RtpSender
from core.sdp.media_parameters import MediaParameters

_KEY_PRESS_MS = 100
# Far ends tell two presses of one key apart by the silence between them.
_KEY_PAUSE_MS = 60


class Outbound:
    """Chooses and makes the next packet. Belongs to the wheel, which owns the call while it turns."""

    def __init__(self, queue: PlayoutQueue, random: Random) -> None:
        self._queue = queue
        self._parameters: MediaParameters | None = None
        self._duration = 0
        # Payloads of the key that is being pressed, then None for each packet time of the pause behind it.
        self._key: deque[bytes | None] = deque()
        self._key_begins = False
        self.sender = RtpSender(random.getrandbits(32), random.getrandbits(16), random.getrandbits(32), 0)

    def configure(self, parameters: MediaParameters) -> None:
        self._parameters = parameters
        self._duration = parameters.codec.clock_rate_hz * parameters.ptime_ms // 1000
        self.sender.payload_type = parameters.payload_type

    def next_packet(self) -> bytes | None:
        """The datagram for this packet time; None while we may not send."""
        parameters = self._parameters
        if parameters is None:
            return None
        if not parameters.sending:
            self.sender.pause(self._duration)
            return None
        if not self._key:
            self._begin_key(parameters)
        if self._key:
            payload = self._key.popleft()
            if payload is not None and parameters.dtmf_payload_type is not None:
                first, self._key_begins = self._key_begins, False
                return self.sender.event(payload, self._duration, parameters.dtmf_payload_type, first)
            return self.sender.silence(self._queue.silence, self._duration)
        frame = self._queue.pop()
        if frame is None:
            return self.sender.silence(self._queue.silence, self._duration)
        return self.sender.audio(frame, self._duration)

    def skip(self, milliseconds: float) -> None:
        """So much time passed in which nothing could be sent."""
        if self._parameters is not None:
            self.sender.pause(int(self._parameters.codec.clock_rate_hz * milliseconds / 1000))

    def timestamp_at(self, since_last_packet_s: float) -> int:
        """The RTP time so long after the last packet time began."""
        if self._parameters is None:
            return self.sender.timestamp
        elapsed = int(since_last_packet_s * self._parameters.codec.clock_rate_hz)
        return (self.sender.timestamp - self._duration + elapsed) & 0xFFFFFFFF

    def _begin_key(self, parameters: MediaParameters) -> None:
        key = self._queue.pop_digit()
        if key is not None:
            clock_rate_hz = parameters.codec.clock_rate_hz
            self._key.extend(key_payloads(key, _KEY_PRESS_MS, parameters.ptime_ms, clock_rate_hz))
            self._key.extend([None] * -(-_KEY_PAUSE_MS // parameters.ptime_ms))
            self._key_begins = True
