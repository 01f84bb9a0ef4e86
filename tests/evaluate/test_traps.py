import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.model import SpeedTrap, Way
from pipeline.evaluate.belonging import only_lines
from pipeline.evaluate.classes import pools
from pipeline.evaluate.evaluation import evaluate
from pipeline.evaluate.page import page
from pipeline.evaluate.passages import Timed
from pipeline.evaluate.tables import sheets
from tests.evaluate.examples import LINE, TWO_LINES, passage, run, truth

EACH = pools("each")
BRIDGE = SpeedTrap(name="bridge", start="near", end="far", metres=50.0)
SHEETS = {"Speed between two lines", "Stated uncertainty of speeds between two lines"}


def went(user, from_s, to_s, *, metres=50.0, lines=("near", "far"), **more):
    """A user's two passages; it has driven 7 m before."""
    first, last = lines
    return [
        passage(from_s, line=first, user=user, way_m=7.0, **more),
        passage(to_s, line=last, user=user, way_m=7.0 + metres, **more),
    ]


def told(t_s, kmh, *, sd=None, trap="bridge", lines=("near", "far"), metres=50.0, way=Way.TO_RIGHT, label="car"):
    said = passage(t_s, way, line=lines[1], label=label, user="0-1-2", speed_kmh=kmh, speed_sd_kmh=sd)
    return Timed(trap=trap, from_line=lines[0], metres=metres, passage=said)


def scored(speeds, ours, *, lines=TWO_LINES, scene=(), classes=EACH, **more):
    of_run = msgspec.structs.replace(run(), timed=tuple(speeds), speed_traps=tuple(scene))
    return evaluate(of_run, truth(*ours, lines=lines, **more), pools=classes)


def errors(got):
    total = got.traps.total
    return (total.truth, total.told, total.found), total.speed_bias_kmh.value, total.speed_error_kmh.value


def test_a_speed_is_held_against_the_way_that_was_driven_over_the_time_between_both_passages():
    """50 m in 2.5 s are 72 km/h; 50 m in 5 s are 36 km/h."""
    ours = [*went("1", 10, 12.5), *went("2", 20, 25)]

    got = scored([told(12.52, 70.0), told(24.9, 37.5)], ours)

    assert errors(got) == ((2, 2, 2), pytest.approx(-0.25), pytest.approx(1.75))
    assert [(t.trap, t.from_line, t.line) for t in got.traps.each] == [("bridge", "near", "far")]


def test_metres_that_the_scene_has_wrong_are_seen():
    ours = went("1", 10, 12.5, metres=40.0)  # 57.6 km/h

    assert errors(scored([told(12.5, 72.0)], ours))[1] == pytest.approx(14.4)


def test_a_truth_that_does_not_tell_the_way_takes_the_trap_s_metres_and_says_so():
    ours = [msgspec.structs.replace(p, way_m=None) for p in went("1", 10, 12.5, metres=40.0)]

    got = scored([told(12.5, 73.0)], ours)

    assert errors(got)[1] == pytest.approx(1.0)
    assert any("does not tell how far users drove" in note for note in got.notes)


def test_the_stated_uncertainty_is_held_against_how_far_speeds_are_off():
    ours = [p for n in range(5) for p in went(str(n), 10 * n, 10 * n + 2.5)]
    off = [(0.9, 1.0), (-1.9, 1.0), (1.9, 2.0), (9.0, 2.0), (5.0, None)]

    total = scored([told(10 * n + 2.5, 72 + v, sd=sd) for n, (v, sd) in enumerate(off)], ours).traps.total

    assert (total.speed_within_1sd.value, total.speed_within_2sd.value, total.speed_within_1sd.of) == (0.5, 0.75, 4)
    assert (total.speed_error_kmh.of, total.speed_error_kmh.value) == (5, pytest.approx(1.9))
    assert total.speed_error_kmh.low < total.speed_error_kmh.value < total.speed_error_kmh.high


def test_both_ways_stand_by_themselves_and_together():
    ours = [*went("1", 10, 12.5), *went("2", 20, 22.5, lines=("far", "near"))]
    speeds = [told(12.5, 73.0), told(22.5, 70.0, lines=("far", "near"))]

    got = scored(speeds, ours)

    rows = [(t.from_line, t.line, t.score.speed_bias_kmh.value) for t in got.traps.each]
    assert rows == [("far", "near", pytest.approx(-2)), ("near", "far", pytest.approx(1))]
    (table,) = (s for s in sheets(got) if s.title == "Stated uncertainty of speeds between two lines")
    assert [row[:6] for row in table.rows] == [
        ("bridge", "far", "near", "1", "1", "1"),
        ("bridge", "near", "far", "1", "1", "1"),
        ("all", "all", "all", "2", "2", "2"),
    ]


