"""What a caller waits for, and how evenly the packets come, computed from the packets themselves."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tools.caller.trace import PTIME_MS, SAMPLE_RATE_HZ, ReceivedPacket, Trace

_NS_PER_MS = 1_000_000
# A pause between two words is shorter than this, and one between two answers longer.
_SPURT_PAUSE_MS = 200
# Shorter sounds are clicks.
_SPURT_MIN_MS = 40


@dataclass(frozen=True, slots=True)
class Spurt:
    """A stretch of speech: arrival of its first and of its last audible packet."""

    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class RtpQuality:
    """How the agent's packets arrived.

    Attributes:
        lost: sequence numbers that never came.
        wrong_timestamp_steps: neighbours whose timestamps do not differ by what lies between them.
        gap_error_p50_ms: of |gap - length of the earlier one| between neighbours; 20 ms is the usual length.
    """

    received: int
    lost: int
    duplicated: int
    reordered: int
    wrong_timestamp_steps: int
    gap_error_p50_ms: float | None
    gap_error_p99_ms: float | None
    gap_error_max_ms: float | None


@dataclass(frozen=True, slots=True)
class Lead:
    """How far ahead the agent's audio came where it is sent before its time; None where too little was said.

    Attributes:
        min_ms: below 0 the phone's buffer ran dry for so long while the agent spoke.
        gaps: how often it ran dry so; each is part of the gap errors.
        pauses: how often it ran dry where the agent is taken to have paused.
    """

    min_ms: float | None
    median_ms: float | None
    gaps: int
    pauses: int


@dataclass(frozen=True, slots=True)
class Setup:
    """What passes before the caller hears something; None where it never came.

    Attributes:
        reply_ms: from the INVITE's event to its final reply.
        first_packet_ms: from the reply to the agent's first packet.
        greeting_ms: from the reply to the first packet in which the agent can be heard.
    """

    reply_ms: float | None
    first_packet_ms: float | None
    greeting_ms: float | None


def setup(trace: Trace) -> Setup:
    audio = trace.received_audio
    spurts = talkspurts(audio)
    return Setup(
        reply_ms=_between_ms(trace.invited_ns, trace.replied_ns),
        first_packet_ms=_between_ms(trace.replied_ns, audio[0].at_ns if audio else None),
        greeting_ms=_between_ms(trace.replied_ns, spurts[0].first_ns if spurts else None),
    )


def talkspurts(packets: Sequence[ReceivedPacket]) -> list[Spurt]:
    """The stretches in which the agent can be heard."""
    spurts: list[Spurt] = []
    for at_ns in sorted(packet.at_ns for packet in packets if packet.audible):
        if spurts and at_ns - spurts[-1].last_ns <= _SPURT_PAUSE_MS * _NS_PER_MS:
            spurts[-1] = Spurt(spurts[-1].first_ns, at_ns)
        else:
            spurts.append(Spurt(at_ns, at_ns))
    return [
        spurt
        for spurt in spurts
        if spurt.last_ns - spurt.first_ns + PTIME_MS * _NS_PER_MS >= _SPURT_MIN_MS * _NS_PER_MS
    ]


def answer_began_ns(trace: Trace, utterance: int) -> int | None:
    """The beginning of the first stretch of speech after an utterance and before the next one."""
    said_ns = trace.last_audible_ns(utterance)
    if said_ns is None:
        return None
    until_ns = trace.onset_ns(utterance + 1)
    began = (spurt.first_ns for spurt in talkspurts(trace.received_audio) if spurt.first_ns > said_ns)
    return next((at_ns for at_ns in began if until_ns is None or at_ns < until_ns), None)


def voice_to_voice_ms(trace: Trace, utterance: int) -> float | None:
    """From the last packet in which the caller can be heard to the first of the answer."""
    return _between_ms(trace.last_audible_ns(utterance), answer_began_ns(trace, utterance))


def silent_after_ns(trace: Trace, utterance: int) -> int | None:
    """The last audible packet of an agent that an utterance interrupted; None where it was silent all along."""
    onset_ns, said_ns = trace.onset_ns(utterance), trace.last_audible_ns(utterance)
    if onset_ns is None or said_ns is None:
        return None
    # A pause of the agent's own is no silence: what it says before the caller is done counts, to that stretch's end.
    overlapping = [
        spurt for spurt in talkspurts(trace.received_audio) if spurt.first_ns <= said_ns and spurt.last_ns >= onset_ns
    ]
    return overlapping[-1].last_ns if overlapping else None


def onset_to_silence_ms(trace: Trace, utterance: int) -> float | None:
    """From the first audible packet of an interruption to the agent's last; None where nothing was interrupted."""
    return _between_ms(trace.onset_ns(utterance), silent_after_ns(trace, utterance))


