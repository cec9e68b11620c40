"""The plane with its real thread and real sockets, on loopback."""

import asyncio
import contextlib
import gc
import itertools
import logging
import os
import resource
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from core.audio.codecs import create_codec
from core.errors import CallEnded, PortsExhausted
from core.leg import AudioReceived
from core.media import interpreter
from core.media.plane import MediaPlane
from core.media.priority import LOOP_PRIORITY, WHEEL_PRIORITY, Realtime
from core.media.settings import MediaSettings
from core.media.stream import MediaStream
from core.media.wheel_thread import WheelThread
from core.rtp.packet import serialise
from tests.core.media.call import parameters

TONE = b"\x00\x10" * 160
LOUD = create_codec("PCMU").encode(TONE)


def free_range(pairs: int) -> tuple[int, int]:
    """A range nobody uses now: parallel runs look for theirs from places of their own."""
    random = Random(os.getpid())
    for _ in range(200):
        first = random.randrange(20_000, 32_000) & ~1
        try:
            for port in range(first, first + 2 * pairs):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first, first + 2 * pairs - 1
    raise AssertionError("no free ports")


def settings(pairs: int = 4, realtime: Realtime = "wheel") -> MediaSettings:
    first, last = free_range(pairs)
    return MediaSettings(rtp_bind_ip="127.0.0.1", rtp_min_port=first, rtp_max_port=last, realtime=realtime)


@pytest.fixture
def plane() -> Iterator[MediaPlane]:
    plane = MediaPlane(settings())
    plane.start()
    yield plane
    plane.close()
    assert not plane.running


async def read_to_the_end(stream: MediaStream) -> None:
    while True:
        await stream.receive()


class Phone:
    """The caller's side, on a socket of its own."""

    def __init__(self, port: int, ssrc: int = 7) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.address: tuple[str, int] = self.socket.getsockname()
        self.peer = ("127.0.0.1", port)
        self.ssrc = ssrc

    def say(self, number: int, payload: bytes = LOUD) -> None:
        self.socket.sendto(serialise(0, number & 0xFFFF, 160 * number, self.ssrc, payload), self.peer)

    def hear(self) -> list[bytes]:
        heard = []
        while True:
            try:
                heard.append(self.socket.recv(2048))
            except BlockingIOError:
                return heard

    def __enter__(self) -> "Phone":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


async def test_audio_goes_both_ways(plane: MediaPlane) -> None:
    stream = plane.open()
    with Phone(stream.local_port) as phone:
        stream.connect(parameters(remote=phone.address))
        await stream.play(TONE)
        phone.say(1)
        async with asyncio.timeout(5):
            while True:
                event = await stream.receive()
                if isinstance(event, AudioReceived) and not event.concealed:
                    break
            while not any(data[12:] == LOUD for data in phone.hear()):
                await asyncio.sleep(0.005)
        assert event.pcm == create_codec("PCMU").decode(LOUD)
        assert abs(time.monotonic() - event.received_at_s) < 2


async def test_a_port_pair_is_bound_before_the_answer_and_given_back_after_the_call(plane: MediaPlane) -> None:
    stream = plane.open()
    assert stream.local_port % 2 == 0
    for port in (stream.local_port, stream.local_port + 1):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
    stream.close()
    assert (plane.ports.taken, plane.ports.available, plane.streams) == (0, 3, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", stream.local_port))


async def test_more_calls_than_ports_are_refused(plane: MediaPlane) -> None:
    streams = [plane.open() for _ in range(4)]
    assert len({stream.local_port for stream in streams}) == 4
    with pytest.raises(PortsExhausted):
        plane.open()


@pytest.mark.parametrize("taken", [0, 1])
async def test_a_pair_that_somebody_else_has_bound_is_passed_over_and_put_aside(taken: int) -> None:
    agreed = settings(2)
    now = [100.0]
    plane = MediaPlane(agreed, clock=lambda: now[0], random=Random(1))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", agreed.rtp_min_port + taken))
        assert plane.open().local_port == agreed.rtp_min_port + 2
        with pytest.raises(PortsExhausted):
            plane.open()
    now[0] += agreed.bind_retry_s
    assert plane.open().local_port == agreed.rtp_min_port
    plane.close()


async def test_a_bind_address_that_is_not_ours_refuses_calls_and_loses_no_port(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, last = free_range(20)
    plane = MediaPlane(MediaSettings(rtp_bind_ip="192.0.2.1", rtp_min_port=first, rtp_max_port=last))
    before = open_sockets()
    with pytest.raises(PortsExhausted):
        plane.open()
    assert (plane.ports.taken, plane.ports.available) == (0, 20)
    assert open_sockets() == before
    assert [record.message for record in caplog.records] == ["media socket cannot be opened"]
    plane.close()


async def test_a_process_out_of_descriptors_refuses_calls_and_loses_no_port(plane: MediaPlane) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as highest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest.fileno() + 1, hard))
    try:
        # Room for one socket, not for its pair.
        with pytest.raises(PortsExhausted):
            plane.open()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (plane.ports.taken, plane.ports.available) == (0, 4)
    plane.open()


