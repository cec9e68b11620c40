"""Garbage on every port of a live core: the call that is up goes on, the next one works, and nothing stays behind."""

import asyncio
import random
import socket
from contextlib import ExitStack

import pytest

from tests.integration.abuse import event_datagrams, malformed_offers, read_up_to, rtcp_datagrams, rtp_datagrams, shoot
from tests.integration.core_process import EVENT_PORT, Held
from tests.integration.line import Line
from tests.integration.live_call import LiveCall

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

DATAGRAMS = 10_000
RTCP_DATAGRAMS = 100
OFFERS = 500
OFFERS_AT_ONCE = 20
SEED = 20


async def test_garbage_at_the_event_port_disturbs_no_call(line: Line, before: Held) -> None:
    async with line.call() as call:
        await call.hears_something()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            datagrams = ((stranger, each) for each in event_datagrams(SEED, DATAGRAMS, call.sip.key))
            queue = await shoot(datagrams, line.core.address, EVENT_PORT)
        # Each was looked at: none was lost in the kernel.
        assert queue.drops == 0
        await _works(line, call)
    await line.nothing_left(before)
    assert line.core.errors() == []


async def test_garbage_at_the_rtp_ports_of_a_call_disturbs_no_call(line: Line, before: Held) -> None:
    async with line.call() as call:
        await call.hears_something()
        address, port = call.remote.address
        choose = random.Random(SEED)
        with ExitStack() as stack:
            strangers = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(3)]
            strangers[0].bind((line.core.address, 0))
            # From elsewhere, from the caller's host, and from the caller's own socket, between the caller's packets.
            sources = [*strangers, call.phone.rtp]
            datagrams = ((choose.choice(sources), each) for each in rtp_datagrams(SEED, DATAGRAMS, call.phone.ssrc))
            await shoot(datagrams, address, port)
            reports = rtcp_datagrams(SEED, RTCP_DATAGRAMS, call.phone.ssrc)
            # RTCP is in no hurry, and read a few at a time: it goes on while the call does.
            for each in reports:
                choose.choice(sources).sendto(each, (address, port + 1))
        # Some of it was noise at the caller's end, and was taken for a question.
        await call.falls_quiet()
        await _works(line, call)
        await read_up_to(0, address, port + 1)
    await line.nothing_left(before)
    assert line.core.errors() == []


async def test_call_keeps_its_audio_where_sequence_number_and_timestamp_wrap(line: Line, before: Held) -> None:
    """One of more than 65,536 packets meets the one, one of 149 hours the other; ours wrap in tests/core/media."""
    async with line.call(first_sequence_number=65500, first_timestamp=2**32 - 8000) as call:
        await call.hears_something()
        first = await call.ask()
        assert len(call.trace.sent) > 65536 - 65500 + 50
        second = await call.ask()
        assert (first.heard, second.heard) == ("When are you open?", "Where can I park?")
        assert (first.said, second.said) == ("Nine to six.", "Behind the shop.")
        packets = [(each.sequence_number, each.timestamp) for each in call.trace.received_audio]
        key = (await call.account()).call_id
    await line.nothing_left(before)
    media = (await line.core.get(f"/api/v1/calls/{key}"))["media"]
    assert (media["packets_lost"], media["packets_discarded"], media["packets_late"]) == (0, 0, 0)
    assert [number for number, _ in packets] == [(packets[0][0] + n) % 65536 for n in range(len(packets))]


async def test_malformed_offers_are_each_refused_and_freed(line: Line, before: Held) -> None:
    async with line.call() as call:
        await call.hears_something()
        statuses: set[int] = set()
        offers = list(malformed_offers(SEED, OFFERS))
        for start in range(0, OFFERS, OFFERS_AT_ONCE):
            invited = [line.opensips.invite(each) for each in offers[start : start + OFFERS_AT_ONCE]]
            for offer, refused in zip(offers[start:], invited, strict=False):
                reply = await refused.final()
                assert reply.status in (400, 415, 488), (reply, offer)
                statuses.add(reply.status)
        assert statuses >= {400, 488}
        await _only_session_is(line, call.sip.key)
        await _works(line, call)
    await line.nothing_left(before)
    assert line.core.errors() == []


async def _works(line: Line, call: LiveCall) -> None:
    """The call that is up has audio both ways, and so has the next one."""
    async with asyncio.TaskGroup() as group:
        still = group.create_task(call.ask())
        anew = group.create_task(line.ordinary_call())
    assert still.result().heard
    assert anew.result().heard


async def _only_session_is(line: Line, key: str) -> None:
    async with asyncio.timeout(5):
        while list(line.opensips.sessions) != [key]:
            await asyncio.sleep(0.01)
