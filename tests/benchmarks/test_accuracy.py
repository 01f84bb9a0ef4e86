import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from benchmarks.accuracy import __main__ as command
from benchmarks.accuracy import ours, perfect, plain, readme, roads, streams, table
from benchmarks.accuracy.contestant import Contestant, Event
from benchmarks.accuracy.figures import Tally, figures, pooled, tally
from benchmarks.accuracy.object_counter import in_is
from benchmarks.accuracy.roster import contestants
from benchmarks.accuracy.streams import Identity, Sampling, columns, samples
from benchmarks.accuracy.suite import (
    DEFAULTS,
    NOISE,
    RATES,
    REPORTED,
    TUNED,
    Bench,
    Cell,
    Group,
    Plan,
    Report,
    best,
    measure,
    stream_path,
)
from pipeline.core.model import Detections, Line, Size, Way
from pipeline.core.scene import ScenePolicy
from pipeline.core.tracking import TrackingPolicy
from pipeline.errors import Fatal
from pipeline.evaluate.passages import Passage
from pipeline.simulate.scenarios import SCENARIOS

RIGHT, LEFT = Way.TO_RIGHT, Way.TO_LEFT


def passage(t_ms, way=RIGHT, **more):
    return Passage(line="a", direction=way, t_ms=t_ms, label="car", **more)


def of(truth, *events):
    said = [Event("a", way, t) for t, way in events]
    return tally(truth, said, duration_ms=60_000, tolerance_ms=1000)


def test_gantry_counts_the_plainest_drive_once_and_the_right_way():
    plain.check([ours.GANTRY])


@pytest.mark.parametrize(
    "say",
    [
        lambda p: [],
        lambda p: [Event(p.line, p.direction, p.t_ms)] * 2,
        lambda p: [Event(p.line, LEFT if p.direction is RIGHT else RIGHT, p.t_ms)],
    ],
    ids=["nothing", "twice", "the wrong way"],
)
def test_a_contestant_that_is_called_wrongly_is_refused(say):
    wrong = Contestant(
        key="w", title="w", version=str, count=lambda sample, _tracker, _counters: [say(sample.stream.truth[0])]
    )
    with pytest.raises(Fatal, match="not called as it should be"):
        plain.check([wrong])


