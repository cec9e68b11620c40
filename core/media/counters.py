"""What one call's media met on the wire and had to drop, beyond what RTCP reports."""

from dataclasses import dataclass


@dataclass(slots=True)
class MediaCounters:
    """Written by the wheel's thread only.

    Attributes:
        malformed: datagrams that are no RTP or RTCP packet, or longer than any.
        foreign: packets from elsewhere than the caller's source.
        unknown_payload: packets of a payload type nobody agreed on.
        filled_ms: silence and concealment given to the reader in place of audio.
        events_dropped: news the reader did not fetch in time.
        send_errors: packets the kernel did not take.
    """

    malformed: int = 0
    foreign: int = 0
    unknown_payload: int = 0
    filled_ms: float = 0.0
    events_dropped: int = 0
    send_errors: int = 0
