from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.model import Way
from pipeline.evaluate.matching import ALONE, Verdict, match
from tests.evaluate.examples import passage, passages

TOLERANCE = 1000.0


def verdicts(truth, events, **more):
    return Counter(o.verdict.value for o in match(truth, events, tolerance_ms=TOLERANCE, **more))


def found(truth, events):
    return [o for o in match(truth, events, tolerance_ms=TOLERANCE) if o.verdict is Verdict.FOUND]


# --- laws ----------------------------------------------------------------------------------------


@given(passages(optional=True), passages())
def test_every_passage_and_every_event_has_one_verdict(truth, events):
    outcomes = match(truth, events, tolerance_ms=TOLERANCE)
    own = [o.passage for o in outcomes if o.verdict in {Verdict.FOUND, Verdict.MISSED, Verdict.ACCEPTED}]

    assert Counter(own) == Counter(truth)
    assert Counter(o.event for o in outcomes if o.event is not None) == Counter(events)
    assert {o.passage.optional for o in outcomes if o.verdict is Verdict.ACCEPTED} <= {True}


@given(passages(), passages())
def test_totals_add_up(truth, events):
    of = verdicts(truth, events)

    assert of["found"] + of["missed"] == len(truth)
    assert of["found"] + of["doubled"] + of["wrong_way"] + of["extra"] == len(events)


@given(passages(optional=True), passages(), st.randoms(use_true_random=False))
def test_the_order_in_which_they_come_changes_nothing(truth, events, random):
    before = match(truth, events, tolerance_ms=TOLERANCE)
    random.shuffle(truth)
    random.shuffle(events)

    assert match(truth, events, tolerance_ms=TOLERANCE) == before


@given(passages(), passages())
def test_pairs_are_of_one_line_and_direction_and_within_the_tolerance(truth, events):
    for o in found(truth, events):
        assert (o.passage.line, o.passage.direction) == (o.event.line, o.event.direction)
        assert abs(o.passage.t_ms - o.event.t_ms) <= TOLERANCE


@given(passages(most=5), passages(most=5))
def test_no_other_way_of_pairing_costs_less(truth, events):
    """Against dynamic programming over all subsets of the events."""
    pairs = found(truth, events)
    spent = sum(cost(o.passage, o.event) for o in pairs) + ALONE * (len(truth) - len(pairs))

    assert spent == pytest.approx(least_by_subsets(truth, events))


def cost(p, e):
    return abs(p.t_ms - e.t_ms) / TOLERANCE + 0.1 * (p.label != e.label)


def least_by_subsets(truth, events):
    """The least cost there is; the key of a state is the set of events that are taken."""
    states = {0: 0.0}
    for p in truth:
        after = {used: spent + ALONE for used, spent in states.items()}
        for used, spent in states.items():
            for j, e in enumerate(events):
                near = abs(p.t_ms - e.t_ms) <= TOLERANCE and (p.line, p.direction) == (e.line, e.direction)
                if near and not used >> j & 1:
                    after[used | 1 << j] = min(after.get(used | 1 << j, 1e9), spent + cost(p, e))
        states = after
    return min(states.values())


@given(passages())
def test_a_run_that_says_the_truth_finds_everything(truth):
    assert verdicts(truth, truth) == ({"found": len(truth)} if truth else {})


# --- stories -------------------------------------------------------------------------------------


def test_the_nearest_event_is_not_taken_where_that_would_leave_another_passage_alone():
    """A greedy matcher gives 10.4 to 10.0 and finds one; 10.4 belongs to 11.0."""
    pairs = found([passage(10), passage(11)], [passage(9.3), passage(10.4)])

    assert [(o.passage.t_ms, o.event.t_ms) for o in pairs] == [(10_000, 9_300), (11_000, 10_400)]


def test_a_missed_passage_is_not_hidden_by_shifting_a_chain_of_neighbours():
    """As many pairs as can be would give every event to the passage before its own."""
    truth = [passage(10.0), passage(10.6), passage(11.2)]
    events = [passage(10.6), passage(11.2), passage(11.25)]

    assert verdicts(truth, events) == {"found": 2, "missed": 1, "doubled": 1}