@given(st.sampled_from([2, 3, 5, 10, 15, 25]))
def test_the_phases_of_a_rate_share_all_pictures_of_the_grid_among_them(fps):
    stream = dataclasses.replace(next(plain.drives()), t_ms=np.arange(600))
    phases = samples(stream, 150.0, Sampling(fps))
    assert len(phases) == 150 // fps
    assert sorted(np.concatenate([s.pictures for s in phases])) == list(range(600))
    assert {s.fps for s in phases} == {fps}
    assert all(set(np.diff(s.pictures)) == {150 // fps} for s in phases)


def test_a_clip_is_thinned_to_the_nearest_whole_step_and_tells_its_true_rate():
    stream = next(plain.drives())
    (thinned, *others) = samples(stream, 29.97, Sampling(10, 2))
    assert thinned.fps == pytest.approx(9.99)
    assert [s.pictures[0] for s in (thinned, *others)] == [0, 1]
    assert samples(stream, 12.5, Sampling(25))[0].fps == 12.5


def test_a_kept_stream_is_the_stream(tmp_path):
    stream = next(plain.drives())
    streams.write(stream, 25.0, tmp_path / "s.npz")
    again, fps = streams.read(tmp_path / "s.npz")
    assert (again.digest, again.truth, again.identity, fps) == (stream.digest, stream.truth, stream.identity, 25.0)


def test_nobody_is_given_unsure_boxes_or_other_classes():
    seen = Detections(x1=[0.1] * 3, y1=[0.1] * 3, x2=[0.2] * 3, y2=[0.2] * 3, score=[0.9, 0.5, 0.09], label=["person", "car", "car"])  # fmt: skip
    first, boxes, score, label = columns([seen, seen], ["car"])
    assert (first.tolist(), len(boxes), score.tolist(), label.tolist()) == ([0, 1, 2], 2, [0.5, 0.5], [2, 2])


def test_a_miss_and_a_false_count_of_one_direction_do_not_hide_each_other_in_the_verdicts_but_do_in_the_count():
    told = of([passage(10_000), passage(20_000)], (10_100, RIGHT), (40_000, RIGHT))
    assert told == Tally(found=1, missed=1, extra=1, off=0)
    assert told.errors == 2


def test_directions_are_counted_apart():
    assert of([passage(10_000)], (10_100, LEFT)) == Tally(missed=1, wrong_way=1, off=2)


def test_a_passage_at_the_edge_may_be_counted_or_not():
    truth = [passage(500, optional=True), passage(9000)]
    assert of(truth, (9000, RIGHT)) == of(truth, (9000, RIGHT), (500, RIGHT)) == Tally(found=1)


def test_the_range_is_over_clusters_and_not_over_phases():
    one, other = Tally(found=90, missed=10), Tally(found=50, missed=50)
    few = figures({("p", "1"): [one], ("p", "2"): [other]})
    many = figures({("p", "1"): [one] * 10, ("p", "2"): [other] * 10})
    assert (few.recall.value, few.recall.low, few.recall.high) == (70, 50, 90)
    assert (many.recall.value, many.recall.low, many.recall.high, many.recall.of) == (70, 50, 90, 200)
    assert figures({("p", "1"): [one]}).recall.low is None


def test_where_all_or_nothing_was_found_the_range_is_wilsons_of_the_passages():
    all_of_19 = figures({("p", "1"): [Tally(found=8)], ("p", "2"): [Tally(found=11)]})
    none_of_19 = figures({("p", "1"): [Tally(missed=8, off=8)], ("p", "2"): [Tally(missed=11, off=11)]})
    z2 = 1.959964**2
    assert all_of_19.recall.low == pytest.approx(100 * 19 / (19 + z2), abs=1e-3)
    assert all_of_19.recall.high == 100
    assert none_of_19.recall.low == 0
    assert none_of_19.recall.high == pytest.approx(100 * z2 / (19 + z2), abs=1e-3)
    assert none_of_19.count_error.low == all_of_19.recall.low
    assert all_of_19.count_error.high == none_of_19.recall.high


def test_nothing_false_in_few_passages_may_be_some_in_many():
    few = figures({("p", "1"): [Tally(found=8)], ("p", "2"): [Tally(found=11)]})
    many = figures({("p", "1"): [Tally(found=800)], ("p", "2"): [Tally(found=1100)]})
    assert (few.false.low, few.wrong_way.low) == (0, 0)
    assert few.false.high == few.wrong_way.high == pytest.approx(100 * 3.6889 / 19, abs=1e-2)  # Garwood's of 0
    assert many.false.high == pytest.approx(few.false.high / 100)


def test_phases_do_not_make_nothing_surer():
    once = figures({("p", "1"): [Tally(found=8)], ("p", "2"): [Tally(found=11)]})
    often = figures({("p", "1"): [Tally(found=8)] * 30, ("p", "2"): [Tally(found=11)] * 30})
    assert often == once


def test_one_false_count_does_not_make_a_range_narrower_than_none():
    none = figures({("p", "1"): [Tally(found=50)], ("p", "2"): [Tally(found=50)]})
    one = figures({("p", "1"): [Tally(found=50)], ("p", "2"): [Tally(found=50, extra=1)]})
    assert one.false.high > none.false.high


@given(st.lists(st.builds(Tally, **dict.fromkeys(("found", "missed", "doubled", "off"), st.integers(0, 40))), min_size=2, max_size=4))  # fmt: skip
def test_a_range_holds_its_value_and_is_never_a_point(tallies):
    told = figures({("p", str(number)): [each] for number, each in enumerate(tallies)})
    for each in (told.recall, told.false, told.count_error, told.wrong_way):
        if each.value is not None:
            assert each.low <= each.value <= each.high
            assert each.low < each.high


@pytest.mark.parametrize(
    ("start", "end", "way"),
    [
        ((0.1, 0.5), (0.9, 0.5), RIGHT),
        ((0.9, 0.5), (0.1, 0.5), LEFT),
        ((0.5, 0.1), (0.5, 0.9), LEFT),
        ((0.5, 0.9), (0.5, 0.1), RIGHT),
        ((0.1, 0.1), (0.6, 0.7), RIGHT),  # in pixels it is more across than down
    ],
)
def test_what_object_counter_calls_in_goes_down_or_to_the_right(start, end, way):
    assert in_is(Line(name="a", start=start, end=end), Size(640, 360)) is way


def set_to(**tracking):
    """A setting of gantry: what its policy is told, with these beliefs."""
    return {"policy": msgspec.json.encode(ScenePolicy(tracking=TrackingPolicy(**tracking))).decode()}


GOOD, SLOW, BLIND = {}, set_to(evidence=19.0), set_to(least_score=0.99)
"""As gantry comes; with so much evidence wanted that few pictures never give it; seeing nobody."""


def bench(folder, *grid):
    return Bench(folder, 1, Console(quiet=True), {"gantry": msgspec.structs.replace(ours.GANTRY, trackers=grid)})


@pytest.mark.parametrize("grid", [(BLIND, SLOW, GOOD), (SLOW, GOOD, BLIND)], ids=["last", "in the middle"])
def test_tuning_finds_for_each_rate_the_setting_with_the_fewest_errors_wherever_it_stands(tmp_path, grid):
    paths = [tmp_path / f"{number}.npz" for number in range(2)]
    for path, stream in zip(paths, plain.drives(), strict=False):
        streams.write(stream, 25.0, path)
    plan = Plan(scenarios=(), rates=(5.0, 25.0), phases=1)
    made = bench(tmp_path, *grid)

    chosen = best(made, plan, list(made.everyone.values()), paths, 1, TUNED)

    assert chosen["gantry", 5.0, TUNED].tracker == GOOD
    assert chosen["gantry", 25.0, TUNED].tracker == SLOW, "of equals the first"


def test_what_was_tuned_on_one_seed_is_scored_on_another(tmp_path):
    plan = Plan(scenarios=("stopline",), seeds=(5,), tuning=(0,), noise=("low",), rates=(5.0,), phases=2, clips=())
    for seed, noise, stream in zip((0, 5), (NOISE, "low"), plain.drives(), strict=False):
        identity = Identity(kind="road", place="stopline", seed=seed, noise=noise)
        streams.write(dataclasses.replace(stream, identity=identity), 25.0, stream_path(identity, tmp_path))

    report = measure(bench(tmp_path, SLOW, GOOD), plan)

    (chosen,), (group,) = report.chosen, report.groups
    assert chosen.setting.tracker == GOOD
    assert group.title == "simulated roads, noise low"
    assert {cell.cluster for cell in group.cells} == {("stopline", "stopline-5-low-0s")}
    assert {cell.how: pooled(cell.phases) for cell in group.cells} == {
        DEFAULTS: Tally(missed=2, off=2),
        TUNED: Tally(found=2),
    }


def test_an_even_seed_tunes_what_ci_runs_and_an_odd_one_that_nobody_publishes_is_counted():
    assert command.SMALL.tuning
    assert {seed % 2 for seed in command.SMALL.tuning} == {0}
    assert {seed % 2 for seed in (*command.SMALL.seeds, *REPORTED)} == {1}
    assert not {*command.SMALL.seeds} & {*REPORTED}


def report_of(**plan):
    told = {"titles": {}, "versions": {"gantry": "abc"}, "grids": {"gantry": 1}, "chosen": (), "groups": ()}
    return Report(plan=Plan(scenarios=("motorway",), clips=("highway_nl",), **plan), **told)


def test_the_conditions_of_gantry_alone_speak_of_no_peer():
    told = table.conditions(report_of())

    assert told.splitlines()[-1].startswith("Python 3.")
    assert "best" not in told


def test_the_conditions_name_the_peers_and_how_many_settings_were_tried():
    alone = report_of(seeds=(1,), tuning=(0,))
    told = table.conditions(
        msgspec.structs.replace(alone, versions={"gantry": "abc", "p": "peer 1.0"}, grids={"gantry": 1, "p": 7})
    )

    assert told.splitlines()[-1].startswith("peer 1.0; Python 3.")
    assert "the best of 7 settings on seeds 0" in told


def test_a_page_tells_how_many_passages_there_were_once_whatever_the_rates_and_phases():
    cells = tuple(
        Cell(contestant="gantry", how=DEFAULTS, rate=rate, fps=rate, cluster=("p", seed), phases=(Tally(found=3, missed=1),) * 5)
        for rate in RATES
        for seed in ("p-1", "p-3")
    )  # fmt: skip
    report = msgspec.structs.replace(
        report_of(), titles={"gantry": "gantry"}, groups=(Group(title="roads", cells=cells),)
    )

    told = table.markdown(report)

    assert "### Roads\n\n8 passages.\n\n|" in told
    assert told.count("| gantry | 75.0 (") == len(RATES)


ROOT = Path(__file__).resolve().parents[2]
RESULTS = (ROOT / readme.RESULTS).read_text()


def test_the_table_of_the_readme_is_that_of_the_published_results():
    shown = (ROOT / readme.README).read_text()

    assert readme.written(shown, RESULTS) == shown, "`python -m benchmarks.accuracy.readme` writes it anew"


def test_the_readme_shows_gantry_and_every_peer_at_its_best_at_every_rate():
    _, _, *rows = readme.table(RESULTS).splitlines()
    methods = [row.split("|")[2].strip() for row in rows]

    assert methods == ["gantry", *(f"{each.title}, tuned" for each in list(contestants().values())[1:])] * len(RATES)
    assert [row.split("|")[1].strip() for row in rows] == [f"{rate:g}" for rate in RATES for _ in contestants()]


def test_a_number_that_changes_in_the_results_changes_in_the_readme():
    begin = f"{readme.BEGIN}{readme.END}"
    row = readme.table(RESULTS).splitlines()[2]

    assert row in readme.written(begin, RESULTS)
    assert row not in readme.written(begin, RESULTS.replace(row, row.replace("gantry | ", "gantry | 9")))


@pytest.mark.parametrize(
    "results", ["", "### Simulated roads, noise yolov8n\n\nto come\n\n### Real clips\n\n| a | gantry |\n"]
)
def test_results_without_the_table_are_refused(results):
    with pytest.raises(Fatal, match="no results of gantry"):
        readme.table(results)


def test_a_readme_without_a_place_for_the_table_is_refused():
    with pytest.raises(Fatal, match=r"README\.md must have the lines"):
        readme.written("# gantry\n", RESULTS)


def test_without_words_every_place_rate_level_of_noise_and_phase_is_measured(monkeypatch, tmp_path):
    asked = []

    def stop(_bench, plan):
        asked.append(plan)
        raise Fatal("enough")

    monkeypatch.setattr(command, "measure", stop)
    monkeypatch.setattr(command, "Bench", lambda *_: None)
    with pytest.raises(Fatal, match="enough"):
        command.main.main(["--folder", str(tmp_path)], standalone_mode=False)

    (plan,) = asked
    assert (plan.noise, plan.rates) == (("low", "yolov8n", "high"), (2, 3, 5, 10, 15, 25))
    assert plan.scenarios == tuple(SCENARIOS)
    assert (plan.phases, plan.seconds, plan.contestants) == (None, 0, ())
    assert plan.clips


def test_movements_are_off_by_pairs_of_lines_and_those_at_the_edge_of_what_was_watched_are_free():
    def went(user, end, *, optional=False):
        return [
            passage(1000, user=user),
            msgspec.structs.replace(passage(9000, user=user, optional=optional), line=end),
        ]

    truth = [*went("1", "b"), *went("2", "b"), *went("3", "c"), *went("4", "c", optional=True)]
    told = [Event(end, RIGHT, 9000, "a") for end in ("b", "c", "c", "d")]

    got = tally(truth, told, duration_ms=60_000, tolerance_ms=1000)

    assert (got.movements, got.movements_told, got.movements_off) == (3, 4, 2)
    assert got.extra == 0, "a movement is no crossing"


def test_a_perfect_tracker_misses_nobody_whom_a_perfect_detector_shows():
    stream = roads.road(Identity(kind=roads.KIND, place="motorway", seed=5, noise="none", seconds=12))

    events = list(perfect.count(samples(stream, roads.GRID, Sampling(10, 1))[0]))

    total = tally(stream.truth, events, duration_ms=stream.duration_ms, tolerance_ms=1000)
    assert (total.missed, total.doubled, total.extra, total.wrong_way) == (0, 0, 0, 0)
    assert total.found > 5


def test_of_two_boxes_of_one_user_a_perfect_tracker_takes_one():
    stream = roads.road(Identity(kind=roads.KIND, place="motorway", seed=5, noise="none", seconds=12))
    twice = dataclasses.replace(
        stream,
        first=stream.first * 2,
        boxes=np.repeat(stream.boxes, 2, axis=0),
        score=np.repeat(stream.score, 2),
        label=np.repeat(stream.label, 2),
    )

    once, again = (list(perfect.count(samples(each, roads.GRID, Sampling(10, 1))[0])) for each in (stream, twice))

    assert again == once
