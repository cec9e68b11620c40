"""Whether one m= line of the far end can be our audio stream, and how (RFC 3264 6.1, RFC 3551, RFC 4733)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from core.sdp.formats import (
    COMFORT_NOISE,
    COMFORT_NOISE_PAYLOAD_TYPE,
    TELEPHONE_EVENT,
    Format,
    key_events,
    offered_formats,
)
from core.sdp.reason import quotable
from core.sdp.session import MediaDescription, SessionDescription

_PROTOCOLS = ("RTP/AVP", "RTP/AVPF")
_PTIME_MS = re.compile(r"([0-9]{1,5})(?:\.[0-9]+)?")
SHORTEST_PTIME_MS = 10
LONGEST_PTIME_MS = 60
DEFAULT_PTIME_MS = 20
_NAMED_IN_A_REASON = 6


class UnusableStreamError(ValueError):
    """This m= line cannot carry our audio; the message is fit for a SIP reason phrase."""


@dataclass(frozen=True, slots=True)
class AudioStream:
    """The far end's audio, as far as we speak it.

    Attributes:
        codec: the first in its order that is among ours.
        remote_sends: it means to send audio.
        remote_receives: it wants audio; false on hold, the old form of hold included (RFC 3264 8.4).
        remote_rtcp: None where it forbids sending anything (connection address 0.0.0.0).
    """

    codec: Format
    dtmf: Format | None
    comfort_noise: bool
    address_type: str
    remote_address: tuple[str, int]
    remote_rtcp: tuple[str, int] | None
    rtcp_mux: bool
    remote_sends: bool
    remote_receives: bool
    ptime_ms: int

    @property
    def dtmf_events(self) -> str:
        return key_events(self.dtmf.parameters) if self.dtmf else ""


def read_audio_stream(
    session: SessionDescription, media: MediaDescription, codecs: Sequence[str], address_types: Sequence[str]
) -> AudioStream:
    """The stream that an m= line describes, for one who speaks `codecs` and is reached over `address_types`.

    Raises:
        UnusableStreamError: it is no active audio over plain RTP, or shares no codec or address type with us.
    """
    if media.media != "audio":
        raise UnusableStreamError("No audio stream")
    if media.protocol not in _PROTOCOLS:
        secured = "SAVP" in media.protocol
        raise UnusableStreamError(
            f"{'Encrypted media' if secured else 'Transport'} not supported: {media.protocol[:40]}"
        )
    if media.port == 0:
        raise UnusableStreamError("Audio stream is disabled")
    address_type, address = _read_address(session, media, address_types)
    codec, dtmf, comfort_noise = _choose_formats(offered_formats(media), media, codecs)
    forbidden = address.is_unspecified
    rtcp_mux = media.has("rtcp-mux")
    direction = session.direction_of(media)
    return AudioStream(
        codec=codec,
        dtmf=dtmf,
        comfort_noise=comfort_noise,
        address_type=address_type,
        remote_address=(str(address), media.port),
        remote_rtcp=None if forbidden else _read_rtcp_address(media, address, rtcp_mux),
        rtcp_mux=rtcp_mux,
        remote_sends=direction in ("sendrecv", "sendonly"),
        remote_receives=direction in ("sendrecv", "recvonly") and not forbidden,
        ptime_ms=_read_ptime(session, media),
    )


def _read_address(
    session: SessionDescription, media: MediaDescription, address_types: Sequence[str]
) -> tuple[str, IPv4Address | IPv6Address]:
    connection = session.connection_of(media)
    if connection is None:
        raise UnusableStreamError("No connection address")
    if connection.address_type not in address_types:
        version = "IPv6" if connection.address_type == "IP6" else "IPv4"
        raise UnusableStreamError(f"{version} media not supported")
    try:
        address = ip_address(connection.address)
    except ValueError:
        # A host name would have to be looked up, and a multicast group carries its hop limit after a slash.
        raise UnusableStreamError("Connection address is not a unicast IP address") from None
    if address.version != int(connection.address_type[-1]) or address.is_multicast:
        raise UnusableStreamError("Connection address is not a unicast IP address")
    return connection.address_type, address


def _choose_formats(
    formats: list[Format], media: MediaDescription, codecs: Sequence[str]
) -> tuple[Format, Format | None, bool]:
    ours = {name.upper() for name in codecs}
    codec = next((f for f in formats if f.name.upper() in ours and _is_narrowband_mono(f)), None)
    if codec is None:
        names = [f.name for f in formats if f.is_speech] or list(media.formats)
        listed = ", ".join(quotable(name, 20) for name in names[:_NAMED_IN_A_REASON])
        raise UnusableStreamError(f"No common codec: offered {listed}")
    dtmf = next(
        (
            f
            for f in formats
            # Events share the timestamps of the audio they are in, hence its clock (RFC 4733 2.1).
            if f.name.lower() == TELEPHONE_EVENT and f.clock_rate_hz == codec.clock_rate_hz
        ),
        None,
    )
    comfort_noise = any(
        f.name.upper() == COMFORT_NOISE and f.payload_type == COMFORT_NOISE_PAYLOAD_TYPE for f in formats
    )
    return codec, dtmf, comfort_noise


def _is_narrowband_mono(candidate: Format) -> bool:
    # RTP's clock of G.722 is 8 kHz, too (RFC 3551 4.5.2).
    return candidate.clock_rate_hz == 8000 and candidate.channels == 1


def _read_rtcp_address(
    media: MediaDescription, address: IPv4Address | IPv6Address, rtcp_mux: bool
) -> tuple[str, int] | None:
    """Where RTCP goes: beside RTP (RFC 5761), where a=rtcp says (RFC 3605), else one port above."""
    if rtcp_mux:
        return str(address), media.port
    for value in media.values("rtcp"):
        port, *rest = value.split()
        if not (port.isascii() and port.isdigit()) or not 0 < int(port[:9]) <= 65_535:
            break
        if len(rest) == 3:
            try:
                elsewhere = ip_address(rest[2])
            except ValueError:
                break
            if elsewhere.version == address.version and not elsewhere.is_multicast:
                return str(elsewhere), int(port)
        return str(address), int(port)
    return (str(address), media.port + 1) if media.port < 65_535 else None


def _read_ptime(session: SessionDescription, media: MediaDescription) -> int:
    """How much audio a packet to the far end carries: its wish, in whole 10 ms, within its limit and ours."""
    wished = _first_ms(session.values_of(media, "ptime")) or DEFAULT_PTIME_MS
    limit = _first_ms(session.values_of(media, "maxptime")) or LONGEST_PTIME_MS
    ptime_ms = min(wished, limit, LONGEST_PTIME_MS) // 10 * 10
    return max(ptime_ms, SHORTEST_PTIME_MS)


def _first_ms(values: list[str]) -> int | None:
    matched = _PTIME_MS.fullmatch(values[0]) if values else None
    return int(matched[1]) if matched else None
