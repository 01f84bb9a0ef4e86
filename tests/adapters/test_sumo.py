"""SUMO: what it says becomes journeys, incidents are what really happened, errors are one clear line."""

import dataclasses
import functools
import importlib
import math
import re

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.sumo import MISSING, record
from pipeline.adapters.sumo.acting import acted
from pipeline.adapters.sumo.happened import happened, time_to_collision_s
from pipeline.adapters.sumo.messages import Plan, User, label_of
from pipeline.adapters.sumo.ways import apart, boxes, footprints, journey_of
from pipeline.core.model import Size
from pipeline.errors import Fatal
from pipeline.simulate.camera import Lens, Pinhole, Pose
from pipeline.simulate.journeys import Journey, positions, recorded, write
from pipeline.simulate.scenario import Scenario, StagedPlan, Traffic
from pipeline.simulate.scenarios import SCENARIOS, scenario

STEP_MS = 200
ARMS = {"a": "west", "b": "east"}


@pytest.fixture(scope="module")
def sumo():
    if importlib.util.find_spec("libsumo") is None:
        pytest.skip("SUMO is asked for: make setup EXTRAS=dev,simulate")


def user(x, y, compass=90.0, **changes):
    x, y, compass = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float), np.asarray(compass, float))
    told = {
        "name": "u", "vtype": "any", "vclass": "passenger", "length_m": 4.0, "width_m": 1.8, "height_m": 1.5,
        "start": "a", "end": "b", "first": 5, "x_m": x.tolist(), "y_m": y.tolist(), "compass_deg": compass.tolist(),
    }  # fmt: skip
    return User(**(told | changes))


def way(told, area_m=None):
    return journey_of(told, 7, step_ms=STEP_MS, arms=ARMS, area_m=area_m)


def journey(x, y=0.0, heading=0.0, *, number=1, label="car", from_ms=0, size=(4.0, 2.0, 1.5)):
    x, y, heading = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float), np.asarray(heading, float))
    return Journey(number, label, *size, "west", "east", from_ms, x, y, heading)


def plan(kind, at_s=0.0, lasts_s=30.0, **details):
    return Plan(0, kind, at_s, lasts_s, details)


def came(made, *users, others=()):
    everybody = {one.id: one for one in (*users, *others)}
    return happened(made, users, everybody, step_ms=STEP_MS, duration_ms=60_000)


