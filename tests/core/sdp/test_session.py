"""core.sdp.session: what is read, what is refused, and that it is written back."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.sdp.session import (
    Attribute,
    Connection,
    MediaDescription,
    Origin,
    SdpError,
    SessionDescription,
    parse,
)
from tests.core.sdp.offers import HEAD, RFC_3264, SIPP, SOFT_PHONE, audio


def test_captured_offer_is_read() -> None:
    session = parse(SIPP)

    assert session.origin == Origin("h4", 53655765, 2353687637, "IP4", "127.0.0.1")
    assert session.connection == Connection("IP4", "127.0.0.1")
    [media] = session.media
    assert (media.media, media.port, media.protocol, media.formats) == ("audio", 16000, "RTP/AVP", ("0", "101"))
    assert media.values("rtpmap") == ["0 PCMU/8000", "101 telephone-event/8000"]
    assert session.direction_of(media) == "sendrecv"


@pytest.mark.parametrize("offer", [SIPP.decode(), SOFT_PHONE], ids=["sipp", "soft phone"])
def test_description_survives_being_written_and_read(offer: str) -> None:
    session = parse(offer)

    assert parse(session.serialise()) == session


def test_written_lines_come_in_the_order_of_the_rfc_and_end_in_crlf() -> None:
    assert parse(SIPP).serialise() == SIPP.decode()


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r", " \r\n", "\r\n\r\n"])
def test_any_line_end_will_do(line_end: str) -> None:
    assert parse(SOFT_PHONE.replace("\r\n", line_end)) == parse(SOFT_PHONE)


def test_bytes_that_are_no_utf_8_do_not_matter_in_a_name() -> None:
    offer = SIPP.replace(b"s=-", b"s=caf\xe9")

    assert parse(offer).media == parse(SIPP).media


def test_missing_name_and_timing_are_forgiven() -> None:
    assert parse(SIPP.replace(b"s=-\r\n", b"").replace(b"t=0 0\r\n", b"")).media == parse(SIPP).media


def test_user_name_with_blanks_is_forgiven() -> None:
    assert parse(SIPP.replace(b"o=h4 ", b"o=Reception 2nd floor ")).origin.username == "Reception 2nd floor"


def test_media_level_overrides_session_level() -> None:
    session = parse(
        HEAD + "a=inactive\r\na=ptime:30\r\nm=audio 4000 RTP/AVP 0\r\nm=audio 4002 RTP/AVP 0\r\n"
        "c=IN IP4 192.0.2.9\r\na=sendonly\r\na=ptime:40\r\n"
    )
    first, second = session.media

    assert [session.direction_of(media) for media in session.media] == ["inactive", "sendonly"]
    assert session.connection_of(first) == Connection("IP4", "198.51.100.7")
    assert session.connection_of(second) == Connection("IP4", "192.0.2.9")
    assert [session.values_of(media, "ptime") for media in session.media] == [["30"], ["40"]]


def test_bandwidths_belong_to_their_level() -> None:
    session = parse(HEAD + "b=CT:256\r\nm=audio 4000/2 RTP/AVP 0\r\nb=AS:64\r\nb=RS:0\r\n")

    assert session.bandwidths == ("CT:256",)
    assert session.media[0].bandwidths == ("AS:64", "RS:0")
    assert session.media[0].port_count == 2
    assert parse(session.serialise()) == session


def test_attribute_without_value_is_told_from_one_with_an_empty_value() -> None:
    [media] = parse(audio("m=audio 4000 RTP/AVP 0", "a=rtcp-mux", "a=mid:")).media

    assert media.attributes == (Attribute("rtcp-mux"), Attribute("mid", ""))
    assert media.has("rtcp-mux")
    assert media.values("mid") == []


def test_unknown_lines_are_passed_over() -> None:
    assert parse(SIPP + b"y=0123\r\n").media[0].port == 16000


@pytest.mark.parametrize(
    ("offer", "named"),
    [
        (b"", "begin with v=0"),
        (b"\x00\xff\xfe", "Not a line"),
        (b"hello", "Not a line"),
        (SIPP.replace(b"v=0", b"v=1"), "begin with v=0"),
        (b"m=audio 1 RTP/AVP 0\r\n", "begin with v=0"),
        (SIPP.replace(b"o=h4 53655765 2353687637 IN IP4 127.0.0.1\r\n", b""), "o= line"),
        (SIPP.replace(b"t=0 0", b"o=a 1 1 IN IP4 127.0.0.1"), "exactly one o="),
        (SIPP.replace(b"o=h4 53655765", b"o=h4 five"), "Malformed o="),
        (SIPP.replace(b"o=h4 53655765 2353687637 IN IP4 127.0.0.1", b"o=h4"), "Malformed o="),
        (SIPP.replace(b"c=IN IP4 127.0.0.1", b"c=IN IP5 127.0.0.1"), "Malformed c="),
        (SIPP.replace(b"c=IN IP4 127.0.0.1", b"c=IN IP4"), "Malformed c="),
        (SIPP.replace(b"m=audio 16000 RTP/AVP 0 101", b"m=audio 16000 RTP/AVP"), "Malformed m="),
        (SIPP.replace(b"m=audio 16000", b"m=audio 65536"), "Malformed m="),
        (SIPP.replace(b"m=audio 16000", b"m=audio -1"), "Malformed m="),
        (SIPP.replace(b"m=audio 16000", b"m=audio 16000/x"), "Malformed m="),
        (SIPP.replace(b"m=audio 16000", "m=audio ١٦٠٠".encode()), "Malformed m="),
        (SIPP.replace(b"RTP/AVP", b"RTP//AVP"), "Malformed m="),
        (SIPP.replace(b"m=audio", b'm="audio"'), "Malformed m="),
        (SIPP.replace(b"a=ptime", b" a=ptime"), "Not a line"),
        (SIPP.replace(b"a=ptime:20", b"a=pt\x00ime"), "Not a line"),
        (SIPP + b"a=" + b"x" * 70_000, "too long"),
        (SIPP + b"m=audio 1 RTP/AVP 0\r\n" * 65, "too many"),
    ],
)
def test_what_is_no_description_is_refused_by_name(offer: bytes, named: str) -> None:
    with pytest.raises(SdpError, match=named):
        parse(offer)


def test_message_quotes_nothing_that_could_break_a_header() -> None:
    with pytest.raises(SdpError) as refused:
        parse('v=0\r\nbroken "line" \u2028\x01 é' + "x" * 500)

    assert str(refused.value).isascii()
    assert str(refused.value).isprintable()
    assert '"' not in str(refused.value)
    assert len(str(refused.value)) < 100


@pytest.mark.parametrize("cut", range(0, len(SIPP), 3))
def test_truncated_offer_is_read_or_refused(cut: int) -> None:
    try:
        session = parse(SIPP[:cut])
    except SdpError:
        return
    assert isinstance(session, SessionDescription)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(noise: bytes) -> None:
    for offer in (noise, b"v=0\r\n" + noise, SIPP + noise):
        try:
            parse(offer)
        except SdpError:
            continue


@given(st.text(st.characters(codec="utf-8"), max_size=60), st.sampled_from("voscbtamkrz"))
def test_any_value_of_any_line_is_read_or_refused(value: str, kind: str) -> None:
    try:
        session = parse(SIPP.decode() + f"{kind}={value}\r\n")
    except SdpError:
        return
    assert parse(session.serialise()).media == session.media


def test_largest_hostile_descriptions_take_little_time() -> None:
    hostile = [
        SIPP + b"a=fmtp:" + b"9" * 65_000,
        SIPP + b"\r\n" * 32_000,
        SIPP + b"a=\r\n" * 16_000,
        SIPP + b"m=" + b" " * 65_000,
        SIPP + b"m=audio 1 RTP/AVP" + b" 0" * 32_000,
    ]
    started = time.process_time()
    for offer in hostile:
        try:
            parse(offer)
        except SdpError:
            continue

    assert time.process_time() - started < 1.0


def test_description_of_our_own_needs_only_what_matters() -> None:
    session = SessionDescription(
        Origin("-", 1, 2, "IP4", "192.0.2.1"),
        media=(MediaDescription("audio", 4000, "RTP/AVP", ("0",), connection=Connection("IP6", "::1")),),
    )

    assert session.serialise() == (
        "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP6 ::1\r\n"
    )


def test_rfc_3264_example_is_read() -> None:
    session = parse(RFC_3264)

    assert [(media.media, media.port) for media in session.media] == [("audio", 49170), ("video", 51372)]
