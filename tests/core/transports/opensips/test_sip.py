"""Header blocks and addresses as they really come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.transports.opensips.sip import (
    Address,
    called_of,
    caller_of,
    cseq_number,
    header_value,
    media_type,
    parse_address,
    parse_headers,
)

CAPTURED = (
    "Via: SIP/2.0/UDP 127.0.0.1:15070;branch=z9hG4bK-4382-1-0\r\n"
    'From: "h4" <sip:h4@127.0.0.1:15070>;tag=4382t1\r\n'
    "To: <sip:echo@127.0.0.1:15060>\r\nCall-ID: 1-4382@127.0.0.1\r\nCSeq: 1 INVITE\r\n"
    'Contact: <sip:h4@127.0.0.1:15070>\r\nMax-Forwards: 69\r\nX-AI-Params: {"flavor":"echo","lang":"en"}\r\n'
    "Content-Type: application/sdp\r\nContent-Length:   207\r\n"
)


def test_captured_block_is_read() -> None:
    headers = parse_headers(CAPTURED)
    assert headers["x-ai-params"] == '{"flavor":"echo","lang":"en"}'
    assert headers["content-length"] == "207"
    assert (caller_of(headers), called_of(headers), cseq_number(headers)) == ("h4", "echo", 1)
    assert media_type(headers) == "application/sdp"


def test_compact_folded_and_repeated_headers_are_one_each() -> None:
    headers = parse_headers("f: a\nVIA: one\r\nv: two\r\nSubject: long\r\n and\r\n\tfolded\r\nnonsense\r\n: x\r\n")
    assert headers == {"from": "a", "via": "one, two", "subject": "long and folded"}


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("<sip:echo@h>", Address("", "sip:echo@h", "echo", "h")),
        ("sip:bob@h;tag=1", Address("", "sip:bob@h", "bob", "h", "1")),
        (
            "Bob Smith <sips:bob@h:5061;transport=tls>;TAG=x",
            Address("Bob Smith", "sips:bob@h:5061;transport=tls", "bob", "h", "x"),
        ),
        (
            r'"Smith, \"Bob\" <b>" <sip:b%20c:pw@[::1]:5060?a=b>',
            Address('Smith, "Bob" <b>', "sip:b%20c:pw@[::1]:5060?a=b", "b c", "[::1]"),
        ),
        ("<tel:+4930123;phone-context=x>", Address("", "tel:+4930123;phone-context=x", "+4930123", "")),
        ("<sip:+49301;ext=5@h>", Address("", "sip:+49301;ext=5@h", "+49301", "h")),
        ("<sip:h>", Address("", "sip:h", "", "h")),
        ("", Address()),
        ("rubbish", Address(uri="rubbish")),
    ],
)
def test_addresses_in_every_form(value: str, address: Address) -> None:
    assert parse_address(value) == address


def test_withheld_caller_has_no_name() -> None:
    assert caller_of({"from": '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1'}) == ""


def test_values_cannot_end_their_line() -> None:
    assert header_value("a\r\nEvil: b\x0bc") == "a Evil: b c"


@given(st.text())
def test_nothing_makes_parsing_fail(text: str) -> None:
    headers = parse_headers(text)
    caller_of(headers)
    called_of({"to": text})
    cseq_number({"cseq": text})
    media_type({"content-type": text})
