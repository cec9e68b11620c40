"""Call control against a stand-in of Twilio's REST API: what is asked, how failures read, and that nothing blocks."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from core.errors import SignallingError, SignallingRefused, SignallingTimeout
from core.transports.twilio.call_control import CallControl
from core.transports.twilio.calls_api import TwilioCalls
from tools.caller.twilio_rest import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    INTERNAL_ERROR,
    TOO_MANY_REQUESTS,
    ApiError,
    TwilioRestStandIn,
)

CALL = "CA" + "1" * 32
CALLER, CALLED = "+15005550006", "+15551234567"
VOICE_URL, STATUS_URL = "https://agent.example/twilio/voice", "https://agent.example/twilio/status"
TIMEOUT_S = 5.0
# A request that blocks would hold up the loop for twice as long; a busy machine does not.
LAG_MAX_S = 0.25


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioRestStandIn]:
    async with TwilioRestStandIn() as stand_in:
        stand_in.add_call(CALL, CALLER, CALLED)
        yield stand_in


@asynccontextmanager
async def control_of(
    url: str, *, username: str = ACCOUNT_SID, password: str = AUTH_TOKEN, timeout_s: float = TIMEOUT_S
) -> AsyncIterator[TwilioCalls]:
    calls = TwilioCalls(ACCOUNT_SID, username, password, url, timeout_s)
    try:
        yield calls
    finally:
        await calls.close()


@asynccontextmanager
async def answering(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """A server that is not Twilio, and takes every request; its URL."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(application, handler_cancellation=True) as server:
        yield str(server.make_url("/"))


@pytest.fixture
async def control(twilio: TwilioRestStandIn) -> AsyncIterator[CallControl]:
    async with control_of(twilio.url) as calls:
        yield calls


async def test_hanging_up_completes_the_call(twilio: TwilioRestStandIn, control: CallControl) -> None:
    await control.hang_up(CALL)
    assert twilio.calls[CALL]["status"] == "completed"
    assert [(request.path.rpartition("/")[2], dict(request.params)) for request in twilio.requests] == [
        (f"{CALL}.json", {"Status": "completed"})
    ]


async def test_hanging_up_what_has_ended_is_harmless(twilio: TwilioRestStandIn, control: CallControl) -> None:
    twilio.set_status(CALL, "completed")
    await control.hang_up(CALL)
    assert len(twilio.requests) == 1


async def test_redirecting_sends_the_instructions(twilio: TwilioRestStandIn, control: CallControl) -> None:
    twiml = "<Response><Dial>+15551234567</Dial></Response>"
    await control.redirect(CALL, twiml)
    assert dict(twilio.requests[0].params) == {"Twiml": twiml}


async def test_redirecting_what_has_ended_is_refused(twilio: TwilioRestStandIn, control: CallControl) -> None:
    twilio.set_status(CALL, "completed")
    with pytest.raises(SignallingRefused) as refusal:
        await control.redirect(CALL, "<Response/>")
    assert refusal.value.code == 21220


async def test_placing_a_call_names_who_is_asked_what_to_do_and_who_is_told(
    twilio: TwilioRestStandIn, control: CallControl
) -> None:
    async def create(_params: Mapping[str, str]) -> str:
        return "CA" + "2" * 32

    twilio.on_create = create
    assert await control.place(CALLED, CALLER, VOICE_URL, STATUS_URL) == "CA" + "2" * 32
    assert dict(twilio.requests[0].params) == {
        "To": CALLED,
        "From": CALLER,
        "Url": VOICE_URL,
        "StatusCallback": STATUS_URL,
    }


async def test_a_call_is_placed_with_nobody_to_be_told(twilio: TwilioRestStandIn, control: CallControl) -> None:
    await control.place("sip:alice@example.com", CALLER, VOICE_URL, "")
    assert "StatusCallback" not in twilio.requests[0].params


async def test_an_api_key_stands_in_for_the_account() -> None:
    key = "SK" + "3" * 32
    async with TwilioRestStandIn(username=key, password="key-secret") as twilio:
        twilio.add_call(CALL, CALLER, CALLED)
        async with control_of(twilio.url, username=key, password="key-secret") as control:
            await control.hang_up(CALL)
        assert f"/Accounts/{ACCOUNT_SID}/" in twilio.requests[0].path


async def test_the_base_url_may_have_a_path() -> None:
    async with TwilioRestStandIn(prefix="/far/away") as twilio:
        twilio.add_call(CALL, CALLER, CALLED)
        async with control_of(f"{twilio.url}/") as control:
            await control.hang_up(CALL)
        assert twilio.requests[0].path.startswith("/far/away/2010-04-01/Accounts/")


