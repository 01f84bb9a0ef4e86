import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.model import Detections
from pipeline.core.road import UNKNOWN
from pipeline.core.tracking import TrackingPolicy, follow
from tests.core.road import Vehicle, look

POLICY = TrackingPolicy()
ASPECT = 16 / 9


def tracked(frames):
    """Tracks after a list of (captured_ms, detections), and every track that ended."""
    tracks, ended, road = [], [], UNKNOWN
    for seq, (at, seen) in enumerate(frames):
        tracks, gone, road = follow(tracks, seen, at=(1, seq, at), aspect=ASPECT, policy=POLICY, road=road)
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


def test_what_the_model_is_never_sure_of_is_a_vehicle_only_if_it_drives():
    standing, driving = Vehicle(x=0.3, y=0.5, vy=0.0, score=0.15), Vehicle(x=0.6, y=0.2, vy=0.1, score=0.15)

    tracks, _ = tracked([(t, look([standing, driving], t)) for t in range(0, 3000, 40)])

    assert [t.weight >= POLICY.evidence for t in sorted(tracks, key=lambda t: t.mean[0])] == [False, True]


def test_who_drove_is_a_vehicle_though_it_comes_back_to_where_it_was_first_seen():
    """As at a roundabout, where the way out is beside the way in."""
    away, back = Vehicle(x=0.5, y=0.2, vy=0.1, score=0.15), Vehicle(x=0.5, y=0.4, vy=-0.1, from_ms=2000, score=0.15)

    tracks, _ = tracked([(t, look([away if t < 2000 else back], t)) for t in range(0, 4000, 40)])

    assert len(tracks) == 1
    assert tracks[0].mean[1] == pytest.approx(tracks[0].start[1], abs=0.03)
    assert tracks[0].weight >= POLICY.evidence


def test_an_unsure_detection_continues_a_track():
    sure, unsure = Vehicle(x=0.5, y=0.2, vy=0.1), Vehicle(x=0.5, y=0.2, vy=0.1, score=0.15)

    tracks, ended = tracked([(t, look([sure if t < 400 else unsure], t)) for t in range(0, 3000, 40)])

    assert (len(tracks), len(ended)) == (1, 0)


@pytest.mark.parametrize("fps", [2, 3])
def test_a_fast_platoon_is_followed_with_few_pictures_once_the_flow_is_known(fps):
    # Each drives six of its heights between two pictures at 2 a second; the next one follows two seconds behind.
    cars = [Vehicle(x=0.5, y=0.02, vy=1.0, from_ms=2000 * n, to_ms=2000 * n + 980, height=0.06) for n in range(30)]
    cars = [
        msgspec.structs.replace(car, from_ms=car.from_ms + 137 * n, to_ms=car.to_ms + 137 * n)
        for n, car in enumerate(cars)
    ]
    period = round(1000 / fps)

    tracks, ended = tracked([(t, look(cars, t)) for t in range(0, 66_000, period)])

    whole = [t for t in ended + tracks if t.sightings >= 0.98 * fps - 1]
    assert len(whole) >= 24
    assert all(t.mean[1] - t.start[1] > 0.3 for t in whole if t.sightings > 1)


def foot(n, at_ms):
    """How low the nth of them is seen, if it is."""
    metres = 70 - 25 * (at_ms / 1000 - 1.1 * n)
    y = 0.1 + 6 * 1.2 / metres if metres > 0 else 2.0
    return [y] if 0.15 <= y <= 1.0 else []


def approaching(at_ms):
    """Cars at 90 km/h in three lanes, one every 1.1 s, as a camera 6 m above a level road sees them; horizon at y = 0.1."""
    rows = []
    for n in range(8):
        for y in foot(n, at_ms):
            metres = 6 * 1.2 / (y - 0.1)
            high, x = 1.5 * 1.2 / metres, 0.5 + (3.5 * (n % 3 - 1)) * 1.2 / metres / ASPECT
            rows.append((x - high / ASPECT / 2, y - high, x + high / ASPECT / 2, y))
    x1, y1, x2, y2 = (list(c) for c in zip(*rows, strict=True)) if rows else ([], [], [], [])
    return Detections(x1=x1, y1=y1, x2=x2, y2=y2, score=[0.8] * len(x1), label=["car"] * len(x1))


