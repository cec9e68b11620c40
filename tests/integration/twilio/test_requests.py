"""Who is let in: what Twilio has signed, once, behind whatever proxy. All else is refused and leaves nothing behind."""

import random
import time
from collections import Counter
from collections.abc import Iterator

import aiohttp
import pytest

from core.transports.twilio.tokens import Claims, StreamTokens
from tests.integration.core_process import Held
from tests.integration.twilio.conftest import Surroundings
from tests.integration.twilio.proxy import PUBLIC_URL, proxy_before
from tools.caller.twilio import AgentAddress, TwilioStandIn
from tools.caller.twiml import ConnectStream, parse_twiml

pytestmark = [pytest.mark.asyncio(loop_scope="package")]

SEED = 20
WEBHOOKS = 400
STREAMS = 300
# What an allocator keeps.
GROWTH_MB = 4.0


def webhook(twilio: TwilioStandIn, agent: AgentAddress, source: random.Random) -> tuple[str, dict[str, str], str]:
    """Where to, what and by which signature Twilio would ask."""
    url = agent.webhook(source.choice(["voice", "status", "dialled"]))
    fields = {"CallSid": f"CA{source.randbytes(16).hex()}", "From": "+4930123456", "To": "+4930999999"}
    fields |= {"CallStatus": source.choice(["ringing", "completed"]), "DialCallStatus": "no-answer"}
    return url, fields, twilio.signature(url, fields)


def spoilt(
    signature: str, url: str, twilio: TwilioStandIn, fields: dict[str, str], source: random.Random
) -> str | None:
    """A signature that is none of this request's; None for none at all."""
    other = TwilioStandIn(auth_token=source.randbytes(16).hex())
    match source.randrange(8):
        case 0:
            return None
        case 1:
            return ""
        case 2:
            return signature[:-4] + signature[-4:].swapcase() if signature[-4:].swapcase() != signature[-4:] else "A"
        case 3:
            return other.signature(url, fields)
        case 4:
            return twilio.signature(url, {**fields, "From": "+4930666666"})
        case 5:
            return twilio.signature(url.replace("https", "http"), fields)
        case 6:
            return twilio.signature(url + "?agent=other", fields)
        case _:
            return source.randbytes(source.choice([1, 20, 3000])).hex()


async def test_webhooks_without_a_right_signature_are_refused(around: Surroundings) -> None:
    twilio, agent = around.exchange.twilio, around.exchange.agent
    source = random.Random(SEED)
    before = await recent_calls(around), await around.line.core.held()
    statuses: Counter[int] = Counter()
    async with aiohttp.ClientSession() as session:
        for _ in range(WEBHOOKS):
            url, fields, right = webhook(twilio, agent, source)
            headers = twilio.forwarded(url)
            signature = spoilt(right, url, twilio, fields, source)
            if signature is not None:
                headers["X-Twilio-Signature"] = signature
            async with session.post(agent.reached(url), data=fields, headers=headers) as response:
                statuses[response.status] += 1
                assert "<" not in await response.text()
    assert statuses == {403: WEBHOOKS}
    await nothing_came_of_it(around, *before)


async def test_webhooks_that_make_no_sense_are_refused(around: Surroundings) -> None:
    twilio, agent = around.exchange.twilio, around.exchange.agent
    source = random.Random(SEED)
    before = await recent_calls(around), await around.line.core.held()
    url = agent.webhook("voice")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    bodies: list[tuple[bytes, dict[str, str]]] = [
        (b"CallSid=CA1&From=" + b"1" * 200_000, form),
        (b"&".join(b"f%d=1" % number for number in range(1000)), form),
        (b"CallSid=%ff%fe&From=%00", form),
        (b'{"CallSid": "CA1"}', {"Content-Type": "application/json"}),
        (b"", form),
        *((source.randbytes(500), {**form, "Content-Encoding": each}) for each in ("gzip", "deflate", "none")),
        *((source.randbytes(2000), form) for _ in range(20)),
    ]
    statuses: Counter[int] = Counter()
    async with aiohttp.ClientSession() as session:
        signed = {**twilio.forwarded(url), "X-Twilio-Signature": twilio.signature(url, {})}
        for body, headers in bodies:
            async with session.post(agent.reached(url), data=body, headers=headers | signed) as response:
                statuses[response.status] += 1
        for method, status in (("GET", 403), ("PUT", 405), ("DELETE", 405), ("OPTIONS", 405), ("PATCH", 405)):
            async with session.request(method, agent.reached(url)) as response:
                assert response.status == status
    assert set(statuses) <= {400, 403}, statuses
    await nothing_came_of_it(around, *before)


