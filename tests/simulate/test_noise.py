import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.core.model import Size
from pipeline.errors import Fatal
from pipeline.simulate.noise import LEVELS, Noise, NoiseModel, noise_model
from pipeline.simulate.noise.hidden import shown_part
from pipeline.simulate.noise.memory import Memories
from pipeline.simulate.noise.model import Double, Doubles, Ghost, Memory, Mistaken
from pipeline.simulate.view import View

SIZE = Size(640, 360)
ACROSS, DOWN = 20, 10  # users stand in a grid, so that nobody hides another


def crowd(t_ms, *, label="car", high_px=30.0, visible=1.0, inside=1.0):
    """200 users whose boxes are 0.8 as wide as they are high."""
    n = ACROSS * DOWN
    x = (np.arange(n) % ACROSS + 0.5) / ACROSS
    y = (np.arange(n) // ACROSS + 0.5) / DOWN
    half_x, half_y = 0.8 * high_px / 640 / 2, high_px / 360 / 2
    return View(
        t_ms=t_ms,
        index=np.arange(n, dtype=np.intp),
        label=(label,) * n,
        x1=x - half_x,
        y1=y - half_y,
        x2=x + half_x,
        y2=y + half_y,
        visible=np.full(n, visible * inside),
        inside=np.full(n, inside),
        occluded=np.zeros(n),
        depth_m=20.0 - y,
        speed_ms=np.full(n, 10.0),
    )


def few(t_ms, boxes, label="car", visible=None, first=0):
    x1, y1, x2, y2 = np.array(boxes, dtype=float).reshape(-1, 4).T
    n = len(x1)
    return View(
        t_ms=t_ms,
        index=np.arange(first, first + n, dtype=np.intp),
        label=(label,) * n,
        x1=x1,
        y1=y1,
        x2=x2,
        y2=y2,
        visible=np.ones(n) if visible is None else np.array(visible, dtype=float),
        inside=np.ones(n),
        occluded=np.zeros(n),
        depth_m=30.0 - y2,
        speed_ms=np.zeros(n),
    )


def only(model, **kept):
    """The fitted model without what users have besides their own box, except what is named."""
    bare = {"ghosts": [], "doubles": {}, "mistaken": {}, "merged": 0.0}
    return msgspec.structs.replace(model, **(bare | kept))


def watch(model, times_ms, seed=1, **how):
    """Of each time, who was seen: scores [t, n] (0: missed), labels [t, n], edges [t, n, 4] in px, less the true ones."""
    noise = Noise(model, seed)
    n = ACROSS * DOWN
    score, off = np.zeros((len(times_ms), n)), np.full((len(times_ms), n, 4), np.nan)
    label = np.full((len(times_ms), n), "", dtype=object)
    for row, t_ms in enumerate(times_ms):
        there = crowd(t_ms, **how)
        seen = noise.see(there, SIZE)
        box = np.array([seen.x1, seen.y1, seen.x2, seen.y2]).T.reshape(-1, 4)
        column = np.clip((box[:, 0] + box[:, 2]) / 2 * ACROSS, 0, ACROSS - 1).astype(int)
        line = np.clip((box[:, 1] + box[:, 3]) / 2 * DOWN, 0, DOWN - 1).astype(int)
        who = line * ACROSS + column
        score[row, who], label[row, who] = seen.score, seen.label
        true = np.stack([there.x1, there.y1, there.x2, there.y2], axis=1)[who]
        off[row, who] = (box - true) * [640, 360, 640, 360]
    return score, label, off


def every(fps, seconds=20.0):
    return [round(number * 1000 / fps) for number in range(round(seconds * fps))]


@pytest.fixture(scope="module")
def model():
    return noise_model("yolov8n")


# --- the fitted numbers -------------------------------------------------------------------------


def test_the_fitted_model_is_a_sound_one(model):
    assert model.level == 1.0
    assert model.sight.heights == sorted(set(model.sight.heights))
    assert model.sight.missed == sorted(model.sight.missed, reverse=True), "the smaller, the harder to see"
    for scores in model.sight.scores:
        assert scores == sorted(scores)
    for memory in (model.score_memory, model.edge_memory, model.label_memory, model.double_memory, model.merge_memory):
        assert memory.habit + memory.slow + memory.quick + memory.white == pytest.approx(1, abs=0.005)
    for mistaken in model.mistaken.values():
        for shares in zip(*mistaken.shares.values(), strict=True):
            assert sum(shares) <= 1.001
    np.linalg.cholesky(np.array(model.edges))  # raises if no numbers can be so correlated


def test_an_unknown_level_is_refused_with_those_there_are():
    with pytest.raises(Fatal, match="no noise level 'loud'; there are none, low, yolov8n, high"):
        noise_model("loud")


@pytest.mark.parametrize("level", [-0.1, 3.1, float("nan")])
def test_noise_is_not_scaled_beyond_reason(model, level):
    with pytest.raises(ValueError, match="0 to 3"):
        model.scaled(level)


# --- levels -------------------------------------------------------------------------------------


def test_without_noise_boxes_are_exact_in_the_picture_and_of_the_true_class():
    noise = Noise(noise_model("none"), 3)

    for t_ms in (0, 100, 5000):
        seen = noise.see(few(t_ms, [(-0.2, 0.5, 0.1, 1.3), (0.4, 0.2, 0.5, 0.31)], label="truck"), SIZE)
        assert list(zip(seen.x1, seen.y1, seen.x2, seen.y2, seen.label, seen.score, strict=True)) == [
            (0.0, 0.5, 0.1, 1.0, "truck", 1.0),
            (0.4, 0.2, 0.5, 0.31, "truck", 1.0),
        ]


def test_who_is_hidden_altogether_is_seen_at_no_level(model):
    for name in LEVELS:
        noise = Noise(only(noise_model(name)), 3)
        seen = [len(noise.see(few(t, [(0.4, 0.4, 0.6, 0.6)], visible=[0.0]), SIZE)) for t in every(5)]
        assert sum(seen) == 0


def test_a_higher_level_misses_more_and_is_less_sure_and_less_exact():
    told = []
    for name in LEVELS:
        score, _, off = watch(only(noise_model(name)), every(3, 10))
        told.append(((score == 0).mean(), -score[score > 0].mean(), np.nanstd(off)))

    for worse, better in itertools.pairwise(reversed(told)):
        assert all(a > b for a, b in zip(worse, better, strict=True))


def test_misses_scale_with_the_level(model):
    once, twice = ((watch(only(model.scaled(level)), every(2, 20))[0] == 0).mean() for level in (1.0, 2.0))

    assert twice == pytest.approx(2 * once, rel=0.15)


# --- nothing depends on the rate of pictures ----------------------------------------------------

RATES = [3, 10, 25]


@pytest.mark.parametrize("fps", RATES)
def test_misses_take_the_fitted_share_of_time_at_any_rate(model, fps):
    wanted = np.interp(np.log(30), np.log(model.sight.heights), model.sight.missed)

    score, _, _ = watch(only(model), every(fps))

    assert (score == 0).mean() == pytest.approx(wanted, abs=0.025)


@pytest.mark.parametrize("fps", RATES)
def test_who_is_missed_is_as_likely_missed_a_second_later_at_any_rate(model, fps):
    harder = msgspec.structs.replace(
        model, sight=msgspec.structs.replace(model.sight, missed=[0.3] * len(model.sight.missed))
    )
    missed = watch(only(harder), every(fps, 24))[0] == 0
    both = (missed[: -round(fps)] & missed[round(fps) :]).mean()

    memory = model.score_memory
    alike = memory.habit + memory.slow * np.exp(-1 / memory.slow_s) + memory.quick * np.exp(-1 / memory.quick_s)
    wanted = _both_below(0.3, alike)
    assert both == pytest.approx(wanted, abs=0.035)
    assert both > 0.3**2 + 0.03, "misses come in bursts"


def _both_below(share, alike, many=200_000):
    """How often two normal numbers of that correlation are both among the lowest share; by counting."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal(many)
    b = alike * a + np.sqrt(1 - alike**2) * rng.standard_normal(many)
    edge = np.quantile(a, share)
    return ((a < edge) & (b < edge)).mean()


@pytest.mark.parametrize("fps", RATES)
def test_edges_are_off_as_fitted_at_any_rate(model, fps):
    """At the middle score the spread is that of the table; over all scores it is near it."""
    _, _, off = watch(only(model), every(fps))
    off = off / [24, 30, 24, 30]
    low, high = np.nanpercentile(off, [16, 84], axis=(0, 1))

    wanted = [np.interp(np.log(30), np.log(model.sight.heights), column) for column in np.array(model.sight.spread).T]
    assert (high - low) / 2 == pytest.approx(wanted, rel=0.3)


@pytest.mark.parametrize("fps", RATES)
def test_classes_are_mistaken_for_the_given_share_of_time_at_any_rate(model, fps):
    mistaken = {"car": Mistaken(heights=[15.0, 80.0], shares={"truck": [0.2, 0.2], "bus": [0.1, 0.1]})}

    score, label, _ = watch(only(model, mistaken=mistaken), every(fps))

    assert (label[score > 0] == "truck").mean() == pytest.approx(0.2, abs=0.05)
    assert (label[score > 0] == "bus").mean() == pytest.approx(0.1, abs=0.04)


@pytest.mark.parametrize("fps", RATES)
def test_second_boxes_come_as_often_as_given_at_any_rate(model, fps):
    """Nobody is missed, so that every box beyond the number of users is a second one."""
    sight = msgspec.structs.replace(model.sight, missed=[0.0] * len(model.sight.missed))
    sample = Double(same=False, label="truck", score=0.3, box=[0.0, 0.0, 1.0, 1.0])
    doubles = {"car": Doubles(heights=[15.0, 80.0], mean=[0.3, 0.3], seen=[sample])}
    noise = Noise(only(model, sight=sight, doubles=doubles), 5)

    boxes = [len(noise.see(crowd(t_ms), SIZE)) for t_ms in every(fps)]

    assert np.mean(boxes) / (ACROSS * DOWN) - 1 == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("fps", RATES)
def test_ghosts_are_there_as_much_as_given_at_any_rate(model, fps):
    ghosts = [
        Ghost(label="car", score=0.2, box=[0.1, 0.1, 0.2, 0.2], life_s=0.2, on=1.0, per_minute=300.0),
        Ghost(label="bus", score=0.5, box=[0.5, 0.5, 0.9, 0.9], life_s=20.0, on=0.5, per_minute=6.0),
    ]
    noise = Noise(only(model, ghosts=ghosts), 2)
    empty = few(0.0, [])

    seen = [noise.see(later(empty, t_ms), SIZE).label for t_ms in every(fps, 600)]

    assert np.mean([labels.count("car") for labels in seen]) == pytest.approx(1.0, rel=0.15)
    assert np.mean([labels.count("bus") for labels in seen]) == pytest.approx(1.0, rel=0.35)


def later(view, t_ms):
    return View(**{**vars(view), "t_ms": t_ms})


def test_the_spacing_and_phase_of_calls_do_not_matter(model):
    rng = np.random.default_rng(4)
    ragged = np.cumsum(rng.exponential(150, 140)) + 1
    told = [(watch(only(model), times)[0] == 0).mean() for times in (every(7), [t + 71 for t in every(7)], ragged)]

    assert max(told) - min(told) < 0.025


def test_a_memory_keeps_variance_one_and_fades_as_given():
    memory = Memory(habit=0.2, slow=0.5, slow_s=2.0, quick=0.2, quick_s=0.1, white=0.1)
    memories = Memories([memory], np.random.default_rng(0))
    users = np.arange(20_000)

    before, soon, late = (memories.at(users, t_ms)[:, 0] for t_ms in (0.0, 130.0, 3130.0))

    assert [before.std(), late.std()] == pytest.approx([1, 1], abs=0.02)
    assert np.corrcoef(before, soon)[0, 1] == pytest.approx(0.2 + 0.5 * np.exp(-0.065) + 0.2 * np.exp(-1.3), abs=0.02)
    assert np.corrcoef(soon, late)[0, 1] == pytest.approx(0.2 + 0.5 * np.exp(-1.5), abs=0.025)


# --- what makes it harder -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("easy", "hard"),
    [
        ({"high_px": 30}, {"high_px": 10}),
        ({"visible": 1.0}, {"visible": 0.3}),
        ({"inside": 1.0}, {"inside": 0.2}),
        ({"label": "car"}, {"label": "person"}),
    ],
    ids=["small", "hidden", "cut off", "a person"],
)
def test_what_is_harder_to_see_is_missed_more(model, easy, hard):
    easily, hardly = (
        (watch(only(model), every(2, 15), **({"high_px": 16} | how))[0] == 0).mean() for how in (easy, hard)
    )

    assert hardly > easily + 0.02


def test_scores_are_low_around_a_miss(model):
    """As a real detector's are: the tracker lives by that."""
    score, _, _ = watch(only(model), every(25, 10))
    soon_missed = (score[:-1] > 0) & (score[1:] == 0)

    assert score[:-1][soon_missed].mean() < score[score > 0].mean() - 0.1


def test_one_of_two_neighbours_may_be_swallowed_by_the_box_of_the_other(model):
    sight = msgspec.structs.replace(model.sight, missed=[0.0] * len(model.sight.missed))
    noise = Noise(only(model, sight=sight, merged=0.5), 5)
    pair = [(0.40, 0.40, 0.50, 0.60), (0.42, 0.50, 0.52, 0.70)]

    seen = [noise.see(few(t_ms, pair), SIZE) for t_ms in every(1, 200)]
    alone = [box for box in seen if len(box) == 1]

    assert 0.3 < len(alone) / len(seen) < 0.7
    assert np.mean([box.y2[0] - box.y1[0] for box in alone]) == pytest.approx(0.3, abs=0.03)


def test_a_cyclist_is_a_cycle_and_often_a_person(model):
    noise = Noise(only(model), 5)
    seen = [noise.see(few(t_ms, [(0.4, 0.2, 0.5, 0.8)], label="bicycle"), SIZE) for t_ms in every(2, 200)]

    labels = [sorted(each.label) for each in seen if len(each)]
    assert 0.3 < labels.count(["bicycle", "person"]) / len(labels) < 0.95
    assert set(itertools.chain(*labels)) == {"bicycle", "person"}


# --- contracts ----------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_boxes_and_another_seed_others(model):
    def run(seed):
        noise = Noise(model, seed)
        return [noise.see(crowd(t_ms), SIZE) for t_ms in every(10, 3)]

    assert run(7) == run(7)
    assert run(7) != run(8)


def test_time_must_rise(model):
    noise = Noise(model, 0)
    noise.see(crowd(100), SIZE)

    with pytest.raises(ValueError, match="in order of time"):
        noise.see(crowd(100), SIZE)


def test_the_boxes_name_who_made_them(model):
    assert Noise(model.scaled(0.5), 0).see(crowd(0), SIZE).model == "simulated-yolov8n@0.5"


edge = st.floats(-2, 3, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(
    boxes=st.lists(st.tuples(edge, edge, edge, edge), max_size=12),
    label=st.sampled_from(["car", "bus", "person", "bicycle", "tram"]),
    level=st.floats(0, 3),
    seed=st.integers(0, 99),
    visible=st.floats(0, 1),
)
@example(boxes=[(0.0, 0.0, 0.5, 0.5)], label="car", level=5e-324, seed=0, visible=1.0)
def test_boxes_are_as_a_detector_gives_them_whatever_is_seen(boxes, label, level, seed, visible):
    whole = [(min(a, c), min(b, d), max(a, c) + 1e-3, max(b, d) + 1e-3) for a, b, c, d in boxes]
    whole = [box for box in whole if box[0] < 1 and box[1] < 1 and box[2] > 0 and box[3] > 0]
    noise = Noise(fitted(level), seed)

    for t_ms in (0.0, 40.0, 1e6):
        seen = noise.see(few(t_ms, whole, label=label, visible=[visible] * len(whole)), SIZE)
        for x1, y1, x2, y2 in zip(seen.x1, seen.y1, seen.x2, seen.y2, strict=True):
            assert 0 <= x1 < x2 <= 1
            assert 0 <= y1 < y2 <= 1
            assert [x1, y1, x2, y2] == [round(each, 5) for each in (x1, y1, x2, y2)]
        assert seen.score == sorted(seen.score, reverse=True)
        assert all(0.1 < score <= 1 for score in seen.score)


def fitted(level) -> NoiseModel:
    return noise_model("yolov8n").scaled(level)


@pytest.mark.parametrize(
    ("nearer", "left"),
    [
        ((-1, 5, 11, 20), (0, 0, 10, 5)),  # below, from side to side
        ((6, -1, 20, 11), (0, 0, 6, 10)),  # to the right, from top to bottom
        ((5, 5, 20, 20), (0, 0, 10, 10)),  # a corner
        ((2, 2, 8, 8), (0, 0, 10, 10)),  # in the middle
        ((-1, 1.2, 11, 20), (0, 0, 10, 1.5)),  # nearly all
        ((20, 20, 30, 30), (0, 0, 10, 10)),  # elsewhere
    ],
    ids=["below", "right", "corner", "middle", "nearly all", "elsewhere"],
)
def test_a_nearer_box_leaves_of_another_what_it_does_not_cover(nearer, left):
    boxes = np.array([(0, 0, 10, 10), nearer], dtype=float)

    assert shown_part(boxes, np.array([20.0, 10.0])).tolist() == [list(left), list(map(float, nearer))]
    assert shown_part(boxes, np.array([10.0, 20.0]))[0].tolist() == [0, 0, 10, 10]
