"""How the RTP plane binds, paces and gives up."""

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from core.media.priority import Realtime
from services.common.settings import Section, key


class MediaSettings(Section):
    section: ClassVar[str] = "media"

    rtp_bind_ip: str = key(
        "0.0.0.0",
        env=("OPENSIPS_RTP_BIND_IP", "RTP_BIND_IP"),
        aliases=("opensips.rtp_bind_ip", "rtp.bind_ip"),
        help="IPv4 address that RTP sockets are bound to",
    )
    rtp_min_port: int = key(
        35000,
        env=("OPENSIPS_RTP_MIN_PORT", "RTP_MIN_PORT"),
        aliases=("opensips.rtp_min_port", "rtp.min_port"),
        ge=1024,
        le=65534,
        help="First port of the RTP range",
    )
    rtp_max_port: int = key(
        35100,
        env=("OPENSIPS_RTP_MAX_PORT", "RTP_MAX_PORT"),
        aliases=("opensips.rtp_max_port", "rtp.max_port"),
        ge=1025,
        le=65535,
        help="Last port of the RTP range, RTCP included",
    )
    port_quarantine_s: float = key(
        5.0, unit="s", ge=0, le=300, help="How long a port rests after its call, for late packets to die out"
    )
    bind_retry_s: float = key(
        30.0, unit="s", ge=0, le=3600, help="How long a port that could not be bound is put aside"
    )
    latch: Literal["address", "host", "any"] = key(
        "any",
        help="Whose RTP is taken: the address in the SDP only, any port of its host,"
        " or (callers behind NAT) the first consistent source",
    )
    latch_packets: int = key(
        3, ge=1, le=50, help="Consecutive packets of one source after which no other is listened to"
    )
    lead_ms: int = key(80, unit="ms", ge=20, le=1000, help="Audio queued ahead of the wire")
    reorder_ms: int = key(60, unit="ms", ge=0, le=400, help="Longest wait for a packet that others overtook")
    inactivity_s: float = key(
        30.0, unit="s", gt=0, le=3600, help="Silence on the wire after which media is reported inactive"
    )
    hold_inactivity_s: float = key(
        600.0,
        unit="s",
        gt=0,
        le=86400,
        help="The same while the call is on hold",
    )
    rtcp_interval_s: float = key(5.0, unit="s", ge=0.5, le=60, help="Mean time between RTCP reports")
    realtime: Realtime = key(
        "auto",
        help="Which threads ask for real-time priority, where the system permits it: the pacing wheel's, the"
        " calls' loop and voice activity (auto), the wheel's only, or none",
    )

    @model_validator(mode="after")
    def _range_holds_a_pair(self) -> Self:
        if self.rtp_max_port < self.rtp_min_port + self.rtp_min_port % 2 + 1:
            raise ValueError("rtp_max_port leaves no room for a pair of ports above rtp_min_port")
        return self