def rtp_quality(trace: Trace) -> RtpQuality:
    gaps_ms = gap_errors_ms(trace)
    wrong_steps = sum(
        (later.timestamp - earlier.timestamp) % 2**32 != len(earlier.payload) for earlier, later in _neighbours(trace)
    )
    lost, duplicated, reordered = _sequence_faults(trace.received)
    return RtpQuality(
        received=len(trace.received),
        lost=lost,
        duplicated=duplicated,
        reordered=reordered,
        wrong_timestamp_steps=wrong_steps,
        gap_error_p50_ms=percentile(gaps_ms, 50),
        gap_error_p99_ms=percentile(gaps_ms, 99),
        gap_error_max_ms=max(gaps_ms, default=None),
    )


def gap_errors_ms(trace: Trace) -> list[float]:
    """|gap - length of the earlier one| between neighbours, each by itself."""
    # G.711 carries one sample a byte.
    return [
        abs((later.at_ns - earlier.at_ns) / _NS_PER_MS - len(earlier.payload) * 1000 / SAMPLE_RATE_HZ)
        for earlier, later in _neighbours(trace)
    ]


def lead(trace: Trace) -> Lead:
    return Lead(
        min_ms=min(trace.leads_ms, default=None),
        median_ms=percentile(trace.leads_ms, 50),
        gaps=sum(lead_ms < 0 for lead_ms in trace.leads_ms),
        pauses=len(trace.pauses_ms),
    )


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The smallest value that so many percent do not exceed (nearest rank)."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def _neighbours(trace: Trace) -> Iterator[tuple[ReceivedPacket, ReceivedPacket]]:
    """Packets that were sent one after the other, and came so."""
    for earlier, later in itertools.pairwise(trace.received_audio):
        if later.ssrc == earlier.ssrc and (later.sequence_number - earlier.sequence_number) % 65536 == 1:
            yield earlier, later


def _sequence_faults(packets: Sequence[ReceivedPacket]) -> tuple[int, int, int]:
    """Lost, duplicated and reordered packets; each source (SSRC) counts by itself (RFC 3550 A.1)."""
    duplicated = reordered = 0
    seen: dict[int, set[int]] = {}
    highest: dict[int, int] = {}
    for packet in packets:
        newest = highest.setdefault(packet.ssrc, packet.sequence_number)
        # Serial arithmetic: the nearest number with these 16 bits.
        number = newest + (packet.sequence_number - newest + 32768) % 65536 - 32768
        numbers = seen.setdefault(packet.ssrc, set())
        if number in numbers:
            duplicated += 1
        elif number < newest:
            reordered += 1
        numbers.add(number)
        highest[packet.ssrc] = max(newest, number)
    lost = sum(max(numbers) - min(numbers) + 1 - len(numbers) for numbers in seen.values())
    return lost, duplicated, reordered


def _between_ms(start_ns: int | None, end_ns: int | None) -> float | None:
    return None if start_ns is None or end_ns is None else (end_ns - start_ns) / _NS_PER_MS
