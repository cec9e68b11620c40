"""From tokens to text: whole characters, and the stop strings."""

from hypothesis import given
from hypothesis import strategies as st

from services.llm.text_stream import TextStream


def spoken(pieces: list[bytes], stop: tuple[str, ...] = ()) -> str:
    stream = TextStream(stop)
    return "".join(map(stream.feed, pieces)) + stream.finish()


def test_character_spread_over_pieces_comes_out_whole() -> None:
    stream = TextStream()
    assert [stream.feed(bytes([byte])) for byte in "é€".encode()] == ["", "é", "", "", "€"]


def test_unfinished_character_at_the_end_is_replaced() -> None:
    assert spoken(["naï".encode()[:-1]]) == "na�"


def test_stop_string_over_two_pieces_ends_the_text_before_it() -> None:
    stream = TextStream(["User:"])
    assert stream.feed(b"Hello. Us") == "Hello. "
    assert stream.feed(b"er: more") == ""
    assert stream.stopped
    assert stream.feed(b"ignored") == ""
    assert stream.finish() == ""


def test_what_only_began_like_a_stop_string_is_said() -> None:
    stream = TextStream(["User:"])
    assert stream.feed(b"Us") == ""
    assert stream.feed(b"ually") == "Usually"
    assert stream.feed(b" U") == " "
    assert stream.finish() == "U"
    assert not stream.stopped


def test_earliest_of_several_stop_strings_counts() -> None:
    assert spoken([b"one two three"], ("three", "two")) == "one "


def test_stop_string_completed_by_the_last_replacement_is_found() -> None:
    stream = TextStream(["�"])
    assert stream.feed(b"a\xe2") == "a"
    assert stream.finish() == ""
    assert stream.stopped


@given(
    st.text(alphabet="abcé€😀", max_size=30),
    st.lists(st.text(alphabet="abcé", min_size=1, max_size=4), max_size=3),
    st.data(),
)
def test_any_split_gives_the_text_up_to_the_first_stop_string(text: str, stops: list[str], data: st.DataObject) -> None:
    raw = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    said = spoken(pieces, tuple(stops))
    assert text.startswith(said)
    assert not any(stop in said for stop in stops)
    if not any(stop in text for stop in stops):
        assert said == text
