"""Packets made by hand: calls whose timing is known to the nanosecond."""

from core.audio.codecs import create_codec
from tests.tools.caller.scripted_connector import tone
from tools.caller.trace import SILENT_DBFS, ReceivedPacket, SentPacket, Trace

MS = 1_000_000
START_NS = 1_795_251_300_000_000_000
LOUD_DBFS = -15.0
_PCMU = create_codec("PCMU")
SILENCE = _PCMU.encode(bytes(320))


def received(
    place: int,
    *,
    at_ms: float | None = None,
    loud: bool = False,
    payload: bytes = SILENCE,
    ssrc: int = 1,
    first: int = 0,
    payload_type: int = 0,
) -> ReceivedPacket:
    """The packet at a place of an even stream, arriving in time unless `at_ms` says otherwise."""
    number = first + place
    return ReceivedPacket(
        at_ns=START_NS + round((20 * place if at_ms is None else at_ms) * MS),
        sequence_number=number % 65536,
        timestamp=160 * number % 2**32,
        ssrc=ssrc,
        marker=place == 0,
        payload_type=payload_type,
        payload=payload,
        level_dbfs=LOUD_DBFS if loud else SILENT_DBFS,
    )


def heard(loud: set[int], count: int = 200, frequency_hz: int | None = None) -> list[ReceivedPacket]:
    """An even stream in which the packets at some places can be heard."""
    frames = [_PCMU.encode(frame) for frame in tone(frequency_hz, 20 * count)] if frequency_hz else [SILENCE] * count
    return [
        received(place, loud=place in loud, payload=frames[place] if place in loud else SILENCE)
        for place in range(count)
    ]


def said(utterances: list[tuple[int, int]], count: int = 200, frequency_hz: int | None = None) -> list[SentPacket]:
    """The caller's side: each utterance from one place up to, not including, another."""
    frames = [_PCMU.encode(frame) for frame in tone(frequency_hz, 20 * count)] if frequency_hz else [SILENCE] * count
    packets = []
    for place in range(count):
        which = next((number for number, (first, last) in enumerate(utterances) if first <= place < last), None)
        packets.append(
            SentPacket(
                at_ns=START_NS + 20 * place * MS,
                payload=SILENCE if which is None else frames[place],
                level_dbfs=SILENT_DBFS if which is None else LOUD_DBFS,
                utterance=which,
                delivered=True,
            )
        )
    return packets


def trace(loud: set[int], utterances: list[tuple[int, int]], count: int = 200) -> Trace:
    return Trace(
        invited_ns=START_NS - 50 * MS,
        replied_ns=START_NS - 10 * MS,
        ended_ns=START_NS + 20 * count * MS,
        sent=said(utterances, count),
        received=heard(loud, count),
    )