class TestWays:
    def test_the_place_is_the_middle_not_the_front(self):
        made = way(user(np.arange(10.0), 3.0))

        assert made.x_m == pytest.approx(np.arange(10.0) - 2.0)
        assert made.y_m == pytest.approx(np.full(10, 3.0))
        assert made.heading_rad == pytest.approx(0)
        assert (made.origin, made.destination, made.from_ms, made.label) == ("west", "east", 1000, "car")

    @pytest.mark.parametrize(
        ("compass", "heading"), [(0, math.pi / 2), (90, 0), (180, -math.pi / 2), (315, 3 / 4 * math.pi)]
    )
    def test_a_compass_becomes_a_heading(self, compass, heading):
        steps = np.arange(5.0)
        made = way(user(steps * math.cos(heading), steps * math.sin(heading), compass))

        assert np.cos(made.heading_rad - heading) == pytest.approx(1)

    def test_only_the_stay_in_the_area_is_kept(self):
        made = way(user(np.arange(0.0, 100.0, 5), 0.0), area_m=(20, -5, 61, 5))

        assert made.x_m.min() == 23
        assert made.x_m.max() == 58
        assert made.from_ms == 1000 + 5 * STEP_MS
        assert way(user(np.arange(10.0), 50.0), area_m=(0, -5, 61, 5)) is None

    def test_an_arm_that_has_no_name_keeps_its_edge(self):
        assert way(user([0, 1], 0.0, start="zz")).origin == "zz"

    @pytest.mark.parametrize(
        ("vtype", "vclass", "label"),
        [
            ("any", "passenger", "car"), ("any", "trailer", "truck"), ("any", "coach", "bus"), ("any", "tram", None),
            ("person_walker", "passenger", "person"), ("bicycle.slow", "passenger", "bicycle"), ("carter", "bus", "bus"),
        ],
    )  # fmt: skip
    def test_a_type_that_names_a_label_has_it_else_its_class_says(self, vtype, vclass, label):
        assert label_of(vtype, vclass) == label

    def test_a_long_vehicle_never_slips_aside_on_a_bend(self):
        turn = np.linspace(0, math.pi / 2, 40)
        x, y = np.concatenate(
            [[np.arange(-20, 0, 0.6), np.zeros(34)], [15 * np.sin(turn), 15 * (1 - np.cos(turn))]], axis=1
        )
        made = way(user(x, y, length_m=12.0))
        axle_x = made.x_m - 3 * np.cos(made.heading_rad)  # three quarters of its length behind the front
        axle_y = made.y_m - 3 * np.sin(made.heading_rad)
        middle = (made.heading_rad[1:] + made.heading_rad[:-1]) / 2
        aside = -np.diff(axle_x) * np.sin(middle) + np.diff(axle_y) * np.cos(middle)

        assert np.abs(aside).max() < 0.02

    def test_who_parks_glides_into_the_gap(self):
        x = np.concatenate([np.arange(0, 20, 0.5), np.full(30, 20.0)])
        y = np.where(np.arange(len(x)) < 50, 0.0, 2.5)
        made = way(user(x, y))

        assert np.abs(np.diff(made.y_m)).max() < 0.3
        assert made.y_m[-1] == pytest.approx(2.5, abs=0.2)
        assert np.all(made.x_m[45:] == pytest.approx(18, abs=0.1))

    def test_who_leaves_a_gap_glides_out_of_it(self):
        x = np.concatenate([np.full(30, 0.0), np.arange(0, 30, 0.5)])
        made = way(user(x, np.where(np.arange(len(x)) < 20, 2.5, 0.0)))

        assert np.abs(np.diff(made.y_m)).max() < 0.3
        assert made.y_m[0] == pytest.approx(2.5)
        assert made.y_m[-1] == pytest.approx(0, abs=0.05)

    def test_who_walks_is_calmed_and_faces_its_way(self):
        made = way(user(np.arange(0, 12, 0.28), np.where(np.arange(43) < 20, 0.0, 0.6), 0.0, vclass="pedestrian"))

        assert made.label == "person"
        assert np.abs(np.diff(made.y_m)).max() < 0.15
        assert np.abs(made.heading_rad).max() < 0.6

    @given(st.floats(-9, 9), st.floats(-9, 9), st.floats(-3, 3), st.floats(-3, 3))
    def test_two_footprints_are_apart_the_same_from_both_sides(self, x, y, turn, other):
        one = boxes(np.array([0.0]), np.array([0.0]), np.array([turn]), 4, 2)
        two = boxes(np.array([x]), np.array([y]), np.array([other]), 6, 2)

        assert apart(one, two) == pytest.approx(apart(two, one), abs=1e-9)
        assert (apart(one, two)[0] <= 0) == any(
            _inside(corner, shape) for a, shape in ((one, two), (two, one)) for corner in _spread(a[0])
        ) or abs(apart(one, two)[0]) < 0.1

    def test_a_footprint_is_nan_when_its_user_is_away(self):
        shape = footprints(journey([0, 1, 2], from_ms=400), STEP_MS, np.array([0.0, 400.0, 800.0, 1000.0]))

        assert np.isnan(shape[:, 0, 0]).tolist() == [True, False, False, True]
        assert shape[1, 0] == pytest.approx([2, 1])


def _spread(corners):
    """Points all over a rectangle."""
    share = np.linspace(0, 1, 41)
    u, v = np.meshgrid(share, share)
    a, b, _, d = corners
    return (a + u[..., None] * (b - a) + v[..., None] * (d - a)).reshape(-1, 2)


def _inside(point, shape):
    a, b, _, d = shape[0]
    u, v = b - a, d - a
    return 0 <= (point - a) @ u <= u @ u and 0 <= (point - a) @ v <= v @ v


