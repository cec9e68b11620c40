"""The connector's own account of a call."""

import time

import pytest
from aiohttp.test_utils import unused_port

from tests.tools.oavc.fake_core import FakeCore, call, serving, turn
from tools.caller.agent_account import AccountError, Management


async def test_latest_call_of_a_caller_is_found_up_or_ended() -> None:
    core = FakeCore()
    core.recent = [call("555", [turn("hi", "Hello.")], call_id="old", started_at=1000.0, ended_at=1001.0)]
    async with serving(core) as url:
        management = Management(url)
        found = await management.find("555")
        assert found is not None
        assert (found.call_id, found.ended, found.turns[0].said) == ("old", True, "Hello.")
        core.active = [call("555", [], call_id="new"), call("556", [], call_id="other")]
        found = await management.find("555")
        assert found is not None
        assert (found.call_id, found.ended) == ("new", False)


async def test_earlier_calls_and_other_callers_are_not_taken_for_this_one() -> None:
    core = FakeCore()
    core.recent = [call("555", [], started_at=1000.0, ended_at=1001.0)]
    async with serving(core) as url:
        assert await Management(url).find("555", since=time.time() - 60) is None
        assert await Management(url).find("557") is None


async def test_calls_of_one_caller_at_the_same_time_are_told_apart_by_their_transport() -> None:
    core = FakeCore()
    core.active = [call("555", [], call_id=f"by-{name}", transport=name) for name in ("opensips", "twilio")]
    async with serving(core) as url:
        management = Management(url)
        for name in ("opensips", "twilio"):
            found = await management.find("555", transport=name)
            assert found is not None
            assert (found.call_id, found.transport) == (f"by-{name}", name)
        assert await management.find("555", transport="loopback") is None


async def test_decision_to_fall_silent_is_read_as_nanoseconds() -> None:
    core = FakeCore()
    core.active = [call("555", [turn("hi", "Hello there.", interrupted=True, interrupted_at=1000.5, spoken="Hello")])]
    async with serving(core) as url:
        found = await Management(url).find("555")
    assert found is not None
    assert found.turns[0].interrupted
    assert found.turns[0].interrupted_at_ns == 1_000_500_000_000


async def test_token_is_sent() -> None:
    core = FakeCore()
    core.token = "secret"
    async with serving(core) as url:
        assert await Management(url, "secret").find("555") is None
        with pytest.raises(AccountError, match="401"):
            await Management(url).find("555")


async def test_answer_of_another_shape_is_an_error() -> None:
    core = FakeCore()
    core.active = [{"call_id": 1}]
    async with serving(core) as url:
        with pytest.raises(AccountError, match="'caller'"):
            await Management(url).find("555")


async def test_readiness_tells_the_reasons() -> None:
    core = FakeCore()
    async with serving(core) as url:
        assert await Management(url).not_ready_because() == ""
        core.reasons = ["asr is not connected", "OpenSIPS does not answer"]
        assert await Management(url).not_ready_because() == "asr is not connected; OpenSIPS does not answer"


async def test_absent_core_is_told() -> None:
    port = unused_port()
    with pytest.raises(AccountError, match=f"nothing listens on http://127.0.0.1:{port}"):
        await Management(f"http://127.0.0.1:{port}").not_ready_because()
