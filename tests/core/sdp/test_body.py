"""core.sdp.body: where the session description is in a message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import OfferRejected
from core.sdp.body import extract_sdp
from core.sdp.session import parse
from tests.core.sdp.offers import SIPP

MIXED = 'multipart/mixed;boundary="unique-boundary-1"'
# After RFC 3204 4, an INVITE that carries ISUP beside SDP.
ISUP = (
    b"--unique-boundary-1\r\nContent-Type: application/SDP; charset=ISO-10646\r\n\r\n" + SIPP + b"\r\n"
    b"--unique-boundary-1\r\nContent-Type: application/ISUP; version=nxv3\r\n"
    b"Content-Disposition: signal; handling=optional\r\n\r\n\x01\x00\x49\x00\x00--\xff\r\n"
    b"--unique-boundary-1--\r\n"
)


@pytest.mark.parametrize("content_type", ["application/sdp", "Application/SDP", "application/sdp ; charset=utf-8", ""])
def test_plain_body_is_the_description(content_type: str) -> None:
    assert extract_sdp(content_type, SIPP) == SIPP


@pytest.mark.parametrize("content_type", ["", "application/sdp", "text/plain"])
@pytest.mark.parametrize("body", [b"", b"\r\n"])
def test_empty_body_leaves_the_offer_to_us(content_type: str, body: bytes) -> None:
    assert extract_sdp(content_type, body) == b""


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_description_is_found_among_several_parts(line_end: bytes) -> None:
    body = ISUP.replace(b"\r\n", line_end)

    assert parse(extract_sdp(MIXED, body)) == parse(SIPP)


@pytest.mark.parametrize("boundary", ["boundary=unique-boundary-1", "charset=x; BOUNDARY = unique-boundary-1"])
def test_boundary_may_be_written_without_quotes(boundary: str) -> None:
    assert parse(extract_sdp(f"multipart/mixed; {boundary}", ISUP)) == parse(SIPP)


def test_description_may_come_after_a_preamble_and_other_parts() -> None:
    body = (
        b"preamble\r\n--b\r\n\r\nplain\r\n--b\r\nContent-Type: application/rs-metadata+xml\r\n\r\n<x/>\r\n"
        b"--b\r\nContent-Disposition: session\r\nc: application/sdp\r\n\r\n" + SIPP + b"\r\n--b--\r\nepilogue"
    )

    assert parse(extract_sdp("multipart/mixed;boundary=b", body)) == parse(SIPP)


def test_last_delimiter_may_be_missing() -> None:
    assert parse(extract_sdp(MIXED, ISUP[: ISUP.index(b"\r\n--unique-boundary-1\r\n", 10)])) == parse(SIPP)


@pytest.mark.parametrize(
    ("content_type", "body", "status", "reason"),
    [
        ("application/pidf+xml", b"<x/>", 415, "Unsupported content type application/pidf+xml"),
        ('text/x"\r\nEvil: 1', b"x", 415, "Unsupported content type text/x???evil: 1"),
        ("", b"<x/>", 415, "Body without content type"),
        ("multipart/mixed", ISUP, 400, "Multipart body without boundary"),
        ("multipart/mixed;boundary=other", ISUP, 400, "Multipart body without its boundary"),
        (MIXED, ISUP.replace(b"application/SDP", b"text/plain"), 415, "Multipart body holds no application/sdp"),
        (MIXED, b"--unique-boundary-1--\r\n" + ISUP, 415, "Multipart body holds no application/sdp"),
        (MIXED, b"--unique-boundary-1\r\nContent-Type: x", 415, "Multipart body holds no application/sdp"),
    ],
)
def test_anything_else_is_refused(content_type: str, body: bytes, status: int, reason: str) -> None:
    with pytest.raises(OfferRejected) as refused:
        extract_sdp(content_type, body)

    assert (refused.value.sip_status, refused.value.reason) == (status, reason)


def check_refusal(refused: OfferRejected) -> None:
    assert refused.sip_status in (400, 415)
    assert refused.reason.isprintable()


@given(st.text(max_size=60), st.binary(max_size=300))
def test_any_body_is_taken_or_refused(content_type: str, body: bytes) -> None:
    for named in (content_type, MIXED, "multipart/mixed;boundary=" + content_type):
        for content in (body, ISUP[: len(body)] + body):
            try:
                extract_sdp(named, content)
            except OfferRejected as refused:
                check_refusal(refused)
