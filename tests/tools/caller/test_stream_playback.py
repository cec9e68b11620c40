"""What counts as a gap of the agent's where its audio is buffered."""

from core.audio.codecs import create_codec
from tests.tools.caller.scripted_connector import tone
from tools.caller import timing
from tools.caller.ear import Ear
from tools.caller.recorder import Recording
from tools.caller.stream_playback import Playback
from tools.caller.trace import Trace

MS = 1_000_000
START_NS = 1_795_251_300_000_000_000
_PCMU = create_codec("PCMU")
LOUD = b"".join(_PCMU.encode(frame) for frame in tone(400, 100))
QUIET = _PCMU.encode(bytes(2 * 800))


class Line:
    """A phone that is told everything by the clock of the test."""

    def __init__(self) -> None:
        self.trace = Trace()
        self.ear = Ear()
        self.playback = Playback(self.trace, self.ear)

    def hears(self, *arrivals: tuple[int, bytes]) -> "Line":
        """So many milliseconds after the start, that audio."""
        for at_ms, payload in arrivals:
            at_ns = START_NS + at_ms * MS
            self.playback.advance(at_ns)
            self.playback.put(payload, at_ns)
            self.playback.advance(at_ns)
        return self

    def quality(self, until_ms: int = 10_000) -> timing.RtpQuality:
        self.playback.advance(START_NS + until_ms * MS)
        return timing.rtp_quality(self.trace)


def test_audio_in_time_has_no_gap() -> None:
    quality = Line().hears((0, LOUD), (60, LOUD), (199, LOUD)).quality()
    assert (quality.received, quality.gap_error_max_ms, quality.lost) == (15, 0.0, 0)


def test_buffer_that_ran_dry_in_mid_word_is_a_gap_however_long() -> None:
    for late_ms in (3, 150, 900):
        line = Line().hears((0, LOUD), (100 + late_ms, LOUD))
        assert line.quality().gap_error_max_ms == late_ms
        assert timing.lead(line.trace) == timing.Lead(-late_ms, -late_ms, 1, 0)


def test_short_gap_counts_in_quiet_audio_too() -> None:
    assert Line().hears((0, QUIET), (200, QUIET)).quality().gap_error_max_ms == 100


def test_long_silence_between_quiet_edges_is_a_pause_of_the_agents_and_is_told() -> None:
    line = Line().hears((0, LOUD + QUIET), (900, QUIET + LOUD))
    assert line.quality().gap_error_max_ms == 0
    assert line.trace.pauses_ms == [700.0]
    assert timing.lead(line.trace).pauses == 1


def test_one_loud_edge_makes_it_a_gap() -> None:
    assert Line().hears((0, LOUD), (900, QUIET)).quality().gap_error_max_ms == 800
    assert Line().hears((0, QUIET), (900, LOUD)).quality().gap_error_max_ms == 800


def test_silence_after_the_caller_spoke_or_after_a_clear_is_no_gap() -> None:
    spoken = Line().hears((0, LOUD))
    spoken.playback.caller_active(START_NS + 150 * MS)
    cleared = Line().hears((0, LOUD))
    cleared.playback.advance(START_NS + 100 * MS)
    cleared.playback.clear(START_NS + 100 * MS)
    for line in (spoken, cleared):
        line.hears((600, LOUD))
        assert line.quality().gap_error_max_ms == 0
        assert timing.lead(line.trace).gaps == 0


def test_caller_who_spoke_before_the_buffer_ran_dry_excuses_nothing() -> None:
    line = Line().hears((0, LOUD))
    line.playback.caller_active(START_NS + 50 * MS)
    assert line.hears((140, LOUD)).quality().gap_error_max_ms == 40


def test_what_was_cleared_was_not_heard() -> None:
    line = Line().hears((0, LOUD * 5))
    line.playback.advance(START_NS + 130 * MS)
    line.playback.clear(START_NS + 130 * MS)
    assert line.quality().received == 7
    assert line.ear.last_ns == START_NS + 120 * MS


def test_lead_is_what_was_left_once_the_buffer_had_been_filled() -> None:
    arrivals = [(100 * place, LOUD) for place in range(10)]
    line = Line().hears((0, LOUD * 2), *arrivals)
    lead = timing.lead(line.trace)
    # 300 ms are here when the last of what came at once is in; 200 are left whenever the next 100 come.
    assert (lead.min_ms, lead.median_ms, lead.gaps) == (200, 200, 0)


def test_recording_has_what_was_heard_where_it_was_heard() -> None:
    line = Line().hears((0, LOUD), (250, LOUD))
    line.quality()
    agent = Recording(line.trace).agent
    assert len(agent) == 8 * 350
    assert not agent[8 * 100 : 8 * 250].any()