async def test_webhook_is_taken_once(around: Surroundings) -> None:
    twilio, agent = around.exchange.twilio, around.exchange.agent
    source = random.Random(SEED)
    before = await recent_calls(around), await around.line.core.held()
    requests = [webhook(twilio, agent, source) for _ in range(40)]
    first = [(await twilio.post(agent, url, fields))[0] for url, fields, _ in requests]
    again = [(await twilio.post(agent, url, fields))[0] for url, fields, _ in requests]
    assert set(first) <= {200, 204}
    assert set(again) == {403}
    await nothing_came_of_it(around, *before)


def bad_tokens(auth_token: str, count: int) -> Iterator[str]:
    """Of no call, of another account, of long ago, and true ones that were changed."""
    source = random.Random(SEED)
    tokens = StreamTokens(auth_token, 60, time.time)
    claims = Claims("CA0123", "+4930123456", "+4930999999", {"direction": "inbound"})
    for _ in range(count):
        match source.randrange(6):
            case 0:
                yield StreamTokens(source.randbytes(16).hex(), 60, time.time).issue(claims)
            case 1:
                yield StreamTokens(auth_token, 60, lambda: time.time() - 3600).issue(claims)
            case 2:
                token = tokens.issue(claims)
                at = source.randrange(len(token.partition(".")[0]))
                yield token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
            case 3:
                yield tokens.issue(claims).partition(".")[0] + source.choice(["", ".", ".AAAA", ".."])
            case 4:
                yield source.randbytes(source.choice([1, 30, 2000])).hex()
            case _:
                yield source.choice(["null", "%00", "..%2f..%2fmetrics", "%ff%fe", "a" * 3500, "%F0%9F%92%A9"])


async def test_streams_without_a_right_token_are_refused_before_the_upgrade(around: Surroundings) -> None:
    twilio, agent = around.exchange.twilio, around.exchange.agent
    before = await recent_calls(around), await around.line.core.held()
    statuses: Counter[int] = Counter()
    async with aiohttp.ClientSession() as session:
        for token in bad_tokens(twilio.auth_token, STREAMS):
            url = f"{around.line.core.url}/twilio/stream/{token}"
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(url, headers=twilio.forwarded(agent.webhook("voice")))
            statuses[refused.value.status] += 1
    assert statuses == {403: STREAMS}
    await nothing_came_of_it(around, *before)


async def test_right_ones_pass_behind_a_proxy_that_takes_a_prefix_away(around: Surroundings) -> None:
    twilio = around.exchange.twilio
    async with proxy_before(around.line.core.url) as proxy_url:
        agent = AgentAddress(proxy_url, PUBLIC_URL)
        status, text = await twilio.post(agent, agent.webhook("voice"), {"CallSid": "CA1", "From": "+1", "To": "+2"})
        (verb,) = parse_twiml(text)
        assert isinstance(verb, ConnectStream)
        assert verb.url.startswith("wss://voice.example.com/oavc/twilio/stream/")
        async with around.exchange.call(agent=agent) as call:
            await call.hears_something()
            assert (await call.ask()).spoken
        # Signed for where the proxy is, rather than for where Twilio looks.
        inside = AgentAddress(proxy_url.removesuffix("/oavc"), "https://voice.example.com")
        url, fields = inside.webhook("voice"), {"CallSid": "CA2"}
        headers = {"X-Twilio-Signature": twilio.signature(url, fields)}
        async with (
            aiohttp.ClientSession() as session,
            session.post(agent.reached(agent.webhook("voice")), data=fields, headers=headers) as response,
        ):
            assert (status, response.status) == (200, 403)
    await around.nothing_left()


async def recent_calls(around: Surroundings) -> list[str]:
    recent = (await around.line.core.get("/api/v1/calls/recent?limit=1000"))["calls"]
    return [each["call_id"] for each in recent]


async def nothing_came_of_it(around: Surroundings, calls_before: list[str], before: Held) -> None:
    assert await recent_calls(around) == calls_before
    await around.nothing_left()
    assert (await around.line.core.held()).rss_mb <= before.rss_mb + GROWTH_MB
