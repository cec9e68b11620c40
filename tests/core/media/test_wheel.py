"""One wheel for all calls: deadlines, lateness, riders that come and go."""

import asyncio
from collections.abc import Callable

import pytest

from core.media.handover import Handover
from core.media.wheel import MAX_CATCH_UP_S, PERIOD_S, SLOT_S, SLOTS, Wheel
from tests.core.media.call import VirtualClock


class CountingRider:
    def __init__(self, log: list[tuple[str, object]] | None = None, earlier: int = 0) -> None:
        self.sent_at: list[float] = []
        self.read_at: list[float] = []
        self.skipped = 0
        self.failure: Exception | None = None
        self.error: Exception | None = None
        self.log = log if log is not None else []
        self.earlier = earlier

    def send(self, now: float) -> None:
        if self.error:
            raise self.error
        self.sent_at.append(now)
        self.log.append(("send", self))

    def receive_due(self, now: float, handover: Handover) -> int:
        self.read_at.append(now)
        self.log.append(("receive", self))
        earlier, self.earlier = self.earlier, 0
        return earlier

    def skip(self, periods: int) -> None:
        self.skipped += periods

    def fail(self, error: Exception) -> None:
        self.failure = error


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def wheel(clock: VirtualClock) -> Wheel:
    return Wheel(clock, Handover())


def turn_until(wheel: Wheel, clock: VirtualClock, end: float, late: Callable[[], float] = lambda: 0.0) -> int:
    """Wakes at each deadline, as the thread does; how often that was."""
    wakes = 0
    while (due := wheel.due()) is not None and due <= end:
        clock.now = due + late()
        wheel.tick(clock.now)
        wakes += 1
    return wakes


def test_an_empty_wheel_has_nothing_to_do(wheel: Wheel) -> None:
    assert wheel.due() is None
    wheel.tick(10_000.0)
    assert wheel.periods_skipped == 0


def test_a_packet_is_due_every_20_ms_whatever_the_lateness_before(wheel: Wheel, clock: VirtualClock) -> None:
    rider = CountingRider()
    wheel.add(rider)
    start = clock.now
    lateness = iter([0.0, 0.003, 0.001, 0.009] * 100)
    turn_until(wheel, clock, start + 2, lambda: next(lateness))
    assert len(rider.sent_at) == 101
    deviations = [at - start - n * PERIOD_S for n, at in enumerate(rider.sent_at)]
    assert max(deviations) < 0.0091
    assert deviations[100] == pytest.approx(0.0, abs=1e-9)


def test_calls_are_spread_over_the_slots(wheel: Wheel, clock: VirtualClock) -> None:
    riders = [CountingRider() for _ in range(2 * SLOTS)]
    for rider in riders:
        wheel.add(rider)
    start = clock.now
    turn_until(wheel, clock, start + PERIOD_S - SLOT_S / 2)
    assert all(len(rider.sent_at) == 1 for rider in riders)
    phases = sorted(round((rider.sent_at[0] - start) / SLOT_S) for rider in riders)
    assert phases == sorted(2 * list(range(SLOTS)))


def test_a_place_that_becomes_free_is_taken_by_the_next_call(wheel: Wheel) -> None:
    riders = [CountingRider() for _ in range(SLOTS)]
    for rider in riders:
        wheel.add(rider)
    wheel.remove(riders[5])
    wheel.remove(riders[5])
    assert len(wheel) == SLOTS - 1
    replacement = CountingRider()
    wheel.add(replacement)
    assert wheel._senders[5] == (replacement,)


def test_only_occupied_slots_wake_the_thread(wheel: Wheel, clock: VirtualClock) -> None:
    wheel.add(CountingRider())
    assert turn_until(wheel, clock, clock.now + 0.99) == 50


def test_a_late_tick_makes_good_one_packet_for_each_that_is_due(wheel: Wheel, clock: VirtualClock) -> None:
    rider = CountingRider()
    wheel.add(rider)
    wheel.tick(clock.now)
    wheel.tick(clock.now + 3 * PERIOD_S + 0.001)
    assert len(rider.sent_at) == 4
    assert rider.skipped == 0