def test_a_call_without_a_loop_is_a_mistake_that_keeps_no_port(plane: MediaPlane) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        plane.open()
    assert plane.ports.taken == 0


async def test_the_plane_tells_how_it_fares(plane: MediaPlane) -> None:
    stream = plane.open()
    stream.connect(parameters(remote=("127.0.0.1", 9)))
    await asyncio.sleep(0.06)
    statistics = plane.statistics()
    assert (statistics.streams, statistics.ports_taken, statistics.ports_available) == (1, 1, 3)
    assert statistics.worst_lateness_ms > 0
    stream.close()
    await asyncio.sleep(0.05)
    plane.statistics()
    assert plane.statistics().worst_lateness_ms == 0


async def test_closing_the_plane_ends_calls_and_thread() -> None:
    plane = MediaPlane(settings())
    plane.start()
    stream = plane.open()
    with Phone(stream.local_port) as phone:
        stream.connect(parameters(remote=phone.address))
        reading = asyncio.create_task(read_to_the_end(stream))
        await asyncio.sleep(0.05)
        plane.close()
        with pytest.raises(CallEnded):
            await asyncio.wait_for(reading, 1)
    plane.close()
    assert not plane.running
    assert plane.streams == 0
    assert "rtp-wheel" not in [thread.name for thread in threading.enumerate()]
    with pytest.raises(PortsExhausted):
        plane.open()


def test_a_plane_that_never_started_closes() -> None:
    plane = MediaPlane(settings())
    plane.close()
    assert not plane.running


def open_sockets() -> int:
    # Those of other tests must not go in the meantime.
    gc.collect()
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        # The listing's own descriptor is gone when it is its turn.
        with contextlib.suppress(FileNotFoundError):
            links.append(str(descriptor.readlink()))
    return sum(link.startswith("socket:") for link in links)


async def test_no_socket_is_left_behind() -> None:
    plane = MediaPlane(settings())
    plane.start()
    ports = []
    for _ in range(3):
        stream = plane.open()
        stream.connect(parameters(remote=("127.0.0.1", 9)))
        ports.append(stream.local_port)
    ports.append(plane.open().local_port)
    plane.close()
    for port in ports:
        for each in (port, port + 1):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind(("127.0.0.1", each))


async def test_calls_come_and_go_while_others_talk(plane: MediaPlane) -> None:
    steady = plane.open()
    with Phone(steady.local_port) as phone:
        steady.connect(parameters(remote=phone.address))
        for _ in range(3):
            passing = plane.open()
            passing.connect(parameters(remote=("127.0.0.1", 9)))
            await asyncio.sleep(0.05)
            passing.close()
        await asyncio.sleep(0.05)
        numbers = [struct.unpack_from("!H", data, 2)[0] for data in phone.hear() if data[1] & 0x7F == 0]
        steps = {(after - before) & 0xFFFF for before, after in itertools.pairwise(numbers)}
        assert steps == {1}
        assert len(numbers) >= 8


async def test_clear_silences_the_wire_within_24_ms_of_real_time(plane: MediaPlane) -> None:
    stream = plane.open()
    with Phone(stream.local_port) as phone:
        stream.connect(parameters(remote=phone.address))
        delays = []
        for _ in range(10):
            playing = asyncio.create_task(stream.play(TONE * 50))
            await asyncio.sleep(0.07)
            phone.hear()
            cleared_at = time.monotonic()
            stream.clear()
            await playing
            async with asyncio.timeout(2):
                while not (heard := phone.hear()):
                    await asyncio.sleep(0)
            assert heard[-1][12:] != LOUD
            delays.append(time.monotonic() - cleared_at)
        # A machine that is busy with other things may be late once; half of the time it is not.
        assert sorted(delays)[5] <= 0.024


async def test_ten_thousand_random_and_mutated_datagrams_leave_a_live_call_as_it_was(plane: MediaPlane) -> None:
    random = Random(4733)
    stream = plane.open()
    with Phone(stream.local_port) as phone, Phone(stream.local_port, ssrc=99) as attacker:
        stream.connect(parameters(remote=phone.address))
        for number in range(3):
            phone.say(number)
        sound = [
            serialise(0, 5, 800, 7, LOUD),
            serialise(101, 6, 960, 7, b"\x05\x0a\x00\xa0"),
            serialise(13, 7, 960, 7, b"\x30"),
            b"\x80\xc8\x00\x06" + bytes(24),
        ]
        heard, number, sent = 0, 3, 0
        async with asyncio.timeout(50):
            while sent < 10_000:
                for _ in range(40):
                    attacker.socket.sendto(mutated(random, sound), phone.peer)
                    sent += 1
                phone.say(number)
                number += 1
                await asyncio.sleep(0.004)
                while len(stream._inbox):
                    event = await stream.receive()
                    heard += isinstance(event, AudioReceived) and event.pcm == create_codec("PCMU").decode(LOUD)
            await asyncio.sleep(0.2)
            phone.hear()
            for extra in range(number, number + 25):
                phone.say(extra)
                await asyncio.sleep(0.02)
            after = 0
            while len(stream._inbox):
                event = await stream.receive()
                after += isinstance(event, AudioReceived) and event.pcm == create_codec("PCMU").decode(LOUD)
        counters, statistics = stream.counters, stream.statistics()
        assert heard >= number * 0.8
        assert after >= 24
        assert statistics.packets_received <= number + 25
        assert statistics.packets_sent > 50
        assert counters.malformed + counters.foreign + counters.unknown_payload > 5_000
        assert counters.events_dropped == 0
        assert len(stream._inbox) == 0
        assert len(stream.wire._inbound.buffer._waiting) <= 3
        assert len(phone.hear()) >= 20
    assert plane.running
    stream.close()
    assert plane.ports.taken == 0


