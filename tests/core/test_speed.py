import math
import time

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.calibration import fitted
from pipeline.core.health import HealthMemory
from pipeline.core.model import (
    Anchor,
    Calibration,
    CameraId,
    Clock,
    Crossing,
    Detections,
    Flow,
    Header,
    HealthState,
    KnownPose,
    Line,
    LiveTracks,
    Opened,
    Record,
    Scene,
    Size,
    Speed,
    SpeedTrap,
)
from pipeline.core.scene import Memory, ScenePolicy, finish, observe
from pipeline.core.speed import Motion, SpeedPolicy, Spot, estimates, mean_and_median

SIZE = Size(1280, 720)
POSE = KnownPose(height_m=9, tilt_deg=12, focal_px=1150, height_sd_m=0, tilt_sd_deg=0, roll_sd_deg=0, focal_sd=0)
SCENE = Scene(
    drawn_on=SIZE,
    revision=1,
    lines=[Line(name="far", start=(0, 0.38), end=(1, 0.38)), Line(name="near", start=(0, 0.62), end=(1, 0.62))],
    calibration=Calibration(pose=POSE),
)
PLANE = fitted(SCENE.calibration, SIZE)
APART_M = float(np.subtract(*PLANE.to_ground(np.array([(0.5, 0.38), (0.5, 0.62)]))[:, 1]))
POLICY = SpeedPolicy()


def road(kmh, *, fps=10, scene=SCENE, wobble=0.0, seed=0, x_m=3.0, from_m=90.0, until_m=16.0, cars=1, mirrored=False):
    """The log of cars that drive towards the camera one behind another."""
    chance, records, seq = np.random.default_rng(seed), [], 0

    def put(body, at):
        nonlocal seq
        header = Header(
            log="l", camera=CameraId("c"), shard=0, epoch=1, seq=seq, captured_ms=at, clock=Clock.PTS, size=SIZE, source_size=SIZE
        )  # fmt: skip
        records.append(Record(header, body))
        seq += 1

    put(Opened(source_size=SIZE, clock=Clock.PTS, fps=fps), 0)
    put(scene, 0)
    plane = fitted(SCENE.calibration, SIZE)
    last = (from_m - until_m + 40 * (cars - 1)) / (kmh / 3.6) if kmh else 8
    for n in range(int(last * fps)):
        rows = []
        for car in range(cars):
            y = from_m + 40 * car - kmh / 3.6 * n / fps
            if not until_m < y < 110:
                continue
            (x, foot), (right, _) = plane.to_picture(np.array([(x_m, y), (x_m + 0.9, y)])).tolist()
            half = right - x
            high = 2 * half * SIZE.aspect * 0.85
            foot += wobble * high * chance.normal()
            rows.append((x - half, foot - high, x + half, foot))
        x1, y1, x2, y2 = (list(c) for c in zip(*rows, strict=True)) if rows else ([], [], [], [])
        if mirrored:
            x1, x2 = [1 - v for v in x2], [1 - v for v in x1]
        score, label = [0.9] * len(rows), ["car"] * len(rows)
        put(Detections(x1=x1, y1=y1, x2=x2, y2=y2, score=score, label=label), round(n * 1000 / fps))
    return records


def outputs(records, policy=None):
    memory, out = Memory(camera=CameraId("c")), []
    for record in records:
        observed = observe(memory, record, policy or ScenePolicy())
        memory = observed.memory
        out += observed.outputs
    return out, memory


def crossings(records):
    return [o for o in outputs(records)[0] if isinstance(o, Crossing)]


@pytest.mark.parametrize("fps", [5, 10, 25])
@pytest.mark.parametrize("kmh", [15, 50, 130])
def test_a_crossing_tells_the_speed_of_a_car_at_any_rate(kmh, fps):
    found = crossings(road(kmh, fps=fps))

    assert [c.line for c in found] == ["far", "near"]
    assert [c.speed_kmh for c in found] == pytest.approx([kmh] * 2, rel=0.03)
    assert all(0 < c.speed_sd_kmh < 0.15 * kmh + 2 for c in found)


