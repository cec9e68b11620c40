"""core.sdp.formats: which codec a payload type means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.sdp.formats import Format, key_events, offered_formats
from core.sdp.session import Attribute, MediaDescription


def media(formats: str, *attributes: tuple[str, str]) -> MediaDescription:
    return MediaDescription(
        "audio", 4000, "RTP/AVP", tuple(formats.split()), attributes=tuple(Attribute(*a) for a in attributes)
    )


def test_static_payload_types_need_no_rtpmap() -> None:
    assert [f.name for f in offered_formats(media("0 8 9 18 13"))] == ["PCMU", "PCMA", "G722", "G729", "CN"]


def test_rtpmap_overrides_the_static_meaning() -> None:
    assert offered_formats(media("0", ("rtpmap", "0 GSM/8000"))) == [Format(0, "GSM", 8000)]


def test_dynamic_payload_type_has_name_clock_channels_and_parameters() -> None:
    offered = media("96", ("rtpmap", "96 opus/48000/2"), ("fmtp", "96 useinbandfec=1"))

    assert offered_formats(offered) == [Format(96, "opus", 48000, 2, "useinbandfec=1")]


@pytest.mark.parametrize(
    ("formats", "rtpmap"),
    [
        ("96", "97 PCMU/8000"),
        ("96", "96"),
        ("96", "96 PCMU"),
        ("96", "96 /8000"),
        ("96", "96 PCMU/8000/x"),
        ("96", "96 PCMU/8k"),
        ("128", "128 PCMU/8000"),
        ("*", "0 PCMU/8000"),
        ("9999999999", "9999999999 PCMU/8000"),
    ],
)
def test_payload_type_without_meaning_is_passed_over(formats: str, rtpmap: str) -> None:
    assert offered_formats(media(formats, ("rtpmap", rtpmap))) == []


def test_first_binding_and_first_mention_count() -> None:
    offered = media("96 96", ("rtpmap", "96 PCMU/8000"), ("rtpmap", "96 PCMA/8000"))

    assert offered_formats(offered) == [Format(96, "PCMU", 8000)]


@pytest.mark.parametrize(
    ("parameters", "answered"),
    [
        ("0-15", "0-15"),
        ("0-16", "0-15"),
        ("0-11", "0-11"),
        ("0-11,16,66,70", "0-11"),
        ("0, 1,2 ,3-5,8", "0-5,8"),
        ("0-15,0-3", "0-15"),
        ("", "0-15"),
        ("events", "0-15"),
        ("32-36", "0-15"),
        ("9-5", "0-15"),
        ("0-999999999", "0-15"),
    ],
)
def test_of_the_offered_events_those_that_are_keys_are_answered(parameters: str, answered: str) -> None:
    assert key_events(parameters) == answered


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_any_text_has_a_meaning_or_none(formats: str, rtpmap: str, fmtp: str) -> None:
    for offered in offered_formats(media(formats, ("rtpmap", rtpmap), ("fmtp", fmtp))):
        assert 0 <= offered.payload_type <= 127
    assert key_events(fmtp)