def mutated(random: Random, sound: list[bytes]) -> bytes:
    if random.random() < 0.3:
        return random.randbytes(random.randrange(0, 400))
    data = bytearray(random.choice(sound))
    for _ in range(random.randrange(1, 6)):
        data[random.randrange(len(data))] = random.randrange(256)
    if random.random() < 0.3:
        del data[random.randrange(len(data)) :]
    return bytes(data)


async def test_garbage_from_the_callers_own_address_does_no_lasting_harm(plane: MediaPlane) -> None:
    random = Random(3550)
    stream = plane.open()
    with Phone(stream.local_port) as phone:
        stream.connect(parameters(remote=phone.address))
        sound = [serialise(0, 5, 800, 7, LOUD), serialise(101, 6, 960, 7, b"\x05\x0a\x00\xa0")]
        for number in range(500):
            phone.say(number)
            for _ in range(4):
                phone.socket.sendto(mutated(random, sound), phone.peer)
            if number % 10 == 9:
                await asyncio.sleep(0.01)
            while len(stream._inbox):
                await stream.receive()
        await asyncio.sleep(0.1)
        while len(stream._inbox):
            await stream.receive()
        heard = 0
        for number in range(1000, 1025):
            phone.say(number)
            await asyncio.sleep(0.02)
        while len(stream._inbox):
            event = await stream.receive()
            heard += isinstance(event, AudioReceived) and event.pcm == create_codec("PCMU").decode(LOUD)
        assert heard >= 20


def test_the_thread_goes_on_without_priority_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(os, "setpriority", refuse)
    plane = MediaPlane(settings(realtime="auto"))
    with caplog.at_level(logging.INFO):
        plane.start()
        deadline = time.monotonic() + 5
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.01)
    assert plane.running
    plane.close()
    assert [record.levelno for record in caplog.records] == [logging.INFO]
    assert "priority" in caplog.records[0].message


def test_priority_is_not_asked_for_where_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda *arguments: asked.append(arguments))
    plane = MediaPlane(settings(realtime="off"))
    plane.start()
    plane.close()
    assert asked == []


def test_the_wheel_comes_before_the_loop_and_the_loop_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[int, list[tuple[int, int]]] = {}

    def remember(thread: int, policy: int, parameters: os.sched_param) -> None:
        thread = thread or threading.get_native_id()
        asked.setdefault(thread, []).append((policy & ~os.SCHED_RESET_ON_FORK, parameters.sched_priority))

    monkeypatch.setattr(os, "sched_setscheduler", remember)
    plane = MediaPlane(settings(realtime="auto"))
    plane.start()
    plane.close()
    plane.close()
    loop = asked.pop(threading.get_native_id())
    assert loop == [(os.SCHED_RR, LOOP_PRIORITY), (os.SCHED_OTHER, 0)]
    assert list(asked.values()) == [[(os.SCHED_RR, WHEEL_PRIORITY)]]
    assert WHEEL_PRIORITY > LOOP_PRIORITY


def test_a_thread_that_never_began_stops() -> None:
    plane = MediaPlane(settings())
    thread = WheelThread(plane.wheel, realtime=False)
    thread.stop()
    assert not thread.running


def test_threads_take_turns_more_often_than_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    sys.setswitchinterval(0.005)
    interpreter.shorten_switch_interval()
    assert sys.getswitchinterval() == pytest.approx(interpreter.SWITCH_INTERVAL_S, abs=2e-6)
    sys.setswitchinterval(0.0001)
    interpreter.shorten_switch_interval()
    assert sys.getswitchinterval() == pytest.approx(0.0001, abs=2e-6)


def test_what_exists_is_taken_out_of_collections() -> None:
    thresholds = gc.get_threshold()
    try:
        interpreter.settle_garbage_collector()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold() == interpreter.GC_THRESHOLDS
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)


@pytest.mark.parametrize(
    ("first", "last"), [(35_000, 35_000), (35_001, 35_002), (35_010, 35_005)], ids=["one", "odd", "reversed"]
)
def test_a_range_without_room_for_a_pair_is_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="rtp_max_port"):
        MediaSettings(rtp_min_port=first, rtp_max_port=last)
