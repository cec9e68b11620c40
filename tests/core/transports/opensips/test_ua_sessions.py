"""Commands as OpenSIPS wants them, and sessions freed from whatever state they are in."""

from collections.abc import AsyncIterator

import pytest

from core.errors import SignallingError, SignallingRefused
from core.transports.opensips.mi import MiAddress, MiClient
from core.transports.opensips.ua_sessions import UaSessions, started_at_s
from tests.core.transports.opensips.rig import OFFER
from tools.caller.mi import MiFault
from tools.caller.opensips import OpenSipsStandIn


@pytest.fixture
async def opensips() -> AsyncIterator[OpenSipsStandIn]:
    stand_in = OpenSipsStandIn(guard=False)
    await stand_in.start()
    yield stand_in
    assert stand_in.violations == []
    await stand_in.stop()


@pytest.fixture
async def sessions(opensips: OpenSipsStandIn) -> AsyncIterator[UaSessions]:
    mi = MiClient(MiAddress(port=opensips.mi_port), timeout_s=0.25)
    yield UaSessions(mi)
    mi.close()


async def test_headers_never_travel_without_a_body(opensips: OpenSipsStandIn, sessions: UaSessions) -> None:
    call = opensips.invite(OFFER)
    await sessions.reply(call.key, "INVITE", 200, "", sdp="v=0", headers=[("X-A", "b\r\nEvil: c")])
    assert opensips.commands[-1].params["extra_headers"] == "X-A: b Evil: c\r\n"
    assert (await call.final()).reason == "-"
    call.ack()
    await sessions.request(call.key, "INFO", body="x", content_type="text/plain")
    assert opensips.commands[-1].params["content_type"] == "Content-Type: text/plain\r\n"
    await sessions.request(call.key, "OPTIONS", headers=[("X-A", "b")])
    assert opensips.commands[-1].params["body"] == ""


@pytest.mark.parametrize("state", ["new", "up", "refused", "cancelled", "gone"])
async def test_session_of_any_state_is_let_go(opensips: OpenSipsStandIn, sessions: UaSessions, state: str) -> None:
    call = opensips.invite(OFFER)
    if state == "up":
        await sessions.reply(call.key, "INVITE", 200, "OK")
    elif state == "refused":
        await sessions.reply(call.key, "INVITE", 486, "Busy Here")
    elif state == "cancelled":
        await call.cancel()
    elif state == "gone":
        opensips.sessions.clear()
    await sessions.let_go(call.key)
    assert opensips.sessions == {}
    assert await sessions.state(call.key) is None
    if state == "new":
        assert (await call.final()).status == 500


async def test_session_freed_by_somebody_else_meanwhile_is_free(
    opensips: OpenSipsStandIn, sessions: UaSessions
) -> None:
    call = opensips.invite(OFFER)
    await sessions.reply(call.key, "INVITE", 486, "Busy Here")
    # The first attempt is executed, its reply lost; the second one finds nothing.
    opensips.fail("ua_session_terminate", MiFault.LOSE_REPLY)
    await sessions.let_go(call.key)
    assert opensips.sessions == {}


async def test_session_that_cannot_be_let_go_is_said_so(opensips: OpenSipsStandIn, sessions: UaSessions) -> None:
    call = opensips.invite(OFFER)
    await sessions.reply(call.key, "INVITE", 200, "OK")
    opensips.fail("ua_session_terminate", MiFault.REFUSE, MiFault.REFUSE)
    with pytest.raises(SignallingRefused):
        await sessions.let_go(call.key)
    opensips.fail("ua_session_list", MiFault.PLAIN_TEXT)
    with pytest.raises(SignallingRefused):
        await sessions.state(call.key)


async def test_listing_finds_the_keys(opensips: OpenSipsStandIn, sessions: UaSessions) -> None:
    first, second = opensips.invite(OFFER), opensips.invite(OFFER)
    await sessions.reply(second.key, "INVITE", 200, "OK")
    assert await sessions.keys() == {first.key: 1, second.key: 4}


async def test_listing_without_states_is_an_error(opensips: OpenSipsStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    mi = MiClient(MiAddress(port=opensips.mi_port))
    key = opensips.invite(OFFER).key
    monkeypatch.setattr(opensips, "_ua_session_list", lambda **_: [{"to_tag": key}])
    with pytest.raises(SignallingError):
        await UaSessions(mi).keys()
    mi.close()


def test_key_says_when_its_session_began() -> None:
    assert started_at_s("B2B.246.89.1795251300.80071622") == 1795251300
    assert started_at_s("abc") is None
