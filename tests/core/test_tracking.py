import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.tracking import TrackingPolicy, follow
from tests.core.road import Vehicle, look

POLICY = TrackingPolicy()
ASPECT = 16 / 9


def tracked(frames):
    """Tracks after a list of (captured_ms, detections), and every track that ended."""
    tracks, ended = [], []
    for seq, (at, seen) in enumerate(frames):
        tracks, gone = follow(tracks, seen, at=(1, seq, at), aspect=ASPECT, policy=POLICY)
        ended += gone
    return tracks, ended


@pytest.mark.parametrize("fps", [5, 10, 15, 30])
def test_a_vehicle_keeps_its_identity_at_any_frame_rate(fps):
    car = [Vehicle(x=0.5, y=0.2, vy=0.15)]
    times = [round(n * 1000 / fps) for n in range(4 * fps)]

    tracks, ended = tracked([(t, look(car, t)) for t in times])

    assert len(tracks) == 1
    assert ended == []


@given(st.lists(st.integers(20, 250), min_size=10, max_size=40))
def test_a_vehicle_keeps_its_identity_when_frames_come_unevenly(gaps):
    car = [Vehicle(x=0.5, y=0.1, vy=0.1)]
    times = [0, *itertools.accumulate(gaps)]

    tracks, ended = tracked([(t, look(car, t)) for t in times if 0.1 + t / 10_000 <= 1])

    assert len(tracks) == 1
    assert ended == []


def test_two_vehicles_side_by_side_keep_two_identities():
    cars = [Vehicle(x=0.45, y=0.2, vy=0.2), Vehicle(x=0.52, y=0.2, vy=0.2)]

    tracks, ended = tracked([(t, look(cars, t)) for t in range(0, 3000, 40)])

    assert len({t.id for t in tracks}) == 2
    assert ended == []


def test_a_vehicle_hidden_for_half_a_second_is_found_again():
    car = [Vehicle(x=0.5, y=0.1, vy=0.1)]
    frames = [(t, look(car if not 2000 <= t < 2500 else [], t)) for t in range(0, 5000, 66)]

    tracks, ended = tracked(frames)

    assert len(tracks) == 1
    assert ended == []


def test_a_vehicle_unseen_for_longer_than_the_policy_has_ended():
    car = [Vehicle(x=0.5, y=0.1, vy=0.1, to_ms=1000)]

    tracks, ended = tracked([(t, look(car, t)) for t in range(0, 4000, 50)])

    assert tracks == []
    assert len(ended) == 1


def test_an_unsure_detection_continues_a_track_and_never_begins_one():
    sure, unsure = Vehicle(x=0.5, y=0.2, vy=0.1), Vehicle(x=0.5, y=0.2, vy=0.1, score=0.15)
    frames = [(t, look([sure if t < 400 else unsure], t)) for t in range(0, 3000, 40)]

    tracks, ended = tracked(frames)
    alone, _ = tracked([(t, look([unsure], t)) for t in range(0, 3000, 40)])

    assert (len(tracks), len(ended)) == (1, 0)
    assert alone == []


def test_one_vehicle_boxed_as_car_and_as_truck_is_one_track_with_the_class_of_more_evidence():
    both = [
        Vehicle(x=0.5, y=0.3, vy=0.1, score=0.6),
        Vehicle(x=0.5, y=0.3, vy=0.1, score=0.5, label="truck", width=0.051),
    ]

    tracks, _ = tracked([(t, look(both, t)) for t in range(0, 2000, 40)])

    assert [t.label for t in tracks] == ["car"]


def test_a_person_before_a_car_never_takes_its_identity():
    pair = [Vehicle(x=0.5, y=0.3, vy=0.0), Vehicle(x=0.5, y=0.3, vy=0.0, score=0.8, label="person")]

    tracks, _ = tracked([(t, look(pair, t)) for t in range(0, 1000, 40)])

    assert sorted(t.label for t in tracks) == ["car", "person"]
    assert all(len(t.evidence) == 1 for t in tracks)
