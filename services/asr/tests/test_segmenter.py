"""Speech is cut out of a stream with its margins, silence is dropped, times stay true."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.asr.engine import SAMPLE_RATE_HZ, Samples
from services.asr.segmenter import Segmenter
from services.asr.tests.fakes import ToneActivity, heard, quiet, said

MARGIN_S = 0.256
WINDOW_S = 0.032


def samples_of(pcm: bytes) -> Samples:
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)


@pytest.fixture
def segmenter() -> Segmenter:
    return Segmenter(ToneActivity(), 0.4, MARGIN_S)


def words_in(samples: Samples) -> list[str]:
    return [word.text for word in heard(samples)]


def test_an_hour_of_silence_keeps_nothing(segmenter: Segmenter) -> None:
    for _ in range(360):
        segmenter.feed(samples_of(quiet(10.0)))
    assert segmenter.utterance.pending_s == 0
    assert not segmenter.utterance.spoken
    assert segmenter.utterance.heard_s == pytest.approx(3600, abs=0.1)


def test_speech_is_kept_with_a_margin_on_both_sides(segmenter: Segmenter) -> None:
    segmenter.feed(samples_of(quiet(3.0) + said("hello") + quiet(3.0)))
    kept = segmenter.utterance.take()
    assert words_in(kept) == ["hello"]
    assert len(kept) / SAMPLE_RATE_HZ == pytest.approx(0.3 + 2 * MARGIN_S, abs=3 * WINDOW_S)


def test_pause_between_words_is_shortened_to_the_margins(segmenter: Segmenter) -> None:
    segmenter.feed(samples_of(said("hello") + quiet(60.0) + said("book") + quiet(1.0)))
    kept = segmenter.utterance.take()
    assert words_in(kept) == ["hello", "book"]
    assert len(kept) / SAMPLE_RATE_HZ < 2 * 0.3 + 4 * MARGIN_S + 4 * WINDOW_S


def test_times_in_the_utterance_are_found_in_the_stream(segmenter: Segmenter) -> None:
    segmenter.feed(samples_of(quiet(5.0) + said("hello") + quiet(60.0) + said("book") + quiet(1.0)))
    utterance = segmenter.utterance
    starts = [utterance.stream_s(word.start_s) for word in heard(utterance.take())]
    assert starts == pytest.approx([5.0, 65.35], abs=0.03)


def test_click_is_forgotten(segmenter: Segmenter) -> None:
    segmenter.feed(samples_of(said("hello", word_s=0.03) + quiet(1.0)))
    utterance = segmenter.utterance
    assert utterance.pending_s == 0
    assert utterance.speech_s == 0
    assert not utterance.silent
    segmenter.feed(samples_of(said("book") + quiet(1.0)))
    assert words_in(segmenter.utterance.take()) == ["book"]


def test_evidence_tells_how_long_and_how_surely_somebody_spoke(segmenter: Segmenter) -> None:
    segmenter.feed(samples_of(quiet(0.5) + said("hello", "table") + quiet(0.5)))
    utterance = segmenter.utterance
    assert utterance.speech_s == pytest.approx(0.65, abs=0.07)
    assert utterance.speech_probability == pytest.approx(0.95, abs=0.01)
    assert utterance.quiet_s == pytest.approx(0.5, abs=0.07)


def test_next_utterance_in_mid_speech_goes_on_where_the_last_one_ended(segmenter: Segmenter) -> None:
    pcm = said("hello", "book", gap_s=0.0)
    segmenter.feed(samples_of(pcm[: len(pcm) // 2]))
    first = segmenter.next_utterance().take()
    segmenter.feed(samples_of(pcm[len(pcm) // 2 :] + quiet(1.0)))
    second = segmenter.next_utterance().take()
    assert (words_in(first), words_in(second)) == (["hello"], ["book"])
    assert len(first) + len(second) <= len(pcm) // 2 + (MARGIN_S + WINDOW_S) * SAMPLE_RATE_HZ


def test_next_utterance_in_a_pause_begins_with_silence(segmenter: Segmenter) -> None:
    segmenter.feed(samples_of(said("hello") + quiet(0.1)))
    segmenter.next_utterance()
    assert not segmenter.utterance.spoken
    segmenter.feed(samples_of(quiet(0.5) + said("book")))
    assert words_in(segmenter.utterance.take()) == ["book"]


def test_flush_hears_the_last_samples(segmenter: Segmenter) -> None:
    segmenter.feed(samples_of(said("hello"))[:500])
    assert segmenter.utterance.heard_s == 0
    segmenter.flush()
    assert segmenter.utterance.heard_s == pytest.approx(WINDOW_S)
    segmenter.flush()
    assert segmenter.utterance.heard_s == pytest.approx(WINDOW_S)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 2000), min_size=1, max_size=30))
def test_pieces_of_any_size_give_the_same_speech(sizes: list[int]) -> None:
    stream = samples_of(quiet(0.4) + said("hello") + quiet(0.8) + said("four") + quiet(0.4))
    whole, pieces = (Segmenter(ToneActivity(), 0.4, MARGIN_S) for _ in range(2))
    whole.feed(stream)
    start, index = 0, 0
    while start < len(stream):
        size = sizes[index % len(sizes)]
        pieces.feed(stream[start : start + size])
        start, index = start + size, index + 1
    np.testing.assert_array_equal(whole.utterance.take(), pieces.utterance.take())