def test_who_turns_round_must_pass_the_other_line_again():
    """As the core has it: near, near, far, far, near are two ways: from the second to the third, from there back."""
    rows = [("near", 1, 5), ("near", 3, 15), ("far", 5, 45), ("far", 8, 60), ("near", 10, 80)]
    ours = [passage(t, line=line, user="1", way_m=float(way)) for line, t, way in rows]

    got = scored([told(5, 54.0), told(10, 36.0, lines=("far", "near"))], ours)

    assert [(t.from_line, t.score.truth, t.score.speed_error_kmh.value) for t in got.traps.each] == [
        ("far", 1, pytest.approx(0)),
        ("near", 1, pytest.approx(0)),
    ]


def test_a_speed_of_nobody_is_told_but_not_found_and_one_that_is_missing_is_neither():
    ours = [*went("1", 10, 12.5), *went("2", 20, 22.5), passage(40, line="far", user="3")]

    got = scored([told(12.5, 72.0), told(40, 99.0), told(61.5, 99.0)], ours)

    assert errors(got) == ((2, 2, 1), pytest.approx(0), pytest.approx(0))
    assert got.total.counted == 0, "speeds are no crossings"


def test_a_speed_of_another_way_over_the_line_is_of_somebody_else():
    got = scored([told(12.5, 72.0, way=Way.TO_LEFT)], went("1", 10, 12.5))

    assert errors(got)[0] == (1, 1, 0)


def test_classes_that_are_not_scored_take_no_part():
    ours = [*went("1", 10, 12.5), *went("2", 20, 22.5, label="person")]

    got = scored([told(12.5, 72.0), told(22.5, 72.0, label="person")], ours, classes=pools("car"))

    assert errors(got)[0] == (1, 1, 1)


def test_where_there_are_no_traps_nothing_is_shown():
    got = scored([], went("1", 10, 12.5))

    assert got.traps is None
    assert not SHEETS & {s.title for s in sheets(got)}
    assert "between two lines" not in page(got, lines=TWO_LINES)


def test_a_trap_that_told_nothing_is_known_by_the_scene():
    got = scored([], went("1", 10, 12.5), scene=[BRIDGE])

    assert errors(got) == ((1, 0, 0), None, None)
    assert [s.title for s in sheets(got) if s.title in SHEETS] == ["Stated uncertainty of speeds between two lines"]


def test_the_page_shows_what_the_tables_do():
    got = scored([told(12.5, 72.0, sd=1.0)], went("1", 10, 12.5))

    assert set(re.findall(r"<h2>(.*?)</h2>", page(got, lines=TWO_LINES))) >= SHEETS


@pytest.mark.parametrize(
    ("speeds", "lines", "note"),
    [
        ([told(12.5, 72.0)], LINE, "trap bridge are not scored: the truth has no line far (it has: near)"),
        ([told(12.5, 72.0, lines=("a", "b"))], LINE, "the truth has no line a and no line b (it has: near)"),
        ([told(12.5, 72.0, lines=("far", "far"))], TWO_LINES, "they are from line far to itself"),
    ],
    ids=["one line", "both lines", "one line twice"],
)
def test_a_trap_that_the_truth_cannot_judge_is_noted(speeds, lines, note):
    got = scored([*speeds, told(12.5, 73.0, trap="other")], went("1", 10, 12.5), lines=lines)

    assert any(note in each for each in got.notes)
    assert got.traps is None or [t.trap for t in got.traps.each] == ["other"]


def test_a_truth_that_names_nobody_cannot_judge_traps():
    got = scored([told(12.5, 72.0)], [passage(10), passage(12.5, line="far")])

    assert got.traps is None
    assert any("does not tell which passages are of one user" in note for note in got.notes)


def test_one_line_alone_has_no_traps():
    of_run = msgspec.structs.replace(run(), timed=(told(12.5, 72.0),), speed_traps=(BRIDGE,))

    assert only_lines(of_run, ["near"]) == run()
    assert only_lines(of_run, ["near", "far"]) == of_run


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 80), st.floats(1, 200)), max_size=8), st.randoms())
def test_the_order_of_speeds_does_not_matter(speeds, chance):
    ours = [p for n in range(4) for p in went(str(n), 10 * n, 10 * n + 2.5)]
    rows = [told(t / 2, kmh) for t, kmh in speeds]
    got = scored(rows, ours, scene=[BRIDGE])
    chance.shuffle(rows)

    assert scored(rows, ours, scene=[BRIDGE]).traps == got.traps
    assert got.traps.total.truth == 4
