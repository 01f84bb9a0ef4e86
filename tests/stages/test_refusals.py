from hypothesis import given
from hypothesis import strategies as st

from pipeline.stages.capture.refusals import Refusals


def test_the_first_is_said_at_once_and_nothing_is_over_that_never_began():
    refusals = Refusals(30)

    assert refusals.taken(100) is None
    assert refusals.end() is None
    assert refusals.refused(100) == 1


def test_a_picture_that_is_taken_between_two_refusals_is_no_end():
    refusals = Refusals(30)

    assert [refusals.refused(0), refusals.taken(1), refusals.refused(2), refusals.taken(31.9)] == [1, None, None, None]
    assert [refusals.taken(32), refusals.taken(99)] == [2, None]


def test_what_begins_anew_is_said_anew():
    refusals = Refusals(30)
    refusals.refused(0)
    refusals.taken(30)

    assert refusals.refused(31) == 1
    assert refusals.end() == 1


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 20)), max_size=300))
def test_every_refusal_is_told_in_the_end_and_words_are_rare(steps):
    refusals, now, refused, told, words = Refusals(30), 0.0, 0, 0, []
    for refuse, pause in steps:
        now += pause
        if refuse:
            refused += 1
            said = refusals.refused(now)
        else:
            said = refusals.taken(now)
            told += said or 0
        if said is not None:
            words.append(now)

    assert told + (refusals.end() or 0) == refused
    assert len(words) <= 2 * (now // 30 + 1)
