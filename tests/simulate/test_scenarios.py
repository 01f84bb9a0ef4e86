"""What every scenario promises, held to its shipped recordings; needs no SUMO."""

import functools

import numpy as np
import pytest

from pipeline.errors import Fatal
from pipeline.simulate.journeys import at, positions, recorded, shipped
from pipeline.simulate.scenario import StagedPlan, repeated, scene_of
from pipeline.simulate.scenarios import SCENARIOS, scenario
from pipeline.simulate.view import view

NAMES = sorted(SCENARIOS)
LABELS = {"car", "truck", "bus", "motorcycle", "bicycle", "person"}
KINDS = {"stopped_vehicle", "wrong_way", "u_turn", "near_collision", "pedestrian_on_road", "spill_back"}


@functools.cache
def crossings(name, seed=1):
    """Line -> (user, t_ms) whenever the middle of a footprint goes over it on the road."""
    recording, found = recorded(name, seed), {}
    for line, (start, end) in SCENARIOS[name].lines.items():
        along = np.subtract(end, start)
        rows = found[line] = []
        for user in recording.journeys:
            off = np.column_stack([user.x_m - start[0], user.y_m - start[1]])
            side, share = off @ (-along[1], along[0]), off @ along / (along @ along)
            over = np.flatnonzero((side[:-1] < 0) != (side[1:] < 0))
            over = over[(share[over] >= 0) & (share[over] <= 1)]
            rows += [(user, user.from_ms + int(knot) * recording.step_ms) for knot in over]
    return found


