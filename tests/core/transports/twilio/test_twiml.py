"""Instructions are XML, whatever is put into them."""

from xml.etree import ElementTree

import pytest

from core.transports.twilio import twiml

NASTY = "wss://h/\"<&>'"


def response(text: str) -> ElementTree.Element:
    root = ElementTree.fromstring(text)
    assert root.tag == "Response"
    return root


def test_stream_address_is_quoted() -> None:
    stream = response(twiml.connect_stream(NASTY)).find("Connect/Stream")
    assert stream is not None
    assert stream.attrib == {"url": NASTY}


def test_keys_are_pressed_before_the_audio_comes_back() -> None:
    verbs = list(response(twiml.play_digits("1#", NASTY)))
    assert [verb.tag for verb in verbs] == ["Play", "Connect"]
    assert verbs[0].attrib == {"digits": "1#"}


@pytest.mark.parametrize(
    ("target", "tag", "text"),
    [
        ("+1 (555) 010-0199", "Number", "+15550100199"),
        ("tel:+15550100;ext=1", "Number", "+15550100"),
        ("sip:desk@example.com?x=<&", "", ""),
        ("sip:desk@example.com?a=1&b=2", "Sip", "sip:desk@example.com?a=1&b=2"),
    ],
)
def test_transfer_dials_a_number_or_a_sip_address(target: str, tag: str, text: str) -> None:
    def dial() -> str:
        return twiml.dial(target, caller_id="+15550123", action_url="https://h/d?a=1&b=2", timeout_s=30)

    if not tag:
        with pytest.raises(ValueError, match="neither"):
            dial()
        return
    dialled = response(dial()).find("Dial")
    assert dialled is not None
    assert dialled.attrib == {"timeout": "30", "action": "https://h/d?a=1&b=2", "callerId": "+15550123"}
    assert [(each.tag, each.text) for each in dialled] == [(tag, text)]


def test_target_sees_the_caller_s_own_number_by_default() -> None:
    dialled = response(twiml.dial("+15550100", caller_id="", action_url="u", timeout_s=5)).find("Dial")
    assert dialled is not None
    assert "callerId" not in dialled.attrib


@pytest.mark.parametrize("target", ["", "operator", "1", "+1555<Hangup/>", "http://example.com", "sip:"])
def test_anything_else_is_no_target(target: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        twiml.dial(target, caller_id="", action_url="u", timeout_s=5)


def test_refusal_and_end() -> None:
    assert response(twiml.reject())[0].attrib == {"reason": "busy"}
    assert response(twiml.hang_up())[0].tag == "Hangup"
