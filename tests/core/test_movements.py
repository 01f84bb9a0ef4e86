import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.model import Declared, Line, Scene, Size, Way, Zone
from pipeline.core.movements import (
    MOST,
    Learned,
    Visit,
    advance,
    cell_of,
    learn,
    likeliest_destination,
    likeliest_origin,
    places_of,
)

LINES = [Line(name=name, start=(0.1, y), end=(0.9, y)) for name, y in (("north", 0.2), ("south", 0.8), ("exit", 0.5))]
ZONES = [Zone(name="bay", points=[(0.0, 0.3), (0.2, 0.3), (0.2, 0.5)])]
IN, OUT = Way.TO_RIGHT, Way.TO_LEFT


def scene(*table, places=()):
    return Scene(
        drawn_on=Size(640, 360),
        lines=LINES,
        zones=ZONES,
        movements=[
            Declared(name=f"m{n}", origin=a, destination=b, legal=legal) for n, (a, b, legal) in enumerate(table)
        ],
        movement_places=list(places),
    )


TABLE = places_of(
    scene(("north/to_right", "south/to_left", True), ("south/to_right", "north/to_left", False), ("bay", "exit", True))
)


def drive(*visits, places=TABLE, at=(0.5, 0.5)):
    """Each visit is a step of its own: (place, way, ms) of a line, (place, ms) or (place, "left", ms) of a zone."""
    journey, finished = None, []
    for place, *rest in visits:
        way = rest[0] if isinstance(rest[0], Way) else None
        visit = Visit(place, way, rest[-1], 10.0, leaves=rest[0] == "left")
        journey, more = advance(places, journey, [visit], at)
        finished += more
    return finished, journey


def ends(finished):
    return [(f.origin, f.destination, f.from_ms, f.to_ms) for f in finished]


def test_a_movement_is_told_as_soon_as_its_end_is_reached():
    finished, journey = drive(("north", IN, 1000), ("south", OUT, 5000))

    assert ends(finished) == [("north/to_right", "south/to_left", 1000, 5000)]
    assert finished[0].sd_ms == pytest.approx(14.1)
    assert (journey.origin, journey.told) == (None, 1)


def test_a_line_crossed_the_other_way_is_another_place():
    finished, journey = drive(("north", OUT, 1000))

    assert finished == []
    assert journey.origin == "north/to_left", "where one only arrives: seen at its end only"


def test_what_the_table_lacks_or_forbids_is_told_as_not_legal_and_what_it_has_by_its_name():
    turned, _ = drive(("north", IN, 1000), ("north", OUT, 5000))

    assert ends(turned) == [("north/to_right", "north/to_left", 1000, 5000)]
    assert (TABLE.name("north/to_right", "north/to_left"), TABLE.legal("north/to_right", "north/to_left")) == (
        None,
        False,
    )
    assert (TABLE.name("south/to_right", "north/to_left"), TABLE.legal("south/to_right", "north/to_left")) == (
        "m1",
        False,
    )
    assert TABLE.legal("bay", "exit") is True


def test_the_wrong_way_through_is_told():
    finished, _ = drive(("exit", OUT, 1000), ("bay", 3000))

    assert ends(finished) == [("exit", "bay", 1000, 3000)]
    assert TABLE.legal("exit", "bay") is False


def test_a_movement_from_a_zone_begins_when_it_is_left():
    finished, _ = drive(("bay", 1000), ("bay", "left", 3000), ("exit", OUT, 4000))

    assert ends(finished) == [("bay", "exit", 3000, 4000)]


def test_to_come_back_into_a_zone_is_a_movement_only_where_the_table_has_it():
    back = (("bay", 1000), ("bay", "left", 2000), ("bay", 3000))

    assert drive(*back)[0] == []
    assert drive(*back, places=places_of(scene(places=["bay", "exit"])))[0] == []
    assert ends(drive(*back, places=places_of(scene(("bay", "bay", True))))[0]) == [("bay", "bay", 2000, 3000)]


def test_without_a_table_any_way_between_the_places_is_told_and_nobody_says_whether_it_is_legal():
    any_way = places_of(scene(places=["north", "exit", "south"]))
    finished, journey = drive(("north", IN, 1), ("exit", IN, 2), ("bay", 3), ("south", IN, 4), places=any_way)

    assert ends(finished) == [("north", "exit", 1, 2), ("exit", "south", 2, 4)]
    assert any_way.legal("north", "exit") is None
    assert journey.told == 2