@pytest.mark.parametrize("label", ["car", "truck"])
@pytest.mark.parametrize(("t_s", "verdict"), [(11.0, "found"), (9.0, "found"), (11.001, "extra"), (8.999, "extra")])
def test_the_tolerance_itself_is_still_near_whatever_the_class(t_s, verdict, label):
    assert verdicts([passage(10)], [passage(t_s, label=label)])[verdict] == 1


def test_a_second_event_on_a_passage_is_counted_twice_and_a_third_too():
    assert verdicts([passage(10)], [passage(10), passage(10.5), passage(9.5)]) == {"found": 1, "doubled": 2}


def test_an_event_far_from_every_passage_is_extra():
    assert verdicts([passage(10)], [passage(10), passage(12)]) == {"found": 1, "extra": 1}


def test_an_event_of_the_other_direction_beside_a_missed_passage_is_wrong_way_and_the_passage_stays_missed():
    assert verdicts([passage(10)], [passage(10.2, Way.TO_LEFT)]) == {"missed": 1, "wrong_way": 1}


def test_an_event_of_the_other_direction_beside_a_found_passage_is_extra():
    """Somebody was made up: the passage has its event."""
    assert verdicts([passage(10)], [passage(10), passage(10.2, Way.TO_LEFT)]) == {"found": 1, "extra": 1}


def test_one_missed_passage_takes_the_blame_for_one_event_only():
    events = [passage(10.1, Way.TO_LEFT), passage(10.2, Way.TO_LEFT)]

    assert verdicts([passage(10)], events) == {"missed": 1, "wrong_way": 1, "extra": 1}


def test_another_line_is_another_place():
    assert verdicts([passage(10)], [passage(10, line="far")]) == {"missed": 1, "extra": 1}


def test_of_two_side_by_side_each_gets_the_event_of_its_class():
    """By time alone the pairs would be crossed over: 20 ms in sum, against 40."""
    truth = [passage(10.00, label="car"), passage(10.02, label="truck")]
    pairs = found(truth, [passage(10.03, label="car"), passage(10.01, label="truck")])

    assert [(o.passage.label, o.event.label) for o in pairs] == [("car", "car"), ("truck", "truck")]


def test_classes_of_one_pool_are_one_class():
    truth = [passage(10.00, label="car"), passage(10.02, label="truck")]
    outcomes = match(
        truth,
        [passage(10.02, label="car"), passage(10.00, label="truck")],
        tolerance_ms=TOLERANCE,
        pool=lambda _: "vehicle",
    )

    assert [(o.passage.label, o.event.label) for o in outcomes] == [("car", "truck"), ("truck", "car")]


def test_another_class_is_still_found():
    assert verdicts([passage(10, label="truck")], [passage(10, label="car")]) == {"found": 1}


@pytest.mark.parametrize("events", [[], [passage(10)]])
def test_a_passage_that_may_be_counted_or_not_is_accepted_either_way(events):
    assert verdicts([passage(10, optional=True)], events) == {"accepted": 1}


def test_a_passage_that_must_be_counted_comes_before_one_that_may_be():
    truth = [passage(10.0, optional=True), passage(10.9)]

    assert verdicts(truth, [passage(10.1)]) == {"found": 1, "accepted": 1}


def test_an_accepted_passage_that_is_counted_twice_is_doubled():
    assert verdicts([passage(10, optional=True)], [passage(10), passage(10.1)]) == {"accepted": 1, "doubled": 1}


def test_what_lies_beyond_the_truth_is_no_mistake_but_what_matches_counts():
    truth = [passage(0.1)]
    span = (0.0, 60_000.0)

    assert verdicts(truth, [passage(-0.5), passage(61)], span_ms=span) == {"found": 1, "outside": 1}
    assert verdicts(truth, [passage(60)], span_ms=span) == {"missed": 1, "extra": 1}


def test_a_day_of_dense_traffic_is_matched():
    """One chain of 20 000 passages, each within the tolerance of many others."""
    truth = [passage(n * 0.3) for n in range(20_000)]
    events = [passage(n * 0.3 + 0.05) for n in range(20_000) if n % 10]

    of = verdicts(truth, events)
    assert of == {"found": 18_000, "missed": 2_000}
