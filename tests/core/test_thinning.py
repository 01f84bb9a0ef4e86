import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.thinning import Thinning, shifted, thin


def kept(times, fps):
    thinning, out = Thinning(), []
    for at in times:
        thinning, keep = thin(thinning, at, fps)
        if keep:
            out.append(at)
    return out


@given(
    st.floats(0.5, 30),
    st.lists(st.floats(0.05, 1.0), min_size=1, max_size=400),
)
def test_the_number_kept_is_within_one_of_what_the_span_asks_for(fps, gaps):
    """However uneven the source is, as long as it sends at least one picture a period."""
    times = [0.0]
    for gap in gaps:
        times.append(times[-1] + gap * 1000 / fps)

    wanted = times[-1] * fps / 1000 + 1

    assert abs(len(kept(times, fps)) - wanted) <= 1 + 1e-6


@given(st.floats(1, 30), st.lists(st.integers(1, 60_000), min_size=1, max_size=200))
def test_no_silence_is_caught_up_by_keeping_more_than_wanted_afterwards(fps, gaps):
    times = [0]
    for gap in gaps:
        times.append(times[-1] + gap)
    keeps = kept(times, fps)

    for first in range(len(keeps)):
        for last in range(first, len(keeps)):
            assert last - first + 1 <= (keeps[last] - keeps[first]) * fps / 1000 + 2.25 + 1e-6


@given(st.lists(st.integers(-9, 9), min_size=50, max_size=200))
def test_jitter_does_not_thin_a_camera_that_already_sends_the_wanted_rate(jitter):
    times = [n * 40 + j for n, j in enumerate(jitter)]

    assert len(kept(times, 25)) >= len(times) - 1


@given(st.integers(2, 6), st.integers(1, 40))
def test_a_whole_fraction_of_an_even_source_is_even(every, base):
    """Milliseconds are rounded, so two spacings of the source may differ by one."""
    period = 1000 / 30
    times = [round(base + n * period) for n in range(300)]

    spacing = {b - a for a, b in zip(kept(times, 30 / every), kept(times, 30 / every)[1:], strict=False)}

    assert max(spacing) - min(spacing) <= 1


def test_without_a_wanted_rate_every_picture_is_kept():
    assert kept([0, 1, 2, 1000], None) == [0, 1, 2, 1000]


def test_a_shifted_memory_decides_as_the_old_one_would_have_on_the_old_clock():
    thinning, _ = thin(Thinning(), 1000, 10)

    assert not thin(shifted(thinning, 500), 1560, 10)[1]
    assert thin(shifted(thinning, 500), 1600, 10)[1]


@pytest.mark.parametrize("fps", [0, -1])
def test_a_rate_that_is_not_above_zero_is_refused(fps):
    with pytest.raises(ValueError, match="above 0"):
        thin(Thinning(), 0, fps)