class TestActing:
    def test_it_comes_when_it_touches_nobody(self):
        queue = journey(np.linspace(-100, 100, 101), from_ms=0)  # passes (0, 0) at 10 s
        made = acted(
            plan("pedestrian_on_road", 8, 30, path="0,-5 0,5"), 9, (queue,), step_ms=STEP_MS, duration_ms=60_000
        )

        assert made.label == "person"
        assert made.from_ms >= 8000
        times = made.from_ms + STEP_MS * np.arange(len(made.x_m))
        gap = apart(footprints(made, STEP_MS, times), footprints(queue, STEP_MS, times))
        assert np.nanmin(gap) >= 0.4

    def test_where_somebody_always_stands_it_never_comes(self):
        stands = journey(np.zeros(400))

        assert acted(plan("wrong_way", path="-20,0 20,0"), 9, (stands,), step_ms=STEP_MS, duration_ms=60_000) is None

    def test_it_keeps_its_speed_and_rounds_corners(self):
        made = acted(
            plan("u_turn", path="0,0 30,0 30,8 0,8", speed_kmh=18.0), 9, (), step_ms=STEP_MS, duration_ms=60_000
        )

        assert np.hypot(np.diff(made.x_m), np.diff(made.y_m)) == pytest.approx(1.0, abs=0.02)
        assert np.abs(np.diff(made.heading_rad)).max() < 0.4
        assert made.heading_rad[-1] == pytest.approx(math.pi, abs=0.01)
        assert came(plan("u_turn"), made).users == (9,)

    @pytest.mark.parametrize("path", ["", "0,0", "0,0 1", "a,b c,d", "0,0 1,1,1"])
    def test_a_path_that_is_none_is_said(self, path):
        with pytest.raises(Fatal, match="staged wrong_way has no path"):
            acted(plan("wrong_way", path=path), 9, (), step_ms=STEP_MS, duration_ms=60_000)


class TestHappened:
    def test_a_stop_is_as_long_as_it_stands(self):
        x = np.concatenate([np.arange(0, 20, 1.0), np.full(100, 20.0), np.arange(20, 40, 1.0)])
        told = came(plan("stopped_vehicle", at_s=1, lasts_s=20), journey(x))

        assert told.from_ms == pytest.approx(4000, abs=400)
        assert told.to_ms == pytest.approx(24_000, abs=400)
        assert (told.x_m, told.users) == (20, (1,))

    def test_who_never_stood_did_not_stop(self):
        assert came(plan("stopped_vehicle", lasts_s=20), journey(np.arange(100.0))) is None

    def test_a_user_that_drove_on_made_no_u_turn(self):
        assert came(plan("u_turn"), journey(np.arange(100.0))) is None

    def test_a_pair_that_closed_too_fast_nearly_collided(self):
        t = np.arange(0, 20, 0.2)
        leader = journey(np.where(t < 5, 15 * t, 75 + 3 * (t - 5)))
        follower = journey(np.minimum(15 * t - 20, 70 + 3 * (t - 5.8)), number=2)
        told = came(plan("near_collision", at_s=2), leader, follower)
        times, left = time_to_collision_s(leader, follower, STEP_MS)

        assert told.users == (1, 2)
        assert np.all(left[(times >= told.from_ms) & (times <= told.to_ms)] < 1.5)
        assert 5000 <= told.from_ms < told.to_ms <= 7000

    def test_a_pair_that_kept_its_distance_did_not(self):
        assert came(plan("near_collision"), journey(np.arange(50.0)), journey(np.arange(50.0) - 30, number=2)) is None

    def test_a_pair_that_touched_is_no_near_miss(self):
        assert came(plan("near_collision"), journey(np.full(50, 30.0)), journey(np.arange(50.0), number=2)) is None

    def test_who_crosses_just_before_another_nearly_collided(self):
        hasty = journey(0.0, np.arange(-20, 20, 1.0), math.pi / 2)
        other = journey(np.arange(-27.0, 13.0, 1.0), 0.0, number=2)
        told = came(plan("near_collision"), hasty, others=(other, journey(np.full(40, 60.0), number=3)))

        assert told.users == (1, 2)
        assert told.to_ms - told.from_ms <= 4000
        assert came(plan("near_collision"), hasty, others=(journey(np.arange(-60.0, -20, 1.0), number=2),)) is None

    def test_a_spill_back_is_from_the_first_who_stands_there_to_the_last(self):
        stands = [np.concatenate([np.arange(-30, x, 1.0), np.full(100, x), np.arange(x, 40, 1.0)]) for x in (0.0, -9.0)]
        first, second = (journey(x, number=number) for number, x in enumerate(stands))
        made = plan("spill_back", at_s=1, x_m=0.0, y_m=0.0, radius_m=5.0)

        assert came(made, others=(first, second)).users == (0,)
        assert came(
            msgspec.structs.replace(made, details={**made.details, "radius_m": 12.0}), others=(first, second)
        ).users == (0, 1)
        assert came(made, others=(second,)) is None


