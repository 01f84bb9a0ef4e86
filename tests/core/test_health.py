import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.health import HealthMemory, HealthPolicy, judge, measure, unheard
from pipeline.core.model import (
    THUMB,
    Crossing,
    Flow,
    Health,
    HealthChange,
    HealthState,
    Line,
    Opened,
    Speed,
    SpeedTrap,
)
from pipeline.core.scene import Memory
from tests.core.road import SCENE, SIZE, Log, Vehicle, look, run

POLICY = HealthPolicy()
HEIGHT, WIDTH = 90, 160
MINUTE = 60


def place(seed=1):
    """A still scene of blocks."""
    chance = np.random.default_rng(seed)
    blocks = chance.integers(30, 220, (18, 32)).astype(np.float64)
    return np.kron(blocks, np.ones((HEIGHT // 18, WIDTH // 32)))


HERE, THERE = place(), place(2)


def shot(scene, n, *, noise=0.5):
    """The n-th picture of a scene: no two have the same noise."""
    chance = np.random.default_rng(n)
    return np.clip(scene + chance.normal(0, noise, scene.shape), 0, 255).astype(np.uint8)


def moved(scene, across=0.0, down=0.0):
    return np.roll(scene, (round(down * HEIGHT), round(across * WIDTH)), (0, 1))


def covered(scene, share=0.5):
    out = scene.copy()
    out[:, : round(share * WIDTH)] = 60
    return out


def told(pictures, memory=None, step_ms=1000):
    """(second, state, since) of each change, and the memory after all."""
    memory, before, changes = memory or HealthMemory(), None, []
    for n, picture in enumerate(pictures):
        judged = judge(memory, measure(picture, before), n * step_ms, aspect=WIDTH / HEIGHT, policy=POLICY)
        memory, before = judged.memory, picture
        if judged.since_ms is not None:
            changes.append((n, memory.state, judged.since_ms // 1000))
    return changes, memory


def well(seconds, scene=HERE, first=0):
    return [shot(scene, first + n) for n in range(seconds)]


def test_a_thumbnail_has_the_mean_of_every_cell_whatever_the_size():
    for height, width in ((360, 640), (288, 352), (27, 48), (20, 30), (2, 2)):
        grey = np.full((height, width), 93, np.uint8)

        assert set(measure(grey, None).thumb) == {93}
    half = np.zeros((270, 480), np.uint8)
    half[:, 240:] = 200
    thumb = np.frombuffer(measure(half, None).thumb, np.uint8).reshape(THUMB.height, THUMB.width)
    assert set(thumb[:, :24].ravel()) == {0}
    assert set(thumb[:, 24:].ravel()) == {200}


def test_a_thumbnail_of_another_size_is_refused():
    with pytest.raises(ValueError, match="48x27"):
        Health(brightness=1, contrast=1, sharpness=1, difference=None, thumb=b"123")


def test_what_changed_since_the_picture_before_is_not_known_of_another_size():
    small, large = np.zeros((20, 30), np.uint8), np.ones((40, 60), np.uint8)

    assert measure(large, None).difference is None
    assert measure(large, small).difference is None
    assert measure(large, large).difference == 0
    assert measure(large + 4, large).difference == 4


def test_health_is_unknown_until_the_view_was_learnt_and_then_ok():
    assert told(well(5))[1].healthy is None
    changes, memory = told(well(90))

    assert changes == [(5, HealthState.OK, 5)]
    assert memory.healthy


FAULTS = {
    "moved by 3 % of the width": (lambda s: moved(s, 0.03), HealthState.MOVED),
    "moved a little both ways": (lambda s: moved(s, -0.02, 0.04), HealthState.MOVED),
    "moved by a fourth": (lambda s: moved(s, 0.25, 0.1), HealthState.MOVED),
    "turned to another place": (lambda _: THERE, HealthState.MOVED),
    "half covered": (covered, HealthState.OBSTRUCTED),
    "wholly covered": (lambda s: np.full_like(s, 70), HealthState.OBSTRUCTED),
    "black": (np.zeros_like, HealthState.BLINDED),
    "white": (lambda s: np.full_like(s, 250), HealthState.BLINDED),
}


@pytest.mark.parametrize(("fault", "state"), FAULTS.values(), ids=FAULTS)
def test_what_is_wrong_is_noticed_within_a_minute_told_from_when_and_forgotten_when_it_is_over(fault, state):
    changes, memory = told(well(60) + well(MINUTE, fault(HERE), 60) + well(30, first=200))

    assert [c[1] for c in changes] == [HealthState.OK, state, HealthState.OK]
    _, (noticed, _, since), (over, _, _) = changes
    assert since == 60
    assert noticed <= 60 + MINUTE
    assert 120 + POLICY.well_ms // 1000 <= over <= 135
    assert memory.number == 0


def test_a_picture_that_lost_its_sharpness_is_blinded():
    large = np.kron(np.random.default_rng(3).integers(30, 220, (6, 8)), np.ones((15, 20)))
    fine = large + np.tile([25.0, 25.0, -25.0, -25.0], WIDTH // 4)
    soft = sum(np.roll(fine, n, 1) for n in range(-3, 5)) / 8
    changes, _ = told([shot(fine, n) for n in range(60)] + [shot(soft, n) for n in range(30)])
    assert changes[-1][1:] == (HealthState.BLINDED, 60)


def test_a_camera_that_sways_where_it_was_moved_to_is_moved():
    swaying = [moved(HERE, 0.06 + 0.02 * np.sin(0.7 * n), 0.02 * np.cos(0.5 * n)) for n in range(MINUTE)]
    changes, _ = told(well(60) + [shot(scene, 60 + n) for n, scene in enumerate(swaying)])

    assert changes[-1][1:] == (HealthState.MOVED, 60)


def test_the_same_picture_again_and_again_is_frozen_and_a_still_road_with_noise_is_not():
    dark = HERE * 0.2
    live = [shot(dark, n, noise=0.6) for n in range(200)]

    assert [c[1] for c in told(live)[0]] == [HealthState.OK]
    (_, (noticed, state, since)), _ = told(live[:60] + [live[60]] * MINUTE)
    assert (state, since) == (HealthState.FROZEN, 61)
    assert noticed <= 60 + MINUTE


def test_a_camera_that_sees_nothing_from_the_start_is_not_well():
    changes, _ = told([shot(np.full((HEIGHT, WIDTH), 4.0), n) for n in range(60)])

    assert changes[0][1] is HealthState.BLINDED


PASSING = {
    "a lorry before the lens": lambda n: covered(HERE, 0.6) if 60 <= n < 75 else HERE,
    "a cloud, and sun": lambda n: HERE * (0.55 if n // 15 % 2 else 1.0),
    "a gain that jumps": lambda n: HERE * 0.6 + (70 if n // 7 % 2 else 0),
    "wind": lambda n: moved(HERE, 0.05 * np.sin(2.1 * n), 0.03 * np.sin(1.3 * n)) if n > 30 else HERE,
    "dusk": lambda n: HERE * max(0.12, 1 - n / 200),
    "a lorry every ten seconds": lambda n: covered(HERE) if n % 10 < 5 else HERE,
    "blind for a moment": lambda n: np.full_like(HERE, 255.0) if 60 <= n < 70 else HERE,
    "it looks away and back": lambda n: THERE if 60 <= n < 75 else HERE,
}


@pytest.mark.parametrize("road", PASSING.values(), ids=PASSING)
def test_what_passes_is_no_reason_to_be_unwell(road):
    assert [c[1] for c in told([shot(road(n), n) for n in range(240)])[0]] == [HealthState.OK]


def test_evidence_does_not_add_up_over_a_silence():
    memory = told(well(60))[1]
    at_ms = 60_000
    for n in range(20):  # a picture now and then, each of another place
        at_ms += POLICY.silence_ms + 1
        judged = judge(memory, measure(shot(THERE, n), None), at_ms, aspect=16 / 9, policy=POLICY)
        memory = judged.memory

    assert memory.state is HealthState.OK


def test_health_that_is_not_measured_any_more_is_unknown():
    memory = told(well(60))[1]

    assert unheard(memory, memory.at_ms + POLICY.forget_ms, POLICY) is memory
    assert unheard(memory, memory.at_ms + POLICY.forget_ms + 1, POLICY).healthy is None


@settings(max_examples=5, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([HERE * 0.5, THERE, covered(HERE), np.zeros_like(HERE)]), st.integers(1, 30)),
        max_size=6,
    )
)
def test_memory_is_bounded_and_survives_its_bytes_at_any_place(parts):
    memory, before, n = HealthMemory(), None, 0
    for scene, seconds in [(HERE, 10), *parts]:
        for _ in range(seconds):
            n += 1
            health = measure(picture := shot(scene, n), before)
            before = picture
            kept = msgspec.json.decode(msgspec.json.encode(memory), type=HealthMemory)
            judged = judge(memory, health, n * 1000, aspect=16 / 9, policy=POLICY)
            assert judge(kept, health, n * 1000, aspect=16 / 9, policy=POLICY) == judged
            memory = judged.memory
    assert len(msgspec.json.encode(memory)) < 16_000


# --- in a camera's log --------------------------------------------------------------------------


def film(log, scenes, from_s, vehicles=()):
    """Ten pictures a second, one of them measured."""
    before = None
    for second, scene in enumerate(scenes, from_s):
        picture = shot(scene, second)
        for tenth in range(10):
            at = second * 1000 + tenth * 100
            if tenth == 0:
                log.put(measure(picture, before), at)
                before = picture
            log.put(look(vehicles, at), at)


def cars(until_s):
    return [
        Vehicle(x=0.5, y=0.3, vy=0.1, from_ms=s * 1000, to_ms=s * 1000 + 5000) for s in range(0, until_s, 6)
    ]  # each crosses after two seconds


def opened():
    log = Log()
    log.open()
    return log


def test_without_health_records_nothing_is_known_and_nothing_is_held_against_the_counts():
    log = opened()
    log.drive(cars(60), range(0, 60_000, 100))
    outputs, _, memory = run(log.records)

    assert memory.healthy is None
    assert not [o for o in outputs if isinstance(o, HealthChange)]
    assert all(o.valid for o in outputs if isinstance(o, Crossing))
    assert next(o.coverage for o in outputs if isinstance(o, Flow)) > 0.99


def test_from_the_evidence_on_time_counts_as_not_seen_and_crossings_are_not_valid():
    log = opened()
    film(log, [HERE] * 60 + [THERE] * 60 + [HERE] * 40, 0, cars(160))
    outputs, _, memory = run(log.records)

    changes = [o for o in outputs if isinstance(o, HealthChange)]
    assert [(c.before, c.after) for c in changes] == [(None, "ok"), ("ok", "moved"), ("moved", "ok")]
    assert changes[1].since_ms == 60_000
    assert changes[1].captured_ms == 80_000
    crossings = {}
    for crossing in (o for o in outputs if isinstance(o, Crossing)):
        assert crossing.revision == (0 if crossing.id not in crossings else crossings[crossing.id].revision + 1)
        crossings[crossing.id] = crossing
    back_ms = changes[2].captured_ms
    assert {c.valid for c in crossings.values() if 60_000 <= c.captured_ms < back_ms} == {False}
    assert {c.valid for c in crossings.values() if not 60_000 <= c.captured_ms < back_ms} == {True}
    flows = {o.start_ms: o for o in outputs if isinstance(o, Flow)}  # the last revision of each
    assert [flows[s].health for s in (0, 30_000, 60_000, 90_000, 120_000)] == [None, None, "moved", "moved", "moved"]
    assert flows[60_000].coverage == flows[90_000].coverage == 0
    assert flows[30_000].coverage > 0.99
    for start, flow in flows.items():
        valid = [c for c in crossings.values() if c.valid and start <= c.captured_ms < start + 30_000]
        assert sum(n.count for line in flow.lines for n in line.counts) == len(valid)
    assert memory.view == 0


def test_a_doubt_that_passes_changes_no_count():
    log, plain = opened(), opened()
    scenes = [THERE if 40 <= s < 50 else HERE for s in range(100)]
    film(log, scenes, 0, cars(100))
    film(plain, [HERE] * 100, 0, cars(100))

    def counts(of):
        return [o for o in run(of.records)[0] if isinstance(o, Crossing | Flow)]

    assert counts(log) == counts(plain)


def test_a_new_scene_on_the_new_view_makes_it_the_reference_and_the_old_view_has_its_old_number():
    log = opened()
    film(log, [HERE] * 60 + [THERE] * 40, 0)
    assert run(log.records)[2].healthy is False
    log.put(msgspec.structs.replace(SCENE, revision=2), 100_000)
    film(log, [THERE] * 20, 100)
    _, _, memory = run(log.records)
    assert (memory.healthy, memory.view) == (True, 1)

    film(log, [HERE] * 60, 120)
    _, _, memory = run(log.records)
    assert (memory.healthy, memory.view) == (False, 0)  # seen before, but lines are drawn for the other view
    log.put(msgspec.structs.replace(SCENE, revision=3), 180_000)
    film(log, [HERE] * 30, 180)
    _, _, memory = run(log.records)
    assert (memory.healthy, memory.view) == (True, 0)


TRAPPED = msgspec.structs.replace(
    SCENE,
    lines=[Line(name="one", start=(0.0, 0.4), end=(1.0, 0.4)), Line(name="two", start=(0.0, 0.6), end=(1.0, 0.6))],
    zones=[],
    speed_traps=[SpeedTrap(name="trap", start="one", end="two", metres=20.0)],
)


def test_no_speed_is_made_of_pictures_of_two_views():
    log = Log(scene=TRAPPED)
    log.open()
    places = [0.1, 0.3, 0.5, 0.7, 0.9]
    begins = range(0, 158_000, 1000)
    traffic = [
        Vehicle(x=places[n % 5], y=0.3, vy=0.1, from_ms=ms, to_ms=ms + 4000) for n, ms in enumerate(begins)
    ]  # each is two seconds in the trap, from its first on
    film(log, [HERE] * 60 + [THERE] * 60 + [HERE] * 40, 0, traffic)

    outputs, _, _ = run(log.records)

    _, moved_to, back = (o for o in outputs if isinstance(o, HealthChange))
    last = {o.id: o for o in outputs if isinstance(o, Speed)}.values()
    stretches = [(round(o.captured_ms - o.seconds * 1000), o.captured_ms) for o in last]
    for turn_ms in (moved_to.captured_ms, back.captured_ms):
        assert not [s for s in stretches if s[0] < turn_ms - 100 and s[1] > turn_ms + 100]
    valid = [s for s, o in zip(stretches, last, strict=True) if o.valid]
    assert not [s for s in valid if s[1] > moved_to.since_ms and s[0] < back.captured_ms - 100]
    assert min(valid)[0] < 5_000
    assert max(valid)[1] > 150_000


def ways(flow):
    """Whether they drive down, up or both in a field of flow."""
    return {"down" if vy > 0 else "up" for field in flow.values() for *_, vy in field.arrows()}


def test_what_was_learned_of_the_flow_in_one_view_is_kept_apart_from_another_and_is_back_with_it():
    down = cars(60)
    up = [Vehicle(x=0.5, y=0.7, vy=-0.1, from_ms=s * 1000, to_ms=s * 1000 + 5000) for s in range(61, 155, 6)]
    log = opened()
    film(log, [HERE] * 60, 0, down)
    _, _, here = run(log.records)
    assert ways(here.road.flow) == {"down"}

    told_at = len(log.records)
    film(log, [THERE] * 40, 60, up)
    _, _, doubted = run(log.records[told_at : told_at + 150], here)
    assert ways(doubted.road.flow) == {"down", "up"}, "else there is nothing to be taken back"
    _, _, unwell = run(log.records[told_at:], here)
    assert (unwell.health.state, unwell.view, unwell.road) == (HealthState.MOVED, 0, here.road)

    drawn_at = len(log.records)
    log.put(msgspec.structs.replace(SCENE, revision=2), 100_000)
    film(log, [THERE] * 40, 100, up)
    _, _, there = run(log.records[drawn_at:], unwell)
    assert (there.view, ways(there.road.flow)) == (1, {"up"})

    back_at = len(log.records)
    film(log, [HERE] * 60, 140)
    _, _, back = run(log.records[back_at:], there)
    assert (back.view, back.road) == (0, here.road)
    assert back.roads[1].flow.keys() == there.road.flow.keys()


def test_a_scene_that_is_edited_while_the_camera_is_well_changes_no_view():
    log = opened()
    film(log, [HERE] * 30, 0)
    log.put(msgspec.structs.replace(SCENE, revision=2), 30_000)
    film(log, [HERE] * 30, 30)
    _, _, memory = run(log.records)

    assert (memory.healthy, memory.view) == (True, 0)


def test_a_restart_of_capture_forgets_no_reference():
    log = opened()
    film(log, [HERE] * 30, 0)
    again = Log(epoch=8)
    again.put(Opened(source_size=SIZE, clock="file", epoch_before=7, partition_before=0), 31_000)
    film(again, [THERE] * 40, 31)
    outputs, _, memory = run([*log.records, *again.records])

    assert memory.health.state is HealthState.MOVED
    assert [o.since_ms for o in outputs if isinstance(o, HealthChange)][-1] == 31_000


def test_any_cut_and_replay_says_the_same():
    log = opened()
    film(log, [HERE] * 20 + [covered(HERE)] * 40, 0, cars(60))
    whole, _, end = run(log.records)
    for cut in (50, 300, 420, 600):
        first, _, memory = run(log.records[:cut])
        kept = msgspec.json.decode(msgspec.json.encode(memory), type=Memory)
        rest, _, again = run(log.records[cut:], kept)

        assert first + rest == whole
        assert again == end
