"""Offer and answer of one call's audio (RFC 3264): caller's order of codecs, one of them and keys."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.audio.codec import Codec
from core.audio.codecs import create_codec
from core.errors import OfferRejected
from core.sdp.audio_stream import (
    DEFAULT_PTIME_MS,
    LONGEST_PTIME_MS,
    AudioStream,
    UnusableStreamError,
    read_audio_stream,
)
from core.sdp.formats import COMFORT_NOISE, COMFORT_NOISE_PAYLOAD_TYPE, TELEPHONE_EVENT, key_events
from core.sdp.media_parameters import MediaParameters
from core.sdp.session import (
    Attribute,
    Connection,
    MediaDescription,
    Origin,
    SdpError,
    SessionDescription,
    parse,
)

DEFAULT_CODECS = ("PCMU", "PCMA")
_DTMF_PAYLOAD_TYPE = 101
_FIRST_VERSION = 1


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """Our side of one call.

    Attributes:
        address: the IPv4 address the caller is told, which need not be the one that is bound.
        port: of our RTP, the same for all the call.
        session_id: of our o= line, the same for all the call, unique (RFC 8866 5.2).
        codecs: names in our preference, which counts where the offer is ours.
        address_ip6: the IPv6 address the caller is told; None where we have none.
    """

    address: str
    port: int
    session_id: int
    codecs: Sequence[str] = DEFAULT_CODECS
    address_ip6: str | None = None

    @property
    def address_types(self) -> tuple[str, ...]:
        return ("IP4", "IP6") if self.address_ip6 else ("IP4",)

    def connection(self, address_type: str) -> Connection:
        if address_type == "IP6" and self.address_ip6:
            return Connection("IP6", self.address_ip6)
        return Connection("IP4", self.address)


@dataclass(frozen=True, slots=True)
class Negotiated:
    """The state of a session's negotiation, kept for the next one.

    Attributes:
        answer_sdp: our side's description, whether it was the answer or the offer.
        held: the caller does not want to hear us.
    """

    answer_sdp: str
    parameters: MediaParameters
    held: bool


def answer(offer: bytes | str, local: LocalMedia, previous: Negotiated | None = None) -> Negotiated:
    """Answers an offer, the first of a call or (with `previous`) a later one.

    Raises:
        OfferRejected: 400 where it is no session description, 488 where it names nothing we speak. What
            was agreed on before stays in force (RFC 3264 8).
    """
    session = _parse(offer)
    refusals = []
    for index, media in enumerate(session.media):
        try:
            stream = read_audio_stream(session, media, local.codecs, local.address_types)
        except UnusableStreamError as refusal:
            refusals.append((media.media == "audio", str(refusal)))
            continue
        lines = [_refuse(other) for other in session.media]
        lines[index] = _answer_audio(media, stream, local)
        parameters = _parameters(stream, previous)
        description = _describe(local, local.connection(stream.address_type), lines, previous)
        return Negotiated(description, parameters, held=not parameters.sending)
    if previous is not None and any(media.media == "audio" and media.port == 0 for media in session.media):
        return _suspend(session, local, previous)
    # An audio line says more than the others about what was missing.
    reason = max(refusals, key=lambda refusal: refusal[0])[1] if refusals else "No media stream"
    raise OfferRejected(488, reason)


def offer(local: LocalMedia, previous: Negotiated | None = None) -> str:
    """Our offer for an INVITE without one; the same arguments give the same text."""
    codecs = [create_codec(name) for name in local.codecs]
    dtmf = previous.parameters.dtmf_payload_type if previous else None
    # A payload type stays bound to what it was bound to (RFC 3264 8.3.2).
    dtmf = _DTMF_PAYLOAD_TYPE if dtmf is None else dtmf
    ptime_ms = previous.parameters.ptime_ms if previous else DEFAULT_PTIME_MS
    attributes = [
        *(Attribute("rtpmap", f"{c.payload_type} {c.name}/{c.clock_rate_hz}") for c in codecs),
        *_dtmf_attributes(dtmf, codecs[0].clock_rate_hz, key_events("")),
        *_packet_time_attributes(ptime_ms),
        Attribute("rtcp-mux"),
        Attribute("sendrecv"),
    ]
    formats = (*(str(codec.payload_type) for codec in codecs), str(dtmf))
    audio = MediaDescription("audio", local.port, "RTP/AVP", formats, attributes=tuple(attributes))
    lines = [audio]
    connection = local.connection("IP4")
    if previous is not None:
        before = parse(previous.answer_sdp)
        connection = before.connection or connection
        # A session's m= lines never get fewer (RFC 3264 8).
        index = _index_of_ours(before.media, local)
        lines = [audio if at == index else _refuse(media) for at, media in enumerate(before.media)]
    return _describe(local, connection, lines, previous)


def accept(answer: bytes | str, local: LocalMedia, previous: Negotiated | None = None) -> Negotiated:
    """Takes the caller's answer to `offer(local, previous)`.

    Raises:
        OfferRejected: 400 or 488 as for an offer; the call cannot go on, since an ACK has no reply.
    """
    ours = offer(local, previous)
    session = _parse(answer)
    index = _index_of_ours(parse(ours).media, local)
    if index >= len(session.media):
        raise OfferRejected(488, "Answer lacks the audio stream")
    try:
        stream = read_audio_stream(session, session.media[index], local.codecs, local.address_types)
    except UnusableStreamError as refusal:
        raise OfferRejected(488, str(refusal)) from refusal
    parameters = _parameters(stream, previous)
    return Negotiated(ours, parameters, held=not parameters.sending)


def _parse(description: bytes | str) -> SessionDescription:
    try:
        return parse(description)
    except SdpError as error:
        raise OfferRejected(400, str(error)) from error


def _refuse(media: MediaDescription) -> MediaDescription:
    return MediaDescription(media.media, 0, media.protocol, media.formats)


def _answer_audio(media: MediaDescription, stream: AudioStream, local: LocalMedia) -> MediaDescription:
    codec = stream.codec
    formats = [str(codec.payload_type)]
    attributes = [Attribute("rtpmap", f"{codec.payload_type} {codec.name}/{codec.clock_rate_hz}")]
    if stream.comfort_noise:
        formats.append(str(COMFORT_NOISE_PAYLOAD_TYPE))
        noise = f"{COMFORT_NOISE_PAYLOAD_TYPE} {COMFORT_NOISE}/{codec.clock_rate_hz}"
        attributes.append(Attribute("rtpmap", noise))
    if stream.dtmf is not None:
        formats.append(str(stream.dtmf.payload_type))
        attributes += _dtmf_attributes(stream.dtmf.payload_type, stream.dtmf.clock_rate_hz, stream.dtmf_events)
    attributes += _packet_time_attributes(stream.ptime_ms)
    if stream.rtcp_mux:
        attributes.append(Attribute("rtcp-mux"))
    attributes.append(Attribute(_DIRECTIONS[stream.remote_receives, stream.remote_sends]))
    return MediaDescription("audio", local.port, media.protocol, tuple(formats), attributes=tuple(attributes))


# Our direction by (sending, receiving): the far end's, seen from our side (RFC 3264 6.1).
_DIRECTIONS = {
    (True, True): "sendrecv",
    (True, False): "sendonly",
    (False, True): "recvonly",
    (False, False): "inactive",
}


def _dtmf_attributes(payload_type: int, clock_rate_hz: int, events: str) -> list[Attribute]:
    return [
        Attribute("rtpmap", f"{payload_type} {TELEPHONE_EVENT}/{clock_rate_hz}"),
        Attribute("fmtp", f"{payload_type} {events}"),
    ]


def _packet_time_attributes(ptime_ms: int) -> list[Attribute]:
    return [Attribute("ptime", str(ptime_ms)), Attribute("maxptime", str(LONGEST_PTIME_MS))]


def _parameters(stream: AudioStream, previous: Negotiated | None) -> MediaParameters:
    remote_address = stream.remote_address
    if stream.remote_rtcp is None and previous is not None:
        # Old hold names no address; what may still arrive comes from where it came from.
        remote_address = previous.parameters.remote_address
    return MediaParameters(
        remote_address=remote_address,
        payload_type=stream.codec.payload_type,
        codec=_codec(stream.codec.name, previous),
        dtmf_payload_type=stream.dtmf.payload_type if stream.dtmf else None,
        ptime_ms=stream.ptime_ms,
        sending=stream.remote_receives,
        receiving=stream.remote_sends,
        comfort_noise=stream.comfort_noise,
        remote_rtcp=stream.remote_rtcp,
    )


def _codec(name: str, previous: Negotiated | None) -> Codec:
    """The codec in use where it stays the same: its filters run on."""
    if previous is not None and previous.parameters.codec.name == name.upper():
        return previous.parameters.codec
    return create_codec(name)


def _suspend(session: SessionDescription, local: LocalMedia, previous: Negotiated) -> Negotiated:
    """Port 0 in a call that is up: the audio stream is gone until a later offer brings it back."""
    connection = parse(previous.answer_sdp).connection or local.connection("IP4")
    description = _describe(local, connection, [_refuse(media) for media in session.media], previous)
    parameters = replace(previous.parameters, sending=False, receiving=False, remote_rtcp=None)
    return Negotiated(description, parameters, held=True)


def _describe(
    local: LocalMedia, connection: Connection, media: list[MediaDescription], previous: Negotiated | None
) -> str:
    """Our description; its version is the previous one's, plus one if anything differs (RFC 3264 8)."""
    before = parse(previous.answer_sdp).origin if previous else None
    version = before.session_version if before else _FIRST_VERSION
    origin = before or Origin("-", local.session_id, version, connection.address_type, connection.address)
    session = SessionDescription(origin, connection=connection, media=tuple(media))
    text = session.serialise()
    if previous is None or text == previous.answer_sdp:
        return text
    return replace(session, origin=replace(origin, session_version=version + 1)).serialise()


def _index_of_ours(media: Sequence[MediaDescription], local: LocalMedia) -> int:
    """Which m= line of our own description is the audio: the active one, else the first of its kind."""
    active = [at for at, line in enumerate(media) if line.port == local.port]
    audio = [at for at, line in enumerate(media) if line.media == "audio"]
    return (active or audio or [0])[0]