def test_a_suspended_machine_skips_time_instead_of_sending_it_in_a_burst(wheel: Wheel, clock: VirtualClock) -> None:
    rider = CountingRider()
    wheel.add(rider)
    wheel.tick(clock.now)
    stopped_s = 3600.0
    wheel.tick(clock.now + stopped_s)
    assert len(rider.sent_at) + rider.skipped == stopped_s / PERIOD_S + 1
    assert len(rider.sent_at) <= 2
    assert wheel.periods_skipped == rider.skipped
    due = wheel.due()
    assert due is not None
    assert clock.now + stopped_s < due <= clock.now + stopped_s + PERIOD_S


def test_lateness_within_the_limit_is_caught_up(wheel: Wheel, clock: VirtualClock) -> None:
    rider = CountingRider()
    wheel.add(rider)
    wheel.tick(clock.now)
    wheel.tick(clock.now + MAX_CATCH_UP_S)
    assert rider.skipped == 0
    assert len(rider.sent_at) == 1 + MAX_CATCH_UP_S / PERIOD_S
    assert wheel.worst_lateness_s == pytest.approx(MAX_CATCH_UP_S - PERIOD_S)


def test_all_packets_of_a_slot_go_out_before_any_is_read(wheel: Wheel, clock: VirtualClock) -> None:
    log: list[tuple[str, object]] = []
    for _ in range(2 * SLOTS):
        wheel.add(CountingRider(log))
    wheel.tick(clock.now)
    assert [what for what, _ in log] == ["send", "send", "receive", "receive"]


def test_a_call_that_fails_falls_off_and_the_others_go_on(wheel: Wheel, clock: VirtualClock) -> None:
    broken, sound = CountingRider(), CountingRider()
    for rider in (broken, *(CountingRider() for _ in range(SLOTS - 1)), sound):
        wheel.add(rider)
    broken.error = ValueError("no codec")
    wheel.tick(clock.now)
    wheel.tick(clock.now + PERIOD_S)
    assert broken.failure is broken.error
    assert broken.sent_at == []
    assert len(sound.sent_at) == 2


def test_a_call_is_read_in_the_slot_it_asks_for_and_still_sent_in_its_own(wheel: Wheel, clock: VirtualClock) -> None:
    rider = CountingRider(earlier=3)
    wheel.add(rider)
    start = clock.now
    turn_until(wheel, clock, start + 0.1)
    sent = [round((at - start) / SLOT_S) % SLOTS for at in rider.sent_at]
    read = [round((at - start) / SLOT_S) % SLOTS for at in rider.read_at]
    assert sent == [0] * 6
    assert read == [0] + [SLOTS - 3] * 5


def test_a_slot_that_everybody_asks_for_does_not_take_everybody(wheel: Wheel, clock: VirtualClock) -> None:
    riders = [CountingRider() for _ in range(80)]
    for rider in riders:
        wheel.add(rider)
    for slot, crowd in enumerate(wheel._receivers):
        for member in crowd:
            assert isinstance(member, CountingRider)
            member.earlier = slot
    turn_until(wheel, clock, clock.now + 0.1)
    assert len(wheel._receivers[0]) == 28
    assert sum(map(len, wheel._receivers)) == 80


class Reader:
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.woken = 0
        self.wants_waking = True

    def wake(self) -> None:
        self.woken += 1


async def test_a_slot_wakes_a_loop_once_for_all_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    handover = Handover()
    readers = [Reader() for _ in range(5)]
    loop = asyncio.get_running_loop()
    calls: list[object] = []
    plain = loop.call_soon_threadsafe

    def counting(callback: Callable[..., object], *args: object) -> object:
        calls.append(callback)
        return plain(callback, *args)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counting)
    for reader in readers:
        handover.tell(reader)
    handover.flush()
    handover.flush()
    await asyncio.sleep(0)
    assert [reader.woken for reader in readers] == [1] * 5
    assert len(calls) == 1


async def test_a_loop_that_has_ended_is_nobodys_trouble() -> None:
    handover = Handover()
    reader = Reader()
    reader.loop = asyncio.new_event_loop()
    reader.loop.close()
    handover.tell(reader)
    handover.flush()
    assert reader.woken == 0
