"""core.sdp.offer_answer: what an offer is answered (RFC 3264)."""

import pytest

from core.errors import OfferRejected
from core.sdp.offer_answer import LocalMedia, Negotiated, answer
from core.sdp.session import Connection, MediaDescription, SessionDescription, parse
from tests.core.sdp.offers import HEAD, RFC_3264, SIPP, SOFT_PHONE, audio

LOCAL = LocalMedia("192.0.2.1", 35000, 77)
WIDE = LocalMedia("192.0.2.1", 35000, 77, codecs=("G722", "PCMU", "PCMA"))


def refusal(offer: bytes | str, local: LocalMedia = LOCAL, previous: Negotiated | None = None) -> OfferRejected:
    with pytest.raises(OfferRejected) as refused:
        answer(offer, local, previous)
    return refused.value


def session_of(negotiated: Negotiated) -> SessionDescription:
    return parse(negotiated.answer_sdp)


def audio_of(negotiated: Negotiated) -> MediaDescription:
    return next(media for media in session_of(negotiated).media if media.media == "audio")


def direction_of(negotiated: Negotiated) -> str:
    return session_of(negotiated).direction_of(audio_of(negotiated))


def test_captured_offer_is_answered_with_codec_keys_and_packet_time() -> None:
    negotiated = answer(SIPP, LOCAL)

    assert negotiated.answer_sdp == (
        "v=0\r\no=- 77 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
        "m=audio 35000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
        "a=fmtp:101 0-15\r\na=ptime:20\r\na=maxptime:60\r\na=sendrecv\r\n"
    )
    parameters = negotiated.parameters
    assert parameters.remote_address == ("127.0.0.1", 16000)
    assert parameters.remote_rtcp == ("127.0.0.1", 16001)
    assert (parameters.payload_type, parameters.codec.name) == (0, "PCMU")
    assert parameters.dtmf_payload_type == 101
    assert parameters.ptime_ms == 20
    assert (parameters.sending, parameters.receiving) == (True, True)
    assert not parameters.comfort_noise
    assert not negotiated.held


def test_offer_with_lines_ended_by_lf_alone_is_answered_alike() -> None:
    assert answer(SIPP.replace(b"\r\n", b"\n"), LOCAL).answer_sdp == answer(SIPP, LOCAL).answer_sdp


@pytest.mark.parametrize(
    ("local", "codec", "sample_rate_hz"), [(LOCAL, "PCMA", 8000), (WIDE, "G722", 16000)], ids=["default", "wide"]
)
def test_first_of_the_callers_codecs_that_is_ours_is_taken(local: LocalMedia, codec: str, sample_rate_hz: int) -> None:
    parameters = answer(SOFT_PHONE, local).parameters

    assert parameters.codec.name == codec
    assert parameters.codec.sample_rate_hz == sample_rate_hz
    assert parameters.codec.clock_rate_hz == 8000


def test_our_preference_does_not_override_the_callers_order() -> None:
    local = LocalMedia("192.0.2.1", 35000, 77, codecs=("PCMA", "PCMU"))

    assert answer(RFC_3264, local).parameters.codec.name == "PCMU"


def test_soft_phone_is_answered_one_codec_noise_and_events_of_its_clock() -> None:
    negotiated = answer(SOFT_PHONE, LOCAL)

    assert audio_of(negotiated).formats == ("8", "13", "101")
    assert audio_of(negotiated).values("fmtp") == ["101 0-15"]
    assert negotiated.parameters.comfort_noise
    assert negotiated.parameters.dtmf_payload_type == 101


def test_events_of_another_clock_are_not_answered() -> None:
    offer = audio("m=audio 40000 RTP/AVP 0 97", "a=rtpmap:97 telephone-event/48000")

    negotiated = answer(offer, LOCAL)

    assert negotiated.parameters.dtmf_payload_type is None
    assert audio_of(negotiated).formats == ("0",)


def test_offered_payload_types_are_kept() -> None:
    offer = audio(
        "m=audio 40000 RTP/AVP 107 96",
        "a=rtpmap:107 pcmu/8000/1",
        "a=rtpmap:96 TELEPHONE-EVENT/8000",
        "a=fmtp:96 0-11",
    )

    negotiated = answer(offer, LOCAL)

    assert (negotiated.parameters.payload_type, negotiated.parameters.dtmf_payload_type) == (107, 96)
    assert negotiated.parameters.codec.name == "PCMU"
    assert audio_of(negotiated).formats == ("107", "96")
    assert audio_of(negotiated).values("fmtp") == ["96 0-11"]


def test_comfort_noise_counts_at_its_static_payload_type_only() -> None:
    offer = audio("m=audio 40000 RTP/AVP 0 98", "a=rtpmap:98 CN/16000")

    assert not answer(offer, LOCAL).parameters.comfort_noise


