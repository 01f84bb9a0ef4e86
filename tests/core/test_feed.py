"""Resume tokens, repeats, the ring, and what is known of a camera."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.feed import FeedState, Recent, Ring, Seen, StatusPolicy, read_token, state_of, write_token
from pipeline.errors import Poison

VECTORS = st.dictionaries(
    st.tuples(st.sampled_from(["events", "flow", "cameras"]), st.integers(0, 99)), st.integers(0, 2**62), max_size=30
)


@given(st.text("abcdef0123456789-", max_size=40), VECTORS)
def test_a_token_gives_back_the_place_it_was_made_of(log, vector):
    assert read_token(write_token(log, vector)) == (log, vector)


@given(VECTORS)
def test_a_token_is_safe_in_a_url_and_a_header_and_does_not_depend_on_order(vector):
    token = write_token("log", vector)

    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert write_token("log", dict(reversed(vector.items()))) == token


@given(st.text(max_size=80) | st.binary(max_size=60).map(lambda b: write_token("x", {}) + b.hex()))
def test_any_other_text_is_refused_or_read_but_never_breaks(text):
    try:
        _, vector = read_token(text)
    except Poison:
        return
    assert all(isinstance(offset, int) and offset >= 0 for offset in vector.values())


@pytest.mark.parametrize("text", ["", "nonsense", "é", "MTtsb2c7ZXZlbnRzOjA9LTE", "Mjtsb2c", "A" * 100_000])
def test_a_text_that_is_no_token_is_refused_in_one_clear_line(text):
    with pytest.raises(Poison, match="leave it out") as refused:
        read_token(text)
    assert len(str(refused.value)) < 200


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3))))
def test_a_revision_passes_only_if_it_is_greater_than_all_before_it(passing):
    recent, greatest = Recent(100), {}
    for key, revision in passing:
        assert recent.is_new(key, revision) == (revision > greatest.get(key, -1))
        greatest[key] = max(revision, greatest.get(key, -1))


def test_ids_are_forgotten_oldest_first_and_memory_stays_bounded():
    recent = Recent(3)
    for n in range(10):
        recent.is_new(n, 0)
        recent.is_new(0, 0)  # seen again and again: kept

    assert len(recent) == 3
    assert not recent.is_new(0, 0)
    assert recent.is_new(5, 0)


@given(
    st.integers(1, 5),
    st.integers(1, 30),
    st.lists(st.tuples(st.integers(), st.integers(0, 20)), max_size=40),
)
def test_the_ring_keeps_the_latest_within_its_bounds_at_positions_that_never_change(most, most_bytes, items):
    ring, gone = Ring(most, most_bytes), []
    for position, (item, size) in enumerate(items):
        gone += ring.put(item, size)
        assert ring.end == position + 1
        assert 1 <= len(ring) <= most
        kept = [size for _, size in items[ring.first : ring.end]]
        assert len(kept) == 1 or sum(kept) <= most_bytes
        assert [ring[p] for p in range(ring.first, ring.end)] == [i for i, _ in items[ring.first : ring.end]]
    assert gone == [item for item, _ in items[: ring.first]]


def test_a_cleared_ring_has_left_every_reader_behind():
    ring = Ring(5, 100)
    for n in range(3):
        ring.put(n, 1)
    at_the_end = ring.end
    ring.clear()
    assert at_the_end < ring.first == ring.end
    ring.put(3, 1)
    assert ring[ring.first] == 3


POLICY = StatusPolicy(silent_after_ms=10_000, unknown_after_ms=90_000)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (None, (FeedState.UNKNOWN, None)),
        (Seen(), (FeedState.UNKNOWN, None)),
        (Seen(captured_ms=1, picture_ms=995_000, heard_ms=995_000), (FeedState.LIVE, None)),
        (Seen(captured_ms=1, picture_ms=980_000, heard_ms=999_000), (FeedState.SILENT, None)),
        (Seen(heard_ms=950_000), (FeedState.SILENT, None)),
        (Seen(captured_ms=1, picture_ms=900_000, heard_ms=909_999), (FeedState.UNKNOWN, 909_999)),
    ],
)
def test_a_camera_is_live_silent_or_unknown_since_it_was_last_heard(seen, expected):
    assert state_of(seen, 1_000_000, POLICY) == expected
