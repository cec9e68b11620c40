"""Only Twilio's own requests are taken, each once, under whatever address they come."""

import hashlib
import json
import logging
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
from prometheus_client import REGISTRY
from twilio.request_validator import RequestValidator

from core.errors import Busy
from core.transports.twilio.webhooks import user_part
from tests.core.transports.twilio.rig import AUTH_TOKEN, CALL_SID, Rig, running, stream_url

VOICE = "/twilio/voice"


def refusals(reason: str) -> float:
    return REGISTRY.get_sample_value("oavc_twilio_refused_total", {"reason": reason}) or 0.0


async def test_signed_webhook_is_answered_with_a_stream(rig: Rig) -> None:
    status, text = await rig.post(VOICE, rig.form())
    assert status == 200
    assert ElementTree.fromstring(text)[0].tag == "Connect"
    assert stream_url(text).startswith(rig.root.replace("http", "ws") + "/twilio/stream/")
    assert rig.transport.streams == 0


@pytest.mark.parametrize("path", ["/twilio/voice", "/twilio/status", "/twilio/dialled"])
@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        ("", "signature_missing"),
        ("bm90IHR3aWxpbydzIG93biBzaWduYXR1cmU=", "signature_wrong"),
        ("x" * 500, "signature_wrong"),
        ("\u00e9" * 28, "signature_wrong"),
    ],
)
async def test_unsigned_webhook_is_refused_and_leaves_nothing(rig: Rig, path: str, signature: str, reason: str) -> None:
    before = refusals(reason)
    status, text = await rig.post(path, rig.form(), signature=signature)
    assert (status, text) == (403, f"{reason.replace('_', ' ')}\n")
    assert refusals(reason) == before + 1
    assert (rig.transport.calls, rig.transport.streams) == (0, 0)


async def test_refusal_is_logged_without_secrets(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        await rig.post(VOICE, rig.form(), signature="d3Jvbmc=")
    [record] = [each for each in caplog.records if each.message == "request refused"]
    assert record.__dict__["reason"] == "signature_wrong"
    assert not any(secret in str(record.__dict__) for secret in ("d3Jvbmc=", AUTH_TOKEN, "5550100"))


async def test_webhook_is_taken_once(rig: Rig) -> None:
    form = rig.form()
    assert (await rig.post(VOICE, form))[0] == 200
    before = refusals("signature_replayed")
    assert await rig.post(VOICE, form) == (403, "signature replayed\n")
    assert refusals("signature_replayed") == before + 1


async def test_signature_of_another_form_or_address_is_wrong(rig: Rig) -> None:
    form = rig.form()
    signature = RequestValidator(AUTH_TOKEN).compute_signature(rig.root + VOICE, form)
    assert (await rig.post(VOICE, form | {"From": "+15559999"}, signature=signature))[0] == 403
    assert (await rig.post(VOICE + "?agent=other", form, signature=signature))[0] == 403
    assert (await rig.post(VOICE, form, signature=signature))[0] == 200


async def test_proxy_with_a_prefix_is_believed_where_the_signature_is_right(rig: Rig) -> None:
    headers = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "voice.example.com",
        "X-Forwarded-Prefix": "/oavc",
    }
    public = "https://voice.example.com/oavc"
    status, text = await rig.post(VOICE, rig.form(), public=public, headers=headers)
    assert status == 200
    assert stream_url(text).startswith("wss://voice.example.com/oavc/twilio/stream/")
    assert (await rig.post(VOICE, rig.form(), headers=headers))[0] == 403
    assert (await rig.post(VOICE, rig.form(), public=public))[0] == 403


@pytest.mark.parametrize("left_in_path", ["", "/oavc"])
async def test_public_url_with_a_prefix_needs_no_headers(left_in_path: str) -> None:
    async with running(public_url="https://voice.example.com/oavc") as rig:
        form = rig.form()
        signed = RequestValidator(AUTH_TOKEN).compute_signature("https://voice.example.com/oavc" + VOICE, form)
        status, text = await rig.post(left_in_path + VOICE, form, signature=signed)
        assert status == 200
        address = stream_url(text)
        assert address.startswith("wss://voice.example.com/oavc/twilio/stream/")
        token = address.rpartition("/")[2]
        phone = await rig.open(f"{rig.root}{left_in_path}/twilio/stream/{token}")
        await phone.start()
        await rig.handler.leg()


async def test_port_may_be_signed_or_not() -> None:
    async with running(public_url="https://voice.example.com") as rig:
        for signed_for in ("https://voice.example.com", "https://voice.example.com:443"):
            assert (await rig.post(VOICE, rig.form(), public=signed_for))[0] == 200
        assert (await rig.post(VOICE, rig.form(), public="https://voice.example.com:8443"))[0] == 403


async def test_forged_host_is_survived(rig: Rig) -> None:
    for host in ("voice.example.com:port", "[::1", "a b", "\u00e9"):
        assert (await rig.post(VOICE, rig.form(), headers={"X-Forwarded-Host": host}))[0] == 403


async def test_body_of_another_kind_is_known_by_its_hash(rig: Rig) -> None:
    body = json.dumps({"a": 1})
    path = f"{VOICE}?bodySHA256={hashlib.sha256(body.encode()).hexdigest()}"
    headers = {
        "X-Twilio-Signature": RequestValidator(AUTH_TOKEN).compute_signature(rig.root + path, {}),
        "Content-Type": "application/json",
    }
    for sent, reason in ((body + " ", "signature wrong\n"), (body, "no call\n")):
        async with rig.client.post(rig.root + path, data=sent, headers=headers) as response:
            assert (response.status, await response.text()) == (403, reason)


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a=1&" * 300, b"x" * 70_000])
async def test_body_that_is_none_is_refused(rig: Rig, body: bytes) -> None:
    headers = {"X-Twilio-Signature": "x", "Content-Type": "application/x-www-form-urlencoded"}
    async with rig.client.post(rig.root + VOICE, data=body, headers=headers) as response:
        assert (response.status, await response.text()) == (403, "body\n")


