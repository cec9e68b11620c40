"""Whether each question was answered rightly, by what was heard on the wire."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from tools.caller import timing
from tools.caller.facts import missing_facts, normalise
from tools.caller.recorder import Recording
from tools.caller.script import CallScript, Listen, Say
from tools.caller.trace import Trace
from tools.caller.transcriber import Transcriber

_NS_PER_S = 1_000_000_000
# Below this two sentences have too little in common to be the same one, heard twice.
_SAME_UTTERANCE = 0.3


@dataclass(frozen=True, slots=True)
class HeardAnswer:
    """What came back after the caller said something."""

    text: str
    voice_to_voice_ms: float | None


def hear_answers(trace: Trace, recording: Recording, utterances: int, transcribe: Transcriber) -> list[HeardAnswer]:
    """The answer to each utterance: from its first sound until the caller speaks again, or is the only one who does."""
    answers = []
    end_of_call_ns = trace.ended_ns or max((packet.at_ns for packet in trace.received), default=0) + _NS_PER_S
    for utterance in range(utterances):
        began_ns = timing.answer_began_ns(trace, utterance)
        text = ""
        if began_ns is not None:
            next_onset_ns = trace.onset_ns(utterance + 1)
            until_ns = next_onset_ns or end_of_call_ns
            if next_onset_ns is not None:
                until_ns = max(until_ns, timing.silent_after_ns(trace, utterance + 1) or 0)
            text = transcribe(recording.agent_between(began_ns - _NS_PER_S // 5, until_ns + _NS_PER_S // 10))
        answers.append(HeardAnswer(text, timing.voice_to_voice_ms(trace, utterance)))
    return answers


def hear_greeting(trace: Trace, recording: Recording, transcribe: Transcriber) -> str:
    """What the agent said before the caller said anything."""
    end_ns = trace.onset_ns(0) or trace.ended_ns
    if end_ns is None or trace.replied_ns is None:
        return ""
    return transcribe(recording.agent_between(trace.replied_ns, end_ns))


def judge(
    script: CallScript, answers: Sequence[HeardAnswer], greeting: str, sources: Sequence[str | None]
) -> list[str]:
    """What was not right, one clear line for each; `sources` are the connector's own, None where not known."""
    problems = []
    listens = [step for step in script.step[: _first_say(script)] if isinstance(step, Listen)]
    for missing in missing_facts(greeting, tuple(fact for step in listens for fact in step.expect)):
        problems.append(f"the greeting lacks {missing!r}: heard {greeting!r}")
    for say, answer, source in zip(script.says, answers, sources, strict=True):
        if not say.answered:
            continue
        question = say.text or str(say.wav)
        if not normalise(answer.text):
            problems.append(f"{question!r} was not answered")
            continue
        problems += [
            f"{question!r}: the answer lacks {missing!r}: heard {answer.text!r}"
            for missing in missing_facts(answer.text, say.expect)
        ]
        if say.source is not None and source is not None and source != say.source:
            problems.append(f"{question!r}: answered from {source}, not from {say.source}")
    return problems


def align(said: Sequence[str], heard: Sequence[str]) -> list[int | None]:
    """For each thing said the place in what was heard that matches it, in order, None where nothing does.

    A recogniser may split an utterance, join two, or hear one that was none.
    """
    likeness = [[_likeness(words, others) for others in heard] for words in said]
    # best[i][j]: the most that said[i:] and heard[j:] can have in common.
    best = [[0.0] * (len(heard) + 1) for _ in range(len(said) + 1)]
    for i in reversed(range(len(said))):
        for j in reversed(range(len(heard))):
            matched = likeness[i][j] + best[i + 1][j + 1] if likeness[i][j] >= _SAME_UTTERANCE else 0.0
            best[i][j] = max(best[i + 1][j], best[i][j + 1], matched)
    places: list[int | None] = []
    j = 0
    for i in range(len(said)):
        while j < len(heard) and best[i][j] == best[i][j + 1]:
            j += 1
        if j < len(heard) and best[i][j] > best[i + 1][j]:
            places.append(j)
            j += 1
        else:
            places.append(None)
    return places


def _likeness(words: str, others: str) -> float:
    return difflib.SequenceMatcher(None, normalise(words), normalise(others), autojunk=False).ratio()


def _first_say(script: CallScript) -> int:
    return next((index for index, step in enumerate(script.step) if isinstance(step, Say)), len(script.step))
