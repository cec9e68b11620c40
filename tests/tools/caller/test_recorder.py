"""The recording: both sides where they belong on one timeline."""

import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.tools.caller.packets import MS, START_NS, heard, said
from tools.caller.recorder import Recording
from tools.caller.trace import ReceivedPacket, Trace


def span(first: int, last: int) -> set[int]:
    return set(range(first, last))


def edges_ms(track: npt.NDArray[np.int16]) -> tuple[float, float]:
    loud = np.flatnonzero(np.abs(track.astype(int)) > 1000)
    return float(loud[0]) / 8, float(loud[-1]) / 8


def test_both_sides_lie_where_their_packets_were() -> None:
    recording = Recording(Trace(sent=said([(10, 20)], 100, 300), received=heard(span(50, 60), 100, 500)))
    # What left at 200 ms had been spoken by then; what came at 1000 ms was heard from then on.
    assert edges_ms(recording.caller) == pytest.approx((180, 380), abs=1)
    assert edges_ms(recording.agent) == pytest.approx((1000, 1200), abs=1)


def test_jitter_does_not_tear_the_audio() -> None:
    even = heard(span(20, 80), 100, 500)
    late = [replace(packet, at_ns=packet.at_ns + (place % 4) * 7 * MS) for place, packet in enumerate(even)]
    assert np.array_equal(Recording(Trace(received=late)).agent, Recording(Trace(received=even)).agent)


def test_reordered_and_duplicated_packets_fall_into_place_and_lost_ones_are_silence() -> None:
    even = heard(span(0, 100), 100, 500)
    moved: list[ReceivedPacket] = [*even[:10], even[11], even[10], even[11], *even[12:50], *even[51:]]
    whole, got = Recording(Trace(received=even)).agent, Recording(Trace(received=moved)).agent
    assert len(whole) == len(got)
    assert not got[50 * 160 : 51 * 160].any()
    assert np.array_equal(np.delete(got, np.s_[50 * 160 : 51 * 160]), np.delete(whole, np.s_[50 * 160 : 51 * 160]))


def test_sender_whose_clock_jumps_is_followed() -> None:
    even = heard(span(60, 70), 100, 500)
    jumped = [replace(packet, timestamp=packet.timestamp + 80_000 * (place >= 50)) for place, packet in enumerate(even)]
    assert edges_ms(Recording(Trace(received=jumped)).agent) == pytest.approx((1200, 1400), abs=1)


def test_timestamps_may_wrap() -> None:
    even = heard(span(60, 70), 100, 500)
    wrapping = [replace(packet, timestamp=(packet.timestamp + 2**32 - 4000) % 2**32) for packet in even]
    assert np.array_equal(Recording(Trace(received=wrapping)).agent, Recording(Trace(received=even)).agent)


def test_a_stretch_is_cut_out_by_the_clock() -> None:
    recording = Recording(Trace(received=heard(span(50, 60), 100, 500)))
    cut = recording.agent_between(START_NS + 900 * MS, START_NS + 1300 * MS)
    assert len(cut) == 3200
    assert edges_ms(cut) == pytest.approx((100, 300), abs=1)
    assert len(recording.agent_between(START_NS - 500 * MS, START_NS - 100 * MS)) == 0


def test_written_file_is_stereo_caller_left(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "call.wav"
    Recording(Trace(sent=said([(10, 20)], 100, 300), received=heard(span(50, 60), 120, 500))).write(path)
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (2, 8000, 2)
        stereo = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
    assert len(stereo) == 120 * 160
    assert edges_ms(stereo[:, 0])[0] == pytest.approx(180, abs=1)
    assert edges_ms(stereo[:, 1])[0] == pytest.approx(1000, abs=1)


def test_call_without_a_packet_is_an_empty_recording(tmp_path: Path) -> None:
    Recording(Trace()).write(tmp_path / "call.wav")
    with wave.open(str(tmp_path / "call.wav"), "rb") as file:
        assert file.getnframes() == 0
