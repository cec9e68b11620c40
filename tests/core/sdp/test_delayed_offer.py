"""core.sdp.offer_answer: the offer is ours, the answer comes with the ACK (RFC 3264 5, RFC 6337 2)."""

import pytest

from core.errors import OfferRejected
from core.sdp.offer_answer import LocalMedia, accept, answer, offer
from core.sdp.session import parse
from tests.core.sdp.offers import HEAD, SIPP, audio

LOCAL = LocalMedia("192.0.2.1", 35000, 77, codecs=("PCMA", "PCMU"))
ANSWER = audio("m=audio 40000 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=ptime:30")


def test_all_our_codecs_are_offered_in_our_preference() -> None:
    assert offer(LOCAL) == (
        "v=0\r\no=- 77 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
        "m=audio 35000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
        "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=maxptime:60\r\n"
        "a=rtcp-mux\r\na=sendrecv\r\n"
    )


def test_answer_settles_codec_keys_and_packet_time() -> None:
    negotiated = accept(ANSWER, LOCAL)

    assert negotiated.answer_sdp == offer(LOCAL)
    assert negotiated.parameters.codec.name == "PCMU"
    assert negotiated.parameters.remote_address == ("198.51.100.7", 40000)
    assert negotiated.parameters.remote_rtcp == ("198.51.100.7", 40001)
    assert negotiated.parameters.dtmf_payload_type == 101
    assert negotiated.parameters.ptime_ms == 30
    assert not negotiated.held


@pytest.mark.parametrize(("direction", "held"), [("recvonly", False), ("sendonly", True), ("inactive", True)])
def test_direction_of_the_answer_is_obeyed(direction: str, held: bool) -> None:
    negotiated = accept(ANSWER + f"a={direction}\r\n", LOCAL)

    assert negotiated.held is held
    assert negotiated.parameters.receiving is (direction == "sendonly")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("", 400),
        ("not sdp", 400),
        (HEAD, 488),
        (ANSWER.replace("audio 40000", "audio 0"), 488),
        (ANSWER.replace("AVP 0", "AVP 18"), 488),
        (ANSWER.replace("RTP/AVP", "RTP/SAVP"), 488),
    ],
)
def test_answer_that_agrees_to_nothing_is_refused(text: str, status: int) -> None:
    with pytest.raises(OfferRejected) as refused:
        accept(text, LOCAL)

    assert refused.value.sip_status == status


def test_later_offer_of_ours_keeps_every_media_line_and_payload_type() -> None:
    first = answer(
        audio(
            "m=video 5000 RTP/AVP 31\r\nm=audio 40000 RTP/AVP 0 96",
            "a=rtpmap:96 telephone-event/8000",
            "a=ptime:30",
        ),
        LOCAL,
    )

    ours = parse(offer(LOCAL, first))

    assert [(line.media, line.port) for line in ours.media] == [("video", 0), ("audio", 35000)]
    assert ours.media[1].formats == ("8", "0", "96")
    assert ours.media[1].values("ptime") == ["30"]
    assert (ours.origin.session_id, ours.origin.session_version) == (77, 2)


def test_answer_to_a_later_offer_is_read_at_the_same_line() -> None:
    first = answer(SIPP + b"m=video 5000 RTP/AVP 31\r\n", LOCAL)
    reply = audio("m=audio 41000 RTP/AVP 0\r\nm=video 0 RTP/AVP 31")

    second = accept(reply, LOCAL, first)

    assert second.parameters.remote_address == ("198.51.100.7", 41000)
    assert second.parameters.codec is first.parameters.codec
    assert parse(second.answer_sdp).origin.session_version == 2


def test_our_offer_repeated_keeps_its_version() -> None:
    first = accept(ANSWER.replace("a=ptime:30\r\n", ""), LOCAL)

    assert offer(LOCAL, first) == first.answer_sdp


def test_audio_that_was_suspended_is_offered_again() -> None:
    suspended = answer(SIPP.replace(b"16000", b"0"), LOCAL, answer(SIPP, LOCAL))

    assert parse(offer(LOCAL, suspended)).media[0].port == 35000


def test_keys_are_offered_again_where_they_were_not_agreed_on() -> None:
    assert parse(offer(LOCAL, answer(audio("m=audio 4000 RTP/AVP 0"), LOCAL))).media[0].formats[-1] == "101"