def test_a_mirrored_picture_tells_the_same_speed():
    (a, b), (c, d) = crossings(road(60)), crossings(road(60, mirrored=True))

    assert (c.speed_kmh, d.speed_kmh) == pytest.approx((a.speed_kmh, b.speed_kmh), rel=1e-3)


def test_without_a_calibration_a_crossing_has_no_speed_and_the_memory_holds_nothing_of_it():
    out, memory = outputs(road(60, scene=msgspec.structs.replace(SCENE, calibration=None)))

    assert [o.speed_kmh for o in out if isinstance(o, Crossing)] == [None, None]
    assert memory.motions == {}


def test_outside_the_polygon_of_the_calibration_no_speed_is_told():
    near = [(0.0, 0.5), (1.0, 0.5), (1.0, 1.0), (0.0, 1.0)]
    calibration = msgspec.structs.replace(SCENE.calibration, valid=near)
    far, close = crossings(road(60, scene=msgspec.structs.replace(SCENE, calibration=calibration)))

    assert far.speed_kmh is None
    assert close.speed_kmh == pytest.approx(60, rel=0.03)


@pytest.mark.parametrize("anchor", [Anchor.CENTRE, Anchor.TOP])
def test_a_speed_is_that_of_the_wheels_wherever_on_its_box_a_car_is_held_against_lines(anchor):
    """On the plane lies its foot, not the anchor: where that crosses, speeds are not measured any more."""
    road_only = [(0.0, 0.63), (1.0, 0.63), (1.0, 1.0), (0.0, 1.0)]
    calibration = msgspec.structs.replace(SCENE.calibration, valid=road_only)
    near = SCENE.lines[1]
    scene = msgspec.structs.replace(SCENE, calibration=calibration, anchors={"car": anchor}, lines=[near])
    (found,) = crossings(road(60, scene=scene, until_m=12.0))

    assert found.speed_kmh == pytest.approx(60, rel=0.03)


def unwell(scene):
    """What is told of a road while the camera looks elsewhere."""
    memory = Memory(camera=CameraId("c"), log="l", health=HealthMemory(state=HealthState.MOVED))
    out = []
    for record in road(60, scene=scene):
        observed = observe(memory, record, ScenePolicy())
        memory, out = observed.memory, out + observed.outputs
    return [*out, *finish(memory, ScenePolicy())[1]]


def test_speeds_of_a_camera_that_is_not_well_are_not_valid_and_in_no_window_and_no_picture():
    traps = TRAPPED.speed_traps
    out = unwell(msgspec.structs.replace(SCENE, speed_traps=traps))

    assert [(type(o), o.valid) for o in out if isinstance(o, Speed | Crossing)] == [
        (Crossing, False), (Crossing, False), (Speed, False),
    ]  # fmt: skip
    assert not [speed for o in out if isinstance(o, Flow) for line in o.lines for speed in line.speeds]
    assert not [t for o in out if isinstance(o, LiveTracks) for t in o.tracks if t.speed_kmh is not None]


def test_a_speed_that_is_not_known_well_enough_is_not_told():
    unsure = Calibration(pose=msgspec.structs.replace(POSE, height_sd_m=3.0))

    assert [c.speed_kmh for c in crossings(road(60, scene=msgspec.structs.replace(SCENE, calibration=unsure)))] == [
        None
    ] * 2


def test_doubt_of_the_calibration_is_in_the_doubt_of_the_speed():
    height = Calibration(pose=msgspec.structs.replace(POSE, height_sd_m=0.9))  # a tenth: lengths are a tenth unsure
    exact, doubtful = (
        crossings(road(60, scene=msgspec.structs.replace(SCENE, calibration=c)))[1] for c in (SCENE.calibration, height)
    )

    assert doubtful.speed_sd_kmh == pytest.approx(math.hypot(exact.speed_sd_kmh, 6.0), rel=0.05)


