"""The stand-in of Twilio's REST API, asked by Twilio's own SDK and by plain HTTP."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import pytest

from tools.caller.twilio_rest import ACCOUNT_SID, AUTH_TOKEN, INTERNAL_ERROR, TwilioRestStandIn

CALL = "CA" + "1" * 32
CALLER, CALLED = "+15005550006", "+15551234567"
PLACED = {"To": CALLED, "From": CALLER, "Url": "https://agent.example/voice"}


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioRestStandIn]:
    async with TwilioRestStandIn() as stand_in:
        stand_in.add_call(CALL, CALLER, CALLED)
        yield stand_in


class Asked:
    """An account's requests."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = f"{url}/2010-04-01/Accounts/{ACCOUNT_SID}/Calls"

    async def __call__(self, method: str, path: str, **params: str) -> tuple[int, dict[str, Any]]:
        async with self._session.request(method, self._url + path, data=params) as response:
            body = await response.json()
            assert isinstance(body, dict)
            return response.status, body


@pytest.fixture
async def ask(twilio: TwilioRestStandIn) -> AsyncIterator[Asked]:
    headers = {"Authorization": aiohttp.encode_basic_auth(ACCOUNT_SID, AUTH_TOKEN)}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield Asked(session, twilio.url)


async def test_a_call_that_is_created_is_queued_and_can_be_fetched(ask: Asked) -> None:
    status, call = await ask("POST", ".json", **PLACED)
    assert (status, call["status"], call["direction"]) == (201, "queued", "outbound-api")
    assert (call["to"], call["from"], call["account_sid"]) == (CALLED, CALLER, ACCOUNT_SID)
    assert await ask("GET", f"/{call['sid']}.json") == (200, call)


async def test_the_hook_names_the_call_that_is_created(twilio: TwilioRestStandIn, ask: Asked) -> None:
    async def create(params: Mapping[str, str]) -> str:
        assert dict(params) == PLACED
        return CALL

    twilio.on_create = create
    _, call = await ask("POST", ".json", **PLACED)
    assert call["sid"] == CALL


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"To": ""}, 21201),
        ({"To": "5551234567"}, 21211),
        ({"To": "+0123"}, 21211),
        ({"From": ""}, 21213),
        ({"Url": ""}, 21205),
    ],
)
async def test_a_call_to_no_number_is_refused(ask: Asked, changes: dict[str, str], code: int) -> None:
    params = {name: value for name, value in (PLACED | changes).items() if value}
    status, error = await ask("POST", ".json", **params)
    assert (status, error["code"], error["status"]) == (400, code, 400)
    assert error["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    assert error["message"]


async def test_the_hook_sees_a_change_before_it_is_made(twilio: TwilioRestStandIn, ask: Asked) -> None:
    seen: list[tuple[str, dict[str, str], str]] = []

    async def update(call_sid: str, params: Mapping[str, str]) -> None:
        seen.append((call_sid, dict(params), twilio.calls[call_sid]["status"]))

    twilio.on_update = update
    status, call = await ask("POST", f"/{CALL}.json", Status="completed")
    assert (status, call["status"]) == (200, "completed")
    assert seen == [(CALL, {"Status": "completed"}, "in-progress")]


async def test_instructions_leave_the_call_up(ask: Asked) -> None:
    status, call = await ask("POST", f"/{CALL}.json", Twiml="<Response/>")
    assert (status, call["status"]) == (200, "in-progress")


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        ("ringing", "completed", "canceled"),
        ("ringing", "canceled", "canceled"),
        ("in-progress", "canceled", "in-progress"),
    ],
)
async def test_cancelling_is_for_calls_not_yet_answered(
    twilio: TwilioRestStandIn, ask: Asked, before: str, wanted: str, after: str
) -> None:
    twilio.set_status(CALL, before)
    _, call = await ask("POST", f"/{CALL}.json", Status=wanted)
    assert call["status"] == after


@pytest.mark.parametrize(
    ("before", "params", "code"),
    [
        ("completed", {"Status": "completed"}, 21220),
        ("no-answer", {"Twiml": "<Response/>"}, 21220),
        ("queued", {"Twiml": "<Response/>"}, 21220),
        ("in-progress", {"Status": "gone"}, 20001),
    ],
)
async def test_a_change_that_does_not_fit_the_call_is_refused(
    twilio: TwilioRestStandIn, ask: Asked, before: str, params: dict[str, str], code: int
) -> None:
    twilio.set_status(CALL, before)
    status, error = await ask("POST", f"/{CALL}.json", **params)
    assert (status, error["code"]) == (400, code)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_call_nobody_knows_is_not_found(ask: Asked, method: str) -> None:
    status, error = await ask(method, "/CAunknown.json")
    assert (status, error["code"]) == (404, 20404)


@pytest.mark.parametrize(
    ("username", "password", "account"),
    [(ACCOUNT_SID, "wrong", ACCOUNT_SID), ("AC" + "9" * 32, AUTH_TOKEN, ACCOUNT_SID), (ACCOUNT_SID, AUTH_TOKEN, "ACx")],
)
async def test_others_are_not_let_in(twilio: TwilioRestStandIn, username: str, password: str, account: str) -> None:
    headers = {"Authorization": aiohttp.encode_basic_auth(username, password)}
    url = f"{twilio.url}/2010-04-01/Accounts/{account}/Calls/{CALL}.json"
    async with aiohttp.ClientSession(headers=headers) as session, session.post(url, data={"Status": "completed"}) as r:
        assert (r.status, (await r.json())["code"]) == (401, 20003)
    assert twilio.calls[CALL]["status"] == "in-progress"


async def test_it_fails_as_it_is_told_to_and_recovers(twilio: TwilioRestStandIn, ask: Asked) -> None:
    twilio.failure = INTERNAL_ERROR
    assert (await ask("GET", f"/{CALL}.json"))[0] == 500
    twilio.failure = None
    assert (await ask("GET", f"/{CALL}.json"))[0] == 200
    assert [request.method for request in twilio.requests] == ["GET", "GET"]


async def test_a_request_that_hangs_ends_with_the_stand_in(twilio: TwilioRestStandIn, ask: Asked) -> None:
    twilio.hang = True
    asking = asyncio.create_task(ask("GET", f"/{CALL}.json"))
    while not twilio.requests:
        await asyncio.sleep(0)
    await twilio.stop()
    with pytest.raises(aiohttp.ClientError):
        await asking


async def test_values_of_a_repeated_parameter_stand_side_by_side(twilio: TwilioRestStandIn) -> None:
    data = [*PLACED.items(), ("StatusCallbackEvent", "answered"), ("StatusCallbackEvent", "completed")]
    url = f"{twilio.url}/2010-04-01/Accounts/{ACCOUNT_SID}/Calls.json"
    async with aiohttp.ClientSession() as session, session.post(url, data=data):
        pass
    assert twilio.requests[0].params["StatusCallbackEvent"] == "answered completed"
