import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings

from pipeline.core.model import Way
from pipeline.errors import Fatal
from pipeline.evaluate.classes import pools
from pipeline.evaluate.evaluation import Evaluation, evaluate
from pipeline.evaluate.matching import Outcome, Verdict
from pipeline.evaluate.passages import Timed
from pipeline.evaluate.tables import headline, sheets
from tests.evaluate.examples import TWO_LINES, passage, passages, run, truth

EACH = pools("each")
ACCURACY = Path(__file__).resolve().parents[2] / "docs" / "accuracy.md"


def scored(of_run, of_truth, **more):
    return evaluate(of_run, of_truth, **{"pools": EACH} | more)


# --- laws ----------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(passages(optional=True, users=True), passages(users=True))
def test_totals_add_up_by_line_direction_class_and_in_all(ours, theirs):
    got = scored(run(*theirs), truth(*ours, lines=TWO_LINES))
    every = [got.total, *(x.score for x in (*got.lines, *got.directions))]

    for s in every:
        assert s.found + s.missed == s.truth
        assert s.found + s.doubled + s.wrong_way + s.extra == s.counted
    assert got.total.truth == sum(not p.optional for p in ours)
    assert got.total.counted + got.accepted + got.outside == len(theirs)
    for parts in (got.lines, got.directions):
        for key in ("truth", "counted", "found", "missed", "doubled", "wrong_way", "extra"):
            assert sum(getattr(p.score, key) for p in parts) == getattr(got.total, key)


@settings(max_examples=40)
@given(passages(), passages())
def test_classes_add_up(ours, theirs):
    got = scored(run(*theirs), truth(*ours))
    told_as = {c.label: sum(x.passages for x in got.confusion if x.event == c.label) for c in got.classes}

    assert sum(c.truth for c in got.classes) == len(ours)
    assert sum(c.counted for c in got.classes) == len(theirs)
    for c in got.classes:
        assert c.truth == c.found + c.missed
        assert c.counted == c.right_class + told_as[c.label] + c.doubled + c.wrong_way + c.extra
        assert c.right_class <= c.found


@settings(max_examples=40)
@given(passages(users=True), passages(users=True))
def test_no_more_movements_are_right_than_there_were_or_were_told(ours, theirs):
    got = scored(run(*theirs), truth(*ours))

    assert all(m.right <= m.truth and m.right <= m.counted for m in got.movements)


@settings(max_examples=40)
@given(passages(optional=True, users=True), passages(users=True))
def test_the_json_holds_everything(ours, theirs):
    got = scored(run(*theirs), truth(*ours))

    assert msgspec.json.decode(msgspec.json.encode(got), type=Evaluation) == got


# --- stories -------------------------------------------------------------------------------------


def test_times_and_speeds_are_compared_where_both_know_them():
    ours = [passage(1, speed_kmh=50.0), passage(2, speed_kmh=60.0), passage(3, speed_kmh=None)]
    theirs = [passage(1.02, speed_kmh=52.0), passage(1.96), passage(3.04, speed_kmh=40.0)]
    total = scored(run(*theirs), truth(*ours)).total

    assert (total.time_bias_ms.value, total.time_error_ms.value) == (pytest.approx(20), pytest.approx(40))
    assert (total.speed_bias_kmh.value, total.speed_error_kmh.of) == (2.0, 1)


def test_a_stated_uncertainty_is_held_against_how_far_speeds_are_off():
    ours = [passage(n, speed_kmh=50.0) for n in range(1, 6)]
    off = [1.0, -1.9, 3.9, -4.1]
    theirs = [passage(n + 1, speed_kmh=50 + v, speed_sd_kmh=2.0) for n, v in enumerate(off)]
    theirs.append(passage(5, speed_kmh=90.0))  # states none
    total = scored(run(*theirs), truth(*ours)).total

    assert (total.speed_within_1sd.value, total.speed_within_2sd.value) == (0.5, 0.75)
    assert (total.speed_within_1sd.of, total.speed_error_kmh.of) == (4, 5)


def test_other_classes_are_left_out_on_both_sides():
    got = scored(
        run(passage(1), passage(9, label="dog")), truth(passage(1), passage(5, label="dog")), pools=pools("car")
    )

    assert (got.total.truth, got.total.counted) == (1, 1)


def test_a_truck_that_was_told_as_a_car_is_found_and_said_so():
    got = scored(run(passage(1)), truth(passage(1, label="truck")))

    assert [(c.truth, c.event, c.passages) for c in got.confusion] == [("truck", "car", 1)]
    assert [(c.label, c.truth, c.counted, c.found, c.right_class) for c in got.classes] == [
        ("car", 0, 1, 0, 0),
        ("truck", 1, 0, 1, 0),
    ]
    assert scored(run(passage(1)), truth(passage(1, label="truck")), pools=pools("car+truck")).confusion == ()


def turn(user, t_s, *, to="far", way=Way.TO_RIGHT):
    return [passage(t_s, user=user), passage(t_s + 3, way, line=to, user=user)]