def test_boxes_that_the_picture_cuts_are_left_out():
    """A car leaves through the lower edge: what is left of its box stands still there."""
    records = road(50, until_m=8.0)
    for n, record in enumerate(records):
        if isinstance(record.body, Detections):
            body = msgspec.structs.replace(record.body, y2=[min(1.0, y) for y in record.body.y2])
            records[n] = Record(record.header, body)
    shown = [t for o in outputs(records)[0] if isinstance(o, LiveTracks) for t in o.tracks if t.speed_kmh is not None]

    assert len(shown) > 20
    assert all(t.speed_kmh == pytest.approx(50, rel=0.06) for t in shown[5:])


def noisy(chance, at_s, kmh):
    """Spots of a car that drives away; its errors are alike for a while, as the policy believes."""
    sd = 0.3
    apart = np.abs(at_s[:, None] - at_s)
    p = POLICY
    alike = p.habit + p.slow * np.exp(-apart / p.slow_s) + p.quick * np.exp(-apart / p.quick_s)
    alike[np.diag_indices(len(at_s))] = 1.0
    off = np.linalg.cholesky(alike + 1e-9 * np.eye(len(at_s))) @ chance.normal(0, sd, len(at_s))
    y = 30 + kmh / 3.6 * at_s + off
    return Motion([Spot(t * 1000, 2.0, v, 0.01, 0.0, sd**2, 1) for t, v in zip(at_s, y.tolist(), strict=True)])


@pytest.mark.parametrize("fps", [5, 8])
def test_the_stated_doubt_of_straight_motion_covers_as_often_as_it_says(fps):
    chance = np.random.default_rng(5)
    at_s = np.arange(0, 2.0, 1 / fps)
    cars = [noisy(chance, at_s, 80.0) for _ in range(600)]
    frank = msgspec.structs.replace(POLICY, worst_share=10.0, aslant=0.0, acceleration=0.5)

    told = estimates(cars, [1000.0] * len(cars), PLANE, 0.0, frank)

    off = np.array([(e.kmh - 80.0) / e.sd_kmh for e in told])
    assert np.mean(np.abs(off) < 1) == pytest.approx(0.68, abs=0.07)
    assert np.mean(np.abs(off) < 2) == pytest.approx(0.95, abs=0.03)


def test_one_wild_box_hardly_moves_a_speed():
    at_s = np.arange(0, 2.0, 0.125)
    spots = [Spot(t * 1000, 2.0, 30 + 20 * t, 0.01, 0.0, 0.04, 1) for t in at_s.tolist()]
    wild = [*spots[:-2], msgspec.structs.replace(spots[-2], y=spots[-2].y + 6), spots[-1]]

    (told,) = estimates([Motion(wild)], [1000.0], PLANE, 0.0, POLICY)

    assert told.kmh == pytest.approx(72, abs=3)


TRAPPED = Scene(
    drawn_on=SIZE, revision=1, lines=SCENE.lines, speed_traps=[SpeedTrap(name="run", start="far", end="near", metres=APART_M)]
)  # fmt: skip


@pytest.mark.parametrize("kmh", [30, 90])
@pytest.mark.parametrize("turned", [False, True])
def test_two_lines_tell_the_speed_either_way_without_a_calibration(kmh, turned):
    trap = TRAPPED.speed_traps[0]
    trap = msgspec.structs.replace(trap, start="near", end="far") if turned else trap
    out, _ = outputs(road(kmh, scene=msgspec.structs.replace(TRAPPED, speed_traps=[trap])))
    (speed,) = [o for o in out if isinstance(o, Speed)]
    far, near = [o for o in out if isinstance(o, Crossing)]

    assert speed.speed_kmh == pytest.approx(kmh, rel=0.03)
    assert 0 < speed.speed_sd_kmh < 0.15 * kmh
    assert (speed.from_line, speed.line, speed.direction) == ("far", "near", near.direction)
    assert speed.seconds == pytest.approx((near.captured_ms - far.captured_ms) / 1000)
    assert speed.id == f"{near.id}/run"


def test_a_distance_that_is_not_well_known_makes_a_trap_unsure():
    trap = msgspec.structs.replace(TRAPPED.speed_traps[0], sd_m=0.1 * APART_M)
    (speed,) = [
        o
        for o in outputs(road(60, scene=msgspec.structs.replace(TRAPPED, speed_traps=[trap])))[0]
        if isinstance(o, Speed)
    ]

    assert speed.speed_sd_kmh == pytest.approx(6.0, rel=0.2)