def test_a_place_that_no_movement_ends_at_is_passed():
    assert ends(drive(("north", IN, 1), ("south", IN, 2), ("exit", IN, 3), ("south", OUT, 4))[0]) == [
        ("north/to_right", "exit", 1, 3)
    ]


def test_a_scene_that_wants_no_movements_has_no_places():
    assert places_of(scene()) is None


def learned(*ways):
    """(origin, destination, cells, how many)."""
    out = Learned()
    for origin, destination, cells, many in ways:
        journey, finished = None, []
        for n in range(many):
            journey = None
            for step, cell in enumerate(cells):
                visits = [Visit(origin, None, n, None)] if step == 0 else []
                journey, _ = advance(ANY, journey, visits, ((cell % 12 + 0.5) / 12, (cell // 12 + 0.5) / 8))
            _, finished = advance(ANY, journey, [Visit(destination, None, n + 1, None)], (0.99, 0.99))
            out = learn(out, finished)
    return out


ANY = places_of(
    Scene(
        drawn_on=Size(640, 360),
        zones=[Zone(name=name, points=[(0, 0), (1, 0), (1, 1)]) for name in "abcd"],
        movement_places=list("abcd"),
    )
)


def test_where_nobody_went_anywhere_nothing_is_guessed():
    guess = likeliest_destination(ANY, Learned(), "a", 5)

    assert (guess.place, guess.probability, guess.learned) == (None, None, 0)


def test_the_cell_in_which_a_vehicle_was_lost_decides_where_it_likely_went():
    known = learned(("a", "b", (0, 1, 2), 6), ("a", "c", (0, 13, 26), 3))

    at_origin, towards_c = likeliest_destination(ANY, known, "a", 0), likeliest_destination(ANY, known, "a", 26)
    assert at_origin.place == "b"
    assert at_origin.probability == pytest.approx((6 + 2 * 7 / 12) / (9 + 2), abs=1e-4)
    assert towards_c.place == "c"
    assert towards_c.probability == pytest.approx((3 + 2 * 4 / 12) / (3 + 2), abs=1e-4)
    assert at_origin.learned == 9


def test_a_cell_nobody_came_through_falls_back_to_the_origin():
    known = learned(("a", "b", (0, 1), 6), ("a", "c", (0, 13), 3))

    assert likeliest_destination(ANY, known, "a", 90).probability == pytest.approx(7 / 12, abs=1e-4)


def test_where_one_came_from_is_guessed_likewise():
    known = learned(("a", "c", (0, 13), 2), ("b", "c", (5, 13), 6))

    assert likeliest_origin(ANY, known, "c", 0).place == "a"
    assert likeliest_origin(ANY, known, "c", 13).place == "b"


@given(st.lists(st.tuples(st.sampled_from("bcd"), st.integers(0, 95)), max_size=30), st.integers(0, 95))
def test_the_probabilities_of_all_destinations_sum_to_one(ways, cell):
    known = learned(*(("a", to, (0, through), 1) for to, through in ways))
    whole, here = known.counts.get("a", {}), known.counts.get(f"a|{cell}", {})
    if ways:
        best = likeliest_destination(ANY, known, "a", cell)
        total, seen = sum(whole.values()), sum(here.values())
        each = [(here.get(p, 0) + 2 * (whole.get(p, 0) + 1) / (total + 3)) / (seen + 2) for p in "bcd"]
        assert sum(each) == pytest.approx(1)
        assert best.probability == pytest.approx(max(each), abs=1e-4)


def test_what_is_learned_stays_bounded_and_forgets():
    known = learned(("a", "b", (0,), 3 * MOST), ("a", "c", (0,), MOST))

    assert sum(known.counts["a"].values()) <= MOST
    assert known.counts["a"]["c"] > known.counts["a"]["b"], "what is newer weighs more"


def test_what_another_version_learned_is_forgotten():
    old = Learned(version=0, counts={"a": {"b": 5}})

    assert learn(old, []).counts == {}


@pytest.mark.parametrize("at", [(-0.1, 0.5), (1.1, 2.0), (1.0, 1.0)])
def test_beyond_the_edge_is_the_nearest_cell(at):
    assert 0 <= cell_of(at) < 96