def test_movements_are_line_pairs_and_right_where_one_track_kept_to_one_user():
    ours = [*turn("1", 1), *turn("2", 10), *turn("3", 20), passage(30, user="4")]
    theirs = [
        *turn("a", 1.1),  # right
        passage(10, user="b"), passage(13, line="far", user="c"),  # lost its identity on the way
        *turn("d", 20.1), passage(40, user="e"),
    ]  # fmt: skip
    (movement,) = scored(run(*theirs), truth(*ours, lines=TWO_LINES)).movements

    assert (movement.origin, movement.destination) == ("near", "far")
    assert (movement.truth, movement.counted, movement.right) == (3, 2, 2)


def test_two_users_that_exchanged_identities_did_not_move_right():
    ours = [*turn("1", 1), *turn("2", 2.5)]
    theirs = [
        passage(1, user="a"),
        passage(4, line="far", user="b"),
        passage(2.5, user="b"),
        passage(5.5, line="far", user="a"),
    ]
    (movement,) = scored(run(*theirs), truth(*ours, lines=TWO_LINES)).movements

    assert (movement.truth, movement.counted, movement.right) == (2, 2, 0)


def test_a_turn_back_over_one_line_is_a_movement_but_a_line_counted_twice_is_none():
    ours = [*turn("1", 1, to="near", way=Way.TO_LEFT), passage(20, user="2")]
    theirs = [*turn("a", 1, to="near", way=Way.TO_LEFT), passage(20, user="b"), passage(20.5, user="b")]
    (movement,) = scored(run(*theirs), truth(*ours)).movements

    assert (movement.origin, movement.destination, movement.counted, movement.right) == ("near", "near", 1, 1)


def test_a_truth_that_names_nobody_knows_no_movements():
    assert scored(run(*turn("a", 1)), truth(passage(1), passage(4, line="far"), lines=TWO_LINES)).movements == ()


def test_a_quiet_line_is_told_too():
    got = scored(run(), truth(lines=TWO_LINES))

    assert [(d.line, d.score.truth) for d in got.directions] == [("near", 0), ("far", 0)]


def test_what_a_person_reads_says_what_went_wrong():
    clean = scored(run(passage(1)), truth(passage(1)))
    dirty = scored(
        run(passage(1), passage(1.5), passage(9), passage(20, Way.TO_LEFT)), truth(passage(1), passage(20), passage(30))
    )

    assert headline(clean) == "1 of 1 passage was found; nothing more, nothing less."
    assert headline(dirty) == (
        "1 of 3 passages were found; 2 missed, 1 counted twice, 1 counted the wrong way, 1 counted out of nothing."
    )
    assert [s.title for s in sheets(dirty)] == ["Counts", "Shares", "Time of crossing", "Volumes"]
    assert all(len(row) == len(s.columns) for s in sheets(dirty) for row in s.rows)


@pytest.mark.parametrize("more", [{"tolerance_ms": 0.0}, {"window_ms": -1.0}, {"tolerance_ms": float("nan")}])
def test_lengths_of_time_are_above_0(more):
    with pytest.raises(Fatal, match="longer than 0"):
        scored(run(), truth(), **more)


def keys(kind):
    return {f.encode_name for f in msgspec.structs.fields(kind)}


def test_the_documentation_explains_every_key():
    """Also those of the structs inside; a key that is not there any more is not explained either."""
    text = ACCURACY.read_text()
    told = set(re.findall(r"`([a-z_0-9]+)`", text[text.index("## The JSON") :]))
    parts = [Evaluation, Outcome, *{type(x) for x in _structs(_whole())}]

    wanted = set().union(*map(keys, parts)) | {v.value for v in Verdict}
    assert wanted - told == set()
    assert told - wanted - {"gantry", "truth", "run"} == set()


def _whole():
    speed = Timed(trap="t", from_line="near", metres=9, passage=passage(3, line="far", speed_kmh=9.0))
    told = msgspec.structs.replace(run(*turn("a", 1), passage(5, label="truck")), timed=(speed,))
    got = scored(told, truth(*turn("1", 1), passage(5), lines=TWO_LINES, duration_s=60))
    from pipeline.evaluate.hota import Followed, Hota, Identities  # noqa: PLC0415 - one test's need

    figures = Hota(hota=1, deta=1, assa=1, loca=1)
    ids = Identities(idf1=1, idp=1, idr=1, mota=1, switches=0)
    return msgspec.structs.replace(got, followed=Followed(pictures=1, users=1, tracks=1, hota=figures, identities=ids))


def _structs(value):
    if isinstance(value, msgspec.Struct):
        yield value
        for name in value.__struct_fields__:
            yield from _structs(getattr(value, name))
    elif isinstance(value, tuple):
        for each in value:
            yield from _structs(each)


def test_movements_that_a_run_told_itself_stand_beside_those_of_its_lines():
    ours = (passage(1, user="1"), passage(4, line="far", user="1"))
    went = (("near", "far", "car"), ("near", "near", "car"), ("near", "far", "person"))
    told = msgspec.structs.replace(run(), went=went)

    got = scored(told, truth(*ours, lines=TWO_LINES), pools=pools("car")).movements

    assert [(m.origin, m.destination, m.truth, m.counted, m.told) for m in got] == [
        ("near", "far", 1, 0, 1),
        ("near", "near", 0, 0, 1),
    ]
