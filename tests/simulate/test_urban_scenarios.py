"""Junction, roundabout and street: their recordings do what the places promise, and SUMO still makes them."""

import functools
import importlib.util
import math
from collections import Counter

import numpy as np
import pytest

from pipeline.core.geometry import inside
from pipeline.simulate.journeys import positions, recorded
from pipeline.simulate.scenarios import junction, roundabout, street

SEEDS = range(8)
PLACES = {place.SCENARIO.name: place.SCENARIO for place in (junction, roundabout, street)}
NAMES = sorted(PLACES)


@functools.cache
def shipped(name, seed):
    return recorded(name, seed)


@functools.cache
def vehicles(name, seed):
    """(journey, t_ms, x, y, heading, speed) of all but people, five times a second."""
    recording = shipped(name, seed)
    rows = []
    for journey in recording.journeys:
        if journey.label != "person":
            t = np.arange(journey.from_ms, journey.to_ms(recording.step_ms) + 1, 200.0)
            rows.append((journey, t, *positions(journey, recording.step_ms, t)))
    return rows


def staged(name, kind):
    """(recording, incident) of that kind, in all seeds."""
    return [(shipped(name, seed), one) for seed in SEEDS for one in shipped(name, seed).staged if one.kind == kind]


def seen(recording, user, from_ms, to_ms):
    journey = recording.by_id[user]
    t = np.arange(max(from_ms, journey.from_ms), min(to_ms, journey.to_ms(recording.step_ms)) + 1, 100.0)
    return positions(journey, recording.step_ms, t)


def hulls_apart(one, other):
    """The gap between two rectangles (x, y, heading, length, width), by points on their edges; 0 where they meet."""
    share = np.linspace(-0.5, 0.5, 21)
    edge = np.concatenate(
        [[(s, side) for s in share for side in (-0.5, 0.5)], [(side, s) for s in share for side in (-0.5, 0.5)]]
    )
    gaps = []
    for (x, y, heading, length, width), (ox, oy, turn, long, wide) in ((one, other), (other, one)):
        along, aside = edge[:, :1] * length, edge[:, 1:] * width
        px = x + along * np.cos(heading) - aside * np.sin(heading) - ox
        py = y + along * np.sin(heading) + aside * np.cos(heading) - oy
        u, v = px * np.cos(turn) + py * np.sin(turn), py * np.cos(turn) - px * np.sin(turn)
        gaps.append(np.hypot(np.maximum(np.abs(u) - long / 2, 0), np.maximum(np.abs(v) - wide / 2, 0)).min(axis=0))
    return np.minimum(*gaps)


@pytest.mark.parametrize("name", NAMES)
def test_every_legal_movement_is_driven_and_hardly_any_other(name):
    place, driven = PLACES[name], Counter()
    for seed in SEEDS:
        round_about = {user for one in shipped(name, seed).staged for user in one.users if one.kind == "u_turn"}
        driven += Counter(
            (row[0].origin, row[0].destination) for row in vehicles(name, seed) if row[0].id not in round_about
        )

    assert set(place.movements) <= set(driven)
    assert sum(number for way, number in driven.items() if way not in place.movements) <= 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", SEEDS)
def test_no_vehicle_jumps_or_turns_on_the_spot(name, seed):
    """Tyres do not brake or push harder than 10 m/s2, and turn a vehicle by no more than 2 rad a second."""
    for journey, _, _, _, heading, speed in vehicles(name, seed):
        assert np.abs(np.diff(speed)).max(initial=0) / 0.2 <= 10, (journey.id, journey.label)
        assert np.abs(np.diff(np.unwrap(heading))).max(initial=0) / 0.2 <= 2, (journey.id, journey.label)


@pytest.mark.parametrize("name", NAMES)
def test_who_comes_in_by_a_line_of_an_arm_has_it_on_the_right(name):
    """Lines run from the kerb of those who come to the kerb of those who go: `to_right` is always into the place."""
    for line, (start, end) in PLACES[name].lines.items():
        arm = line.split("_")[0]
        along, normal = np.subtract(end, start), (end[1] - start[1], start[0] - end[0])  # to the right hand
        for journey, _, x, y, _, _ in vehicles(name, 1):
            off = np.column_stack([x - start[0], y - start[1]])
            side, share = off @ normal, off @ along / (along @ along)
            over = np.flatnonzero((side[:-1] < 0) & (side[1:] >= 0) & (share[1:] >= 0) & (share[1:] <= 1))
            if len(over) and name != "street":
                assert journey.origin == arm, (line, journey.id)