def test_the_five_places_are_there_and_shipped():
    assert NAMES == ["junction", "motorway", "roundabout", "stopline", "street"]
    assert sorted(shipped()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_place_is_known_by_its_own_name(name):
    assert scenario(name) is SCENARIOS[name]
    assert SCENARIOS[name].name == name
    assert SCENARIOS[name].title


def test_a_wrong_name_gets_the_nearest_and_all():
    with pytest.raises(Fatal, match=r"'motorwy': did you mean motorway\? there are junction, motorway"):
        scenario("motorwy")
    with pytest.raises(Fatal, match=r"'xyz': there are"):
        scenario("xyz")


@pytest.mark.parametrize("name", NAMES)
def test_all_lines_and_zones_are_in_the_picture(name):
    scene = scene_of(SCENARIOS[name])

    assert len(scene.lines) == len(SCENARIOS[name].lines) >= 1
    assert len(scene.zones) == len(SCENARIOS[name].zones)


@pytest.mark.parametrize("name", NAMES)
def test_every_line_is_crossed_by_many(name):
    for line, crossed in crossings(name).items():
        assert len(crossed) >= 10, line


@pytest.mark.parametrize("name", NAMES)
def test_cars_on_a_line_are_large_enough_to_be_seen(name):
    """Between 15 and 260 px of 720: smaller no detector of today finds, larger is no traffic camera."""
    place, recording = SCENARIOS[name], recorded(name, 1)
    heights = []
    for user, t_ms in [crossing for crossed in crossings(name).values() for crossing in crossed[::4]]:
        seen = view(recording, place.camera, t_ms)
        rows = [row for row, index in enumerate(seen.index) if recording.journeys[index].id == user.id]
        if user.label == "car" and rows and seen.inside[rows[0]] == 1:
            heights.append((seen.y2[rows[0]] - seen.y1[rows[0]]) * place.size.height)

    assert 25 <= np.median(heights) <= 160
    assert min(heights) >= 15
    assert max(heights) <= 260


@pytest.mark.parametrize("name", NAMES)
def test_users_are_what_coco_knows_and_come_from_arms_of_the_place(name):
    place = SCENARIOS[name]
    arms = set(place.traffic.arms.values())
    acted = {user for staged in recorded(name, 1).staged for user in staged.users}
    for journey in recorded(name, 1).journeys:
        assert journey.label in LABELS
        if journey.id not in acted:
            assert journey.origin in arms, journey
            assert journey.destination in arms, journey


@pytest.mark.parametrize("name", NAMES)
def test_vehicles_move_as_vehicles_do(name):
    """No jump, no way backwards, no slip aside; between knots, too, where the curve swings a little after a halt."""
    recording = recorded(name, 0)
    for journey in recording.journeys:
        t = np.arange(journey.from_ms, journey.to_ms(recording.step_ms) + 1, 50.0)
        x, y, heading, speed = positions(journey, recording.step_ms, t)
        assert speed.max() <= 45, journey.id
        dx, dy = np.diff(x), np.diff(y)
        if journey.label == "person":
            assert np.hypot(dx, dy).max() <= 0.05 * 4
            continue
        along = dx * np.cos(heading[:-1]) + dy * np.sin(heading[:-1])
        aside = np.abs(dy * np.cos(heading[:-1]) - dx * np.sin(heading[:-1]))
        assert along.min() >= -0.05, (journey.id, journey.label)
        assert np.all(aside <= 0.08 + 0.5 * np.abs(along)), (journey.id, journey.label)


@pytest.mark.parametrize("name", NAMES)
def test_traffic_flows_all_the_time(name):
    counts = [len(at(recorded(name, 1), t).index) for t in range(0, 300_000, 5000)]

    assert min(counts) >= 3
    assert max(counts) <= 250


@pytest.mark.parametrize("name", NAMES)
def test_every_place_has_incidents_that_really_happened(name):
    for seed in shipped()[name]:
        recording = recorded(name, seed)
        assert recording.staged, f"seed {seed} has none"
        for staged in recording.staged:
            assert staged.kind in KINDS
            assert 0 <= staged.from_ms < staged.to_ms <= recording.duration_ms
            assert staged.users
            for user in staged.users:
                journey = recording.by_id[user]
                assert journey.from_ms <= staged.to_ms
                assert journey.to_ms(recording.step_ms) >= staged.from_ms


@pytest.mark.parametrize("name", NAMES)
def test_who_is_told_to_have_stopped_stands(name):
    for seed in shipped()[name]:
        recording = recorded(name, seed)
        for staged in recording.staged:
            if staged.kind == "stopped_vehicle":
                t = np.arange(staged.from_ms + 1000, staged.to_ms - 1000, 200.0)
                _, _, _, speed = positions(recording.by_id[staged.users[0]], recording.step_ms, t)
                assert speed.max() < 0.5


def test_wrong_way_drivers_drive_against_everybody_else_on_their_carriageway():
    for seed in range(8):
        recording = recorded("motorway", seed)
        acted = {user for one in recording.staged for user in one.users}
        (one,) = (one for one in recording.staged if one.kind == "wrong_way")
        wrong = recording.by_id[one.users[0]]
        side = np.sign(np.median(wrong.y_m))
        others = [user for user in recording.journeys if user.id not in acted and np.all(np.sign(user.y_m) == side)]

        assert len(others) >= 50
        for user in others:
            assert np.cos(np.median(user.heading_rad) - wrong.heading_rad).max() < -0.95, (seed, user.id)
        assert np.all((np.abs(wrong.y_m) > 2) & (np.abs(wrong.y_m) < 15.8))  # on the road: its lanes or its shoulder
        _, _, _, speed = positions(wrong, recording.step_ms, np.arange(one.from_ms, one.to_ms, 200.0))
        assert speed.min() * 3.6 > 40


def test_who_nearly_collides_brakes_hard_or_crosses_the_other_ones_way():
    """Harder than 6.5 m/s2: no driver brakes so by choice, and dry asphalt gives no more than 10."""
    braked = crossed = 0
    for name in ("junction", "motorway", "stopline"):
        for recording in (recorded(name, seed) for seed in range(8)):
            for one in (one for one in recording.staged if one.kind == "near_collision"):
                t = np.arange(one.from_ms - 4000, one.to_ms + 4001, 200.0)
                ways = [positions(recording.by_id[user], recording.step_ms, t) for user in one.users]
                hardest = min(np.nanmin(np.diff(speed)) / 0.2 for *_, speed in ways)
                crosses = np.nanmax(np.abs(np.sin(ways[0][2] - ways[1][2]))) > 0.3
                assert hardest > -10, (name, recording.seed, one)
                assert hardest < -6.5 or crosses, (name, recording.seed, one)
                braked += hardest < -6.5
                crossed += bool(crosses)
    assert braked >= 18
    assert crossed >= 4


def test_the_motorway_is_as_fast_as_motorways_are():
    """Cars 80 to 130 km/h and lorries 70 to 90, but for a few behind who stopped or brakes; cars are the faster ones."""
    typical = {"car": [], "truck": []}
    for seed in range(8):
        recording = recorded("motorway", seed)
        acted = {user for one in recording.staged for user in one.users}
        for user in recording.journeys:
            if user.label in typical and user.id not in acted:
                t = np.arange(user.from_ms, user.to_ms(recording.step_ms) + 1, 200.0)
                typical[user.label].append(float(np.median(positions(user, recording.step_ms, t)[3])) * 3.6)
    cars, lorries = (np.array(typical[label]) for label in ("car", "truck"))

    assert np.mean((cars >= 80) & (cars <= 130)) > 0.93
    assert np.mean((lorries >= 70) & (lorries <= 91)) > 0.93
    assert 100 <= np.median(cars) <= 115
    assert 80 <= np.median(lorries) <= 90


def test_plans_come_again_in_every_further_period_that_begins():
    stops = StagedPlan(kind="stopped_vehicle", at_s=20, lasts_s=9, details={"users": "double *", "place_m": 3})
    once = StagedPlan(kind="near_collision", at_s=50, lasts_s=9, details={"users": "runner *"}, repeats=False)

    assert list(repeated((stops, once), 300)) == [stops, once]
    assert [(plan.at_s, plan.details["users"]) for plan in repeated((stops, once), 601)] == [
        (20, "double *"), (50, "runner *"), (320, "double_1 *"), (620, "double_2 *"),
    ]  # fmt: skip
    assert [plan.details["place_m"] for plan in repeated((stops,), 601)] == [3, 3, 3]


def test_seeds_differ():
    assert len({len(recorded("motorway", seed).journeys) for seed in range(8)}) >= 6


def test_the_motorway_flows_as_its_demand_says():
    """1500 to 3000 vehicles an hour on each carriageway, give or take what chance does in five minutes."""
    for seed in range(8):
        for crossed in crossings("motorway", seed).values():
            assert 1500 * 0.75 <= len(crossed) * 12 <= 3000 * 1.25


def test_the_queue_at_the_stop_line_grows_and_clears():
    for seed in range(8):
        recording, queue = recorded("stopline", seed), []
        for t in range(0, 300_000, 1000):
            now = at(recording, t)
            lane = (now.x_m > -120) & (now.x_m < 1) & (now.y_m < 0) & (now.y_m > -7)
            queue.append(np.count_nonzero(lane & (now.speed_ms < 2)))
        assert max(queue) >= 8
        assert min(queue) == 0
        grown = sum(1 for before, after in zip(queue[:-15], queue[15:], strict=True) if after >= before + 4)
        assert grown >= 4