def place(demand="<routes/>", *, staged=(), **traffic):
    """A straight road of 300 m."""
    nodes = '<nodes><node id="w" x="0" y="0"/><node id="m" x="150" y="0"/><node id="e" x="300" y="0"/></nodes>'
    edges = '<edges><edge id="a" from="w" to="m" numLanes="1"/><edge id="b" from="m" to="e" numLanes="1"/></edges>'
    return Scenario(
        name="straight",
        title="A straight road",
        traffic=Traffic(
            **{"nodes": nodes, "edges": edges, "arms": ARMS, "demand": lambda _seed, _until_s: demand, "warm_up_s": 4.0,
               "staged": lambda _seed: staged} | traffic
        ),
        camera=Pinhole(
            pose=Pose(x_m=0, y_m=0, z_m=8, heading_rad=0, tilt_rad=0.25), lens=Lens(size=Size(1280, 720), focal_px=900)
        ),
        lines={},
    )  # fmt: skip


ONE_CAR = """<routes><vType id="c" vClass="passenger" sigma="0" length="4" maxSpeed="10"/><route id="r" edges="a b"/>
<vehicle id="x" type="c" route="r" depart="0" departSpeed="10"/></routes>"""


def test_without_sumo_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(Fatal) as told:
        record(place(), 1)

    assert str(told.value) == MISSING
    assert "make setup EXTRAS=dev,simulate" in MISSING


@functools.cache
def twenty_minutes(name):
    return record(scenario(name), 1, duration_s=1200)


