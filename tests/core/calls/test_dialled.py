"""One spelling for each number, and nothing but numbers and plain SIP URIs."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.calls.dialled import dialled

SEPARATORS = st.lists(st.sampled_from(["", " ", "-"]), min_size=15, max_size=15)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+4930123456", "+4930123456"),
        (" +49 30 123-456 ", "+4930123456"),
        ("+1-555-123-4567", "+15551234567"),
        # Niue's are as short as numbers get.
        ("+683 4001", "+6834001"),
        ("SIP:Alice@Example.COM", "sip:Alice@example.com"),
        ("sips:+4930123456@trunk.example:5061;transport=TLS", "sips:+4930123456@trunk.example:5061;transport=tls"),
        ("sip:100@192.0.2.1", "sip:100@192.0.2.1"),
    ],
)
def test_one_spelling(text: str, number: str) -> None:
    assert dialled(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "112",
        "+112",
        "+49112",
        "+683400",
        "004930123456",
        "030 123456",
        "4930123456",
        "+0930123456",
        "++4930123456",
        "+49301234567890123",
        "+49 (0)30 123456",
        "+49--30123456",
        "-+4930123456",
        "+4930123456-",
        "+4930123456\n",
        "\t+4930123456",
        "+49\u00a030123456",
        "+\u0664\u0669\u0663\u0660\u0661\u0662\u0663\u0664",
        "+4930123456,,1234",
        "+4930123456;ext=12",
        "+4930123456,+19005551234",
        "tel:+4930123456",
        "client:alice",
        "sip:alice",
        "sip:@example.com",
        "sip:alice:secret@example.com",
        "sip:alice@example.com?Replaces=1",
        "sip:alice@example.com;user=phone",
        "sip:alice@example.com;transport=tls;x=y",
        "sip:alice@evil.example@example.com",
        "sip:alice%40evil.example@example.com",
        "sip:alice@example.com\r\nX: y",
        "sip:alice@.",
        "sip:" + "a" * 65 + "@example.com",
        "+1" + "-" * 10000 + "5551234567",
        "\ud800",
    ],
)
def test_anything_else_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="neither") as error:
        dialled(text)
    assert len(text) < 4 or text.strip() not in str(error.value)


@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True), SEPARATORS)
def test_separators_between_digits_change_nothing(number: str, separators: list[str]) -> None:
    spelled = number[:2] + "".join(map("".join, zip(separators, number[2:], strict=False)))
    assert dialled(spelled) == number


@given(st.text() | st.text("+0123456789 -@:;=.sip()") | st.from_regex(r"\+?[0-9 -]{1,20}"))
def test_whatever_is_accepted_has_one_form_and_keeps_its_digits(text: str) -> None:
    try:
        number = dialled(text)
    except ValueError:
        return
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}|sips?:[^\s@]+@[^\s@?]+", number)
    assert dialled(number) == number
    if number.startswith("+"):
        assert re.sub(r"[^0-9]", "", text) == number[1:]