def test_queues_at_the_junction_are_real():
    """At some time at least ten vehicles stand on each approach that the camera sees, and at some time hardly any."""
    for approach in junction.SCENARIO.approaches:
        longest, shortest = [], []
        for seed in SEEDS:
            standing = Counter()
            for _, t, x, y, _, speed in vehicles("junction", seed):
                behind = (approach.stop[0] - x) * math.cos(approach.heading_rad)
                behind += (approach.stop[1] - y) * math.sin(approach.heading_rad)
                aside = np.abs((y - approach.stop[1]) * math.cos(approach.heading_rad))
                aside += np.abs((x - approach.stop[0]) * math.sin(approach.heading_rad))
                there = (behind > 0) & (behind < 80) & (aside < approach.width_m / 2) & (speed < 1)
                standing.update(t[there].tolist())
            longest.append(max(standing.values()))
            shortest.append(min(standing.get(float(t), 0) for t in range(20_000, 280_000, 1000)))
        assert max(longest) >= 10
        assert min(shortest) <= 1


def test_traffic_yields_at_the_roundabout():
    """Who waits to enter stands before the ring, and nobody ever stands still on it for long."""
    waited = 0
    for seed in SEEDS:
        for journey, _, x, y, _, speed in vehicles("roundabout", seed):
            out = np.hypot(x, y)
            waited += bool(np.any((out > 19) & (out < 35) & (speed < 0.5)))
            assert np.count_nonzero((out < 18) & (speed < 0.3)) * 0.2 <= 45, journey.id
    assert waited >= 50


def test_all_go_round_the_middle_counter_clockwise():
    for seed in SEEDS:
        for journey, _, x, y, _, _ in vehicles("roundabout", seed):
            turned = np.diff(np.unwrap(np.arctan2(y, x)))[np.hypot(x, y)[1:] < 18]
            assert turned.sum() > -0.1, journey.id
            assert np.hypot(x, y).min() > 12, journey.id


def test_buses_stop_at_their_stop_and_cars_park_come_and_go():
    stops, stays, comes, goes = 0, 0, 0, 0
    zones = street.SCENARIO.zones
    for seed in SEEDS:
        for journey, _, x, y, _, speed in vehicles("street", seed):
            stands = speed < 0.2
            if journey.label == "bus" and journey.destination == "east":
                stops += np.count_nonzero(stands & (x > street.BUS_FROM_M - 8) & (x < street.BUS_TO_M)) * 0.2 >= 8
            parks = np.array(
                [still and inside(zones["parking"], (px, py)) for px, py, still in zip(x, y, stands, strict=True)]
            )
            if np.count_nonzero(parks) * 0.2 >= 10:
                stays += bool(parks.all())
                comes += not parks[0]
                goes += not parks[-1]
                assert np.abs(y[parks] - street.LANE_M - street.STRIP_M / 2).max() < 0.6, journey.id  # not in the lane
    assert stops >= 16
    assert stays >= 8
    assert comes >= 8
    assert goes >= 8


@pytest.mark.parametrize("name", NAMES)
def test_people_walk_and_never_leap(name):
    """3 m/s is a run; SUMO's own people leap where two ways over two crossings lead to one corner."""
    for seed in SEEDS:
        for journey in shipped(name, seed).journeys:
            if journey.label == "person":
                assert np.hypot(np.diff(journey.x_m), np.diff(journey.y_m)).max() / 0.2 < 3, (seed, journey.id)


def test_people_cross_the_street_on_the_crossing():
    crossed = 0
    for seed in SEEDS:
        for journey in shipped("street", seed).journeys:
            if journey.label == "person" and journey.y_m.min() < -3.5 and journey.y_m.max() > 3.5:
                middle = np.abs(journey.y_m) < 2
                crossed += bool(np.all(np.abs(journey.x_m[middle] - street.CROSSING_M) < 3))
    assert crossed >= 8


def test_illegal_u_turns_turn_round_in_the_junction():
    found = staged("junction", "u_turn")
    assert len(found) >= 6
    for recording, one in found:
        journey = recording.by_id[one.users[0]]
        assert journey.origin == journey.destination
        x, y, heading, _ = seen(recording, journey.id, one.from_ms, one.to_ms)
        assert abs(np.unwrap(heading)[-1] - heading[0]) > math.radians(100)
        assert np.hypot(x, y).max() < 32
        assert math.hypot(one.x_m, one.y_m) < 32


