import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.simulate.journeys import recorded
from pipeline.simulate.noise import noise_model
from pipeline.simulate.scenarios import SCENARIOS
from pipeline.simulate.sightings import sightings
from pipeline.simulate.view import view

PLACE = SCENARIOS["junction"]


def look(seconds=20.0, *, noise="yolov8n", seed=1, traffic=1, **more):
    """The first seconds of a recording."""
    seen = sightings(recorded("junction", traffic), PLACE, noise=noise_model(noise), seed=seed, **({"fps": 5} | more))
    return list(itertools.takewhile(lambda shown: shown[0] < seconds * 1000, seen))


@settings(max_examples=20)
@given(st.floats(1, 60), st.floats(0, 900))
def test_pictures_are_taken_at_their_rate_from_their_phase_on_at_whole_milliseconds(fps, phase_ms):
    times = [t for t, _ in look(2, fps=fps, phase_ms=phase_ms, noise="none")]

    assert all(isinstance(t, int) for t in times)
    assert all(abs(t - (phase_ms + n * 1000 / fps)) <= 0.5 for n, t in enumerate(times))
    assert len(times) == pytest.approx((2000 - phase_ms) / (1000 / fps), abs=1)


def test_pictures_go_on_until_the_recording_ends():
    duration_ms = recorded("junction", 1).duration_ms

    assert [t for t, _ in look(10**6, fps=1)] == list(range(0, duration_ms, 1000))


def test_the_same_arguments_show_the_same_and_any_other_seed_noise_or_traffic_something_else():
    shown = look()

    assert look() == shown
    for other in ({"seed": 2}, {"noise": "high"}, {"noise": "none"}, {"traffic": 2}):
        assert look(**other) != shown


def test_what_is_seen_is_where_it_is_at_that_very_moment():
    """Without noise every box is one of the view's, cut off at the border of the picture."""
    for t_ms, seen in look(10, noise="none", fps=7):
        there = view(recorded("junction", 1), PLACE.camera, t_ms)
        for box in zip(seen.x1, seen.y1, seen.x2, seen.y2, strict=True):
            whole = zip(there.x1, there.y1, there.x2, there.y2, strict=True)
            cut = [tuple(min(1.0, max(0.0, edge)) for edge in each) for each in whole]
            assert any(box == pytest.approx(each, abs=2e-5) for each in cut)


def test_rows_are_as_a_model_gives_them():
    for _, seen in look():
        assert seen.score == sorted(seen.score, reverse=True)
        for x1, y1, x2, y2 in zip(seen.x1, seen.y1, seen.x2, seen.y2, strict=True):
            assert 0 <= x1 < x2 <= 1
            assert 0 <= y1 < y2 <= 1
            assert (x1, y1, x2, y2) == tuple(round(edge, 5) for edge in (x1, y1, x2, y2))
        assert seen.model.startswith("sim")
