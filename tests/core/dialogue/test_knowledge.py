"""Reading the knowledge file, and finding the right answer in it, or none."""

from pathlib import Path

import pytest

from core.dialogue.knowledge import Entry, Knowledge, KnowledgeError, load, parse

TEXT = """
# Harbour Bikes

## Opening hours
Q: When are you open?
Q: What are your opening hours?
Q: Are you open on Saturday?
A: We are open from nine to six, Monday to Saturday.

Q: Are you open on Sunday?
A: We are closed on Sundays.

## Repairs
Q: How much does a repair cost?
Q: What is the price of a service?
A: A full service costs forty-five euros.

We repair every kind of bicycle, also electric ones.
Most repairs take two days.

## Parking
Q: Where can I park?
Q: Is there a car park?
A: You can park behind the shop, free of charge.
"""


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return Knowledge(parse(TEXT))


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("When are you open?", "We are open from nine to six, Monday to Saturday."),
        ("What are your opening hours, please?", "We are open from nine to six, Monday to Saturday."),
        ("Hi, could you tell me when you're open?", "We are open from nine to six, Monday to Saturday."),
        ("Are you open on Sundays?", "We are closed on Sundays."),
        ("What does a repair cost?", "A full service costs forty-five euros."),
        ("how much is a repair", "A full service costs forty-five euros."),
        ("Where can I park my car?", "You can park behind the shop, free of charge."),
        ("Is there parking?", "You can park behind the shop, free of charge."),
        ("when is the shop opan", None),
        ("Do you sell ice cream?", None),
        ("Can you open a bank account for me on Saturday?", None),
        ("What is the meaning of life?", None),
        ("Hello?", None),
        ("", None),
    ],
)
def test_answer_is_given_only_where_it_fits(knowledge: Knowledge, question: str, answer: str | None) -> None:
    match = knowledge.answer(question, 0.6)

    assert (match.entry.answer if match else None) == answer


def test_a_misheard_word_still_finds_its_entry(knowledge: Knowledge) -> None:
    [best, *_] = knowledge.search("what are your openin ours")

    assert best.entry.heading == "Opening hours"


def test_a_passage_is_found_but_never_read_out(knowledge: Knowledge) -> None:
    found = knowledge.search("Do you repair electric bicycles?")

    assert any("electric ones" in match.entry.answer for match in found)
    match = knowledge.answer("Do you repair electric bicycles?", 0.3)
    assert match is None or match.entry.questions


def test_passages_keep_their_heading_and_are_joined_line_by_line() -> None:
    entries = parse(TEXT)

    [passage] = [entry for entry in entries if not entry.questions]
    assert passage.heading == "Repairs"
    assert passage.answer.endswith("Most repairs take two days.")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Q: When?\n\nText", r"knowledge:1: the question 'When\?' has no answer"),
        ("# A\n\nA: Alone.", "knowledge:3: an answer must follow its questions"),
        ("Q: When?\nA:", "knowledge:1: a question or an answer is empty"),
        ("Q: \nA: Now.", "knowledge:1: a question or an answer is empty"),
    ],
)
def test_a_line_out_of_place_is_named(text: str, message: str) -> None:
    with pytest.raises(KnowledgeError, match=message):
        parse(text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match=r"none\.md"):
        load(tmp_path / "none.md")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "binary.md"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(KnowledgeError, match=r"binary\.md"):
        load(path)


def test_an_answer_may_run_over_several_lines() -> None:
    [entry] = parse("Q: Where?\nA: Behind\nthe shop.")

    assert entry.answer == "Behind the shop."


def test_empty_knowledge_knows_nothing() -> None:
    assert Knowledge([]).answer("When are you open?", 0.1) is None


SHIPPED = load(Path(__file__).parents[3] / "config" / "knowledge.md")


@pytest.mark.parametrize(
    "question",
    [
        "Do you rent helmets?",
        "How much is a bike?",
        "How much is a full repaint?",
        "How much is a full tank?",
        "Do you deliver pizza?",
        "What is the phone number of the mayor?",
        "What is the number for an ambulance?",
        "Can I rent an electric bike?",
        "Can I rent a bike for a month?",
    ],
)
def test_no_fact_is_read_out_for_another_question(question: str) -> None:
    match = SHIPPED.answer(question, 0.6)

    assert match is None


@pytest.mark.parametrize("entry", [entry for entry in SHIPPED.entries if entry.questions], ids=lambda e: e.questions[0])
def test_every_question_of_the_shipped_file_finds_its_own_answer(entry: Entry) -> None:
    for question in entry.questions:
        match = SHIPPED.answer(f"Hello, could you tell me please: {question}", 0.6)
        assert match is not None, question
        assert match.entry is entry, question
