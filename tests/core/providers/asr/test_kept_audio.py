"""What a second recogniser is given of a turn that it did not hear."""

from core.providers.asr.kept_audio import KEPT_S, KeptAudio

RATE_HZ = 8000
SECOND = bytes([1, 0]) * RATE_HZ


def kept(*items: bytes | int) -> KeptAudio:
    audio = KeptAudio(RATE_HZ)
    for item in items:
        audio.add(item)
    return audio


def seconds_and_marks(audio: KeptAudio) -> list[str]:
    told: list[str] = []
    size = 0
    for piece in [*audio.pieces(), 0]:
        if isinstance(piece, bytes):
            size += len(piece)
            continue
        if size:
            told.append(f"{size / len(SECOND):g} s")
        told.append(str(piece))
        size = 0
    return told[:-1]


def test_audio_and_the_ends_of_utterances_keep_their_order() -> None:
    assert seconds_and_marks(kept(SECOND, SECOND, 1, SECOND, 2)) == ["2 s", "1", "1 s", "2"]


def test_an_answered_utterance_is_forgotten_with_all_before_it() -> None:
    audio = kept(SECOND, 1, SECOND, 2, SECOND)
    audio.forget(2)
    assert seconds_and_marks(audio) == ["1 s"]

    audio.forget(7)
    assert seconds_and_marks(audio) == ["1 s"]


def test_the_oldest_audio_goes_but_no_utterance_that_is_to_be_answered() -> None:
    audio = kept(SECOND, 1, *[SECOND] * int(KEPT_S + 5), 2)
    assert seconds_and_marks(audio) == ["1", f"{KEPT_S:g} s", "2"]


def test_pieces_are_whole_samples_and_short_enough_to_hold_a_pause() -> None:
    audio = kept(*[bytes(3 * 320)] * 50)
    sizes = [len(piece) for piece in audio.pieces() if isinstance(piece, bytes)]
    assert sum(sizes) == 50 * 3 * 320
    assert all(size % 2 == 0 and size <= 0.25 * RATE_HZ * 2 for size in sizes)