@pytest.mark.parametrize(
    ("attributes", "ptime_ms"),
    [
        ((), 20),
        (("a=ptime:10",), 10),
        (("a=ptime:30",), 30),
        (("a=ptime:60",), 60),
        (("a=ptime:30.0",), 30),
        (("a=ptime:25",), 20),
        (("a=ptime:5",), 10),
        (("a=ptime:200",), 60),
        (("a=ptime:0",), 20),
        (("a=ptime:fast",), 20),
        (("a=ptime:40", "a=maxptime:20"), 20),
        (("a=maxptime:10",), 10),
        (("a=maxptime:150",), 20),
        (("a=ptime:99999999999999999999",), 20),
    ],
)
def test_packet_time_is_honoured_within_limits(attributes: tuple[str, ...], ptime_ms: int) -> None:
    negotiated = answer(audio("m=audio 40000 RTP/AVP 0", *attributes), LOCAL)

    assert negotiated.parameters.ptime_ms == ptime_ms
    assert audio_of(negotiated).values("ptime") == [str(ptime_ms)]


def test_every_media_line_is_answered_in_order_and_unwanted_ones_get_port_0() -> None:
    offer = audio(
        "m=video 29002 RTP/AVP 31\r\nm=audio 40000 RTP/AVP 0\r\nm=image 4004 udptl t38\r\nm=application 9 UDP/BFCP *"
    )

    lines = session_of(answer(offer, LOCAL)).media

    assert [(line.media, line.port, line.protocol, line.formats) for line in lines] == [
        ("video", 0, "RTP/AVP", ("31",)),
        ("audio", 35000, "RTP/AVP", ("0",)),
        ("image", 0, "udptl", ("t38",)),
        ("application", 0, "UDP/BFCP", ("*",)),
    ]


def test_of_several_audio_lines_the_first_usable_one_is_taken() -> None:
    offer = audio(
        "m=audio 0 RTP/AVP 0\r\nm=audio 40000 RTP/SAVP 0\r\nm=audio 40002 RTP/AVP 18\r\n"
        "m=audio 40004 RTP/AVP 8\r\nm=audio 40006 RTP/AVP 0"
    )

    negotiated = answer(offer, LOCAL)

    assert [line.port for line in session_of(negotiated).media] == [0, 0, 0, 35000, 0]
    assert negotiated.parameters.remote_address == ("198.51.100.7", 40004)


def test_rfc_3264_example_refuses_video_and_keeps_audio() -> None:
    negotiated = answer(RFC_3264, LOCAL)

    assert [(line.media, line.port) for line in session_of(negotiated).media] == [("audio", 35000), ("video", 0)]


def test_feedback_profile_is_answered_in_kind() -> None:
    assert audio_of(answer(audio("m=audio 40000 RTP/AVPF 0"), LOCAL)).protocol == "RTP/AVPF"


@pytest.mark.parametrize(
    ("offered", "answered", "sending", "receiving"),
    [
        ("sendrecv", "sendrecv", True, True),
        ("sendonly", "recvonly", False, True),
        ("recvonly", "sendonly", True, False),
        ("inactive", "inactive", False, False),
    ],
)
@pytest.mark.parametrize("level", ["session", "media"])
def test_direction_is_mirrored(offered: str, answered: str, sending: bool, receiving: bool, level: str) -> None:
    if level == "session":
        offer = HEAD + f"a={offered}\r\nm=audio 40000 RTP/AVP 0\r\n"
    else:
        offer = HEAD + f"a=sendrecv\r\nm=audio 40000 RTP/AVP 0\r\na={offered}\r\n"

    negotiated = answer(offer, LOCAL)

    assert direction_of(negotiated) == answered
    assert (negotiated.parameters.sending, negotiated.parameters.receiving) == (sending, receiving)
    assert negotiated.held is not sending


@pytest.mark.parametrize(
    ("direction", "answered"),
    [("sendrecv", "recvonly"), ("sendonly", "recvonly"), ("recvonly", "inactive"), ("inactive", "inactive")],
)
def test_address_of_zeros_is_hold(direction: str, answered: str) -> None:
    before = answer(SIPP, LOCAL)
    offer = SIPP.replace(b"c=IN IP4 127.0.0.1", b"c=IN IP4 0.0.0.0").replace(b"sendrecv", direction.encode())

    negotiated = answer(offer, LOCAL, before)

    assert negotiated.held
    assert direction_of(negotiated) == answered
    assert not negotiated.parameters.sending
    assert negotiated.parameters.remote_rtcp is None
    assert negotiated.parameters.remote_address == before.parameters.remote_address


def test_address_of_zeros_in_a_first_offer_is_hold_too() -> None:
    negotiated = answer(SIPP.replace(b"c=IN IP4 127.0.0.1", b"c=IN IP4 0.0.0.0"), LOCAL)

    assert negotiated.held
    assert negotiated.parameters.remote_rtcp is None