@pytest.mark.parametrize("name", NAMES)
def test_people_on_the_road_are_there_where_and_when_it_says(name):
    found = staged(name, "pedestrian_on_road")
    assert len(found) >= 6
    for recording, one in found:
        journey = recording.by_id[one.users[0]]
        assert journey.label == "person"
        x, y, _, speed = seen(recording, journey.id, one.from_ms, one.to_ms)
        assert np.hypot(x - one.x_m, y - one.y_m).min() < 1
        assert np.median(speed) > 0.8


@pytest.mark.parametrize("name", ["roundabout", "street"])
def test_stopped_vehicles_block_a_lane(name):
    found = staged(name, "stopped_vehicle")
    assert len(found) >= 6
    for recording, one in found:
        x, y, _, speed = seen(recording, one.users[0], one.from_ms + 1000, one.to_ms - 1000)
        assert speed.max() < 0.5
        assert np.hypot(x - one.x_m, y - one.y_m).max() < 1
        assert one.to_ms - one.from_ms >= 20_000


def test_spill_back_leaves_vehicles_standing_at_the_mouth_of_an_exit():
    found = staged("junction", "spill_back")
    assert len(found) >= 5
    for recording, one in found:
        for user in one.users:
            x, y, _, speed = seen(recording, user, one.from_ms, one.to_ms)
            assert np.any((np.hypot(x - one.x_m, y - one.y_m) < 8) & (speed < 0.6))


def test_near_collisions_are_near_and_none():
    """Hull to hull the two come within 3 m of each other and never touch, and one of them is fast."""
    found = staged("junction", "near_collision")
    assert len(found) >= 10
    for recording, one in found:
        (ax, ay, ah, fast), (bx, by, bh, other) = (seen(recording, user, one.from_ms, one.to_ms) for user in one.users)
        sizes = [(recording.by_id[user].length_m, recording.by_id[user].width_m) for user in one.users]
        gap = hulls_apart((ax, ay, ah, *sizes[0]), (bx, by, bh, *sizes[1]))
        assert 0 < gap.min() < 3, (recording.seed, one)
        assert max(fast.max(), other.max()) > 4


def test_some_near_collisions_are_of_crossing_ways():
    """Who runs the red light is about square to whom it just misses, in the middle of the junction."""
    crossing = 0
    for recording, one in staged("junction", "near_collision"):
        (*_, a, _), (*_, b, _) = (seen(recording, user, one.from_ms, one.to_ms) for user in one.users)
        crossing += bool(np.abs(np.sin(a - b)).max() > 0.5 and math.hypot(one.x_m, one.y_m) < 18)
    assert crossing >= 4


@pytest.mark.parametrize("name", NAMES)
def test_demand_is_a_pure_function_of_the_seed(name):
    traffic = PLACES[name].traffic

    assert traffic.demand(3, 420) == traffic.demand(3, 420)
    assert traffic.demand(3, 420) != traffic.demand(4, 420)
    assert traffic.staged(3) == traffic.staged(3)


@pytest.mark.parametrize("name", NAMES)
def test_sumo_makes_the_place_and_it_runs(name):
    if importlib.util.find_spec("libsumo") is None:
        pytest.skip("traffic is made by SUMO: make setup EXTRAS=dev,simulate")
    from pipeline.adapters.sumo import record  # noqa: PLC0415 - needs SUMO

    recording = record(PLACES[name], 1, duration_s=12.0)

    assert len(recording.journeys) >= 10
    assert {journey.id: journey.from_ms for journey in recording.journeys if journey.from_ms == 0}


def test_the_stop_lines_are_where_netconvert_puts_them():
    """The first who wait in a lane stand with their bumpers less than 2 m before STOP_M."""
    bumpers = []
    for journey, _, x, y, heading, speed in vehicles("junction", 1):
        front = y - journey.length_m / 2
        first = (np.abs(x + 6.1) < 0.5) & (np.abs(front - junction.STOP_M) < 3) & (speed < 0.05)
        bumpers += front[first & (np.sin(heading) < -0.99)].tolist()

    assert len(bumpers) >= 100
    assert 0 <= np.median(bumpers) - junction.STOP_M < 2
