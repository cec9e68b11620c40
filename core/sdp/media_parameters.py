"""What offer and answer agreed on for one call's audio, as the media plane needs it."""

from dataclasses import dataclass

from core.audio.codec import Codec


@dataclass(frozen=True, slots=True)
class MediaParameters:
    """One agreed audio stream, seen from our side.

    Attributes:
        remote_address: where the caller wants RTP: a literal IP address and a port.
        payload_type: of the codec, in both directions.
        codec: one call's own; the same object as before where a re-negotiation kept it.
        dtmf_payload_type: of telephone-event (RFC 4733), None where the caller does not speak it.
        ptime_ms: how much audio a packet of ours carries.
        sending: we may send audio: not on hold.
        receiving: the caller may send audio.
        comfort_noise: payload type 13 may come in place of silence (RFC 3389).
        remote_rtcp: where the caller wants RTCP, equal to `remote_address` where both share a port;
            None while nothing may be sent at all.
    """

    remote_address: tuple[str, int]
    payload_type: int
    codec: Codec
    dtmf_payload_type: int | None
    ptime_ms: int
    sending: bool
    receiving: bool
    comfort_noise: bool
    remote_rtcp: tuple[str, int] | None
