import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.geometry import turn
from pipeline.core.model import Size, Way
from pipeline.errors import Fatal
from pipeline.evaluate.hand_count import read_hand_count
from pipeline.evaluate.truth import read_truth

GOOD = {
    "video": "videos/road.mp4",
    "fps": 25.0,
    "frames": 500,
    "size": [640, 352],
    "line": [[0.36, 0.6], [0.97, 0.6]],
    "match_tolerance_s": 1.0,
    "crossings": [
        {"t_seconds": 0.54, "direction": "+", "class": "car", "t_center_seconds": 0.86, "note": "early"},
        {"t_seconds": 7, "direction": "-", "class": "truck"},
    ],
    "optional_crossings": [{"t_seconds": 0.0, "direction": "+", "class": "car", "edge": True}],
    "totals": {"+": 1, "-": 1, "all": 2},
    "difficulty": "easy",
}


def changed(**keys):
    """The good one with some keys changed; ... takes a key away."""
    document = copy.deepcopy(GOOD) | keys
    return json.dumps({key: value for key, value in document.items() if value is not ...})


def mistakes(text):
    with pytest.raises(Fatal) as caught:
        read_hand_count(text, "truth.json")
    return [line.removeprefix("truth.json: ") for line in str(caught.value).splitlines()]


def test_a_count_by_eye_is_read():
    truth = read_hand_count(changed(), "truth.json")

    assert [(p.t_ms, p.direction, p.label, p.optional) for p in truth.passages] == [
        (540.0, Way.TO_RIGHT, "car", False),
        (7000.0, Way.TO_LEFT, "truck", False),
        (0.0, Way.TO_RIGHT, "car", True),
    ]
    assert (truth.duration_ms, truth.size, truth.video) == (20_000.0, Size(640, 352), "videos/road.mp4")
    assert (truth.lines, truth.nameless) == ({"line": ((0.36, 0.6), (0.97, 0.6))}, True)
    assert truth.pooled == ("bus", "car", "truck")


def test_plus_is_from_negative_to_positive_by_the_side_formula():
    """The same sign as `to_right` has in the core."""
    (x1, y1), (x2, y2) = GOOD["line"]
    above, below = (0.6, 0.5), (0.6, 0.7)

    def side(p):
        return (x2 - x1) * (p[1] - y1) - (y2 - y1) * (p[0] - x1)

    assert side(above) < 0 < side(below)
    assert turn((x1, y1), (x2, y2), below) > 0, "below is to the right"


def test_its_line_may_have_a_name():
    truth = read_hand_count(changed(name="gate"), "truth.json")

    assert (set(truth.lines), {p.line for p in truth.passages}, truth.nameless) == ({"gate"}, {"gate"}, False)


def test_every_mistake_is_told_at_once_each_with_its_place():
    bad = changed(
        fps=-1,
        size=[640],
        line=[[0.36, 0.6], [1.97, 0.6]],
        video=...,
        weather="fine",
        totals=...,
        crossings=[
            {"t_seconds": "soon", "direction": "up", "class": "car"},
            {"t_seconds": 3, "class": 7},
            {"t_seconds": 4, "direction": "+", "class": "car", "colour": "red"},
            "a car",
        ],
    )

    assert [line.partition(":")[0].partition(" ")[0] for line in mistakes(bad)] == [
        "weather", "video", "fps", "size", "line", "crossings[0].t_seconds", "crossings[0].direction",
        "crossings[1].direction", "crossings[1].class", "crossings[2].colour", "crossings[3]",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"crossings": [{"t_seconds": 20.6, "direction": "+", "class": "car"}], "totals": ...},
         "crossings[0].t_seconds 20.6 lies outside the clip; the clip (frames / fps) ends at 20.00 s"),
        ({"crossings": [{"t_seconds": -0.1, "direction": "+", "class": "car"}], "totals": ...},
         "crossings[0].t_seconds -0.1 lies outside the clip"),
        ({"crossings": [{"t_seconds": 1, "direction": "to_right", "class": "car"}], "totals": ...},
         "crossings[0].direction must be '+' or '-', not \"to_right\""),
        ({"crossings": [{"t_seconds": True, "direction": "+", "class": "car"}], "totals": ...},
         "crossings[0].t_seconds must be a number of seconds, not true"),
        ({"crossings": [{"t_seconds": 1, "direction": "+", "class": "kar"}], "totals": ...},
         'crossings[0].class "kar" is no class (did you mean car?)'),
        ({"line": ...}, "line is missing"),
        ({"line": [[0.5, 0.5], [0.5, 0.5]]}, "line: its two points are the same"),
        ({"crossings": {}}, "crossings: a list of crossings is wanted, not an object"),
        ({"totals": {"+": 3}}, "totals.+ says 3, but crossings hold 1"),
        ({"frames": 10**400}, "frames: a number above 0 is wanted"),
        ({"crossing": []}, "crossing: there is no such key; known are "),
    ],
)  # fmt: skip
def test_a_mistake_says_what_is_wanted(keys, told):
    (line,) = mistakes(changed(**keys))

    assert line.startswith(told)


def test_totals_are_told_together_with_other_mistakes():
    """Also where a row's time or class is wrong: its direction can be read."""
    rows = [{"t_seconds": "soon", "direction": "+", "class": "kar"}]

    assert [line.partition(" ")[0] for line in mistakes(changed(fps=-1, crossings=rows))] == [
        "fps:", "crossings[0].t_seconds", "crossings[0].class", "totals.-", "totals.all",
    ]  # fmt: skip
    assert not any("totals" in line for line in mistakes(changed(crossings=[{"t_seconds": 1, "class": "car"}])))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"video": "a", "video": "b"}', "is not JSON: key 'video' stands twice in one object"),
        ("[]", "a count by eye is a JSON object, this is a list"),
        ('{"video": "a", "fps": NaN}', "line is missing"),
    ],
)
def test_what_is_no_count_by_eye_is_told(text, told):
    assert any(line.startswith(told) for line in mistakes(text))


@pytest.mark.parametrize("text", ["{", "7", "[]", '{"a": 1}', "\xff\xfe", "[" * 100_000])
def test_a_truth_file_of_neither_kind_is_refused(text):
    with pytest.raises(Fatal, match=r"truth\.json: is (not JSON|no truth)"):
        read_truth(text.encode("latin-1"), "truth.json")


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(GOOD)), json_values)
def test_whatever_stands_in_a_key_it_is_read_or_refused_in_words(key, value):
    assert refusal(GOOD | {key: value}).startswith("truth.json: ") or read_truth(
        json.dumps(GOOD | {key: value}).encode(), "truth.json"
    )


def refusal(document):
    try:
        read_truth(json.dumps(document).encode(), "truth.json")
    except Fatal as exc:
        return str(exc)
    return ""