@pytest.mark.parametrize("call_sid", ["", "CA/../1", "x" * 65])
async def test_call_without_a_proper_name_is_refused(rig: Rig, call_sid: str) -> None:
    assert await rig.post(VOICE, rig.form(CallSid=call_sid)) == (403, "no call\n")


async def test_busy_is_told_before_the_call_is_answered(rig: Rig) -> None:
    rig.refusal = Busy()
    status, text = await rig.post(VOICE, rig.form())
    assert status == 200
    assert [(verb.tag, verb.attrib) for verb in ElementTree.fromstring(text)] == [("Reject", {"reason": "busy"})]


async def test_call_that_was_answered_is_not_rejected_but_ended(rig: Rig) -> None:
    rig.refusal = Busy()
    for changes in ({"Direction": "outbound-api", "CallStatus": "in-progress"}, {"CallStatus": "in-progress"}):
        assert "<Hangup/>" in (await rig.post(VOICE, rig.form(**changes)))[1]


async def test_webhooks_may_be_asked_for_by_get(rig: Rig) -> None:
    path = f"{VOICE}?{urlencode({'agent': 'garage', **rig.form()})}"
    signature = {"X-Twilio-Signature": RequestValidator(AUTH_TOKEN).compute_signature(rig.root + path, {})}
    async with rig.client.head(rig.root + path, headers=signature) as response:
        assert response.status == 405
    async with rig.client.get(rig.root + path + "&x=1", headers=signature) as response:
        assert (response.status, await response.text()) == (403, "signature wrong\n")
    async with rig.client.get(rig.root + path, headers=signature) as response:
        assert response.status == 200
        phone = await rig.open(stream_url(await response.text()))
    async with rig.client.get(rig.root + path, headers=signature) as response:
        assert (response.status, await response.text()) == (403, "signature replayed\n")
    await phone.start()
    info = (await rig.handler.leg()).info
    assert (info.caller, info.called) == ("+15550100", "+15550199")
    assert info.parameters == {"agent": "garage", "direction": "inbound"}


async def test_draining_takes_no_more_calls_but_those_that_are_up_go_on(rig: Rig) -> None:
    announced = await rig.stream_url(CallSid="CA2")
    phone, leg = await rig.call()
    await rig.transport.drain()
    assert not rig.transport.ready
    assert "<Reject" in (await rig.post(VOICE, rig.form()))[1]
    async with rig.client.get(announced) as response:
        assert response.status == 503
    await phone.press("1")
    await leg.receive()


async def test_signatures_can_be_switched_off() -> None:
    async with running(validate_signatures=False, auth_token=None) as rig:
        assert (await rig.post(VOICE, rig.form(), signature=""))[0] == 200
        phone = await rig.open(stream_url((await rig.post(VOICE, rig.form(), signature=""))[1]))
        await phone.start()
        await rig.handler.leg()


async def test_parameters_of_the_address_reach_the_call(rig: Rig) -> None:
    path = f"{VOICE}?agent=garage&note=a%20b%26c"
    status, text = await rig.post(path, rig.form(Direction="outbound-api"))
    assert status == 200
    phone = await rig.open(stream_url(text))
    await phone.start(agent="forged", colour="blue")
    info = (await rig.handler.leg()).info
    assert info.parameters == {"agent": "garage", "note": "a b&c", "direction": "outbound", "colour": "blue"}
    assert info.headers == {}


async def test_parameters_too_long_for_an_address_refuse_the_call(rig: Rig) -> None:
    status, text = await rig.post(f"{VOICE}?story={'x' * 4000}", rig.form())
    assert (status, "<Reject" in text) == (200, True)


async def test_final_status_ends_a_leg_whose_stream_lingers(rig: Rig) -> None:
    phone, leg = await rig.call()
    assert (await rig.post("/twilio/status", rig.form(CallStatus="in-progress")))[0] == 204
    await phone.press("1")
    await leg.receive()
    assert (await rig.post("/twilio/status", rig.form(CallStatus="completed")))[0] == 204
    assert "call completed" in repr(await leg.receive())
    rig.handler.over.set()
    await rig.quiet()
    assert rig.control.hung_up == []
    assert (await rig.post("/twilio/status", rig.form(CallStatus="completed", CallSid="CA9")))[0] == 204


async def test_whoever_placed_a_call_is_told_that_it_is_over_though_nobody_answered(rig: Rig) -> None:
    for status in ("ringing", "busy"):
        assert rig.over == []
        await rig.post("/twilio/status", rig.form(CallStatus=status))
    assert rig.over == [CALL_SID]
    assert (await rig.post("/twilio/status", rig.form(CallStatus="busy"), signature="x"))[0] == 403
    assert rig.over == [CALL_SID]


@pytest.mark.parametrize(
    ("address", "user"),
    [
        ("+15550100", "+15550100"),
        ("sip:alice@example.com:5061;transport=tls", "alice"),
        ("SIPS:bob@example.com", "bob"),
        ("client:carol", "carol"),
        ("Anonymous", ""),
        ("+266696687", ""),
        ("", ""),
    ],
)
def test_who_calls_is_the_user_part(address: str, user: str) -> None:
    assert user_part(address) == user


async def test_call_sid_names_the_call(rig: Rig) -> None:
    _, leg = await rig.call()
    assert leg.info.call_id == CALL_SID