@pytest.mark.parametrize(("fps", "least"), [(3, 7), (5, 8)])
def test_a_cold_camera_follows_who_comes_fast_towards_it_with_few_pictures(fps, least):
    tracks, ended = tracked([(t, approaching(t)) for t in range(0, 11_000, 1000 // fps)])

    passed = [t for t in [*tracks, *ended] if t.start[1] < 0.3 and t.mean[1] > 0.59]
    assert len(passed) >= least, "of eight, each from where it came into sight to where it is large"
    assert len({t.id for t in passed}) == len(passed) <= 8
    followed = sorted(t.mean[1] for t in [*tracks, *ended] if t.sightings > 1)
    seen_last = [max(y for t in range(0, 11_000, 1000 // fps) for y in foot(n, t)) for n in range(8)]
    assert followed == pytest.approx(sorted(seen_last), abs=0.05), "each to where it was seen last, and nobody twice"


def test_who_drives_away_unseen_for_a_second_is_looked_for_where_it_is_small():
    def departing(at_ms, hidden):
        rows = []
        for n in range(12):
            metres = 14 + 25 * (at_ms - 2300 * n) / 1000
            if 14 <= metres < 120 and not (hidden and 30 < metres < 60):
                y, high, x = 0.1 + 7.2 / metres, 1.8 / metres, 0.5 + 4.2 * (n % 2) / metres / ASPECT
                rows.append((x - high / ASPECT / 2, y - high, x + high / ASPECT / 2, y))
        x1, y1, x2, y2 = (list(c) for c in zip(*rows, strict=True)) if rows else ([], [], [], [])
        return Detections(x1=x1, y1=y1, x2=x2, y2=y2, score=[0.4] * len(x1), label=["car"] * len(x1))

    tracks, ended = tracked([(t, departing(t, t > 14_000)) for t in range(0, 32_000, 200)])

    late = [t for t in [*tracks, *ended] if t.born_ms > 14_000]
    assert len(late) <= 6, "of six that came since then"
    assert all(t.mean[1] < 0.2 for t in late)


def test_a_standing_car_stays_where_it_is_while_others_drive_past_in_front_of_it():
    waiting = Vehicle(x=0.5, y=0.5, vy=0.0, height=0.12, width=0.1)
    frames = []
    for t in range(0, 6000, 100):
        seen = look([waiting], t)
        hidden = 2000 <= t < 4000
        passing = Detections(x1=[0.40], y1=[0.44], x2=[0.60], y2=[0.60], score=[0.9], label=["truck"])
        if hidden:  # its lower half is covered: the box ends where the lorry begins
            seen = Detections(
                x1=[*passing.x1, *seen.x1], y1=[*passing.y1, *seen.y1], x2=[*passing.x2, *seen.x2], y2=[*passing.y2, 0.44],
                score=[*passing.score, *seen.score], label=[*passing.label, *seen.label],
            )  # fmt: skip
        frames.append((t, seen))

    tracks, _, road = [], [], UNKNOWN
    feet = []
    for seq, (at, seen) in enumerate(frames):
        tracks, _, road = follow(tracks, seen, at=(1, seq, at), aspect=ASPECT, policy=POLICY, road=road)
        feet += [t.mean[1] for t in tracks if t.born_ms == 0]

    assert max(feet) - min(feet) < 0.012  # a tenth of its height


def test_a_box_within_a_better_known_vehicles_is_no_evidence_of_another():
    lorry = Vehicle(x=0.5, y=0.2, vy=0.1, height=0.16, width=0.1)
    cab = Vehicle(x=0.5, y=0.2, vy=0.1, height=0.07, width=0.08, score=0.5)

    tracks, _ = tracked([(t, look([lorry, cab], t)) for t in range(0, 4000, 100)])

    assert sum(t.weight >= POLICY.evidence for t in tracks) == 1


def test_who_stops_in_front_of_a_better_known_vehicle_is_no_part_of_it():
    behind = Vehicle(x=0.5, y=0.5, vy=0.0, height=0.08, width=0.06)
    lorry = Vehicle(x=0.5, y=0.56, vy=0.0, height=0.2, width=0.16, from_ms=2000, score=0.6)

    tracks, _ = tracked([(t, look([behind, lorry], t)) for t in range(0, 4000, 100)])

    assert [t.weight >= POLICY.evidence for t in tracks] == [True, True]


def test_a_vehicle_boxed_twice_is_that_of_the_box_that_was_seen_all_along():
    half = Vehicle(x=0.49, y=0.2, vy=0.1, width=0.03)
    whole = Vehicle(x=0.5, y=0.2, vy=0.1, width=0.055)
    shown = {
        t: [half] if t < 1500 else [half, whole] if t < 2400 or t == 3200 else [whole] for t in range(0, 3300, 100)
    }

    tracks, _ = tracked([(t, look(of, t)) for t, of in shown.items()])

    assert [(t.born_ms, t.part, t.own) for t in tracks] == [(0, True, False), (1500, False, True)]


def test_a_sighting_that_two_may_have_had_is_not_given_to_both():
    """At 858 ms either lorry may have become the second; at 1320 ms one of them is gone and a third one came."""
    lorries = [
        Vehicle(x=0.37, y=0.333, vy=-0.31, from_ms=163, to_ms=1000, label="truck"),
        Vehicle(x=0.62, y=0.4, vy=-0.12, from_ms=287, label="truck"),
        Vehicle(x=0.87, y=0.443, vy=-0.12, from_ms=956, label="truck"),
    ]
    frames = [(t, look(lorries, t)) for t in (396, 858, 1320, 1782, 2244)]

    tracks, ended = tracked(frames)

    assert sum(t.sightings for t in tracks + ended) <= sum(len(seen.x1) for _, seen in frames)
    assert all(abs(t.mean[0] - t.start[0]) < 0.1 for t in tracks + ended), "nobody changed lanes"


def test_a_second_sighting_that_two_may_have_had_is_decided_by_later_ones():
    # Cold, two pictures a second: the first car comes to where the second one was, as if that had stood.
    cars = [Vehicle(x=0.5, y=y, vy=0.25, height=0.03) for y in (0.04, 0.2)]
    frames = [(t, look(cars, t)) for t in range(0, 1501, 500)]

    doubted, _ = tracked(frames[:2])
    decided, _ = tracked(frames)

    assert [len(t.branches) for t in doubted if t.born_ms == 0] == [2, 2]
    assert [(t.born_ms, t.sightings) for t in decided if t.seen_ms == 1500] == [(0, 4), (0, 4)]
    assert [t.mean[5] for t in decided if t.seen_ms == 1500] == pytest.approx([0.25] * 2, abs=0.01)


@pytest.mark.parametrize("other", ["truck", "bicycle"])
def test_one_vehicle_boxed_as_two_classes_is_one_track_with_the_class_of_more_evidence(other):
    both = [
        Vehicle(x=0.5, y=0.3, vy=0.1, score=0.6),
        Vehicle(x=0.5, y=0.3, vy=0.1, score=0.5, label=other, width=0.051),
    ]

    tracks, _ = tracked([(t, look(both, t)) for t in range(0, 2000, 40)])

    assert [t.label for t in tracks] == ["car"]


def test_a_person_before_a_car_never_takes_its_identity():
    pair = [Vehicle(x=0.5, y=0.3, vy=0.0), Vehicle(x=0.5, y=0.3, vy=0.0, score=0.8, label="person")]

    tracks, _ = tracked([(t, look(pair, t)) for t in range(0, 1000, 40)])

    assert sorted(t.label for t in tracks) == ["car", "person"]
    assert all(len(t.evidence) == 1 for t in tracks)
