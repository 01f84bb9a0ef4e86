import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.offsets import Offsets


def test_nothing_can_be_committed_before_something_is_finished():
    offsets = Offsets()
    offsets.begin(5)

    assert offsets.committable is None


def test_an_unfinished_record_holds_the_commit_point():
    offsets = Offsets()
    for n in (5, 6, 9):
        offsets.begin(n)
    offsets.finish(9)
    offsets.finish(5)

    assert offsets.committable == 6
    offsets.finish(6)
    assert offsets.committable == 10


def test_a_record_cannot_be_begun_twice():
    offsets = Offsets()
    offsets.begin(5)

    with pytest.raises(ValueError, match="was begun after"):
        offsets.begin(5)


@given(st.sets(st.integers(0, 200), min_size=1), st.randoms(use_true_random=False), st.integers(0, 200))
def test_every_record_before_the_commit_point_is_finished_and_the_one_at_it_is_not(begun, random, stop_after):
    offsets, order = Offsets(), sorted(begun)
    for n in order:
        offsets.begin(n)
    finished = order[:]
    random.shuffle(finished)
    finished = finished[:stop_after]
    for n in finished:
        offsets.finish(n)

    point = offsets.committable
    unfinished = set(order) - set(finished)
    if point is None:
        assert order[0] in unfinished
    else:
        assert all(n in finished for n in order if n < point)
        assert offsets.unfinished == len([n for n in order if n >= point])
        assert all(n >= point for n in unfinished)
