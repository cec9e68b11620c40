"""Commands find their own replies, whatever else arrives."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvloop

from core.errors import SignallingRefused, SignallingTimeout
from core.transports.opensips.mi import MiAddress, MiClient
from tests.core.transports.opensips.rig import until
from tools.caller.mi import MiFault
from tools.caller.opensips import OpenSipsStandIn


@pytest.fixture
async def opensips() -> AsyncIterator[OpenSipsStandIn]:
    stand_in = OpenSipsStandIn()
    await stand_in.start()
    yield stand_in
    await stand_in.stop()


@pytest.fixture
async def mi(opensips: OpenSipsStandIn) -> AsyncIterator[MiClient]:
    client = MiClient(MiAddress(port=opensips.mi_port), timeout_s=0.25)
    yield client
    client.close()


class Peer:
    """An MI whose replies the test writes itself."""

    def __init__(self, answer: Callable[[dict[str, Any]], list[bytes]]) -> None:
        self._answer = answer
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port = self.socket.getsockname()[1]
        self.senders: set[Any] = set()
        asyncio.get_running_loop().add_reader(self.socket, self._readable)

    def _readable(self) -> None:
        request, sender = self.socket.recvfrom(65536)
        self.senders.add(sender)
        for reply in self._answer(json.loads(request)):
            self.socket.sendto(reply, sender)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.socket)
        self.socket.close()


def result(request: dict[str, Any], value: Any = "OK") -> bytes:
    return json.dumps({"jsonrpc": "2.0", "result": value, "id": request["id"]}).encode()


async def test_result_is_returned(mi: MiClient) -> None:
    assert (await mi.call("uptime"))["Up time"] == "0 [sec]"
    assert mi.local_ip == "127.0.0.1"


@pytest.mark.parametrize(
    ("method", "params", "code", "reason"),
    [
        ("no_such_command", {}, -32601, "Method not found"),
        ("ua_session_reply", {"key": "x"}, -32602, "Too few or too many parameters"),
        ("ua_session_terminate", {"key": "x"}, 500, "Failed to terminate session"),
        ("event_subscribe", {"event": "E_X", "socket": "udp:127.0.0.1:9"}, 400, "Bad parameter value"),
    ],
)
async def test_error_is_raised_with_its_code(
    mi: MiClient, method: str, params: dict[str, Any], code: int, reason: str
) -> None:
    with pytest.raises(SignallingRefused, match=reason) as refusal:
        await mi.call(method, params)
    assert (refusal.value.method, refusal.value.code) == (method, code)


async def test_replies_find_their_commands_in_any_order() -> None:
    requests: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> list[bytes]:
        requests.append(request)
        return [result(each, each["method"]) for each in reversed(requests)] if len(requests) == 10 else []

    peer = Peer(answer)
    mi = MiClient(MiAddress(port=peer.port))
    names = [f"command_{number}" for number in range(10)]
    assert await asyncio.gather(*(mi.call(name) for name in names)) == names
    assert len(peer.senders) == 1
    mi.close()
    peer.close()


@pytest.mark.parametrize(
    "noise", [b"500 Internal error", b"\xff\xfe", b"[]", b'"x"', b'{"id":1}', b'{"result":1,"id":"other"}']
)
async def test_foreign_replies_are_counted_and_disturb_nobody(noise: bytes) -> None:
    held: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> list[bytes]:
        held.append(request)
        return [noise, *(result(each) for each in held)] if len(held) == 2 else []

    peer = Peer(answer)
    mi = MiClient(MiAddress(port=peer.port))
    assert list(await asyncio.gather(mi.call("one"), mi.call("two"))) == ["OK", "OK"]
    assert mi.counters.invalid_replies + mi.counters.late_replies == 1
    mi.close()
    peer.close()


async def test_plain_text_is_the_reply_to_the_only_command(opensips: OpenSipsStandIn, mi: MiClient) -> None:
    opensips.fail("uptime", MiFault.PLAIN_TEXT)
    with pytest.raises(SignallingRefused, match="Internal error") as refusal:
        await mi.call("uptime")
    assert refusal.value.code == 500


@pytest.mark.parametrize("error", ["text", {"code": "x"}, None])
async def test_odd_errors_are_errors(error: Any) -> None:
    peer = Peer(lambda request: [json.dumps({"error": error, "id": request["id"]}).encode()])
    mi = MiClient(MiAddress(port=peer.port))
    with pytest.raises(SignallingRefused):
        await mi.call("uptime")
    mi.close()
    peer.close()


async def test_only_what_may_be_repeated_is_repeated_once(opensips: OpenSipsStandIn, mi: MiClient) -> None:
    opensips.fail("uptime", MiFault.LOSE_REQUEST)
    assert await mi.call("uptime", repeatable=True)
    assert mi.counters.repeated == 1
    opensips.fail("uptime", MiFault.LOSE_REQUEST, MiFault.LOSE_REQUEST)
    with pytest.raises(SignallingTimeout):
        await mi.call("uptime", repeatable=True)
    opensips.fail("uptime", MiFault.LOSE_REQUEST)
    with pytest.raises(SignallingTimeout):
        await mi.call("uptime")
    assert opensips.count("uptime") == 5
    assert mi.counters.timeouts == 2


async def test_reply_to_either_attempt_answers_the_command() -> None:
    attempts: list[dict[str, Any]] = []

    def answer(request: dict[str, Any]) -> list[bytes]:
        attempts.append(request)
        return [result(each) for each in attempts] if len(attempts) == 2 else []

    peer = Peer(answer)
    mi = MiClient(MiAddress(port=peer.port), timeout_s=0.05)
    assert await mi.call("uptime", repeatable=True) == "OK"
    assert attempts[0] == attempts[1]
    assert mi.counters.late_replies == 1
    mi.close()
    peer.close()


async def test_late_reply_is_counted_and_dropped(opensips: OpenSipsStandIn, mi: MiClient) -> None:
    opensips.reply_delay_s = 0.3
    with pytest.raises(SignallingTimeout):
        await mi.call("uptime")
    await until(lambda: mi.counters.late_replies == 1)


async def test_no_more_commands_are_in_flight_than_allowed(opensips: OpenSipsStandIn) -> None:
    mi = MiClient(MiAddress(port=opensips.mi_port), timeout_s=0.1, in_flight_limit=2)
    opensips.fail("uptime", *[MiFault.LOSE_REQUEST] * 2)
    outcomes = await asyncio.gather(
        *(mi.call("uptime") for _ in range(2)), mi.call("events_list"), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes[:2]] == [SignallingTimeout, SignallingTimeout]
    assert opensips.count("events_list") <= 1
    assert await mi.call("uptime")
    mi.close()


async def test_peer_that_comes_back_is_found_again(opensips: OpenSipsStandIn, mi: MiClient) -> None:
    await _comes_back(opensips, mi)


def test_peer_that_comes_back_is_found_again_on_uvloop() -> None:
    """Whose readers do not survive an ICMP error."""

    async def scenario() -> None:
        opensips = OpenSipsStandIn()
        await opensips.start()
        mi = MiClient(MiAddress(port=opensips.mi_port), timeout_s=0.05)
        await _comes_back(opensips, mi)
        mi.close()
        await opensips.stop()

    uvloop.run(scenario())


async def _comes_back(opensips: OpenSipsStandIn, mi: MiClient) -> None:
    for failures in (1, 4):
        await opensips.stop()
        for _ in range(failures):
            with pytest.raises(SignallingTimeout):
                await mi.call("uptime")
        await opensips.start()
        assert await mi.call("uptime")


async def test_replies_of_strangers_are_not_taken(opensips: OpenSipsStandIn, mi: MiClient) -> None:
    opensips.fail("uptime", MiFault.LOSE_REQUEST)
    asking = asyncio.ensure_future(mi.call("uptime"))
    await until(lambda: opensips.count("uptime") == 1)
    assert mi._socket is not None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        forged = json.dumps({"result": "forged", "id": next(iter(mi._pending))}).encode()
        stranger.sendto(forged, ("127.0.0.1", mi._socket.getsockname()[1]))
        with pytest.raises(SignallingTimeout):
            await asking
    assert mi.counters.invalid_replies == 1


async def test_name_that_does_not_resolve_is_a_timeout() -> None:
    mi = MiClient(MiAddress(host="no-such-host.invalid"), timeout_s=0.05)
    with pytest.raises(SignallingTimeout):
        await mi.call("uptime")
    mi.post("uptime", {})
    assert mi.local_ip is None


async def test_missing_unix_socket_is_a_timeout() -> None:
    mi = MiClient(MiAddress(path="/nonexistent/mi"), timeout_s=0.05)
    with pytest.raises(SignallingTimeout, match="unix:/nonexistent/mi"):
        await mi.call("uptime")
    mi.close()


async def test_cancelled_command_leaves_nothing(opensips: OpenSipsStandIn, mi: MiClient) -> None:
    opensips.fail("uptime", MiFault.LOSE_REQUEST)
    task = asyncio.ensure_future(mi.call("uptime"))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert mi._pending == {}
    assert await mi.call("uptime")