def test_a_box_that_runs_ahead_of_its_track_makes_a_trap_unsure():
    """In the picture in which the second crossing is told, the box lies farther ahead than boxes wobble."""
    records = road(60, scene=TRAPPED)
    memory, at, even = Memory(camera=CameraId("c")), 0, []
    while not even:
        observed = observe(memory, records[at], ScenePolicy())
        memory, at = observed.memory, at + 1
        even = [o for o in observed.outputs if isinstance(o, Speed)]
    seen = records[at - 1].body
    ahead = 0.3 * (seen.y2[0] - seen.y1[0])
    lower = msgspec.structs.replace(seen, y1=[seen.y1[0] + ahead], y2=[seen.y2[0] + ahead])
    records[at - 1] = msgspec.structs.replace(records[at - 1], body=lower)

    (speed,) = [o for o in outputs(records)[0] if isinstance(o, Speed)]

    assert speed.speed_kmh == pytest.approx(60, rel=0.05)
    assert speed.speed_sd_kmh > 1.05 * even[0].speed_sd_kmh, "its pace seems greater, and so its time better known"


def test_a_flow_window_tells_how_fast_by_line_and_direction():
    records = road(60, cars=4)
    records.append(
        msgspec.structs.replace(
            records[-1], header=msgspec.structs.replace(records[-1].header, seq=9999, captured_ms=70_000)
        )
    )
    flow = next(o for o in outputs(records)[0] if isinstance(o, Flow))

    (fast,) = next(line for line in flow.lines if line.line == "near").speeds
    assert fast.speeds == 4
    assert (fast.mean_kmh, fast.median_kmh) == pytest.approx((60, 60), rel=0.03)


@given(st.lists(st.floats(0, 200), max_size=9))
def test_mean_and_median_lie_within_and_nothing_has_none(speeds):
    mean, median = mean_and_median(speeds)

    assert (mean is None) == (median is None) == (not speeds)
    if speeds:
        assert min(speeds) - 0.01 <= mean <= max(speeds) + 0.01
        assert sum(v <= median + 0.01 for v in speeds) * 2 >= len(speeds)


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 99))
def test_a_memory_that_was_stored_anywhere_goes_on_bit_for_bit(seed):
    records = road(60, wobble=0.02, seed=seed)
    cut = seed % len(records)
    straight, _ = outputs(records)
    _, memory = outputs(records[:cut])
    memory = msgspec.json.decode(msgspec.json.encode(memory), type=Memory)
    rest = []
    for record in records[cut:]:
        observed = observe(memory, record, ScenePolicy())
        memory, rest = observed.memory, rest + observed.outputs

    assert msgspec.json.encode(rest) == msgspec.json.encode(straight[len(straight) - len(rest) :])


def test_the_memory_of_a_car_that_stands_for_long_stays_bounded():
    _, memory = outputs(road(0, fps=25, from_m=40))

    (motion,) = memory.motions.values()
    assert len(motion.spots) <= POLICY.window_ms / POLICY.bin_ms + 1


def test_a_car_that_stands_goes_0():
    out, _ = outputs(road(0, from_m=30, wobble=0.01))

    shown = [t for o in out if isinstance(o, LiveTracks) for t in o.tracks if t.speed_kmh is not None]
    assert shown
    assert max(t.speed_kmh for t in shown) < 3


def test_speeds_of_many_cars_cost_little():
    """Twenty cars at once: well below a millisecond for each picture, beside what following them costs."""
    at_s = np.arange(0, 2.0, 0.125)
    cars = [noisy(np.random.default_rng(n), at_s, 50.0) for n in range(20)]
    estimates(cars, [1000.0] * 20, PLANE, 0.0, POLICY)
    spent = []
    for _ in range(9):
        begun = time.process_time()
        estimates(cars, [1000.0] * 20, PLANE, 0.0, POLICY)
        spent.append(time.process_time() - begun)

    assert min(spent) < 0.02  # made anew five times a second, not for each picture
