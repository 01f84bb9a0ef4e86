import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.crowding import advance, ended
from pipeline.core.model import CrowdEnd, Crowding

RULE = Crowding(vehicles=8, for_s=2.0)  # over at 6


def watch(*seen, rule=RULE):
    """(seconds, vehicles[, blind]) of each picture -> what is told, and what is remembered."""
    crowd, out = None, []
    for n, (second, vehicles, *blind) in enumerate(seen):
        crowd, told = advance(
            rule, crowd, vehicles=vehicles, now_ms=round(second * 1000), blind=bool(blind), new_id=f"id-{n}"
        )
        out += [told] if told else []
    return out, crowd


def test_it_begins_when_it_has_been_too_many_for_long_enough_and_says_since_when():
    (begun,), _ = watch((0, 7), (1, 8), (2, 9), (3, 8))

    assert (begun.begin_ms, begun.vehicles, begun.revision, begun.end_ms) == (1000, 9, 0, None)


def test_one_picture_with_fewer_begins_the_time_anew():
    assert watch((0, 8), (1, 8), (1.5, 7), (2, 8), (3.9, 8))[0] == []


def test_it_ends_when_it_has_been_few_enough_for_as_long_and_says_since_when():
    told, crowd = watch((0, 8), (2, 8), (3, 6), (4, 7), (5, 6), (6, 6), (7, 5))

    assert [(t.id, t.revision, t.end_ms, t.ended) for t in told] == [
        ("id-1", 0, None, None),
        ("id-1", 1, 5000, CrowdEnd.CLEARED),
    ]
    assert crowd is None


def test_between_the_two_numbers_it_stays_what_it_was():
    told, _ = watch((0, 8), (2, 8), *((3 + n / 10, 7) for n in range(300)))

    assert len(told) == 1


def test_a_new_peak_is_told_with_a_greater_revision():
    told, _ = watch((0, 8), (2, 8), (3, 12), (4, 10), (5, 13))

    assert [(t.revision, t.vehicles) for t in told] == [(0, 8), (1, 12), (2, 13)]


def test_what_was_not_seen_counts_for_no_beginning():
    assert watch((0, 8), (1.9, 8), (60, 8, "blind"), (61, 8))[0] == []


def test_a_gap_ends_nothing_but_if_it_is_over_afterwards_it_lasted_at_least_until_the_gap():
    goes_on, _ = watch((0, 8), (2, 8), (60, 8, "blind"), (61, 8))
    over, _ = watch((0, 8), (2, 9), (60, 1, "blind"))

    assert [t.end_ms for t in goes_on] == [None]
    assert (over[-1].end_ms, over[-1].ended, over[-1].revision) == (2000, CrowdEnd.UNSEEN, 1)


def test_one_that_nobody_sees_to_its_end_is_told_so_and_one_that_never_began_is_not():
    _, crowd = watch((0, 8), (2, 8))
    _, waiting = watch((0, 8))

    assert ended(crowd, CrowdEnd.UNSEEN).end_ms == 2000
    assert ended(waiting, CrowdEnd.UNSEEN) is None


def test_it_may_begin_with_the_first_picture_and_end_with_one_vehicle_fewer():
    told, _ = watch((0, 1), (1, 0), rule=Crowding(vehicles=1, for_s=0))

    assert [(t.begin_ms, t.end_ms) for t in told] == [(0, None), (0, 1000)]


@pytest.mark.parametrize("until", [8, 9])
def test_an_end_that_is_no_end_is_refused(until):
    with pytest.raises(ValueError, match="must be less than vehicles"):
        Crowding(vehicles=8, for_s=2, until=until)


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=80))
def test_each_begins_once_ends_once_and_its_revisions_rise(pictures):
    told, crowd = watch(*((n * 0.5, vehicles, *([1] if blind else [])) for n, (vehicles, blind) in enumerate(pictures)))

    ids = list(dict.fromkeys(t.id for t in told))
    for each in ids:
        of = [t for t in told if t.id == each]
        assert [t.revision for t in of] == list(range(len(of)))
        assert [t.end_ms for t in of[:-1]] == [None] * (len(of) - 1)
        assert of[-1].end_ms is not None or (each == ids[-1] and crowd.id == each)
        assert of[-1].end_ms is None or of[-1].end_ms >= of[0].begin_ms
