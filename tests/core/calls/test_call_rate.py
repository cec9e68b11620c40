"""How long the next call must wait, on a clock that the test holds."""

from hypothesis import given
from hypothesis import strategies as st

from core.calls.call_rate import HOUR_S, MINUTE_S, CallRate

ONE, OTHER = "+4930123456", "+4930654321"


def test_the_minute_is_full_until_its_oldest_call_is_a_minute_old() -> None:
    rate = CallRate(2, 100, 100)
    rate.count(ONE, 0.0)
    rate.count(OTHER, 20.0)
    assert rate.wait_s(ONE, 20.0) == 40.0
    assert rate.wait_s(ONE, 60.0) == 0.0


def test_the_hour_is_full_though_the_minute_is_not() -> None:
    rate = CallRate(2, 3, 100)
    for at_s in (0.0, 100.0, 200.0):
        assert rate.wait_s(ONE, at_s) == 0.0
        rate.count(ONE, at_s)
    assert rate.wait_s(OTHER, 300.0) == HOUR_S - 300.0


def test_one_number_waits_while_others_are_called() -> None:
    rate = CallRate(100, 100, 1)
    rate.count(ONE, 0.0)
    assert rate.wait_s(ONE, 600.0) == HOUR_S - 600.0
    assert rate.wait_s(OTHER, 600.0) == 0.0


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 3)),
    st.lists(st.tuples(st.floats(0.0, 900.0), st.sampled_from([ONE, OTHER])), max_size=40),
)
def test_no_window_ever_holds_more_than_allowed(limits: tuple[int, int, int], tries: list[tuple[float, str]]) -> None:
    rate = CallRate(*limits)
    placed: list[tuple[float, str]] = []
    now_s = 0.0
    for later_s, number in tries:
        now_s += later_s
        if rate.wait_s(number, now_s) == 0.0:
            rate.count(number, now_s)
            placed.append((now_s, number))
    for end_s, number in placed:
        hour = [each for each in placed if end_s - HOUR_S < each[0] <= end_s]
        minute = [each for each in hour if end_s - MINUTE_S < each[0]]
        assert len(minute) <= limits[0]
        assert len(hour) <= limits[1]
        assert len([each for each in hour if each[1] == number]) <= limits[2]