@pytest.mark.usefixtures("sumo")
class TestWithSumo:
    def test_one_car_drives_as_it_must(self):
        made = record(place(ONE_CAR), 1, duration_s=8)

        (car,) = made.journeys
        assert (car.label, car.origin, car.destination, car.from_ms, car.length_m) == ("car", "west", "east", 0, 4)
        assert car.to_ms(made.step_ms) == 8000
        _, y, _, speed = positions(car, made.step_ms, np.array([4000.0]))
        assert speed == pytest.approx(10, abs=0.1)
        assert y == pytest.approx(-1.6, abs=0.1)  # the right-hand lane
        assert car.x_m[0] == pytest.approx(42 - 4, abs=2.5)  # 4 s at 10 m/s, its front enters at 4 m

    @pytest.mark.parametrize("name", sorted(SCENARIOS))
    def test_recording_a_piece_anew_gives_what_is_shipped(self, name):
        """But for its last seconds: what comes after them smooths them."""
        piece, whole = record(scenario(name), 2, duration_s=12), recorded(name, 2)

        assert len(piece.journeys) >= 10
        for one in piece.journeys:
            other = whole.by_id[one.id]
            knots = max(0, (9000 - one.from_ms) // STEP_MS)
            assert dataclasses.astuple(one)[:8] == dataclasses.astuple(other)[:8]
            assert one.x_m[:knots] == pytest.approx(other.x_m[:knots], abs=0.011)
            assert one.y_m[:knots] == pytest.approx(other.y_m[:knots], abs=0.011)

    @pytest.mark.parametrize("name", sorted(SCENARIOS))
    def test_traffic_and_incidents_go_on_to_the_end_of_a_long_recording(self, name):
        place, whole, short = scenario(name), twenty_minutes(name), recorded(name, 1)
        last_minute = [one.label for one in whole.journeys if one.from_ms >= 1_140_000]
        last_period = [one for one in whole.staged if one.from_ms >= 900_000]

        assert len([label for label in last_minute if label != "person"]) >= 6
        assert ("person" in last_minute) == (name in {"junction", "street"})
        assert {one.kind for one in last_period} <= {one.kind for one in short.staged}
        assert last_period
        for one in short.staged:  # the same at the beginning, and where it came again, an incident of a period later
            assert (one.kind, one.from_ms) in {(kind.kind, kind.from_ms) for kind in whole.staged}
        for one in last_period:
            assert any(
                plan.kind == one.kind and -1 <= one.from_ms / 1000 - plan.at_s - 900 <= plan.lasts_s + 60
                for plan in place.traffic.staged(1)
            ), one

    @pytest.mark.parametrize("name", sorted(SCENARIOS))
    def test_a_longer_recording_begins_as_what_is_shipped(self, name):
        """But for its last seconds: what comes after them smooths them."""
        longer, short = twenty_minutes(name), recorded(name, 1)
        drawn = {user for one in short.staged for user in one.users}  # ways that were drawn have ids after all others
        users = [one for one in short.journeys if one.id not in drawn and one.from_ms < 298_000]

        assert len(users) >= 100
        for one in users:
            other = longer.by_id[one.id]
            knots = min(len(one.x_m), (298_000 - one.from_ms) // STEP_MS)
            assert (other.label, other.from_ms) == (one.label, one.from_ms)
            assert other.x_m[:knots] == pytest.approx(one.x_m[:knots], abs=0.011)

    def test_buses_and_parking_cars_go_on_with_the_street(self):
        demand = scenario("street").traffic.demand(2, 120 + 3600)

        for kind in ("bus", "parks"):
            departs = [float(at) for at in re.findall(rf'id="{kind}_\d+"[^>]* depart="([\d.]+)"', demand)]
            assert departs == sorted(departs)
            assert 3600 <= departs[-1] <= 3720 + 420
            assert np.diff(departs).max() < 180

    def test_the_seed_is_all_that_chance_hangs_on(self):
        street = scenario("motorway")
        one, same, other = (record(street, seed, duration_s=3) for seed in (5, 5, 6))

        assert write(one) == write(same)
        assert write(one) != write(other)

    def test_progress_is_told_from_the_warm_up_to_the_end(self):
        told = []
        record(place(ONE_CAR), 1, duration_s=5, progress=told.append)

        assert told == sorted(told)
        assert told[0] < 0
        assert told[-1] >= 4

    def test_a_stop_is_made_and_told_as_it_happened(self):
        stop = StagedPlan(kind="stopped_vehicle", at_s=0, lasts_s=12, details={"edge": "a", "lane": 0, "pos_m": 120.0})
        made = record(place(ONE_CAR, staged=(stop,)), 1, duration_s=30)

        (staged,) = made.staged
        assert staged.x_m == pytest.approx(118, abs=1)
        assert staged.to_ms - staged.from_ms == pytest.approx(12_000, abs=1000)

    def test_a_plan_that_nobody_could_follow_is_no_incident(self):
        stop = StagedPlan(kind="stopped_vehicle", at_s=0, lasts_s=12, details={"edge": "a", "lane": 0, "pos_m": 20.0})

        assert record(place(ONE_CAR, staged=(stop,)), 1, duration_s=10).staged == ()

    @pytest.mark.parametrize(
        ("broken", "message"),
        [
            ({"edges": '<edges><edge id="a" from="w" to="nowhere"/></edges>'}, "netconvert refuses.*straight.*nowhere"),
            ({"nodes": "<nodes><node"}, "netconvert refuses the roads of scenario straight"),
            ({"demand": ONE_CAR.replace("a b", "a zz")}, "SUMO cannot simulate scenario straight.*zz"),
            ({"demand": "<routes><"}, "SUMO cannot simulate scenario straight"),
            ({"words": ("--no-such-word", "1")}, "SUMO cannot simulate scenario straight"),
        ],
    )
    def test_what_sumo_refuses_is_one_clear_line(self, broken, message):
        with pytest.raises(Fatal, match=message) as told:
            record(place(**broken), 1, duration_s=2)

        assert "\n" not in str(told.value)
        assert "Traceback" not in str(told.value)

    def test_an_unknown_kind_of_incident_is_said_before_anything_runs(self):
        with pytest.raises(Fatal, match=r"stages \['flood'\]; known kinds: stopped_vehicle"):
            record(place(staged=(StagedPlan(kind="flood", at_s=0, lasts_s=1),)), 1)