def test_port_0_in_a_call_suspends_its_audio_until_it_comes_back() -> None:
    first = answer(SIPP, LOCAL)

    suspended = answer(SIPP.replace(b"audio 16000", b"audio 0"), LOCAL, first)
    resumed = answer(SIPP, LOCAL, suspended)

    assert suspended.held
    assert (suspended.parameters.sending, suspended.parameters.receiving) == (False, False)
    assert [line.port for line in session_of(suspended).media] == [0]
    assert session_of(resumed).origin.session_version == 3
    assert audio_of(resumed).port == 35000
    assert not resumed.held


@pytest.mark.parametrize(
    ("attributes", "remote_rtcp"),
    [
        ((), ("198.51.100.7", 40001)),
        (("a=rtcp-mux",), ("198.51.100.7", 40000)),
        (("a=rtcp:53020",), ("198.51.100.7", 53020)),
        (("a=rtcp:53020 IN IP4 192.0.2.44",), ("192.0.2.44", 53020)),
        (("a=rtcp:53020", "a=rtcp-mux"), ("198.51.100.7", 40000)),
        (("a=rtcp:0",), ("198.51.100.7", 40001)),
        (("a=rtcp:port",), ("198.51.100.7", 40001)),
        (("a=rtcp:99999",), ("198.51.100.7", 40001)),
        (("a=rtcp:53020 IN IP4 example.com",), ("198.51.100.7", 40001)),
        (("a=rtcp:53020 IN IP6 2001:db8::1",), ("198.51.100.7", 53020)),
    ],
)
def test_rtcp_goes_where_it_is_wanted(attributes: tuple[str, ...], remote_rtcp: tuple[str, int]) -> None:
    negotiated = answer(audio("m=audio 40000 RTP/AVP 0", *attributes), LOCAL)

    assert negotiated.parameters.remote_rtcp == remote_rtcp
    assert audio_of(negotiated).has("rtcp-mux") is ("a=rtcp-mux" in attributes)


def test_no_rtcp_where_no_port_is_left_for_it() -> None:
    assert answer(audio("m=audio 65535 RTP/AVP 0"), LOCAL).parameters.remote_rtcp is None


class TestLaterOffer:
    def test_same_offer_again_gets_the_same_answer_and_version(self) -> None:
        first = answer(SIPP, LOCAL)

        again = answer(SIPP, LOCAL, first)

        assert again.answer_sdp == first.answer_sdp
        assert again.parameters == first.parameters

    def test_version_grows_by_one_for_each_change_and_the_session_id_stays(self) -> None:
        negotiated = answer(SIPP, LOCAL)
        versions = [session_of(negotiated).origin.session_version]
        for direction in (b"sendonly", b"sendonly", b"inactive", b"sendrecv"):
            negotiated = answer(SIPP.replace(b"sendrecv", direction), LOCAL, negotiated)
            versions.append(session_of(negotiated).origin.session_version)

        assert versions == [1, 2, 2, 3, 4]
        assert session_of(negotiated).origin.session_id == 77

    def test_new_address_and_port_are_taken_over(self) -> None:
        first = answer(SIPP, LOCAL)
        offer = SIPP.replace(b"c=IN IP4 127.0.0.1", b"c=IN IP4 203.0.113.5").replace(b"16000", b"17000")

        moved = answer(offer, LOCAL, first)

        assert moved.parameters.remote_address == ("203.0.113.5", 17000)
        assert moved.answer_sdp == first.answer_sdp
        assert moved.parameters.codec is first.parameters.codec

    def test_new_codec_is_taken_over(self) -> None:
        first = answer(SIPP, LOCAL)

        changed = answer(SIPP.replace(b"AVP 0 101", b"AVP 8 101"), LOCAL, first)

        assert (changed.parameters.codec.name, changed.parameters.payload_type) == ("PCMA", 8)
        assert session_of(changed).origin.session_version == 2

    def test_codec_with_a_memory_goes_on_where_it_stays(self) -> None:
        offer = audio("m=audio 40000 RTP/AVP 9")
        first = answer(offer, WIDE)

        assert answer(offer, WIDE, first).parameters.codec is first.parameters.codec
        assert answer(offer, WIDE).parameters.codec is not first.parameters.codec

    def test_offer_that_cannot_be_answered_is_refused_and_changes_nothing(self) -> None:
        first = answer(SIPP, LOCAL)

        assert refusal(SIPP.replace(b"RTP/AVP 0", b"RTP/AVP 18"), LOCAL, first).sip_status == 488
        assert answer(SIPP, LOCAL, first).answer_sdp == first.answer_sdp

    def test_added_media_line_is_refused_beside_the_audio(self) -> None:
        first = answer(SIPP, LOCAL)

        added = answer(SIPP + b"m=video 5000 RTP/AVP 31\r\n", LOCAL, first)

        assert [line.port for line in session_of(added).media] == [35000, 0]
        assert session_of(added).origin.session_version == 2


