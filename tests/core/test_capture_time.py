from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.capture_time import CaptureTime, next_pass, shifted, stamp

PTS = st.none() | st.floats(-1e9, 1e9, allow_nan=False)


def stamps(pairs, time=None):
    time, out = time or CaptureTime(nominal_ms=40), []
    for pts, arrival in pairs:
        stamped = stamp(time, pts, arrival)
        time = stamped.time
        out.append(stamped)
    return out


def times(pairs, time=None):
    return [s.captured_ms for s in stamps(pairs, time)]


@given(st.lists(PTS, min_size=2, max_size=60))
def test_the_time_of_a_file_rises_whatever_its_timestamps_do(pts):
    got = times([(p, None) for p in pts])

    assert all(a < b for a, b in pairwise(got))


@given(st.lists(st.tuples(PTS, st.integers(0, 10**12)), min_size=2, max_size=60))
def test_the_time_of_a_stream_rises_whatever_its_timestamps_and_arrivals_do(pairs):
    got = times(pairs)

    assert all(a < b for a, b in pairwise(got))


def test_a_file_counts_from_its_first_picture():
    assert times([(5000, None), (5040, None), (5080, None)]) == [0, 40, 80]


def test_a_stream_keeps_the_spacing_of_its_timestamps_however_unevenly_it_arrives():
    assert times([(0, 1000), (40, 1300), (80, 1301)]) == [1000, 1040, 1080]


def test_a_missing_timestamp_is_one_period_after_the_last():
    assert times([(0, None), (None, None), (80, None)]) == [0, 40, 80]


def test_a_stream_without_timestamps_is_timed_by_its_arrival():
    assert times([(None, 1000), (None, 1043), (None, 1041)]) == [1000, 1043, 1044]


def test_a_repeated_timestamp_does_not_disturb_those_after_it():
    assert times([(0, None), (40, None), (40, None), (80, None)]) == [0, 40, 41, 80]


def test_a_file_whose_timestamps_stand_still_runs_at_its_nominal_speed():
    got = times([(0, None)] * 10)

    assert got[-1] - got[3] == 6 * 40


def test_a_stream_that_starts_its_timestamps_again_goes_on_in_a_fresh_epoch_by_its_arrival():
    got = stamps([(90_000, 1000), (90_040, 1040), (0, 1090), (40, 1130)])

    assert [(s.captured_ms, s.fresh, s.adrift) for s in got] == [
        (1000, False, False),
        (1040, False, False),
        (1090, True, True),
        (1130, False, False),
    ]


def test_a_stream_that_paused_for_as_long_as_its_timestamps_say_keeps_its_clock():
    got = stamps([(0, 1000), (40, 1040), (20_040, 21_100)])

    assert (got[2].captured_ms, got[2].fresh, got[2].adrift) == (21_040, True, False)


def test_a_stream_whose_timestamps_leap_ahead_of_the_world_is_not_believed():
    got = stamps([(0, 1000), (40, 1040), (1_000_000, 1080)])

    assert (got[2].captured_ms, got[2].fresh, got[2].adrift) == (1080, True, True)


def test_a_hole_in_a_recording_is_true_time_and_begins_a_fresh_epoch():
    got = stamps([(0, None), (40, None), (60_040, None)])

    assert (got[2].captured_ms, got[2].fresh) == (60_040, True)


def test_a_hole_of_more_than_a_day_is_a_broken_timestamp():
    assert times([(0, None), (40, None), (90_000_000, None), (90_000_040, None)]) == [0, 40, 80, 120]


def test_the_next_pass_of_a_file_begins_one_period_after_the_last_picture():
    first = stamps([(500, None), (540, None)])

    assert times([(500, None), (540, None)], next_pass(first[-1].time)) == [80, 120]


def test_a_shifted_clock_shows_every_later_picture_that_much_later():
    first = stamps([(0, 1000), (40, 1040)])

    assert times([(80, 1080)], shifted(first[-1].time, -250.4)) == [830]


@pytest.mark.parametrize("drift", [1e-4, -1e-4])
def test_the_slow_drift_of_a_cameras_crystal_is_followed_and_never_jumps(drift):
    """8 hours at 1 picture a second: unfollowed, 1e-4 is nearly 3 seconds."""
    pairs = [(n * 1000.0, round(10**6 + n * 1000 * (1 + drift)) + n % 7) for n in range(8 * 3600)]
    got = stamps(pairs)

    assert not any(s.fresh for s in got)
    assert all(abs(arrival - s.captured_ms) < 50 for (_, arrival), s in zip(pairs, got, strict=True))


def test_a_delayed_burst_is_not_taken_for_drift():
    pairs = [(n * 100.0, n * 100 + (3000 - (n % 600) * 50 if n % 600 < 60 else 0)) for n in range(6000)]

    assert all(abs(s.captured_ms - p - 3000) < 5 for (p, _), s in zip(pairs[600:], stamps(pairs)[600:], strict=True))
