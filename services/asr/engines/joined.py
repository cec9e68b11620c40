"""One transcript of several that follow each other."""

from collections.abc import Sequence
from dataclasses import replace

from services.asr.engine import Transcript, Word


def joined(parts: Sequence[tuple[float, Transcript]]) -> Transcript:
    """The parts in order, each with the time at which its audio begins; likelihoods weigh by length of text."""
    if len(parts) == 1 and not parts[0][0]:
        return parts[0][1]
    spoken = [(start_s, part) for start_s, part in parts if part.text]
    if not spoken:
        return parts[-1][1] if parts else Transcript()
    weight = sum(len(part.text) for _, part in spoken)
    return Transcript(
        text=" ".join(part.text for _, part in spoken),
        confidence=sum(part.confidence * len(part.text) for _, part in spoken) / weight,
        words=tuple(_later(word, start_s) for start_s, part in spoken for word in part.words),
        # Readings of one part are no readings of the whole.
        alternatives=spoken[0][1].alternatives if len(spoken) == 1 else (),
        average_log_probability=sum(p.average_log_probability * len(p.text) for _, p in spoken) / weight,
        no_speech_probability=min(part.no_speech_probability for _, part in spoken),
    )


def _later(word: Word, seconds: float) -> Word:
    return replace(word, start_s=word.start_s + seconds, end_s=word.end_s + seconds)
