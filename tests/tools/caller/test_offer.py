"""What the phone offers, and which answers it takes."""

import pytest

from core.sdp.session import parse
from tools.caller.offer import AnswerError, make_offer, read_answer

ANSWER = """v=0
o=agent 1 1 IN IP4 192.0.2.7
s=-
c=IN IP4 192.0.2.7
t=0 0
m=audio 35000 RTP/AVP 0 101
a=rtpmap:101 telephone-event/8000
a=sendrecv
""".replace("\n", "\r\n")


def test_offer_names_one_codec_and_keys() -> None:
    description = parse(make_offer("127.0.0.1", 16000, "PCMA", 3, "sendonly"))
    (media,) = description.media
    assert (media.port, media.formats) == (16000, ("8", "101"))
    assert description.direction_of(media) == "sendonly"


def test_later_offer_has_a_later_version() -> None:
    first, second = (parse(make_offer("127.0.0.1", 16000, "PCMU", version)).origin for version in (1, 2))
    assert first.session_id == second.session_id
    assert second.session_version == first.session_version + 1


def test_answer_says_where_to_send() -> None:
    remote = read_answer(ANSWER, "PCMU")
    assert (remote.address, remote.payload_type, remote.dtmf_payload_type) == (("192.0.2.7", 35000), 0, 101)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("v=0", "hello", "cannot be read"),
        ("audio 35000", "audio 0", "does not accept"),
        ("RTP/AVP 0 101", "RTP/AVP 8 101", r"names \['PCMA'\], not PCMU alone"),
        ("RTP/AVP 0 101", "RTP/AVP 0 8", r"names \['PCMU', 'PCMA'\]"),
        ("a=sendrecv", "a=recvonly", "sendrecv was answered by recvonly, not sendrecv"),
        ("IP4 192.0.2.7\r\nt", "IP6 ::1\r\nt", "no IPv4 address"),
    ],
)
def test_answer_that_does_not_fit_is_refused(old: str, new: str, problem: str) -> None:
    assert old in ANSWER
    with pytest.raises(AnswerError, match=problem):
        read_answer(ANSWER.replace(old, new), "PCMU")


@pytest.mark.parametrize(("offered", "mirrored"), [("sendonly", "recvonly"), ("inactive", "inactive")])
def test_hold_is_mirrored(offered: str, mirrored: str) -> None:
    answer = ANSWER.replace("a=sendrecv", f"a={mirrored}")
    assert read_answer(answer, "PCMU", offered).address[1] == 35000
    with pytest.raises(AnswerError):
        read_answer(ANSWER, "PCMU", offered)