class TestIpv6:
    OFFER = audio("m=audio 40000 RTP/AVP 0").replace("IN IP4 198.51.100.7", "IN IP6 2001:db8::7")
    BOTH = LocalMedia("192.0.2.1", 35000, 77, address_ip6="2001:db8::1")

    def test_is_refused_without_an_address_of_its_kind(self) -> None:
        refused = refusal(self.OFFER)

        assert (refused.sip_status, refused.reason) == (488, "IPv6 media not supported")

    def test_is_answered_in_kind_where_we_have_one(self) -> None:
        negotiated = answer(self.OFFER, self.BOTH)

        assert session_of(negotiated).connection == Connection("IP6", "2001:db8::1")
        assert negotiated.parameters.remote_address == ("2001:db8::7", 40000)
        assert answer(SIPP, self.BOTH).parameters.remote_address == ("127.0.0.1", 16000)
        assert session_of(answer(SIPP, self.BOTH)).connection == Connection("IP4", "192.0.2.1")

    def test_all_zeros_is_hold(self) -> None:
        assert answer(self.OFFER.replace("c=IN IP6 2001:db8::7", "c=IN IP6 ::"), self.BOTH).held


@pytest.mark.parametrize(
    ("offer", "status", "reason"),
    [
        (audio("m=audio 40000 RTP/AVP 18"), 488, "No common codec: offered G729"),
        (
            audio("m=audio 40000 RTP/AVP 96 18 101", "a=rtpmap:96 opus/48000/2", "a=rtpmap:101 telephone-event/8000"),
            488,
            "No common codec: offered opus, G729",
        ),
        (audio("m=audio 40000 RTP/AVP 99"), 488, "No common codec: offered 99"),
        (
            audio("m=audio 40000 RTP/AVP 96 97", "a=rtpmap:96 PCMU/16000", "a=rtpmap:97 PCMU/8000/2"),
            488,
            "No common codec: offered PCMU, PCMU",
        ),
        (audio("m=audio 40000 RTP/AVP 9"), 488, "No common codec: offered G722"),
        (audio("m=audio 40000 RTP/AVP 96", "a=rtpmap:96 é\tü/8000"), 488, "No common codec: offered ???"),
        (audio("m=audio 40000 RTP/SAVP 0", "a=crypto:1 x"), 488, "Encrypted media not supported: RTP/SAVP"),
        (audio("m=audio 40000 RTP/SAVPF 0"), 488, "Encrypted media not supported: RTP/SAVPF"),
        (audio("m=audio 9 UDP/TLS/RTP/SAVPF 0"), 488, "Encrypted media not supported: UDP/TLS/RTP/SAVPF"),
        (audio("m=audio 40000 TCP/RTP/AVP 0"), 488, "Transport not supported: TCP/RTP/AVP"),
        (audio("m=audio 0 RTP/AVP 0"), 488, "Audio stream is disabled"),
        (audio("m=video 40000 RTP/AVP 31"), 488, "No audio stream"),
        (audio("m=video 4000 RTP/AVP 31\r\nm=audio 4002 RTP/AVP 18"), 488, "No common codec: offered G729"),
        (HEAD, 488, "No media stream"),
        (audio().replace("c=IN IP4 198.51.100.7\r\n", ""), 488, "No connection address"),
        (
            audio().replace("c=IN IP4 198.51.100.7", "c=IN IP4 media.example.com"),
            488,
            "Connection address is not a unicast IP address",
        ),
        (
            audio().replace("c=IN IP4 198.51.100.7", "c=IN IP4 224.2.1.1/127"),
            488,
            "Connection address is not a unicast IP address",
        ),
        (
            audio().replace("c=IN IP4 198.51.100.7", "c=IN IP4 2001:db8::1"),
            488,
            "Connection address is not a unicast IP address",
        ),
        (b"", 400, "Session description does not begin with v=0"),
        (b"{}", 400, "Not a line of a session description: {}"),
        (SIPP.replace(b"16000", b"high"), 400, "Malformed m= line: audio high RTP/AVP 0 101"),
    ],
)
def test_offer_we_cannot_answer_is_refused_with_its_reason(offer: bytes | str, status: int, reason: str) -> None:
    refused = refusal(offer)

    assert (refused.sip_status, refused.reason) == (status, reason)


def test_reason_stays_short_however_much_is_offered() -> None:
    names = [f"a=rtpmap:{number} {'x' * 200}/8000" for number in range(96, 127)]
    offer = audio("m=audio 40000 RTP/AVP " + " ".join(map(str, range(96, 127))), *names)

    assert len(refusal(offer).reason) < 200