async def test_the_environment_does_not_send_requests_elsewhere(
    twilio: TwilioRestStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWILIO_EDGE", "dublin")
    monkeypatch.setenv("TWILIO_REGION", "ie1")
    async with control_of(twilio.url) as control:
        await control.hang_up(CALL)
    assert twilio.requests


@pytest.mark.parametrize(
    ("failure_code", "set_up"),
    [
        (20404, lambda twilio: twilio.calls.clear()),
        (20429, lambda twilio: setattr(twilio, "failure", TOO_MANY_REQUESTS)),
        (20500, lambda twilio: setattr(twilio, "failure", INTERNAL_ERROR)),
    ],
)
async def test_a_refusal_carries_twilios_own_code(
    twilio: TwilioRestStandIn, control: CallControl, failure_code: int, set_up: object
) -> None:
    assert callable(set_up)
    set_up(twilio)
    with pytest.raises(SignallingRefused) as refusal:
        await control.hang_up(CALL)
    assert refusal.value.code == failure_code
    assert refusal.value.method == "hang up"
    # It goes into logs: the account is named nowhere.
    assert ACCOUNT_SID not in str(refusal.value)


async def test_wrong_credentials_are_refused_and_not_told(twilio: TwilioRestStandIn) -> None:
    async with control_of(twilio.url, password="wrong-password") as control:
        with pytest.raises(SignallingRefused) as refusal:
            await control.hang_up(CALL)
    assert (refusal.value.code, "wrong-password" in str(refusal.value)) == (20003, False)


async def test_credentials_that_an_answer_repeats_are_not_told(twilio: TwilioRestStandIn, control: CallControl) -> None:
    twilio.failure = ApiError(403, 20403, f"{AUTH_TOKEN} may not, nor may {ACCOUNT_SID} or AC{'9' * 32}")
    with pytest.raises(SignallingRefused) as refusal:
        await control.hang_up(CALL)
    assert refusal.value.reason == "Unable to update record: *** may not, nor may *** or AC***"


async def test_a_refused_number_is_masked_in_the_error(twilio: TwilioRestStandIn, control: CallControl) -> None:
    with pytest.raises(SignallingRefused) as refusal:
        await control.place("555 123 4567", CALLER, VOICE_URL, STATUS_URL)
    assert refusal.value.code == 21211
    assert "4567" not in str(refusal.value)
    # A traceback must not show the SDK's own error, which has the number in full.
    assert refusal.value.__suppress_context__


async def test_nothing_of_a_call_is_logged(
    twilio: TwilioRestStandIn, control: CallControl, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await control.place(CALLED, CALLER, VOICE_URL, STATUS_URL)
    said = [record.getMessage() for record in caplog.records if not record.name.startswith("asyncio")]
    assert [text for text in said if CALLED in text or ACCOUNT_SID in text or AUTH_TOKEN in text] == []


async def test_silence_is_a_timeout(twilio: TwilioRestStandIn) -> None:
    twilio.hang = True
    async with control_of(twilio.url, timeout_s=0.05) as control:
        with pytest.raises(SignallingTimeout):
            await control.hang_up(CALL)


async def test_an_answer_that_stops_halfway_is_a_timeout() -> None:
    async def half_an_answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"{")
        await asyncio.Event().wait()
        return response

    async with answering(half_an_answer) as url, control_of(url, timeout_s=0.2) as control:
        with pytest.raises(SignallingTimeout):
            await control.hang_up(CALL)


async def test_nobody_there_is_an_error_that_names_no_address(twilio: TwilioRestStandIn) -> None:
    url = twilio.url
    await twilio.stop()
    async with control_of(url) as control:
        with pytest.raises(SignallingError, match="hang up: Twilio was not reached") as error:
            await control.hang_up(CALL)
    assert ACCOUNT_SID not in str(error.value)


@pytest.mark.parametrize("answer", [b"<html>Welcome to the airport</html>", b"[]", b'{"sid": null}', b'"\xff"'])
async def test_what_answers_instead_of_twilio_is_an_error(answer: bytes) -> None:
    async def something_else(_request: web.Request) -> web.Response:
        return web.Response(status=201, body=answer)

    async with answering(something_else) as url, control_of(url) as control:
        with pytest.raises(SignallingError, match=r"^place: Twilio's answer"):
            await control.place(CALLED, CALLER, VOICE_URL, STATUS_URL)


async def test_a_base_url_that_is_none_is_an_error() -> None:
    async with control_of("far away") as control:
        with pytest.raises(SignallingError, match="base URL"):
            await control.hang_up(CALL)


async def test_the_loop_runs_on_while_twilio_does_not_answer(twilio: TwilioRestStandIn) -> None:
    twilio.hang = True
    lags_s: list[float] = []

    async def measure() -> None:
        while True:
            before_s = time.perf_counter()
            await asyncio.sleep(0.005)
            lags_s.append(time.perf_counter() - before_s - 0.005)

    async with control_of(twilio.url, timeout_s=0.5) as control:
        measuring = asyncio.create_task(measure())
        # The first request of all is among them: nothing is left to load for it.
        outcomes = await asyncio.gather(*(control.hang_up(CALL) for _ in range(10)), return_exceptions=True)
        measuring.cancel()
    assert [type(outcome) for outcome in outcomes] == [SignallingTimeout] * 10
    assert len(lags_s) > 10
    assert max(lags_s) < LAG_MAX_S


async def test_cancelling_ends_the_request(twilio: TwilioRestStandIn, control: CallControl) -> None:
    twilio.hang = True
    hanging_up = asyncio.create_task(control.hang_up(CALL))
    while not twilio.requests:
        await asyncio.sleep(0)
    hanging_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging_up


async def test_connections_are_kept_and_closed_at_the_end() -> None:
    connections: set[asyncio.BaseTransport | None] = set()

    async def remember(request: web.Request) -> web.Response:
        connections.add(request.transport)
        return web.json_response({"sid": CALL})

    async with answering(remember) as url:
        async with control_of(url) as control:
            for _ in range(3):
                await control.redirect(CALL, "<Response/>")
        (connection,) = connections
        assert connection is not None
        while not connection.is_closing():
            await asyncio.sleep(0)


async def test_after_close_nothing_is_asked_any_more(twilio: TwilioRestStandIn, control: CallControl) -> None:
    await control.hang_up(CALL)
    await control.close()
    await control.close()
    with pytest.raises(SignallingError, match="closed"):
        await control.redirect(CALL, "<Response/>")
    assert len(twilio.requests) == 1
