import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.model import LiveTrack, LiveTracks
from pipeline.errors import Fatal
from pipeline.evaluate.boxes import (
    Boxes,
    of_live_tracks,
    of_pictures,
    overlaps,
    read_mot,
    read_mot_truth,
    without_ignored,
)
from pipeline.evaluate.hota import Hota, hota
from pipeline.simulate.frames import Picture, TrueBox
from tests.evaluate.followed import boxes, followed

BY_TRACKEVAL = [
    ((1, 2, 0, 1.0), (0.8164532388, 0.8017477905, 0.8314305415, 0.9232670268)),
    ((2, 4, 0.05, 2.0), (0.6457874858, 0.6970426652, 0.5983939086, 0.8391408779)),
    ((3, 6, 0.1, 4.0), (0.3746955576, 0.5858138310, 0.2422769138, 0.7482653253)),
    ((4, 7, 0.02, 6.0), (0.4089911992, 0.4551805395, 0.3683825718, 0.6650092889)),
    ((5, 3, 0.5, 3.0), (0.2205198216, 0.6533295108, 0.0770196215, 0.7943629822)),
]
"""HOTA, DetA, AssA and LocA (over alphas at which anything was found) by TrackEval 1.3.0, on the same boxes."""

NOBODY = boxes([])


@pytest.mark.parametrize(("case", "figures"), BY_TRACKEVAL)
def test_the_figures_are_those_of_trackeval(case, figures):
    seed, users, swap, jitter = case
    got = hota(*followed(seed, users=users, swap=swap, jitter=jitter))

    assert (got.hota, got.deta, got.assa, got.loca) == pytest.approx(figures, abs=1e-9)


def test_tracks_that_are_the_truth_are_perfect_whatever_they_are_called():
    truth, _ = followed(1, users=3, swap=0, jitter=0)
    renamed = Boxes(truth.frame, 7 - truth.id, truth.corners)

    assert hota(truth, renamed) == Hota(hota=1.0, deta=1.0, assa=1.0, loca=1.0)


def test_one_user_in_two_tracks_of_equal_length_is_seen_whole_and_kept_half():
    """AssA is 1/2 at every alpha (Luiten et al., figure 3), so HOTA is the root of it."""
    truth = boxes([(f, 0, 0, 0, 10, 10) for f in range(10)])
    split = boxes([(f, 1 if f < 5 else 2, 0, 0, 10, 10) for f in range(10)])
    got = hota(truth, split)

    assert (got.deta, got.assa, got.hota) == (1.0, pytest.approx(0.5), pytest.approx(0.5**0.5))


def test_nobody_on_one_side_is_0_and_on_both_is_unknown():
    truth, run = followed(1, users=2, swap=0, jitter=1)

    assert hota(truth, NOBODY).hota == hota(NOBODY, run).hota == 0.0
    assert hota(NOBODY, NOBODY).hota is None


@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(seed, random):
    truth, run = followed(seed, users=3, swap=0.1, jitter=3, frames=8)
    order = list(range(len(run)))
    random.shuffle(order)
    shuffled = Boxes(run.frame[order], run.id[order], run.corners[order])
    one, other = hota(truth, run), hota(truth, shuffled)

    assert (other.hota, other.deta, other.assa) == pytest.approx((one.hota, one.deta, one.assa))


def test_boxes_overlap_by_intersection_over_union():
    a = np.array([[0.0, 0, 2, 2], [10, 10, 12, 12]])
    b = np.array([[1.0, 0, 3, 2], [0, 0, 2, 2], [2, 2, 4, 4]])

    assert overlaps(a, b).tolist() == [[pytest.approx(1 / 3), 1.0, 0.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([(0, 1, 5, 0, 5, 1)], "x1 < x2"),
        ([(0, 1, 0, 0, 1, 1), (0, 1, 2, 2, 3, 3)], "only once"),
    ],
)
def test_boxes_that_cannot_be_are_refused(rows, told):
    with pytest.raises(ValueError, match=told):
        boxes(rows)


def test_a_motchallenge_file_is_read_and_what_it_says_to_ignore_is_left_out_of_a_truth():
    text = "1,7,10,20,30,40,1,3,0.9\n1, 8, 10.5, 20, 30, 40, 0, 3, 0.05\n\n2,7,11,20,30,40,1,3,1\n"
    all_rows, (truth, ignored) = read_mot(text, "f"), read_mot_truth(text, "f")

    assert (all_rows.id.tolist(), truth.id.tolist(), truth.frame.tolist()) == ([7, 8, 7], [7, 7], [1, 2])
    assert (ignored.id.tolist(), ignored.frame.tolist()) == ([8], [1])
    assert truth.corners[0].tolist() == [10, 20, 40, 60]
    assert len(read_mot("", "f")) == 0


def test_every_row_that_cannot_be_read_is_told():
    with pytest.raises(Fatal) as caught:
        read_mot("1,1,0,0,9,9\n1,1,0,0,9,9\n1,x,0,0,9,9\n1,2,0,0,0,9\n1,2,3\n1.5,2,0,0,9,9\n1,3,nan,0,9,9\n", "res.txt")

    assert [line[: line.index(": ", 9)] for line in str(caught.value).splitlines()] == [
        f"res.txt: line {n}" for n in (2, 3, 4, 5, 6, 7)
    ]


def test_live_tracks_are_boxes():
    told = [
        LiveTracks(camera="a", epoch=1, seq=n, captured_ms=1000 + 40 * n, tracks=[
            LiveTrack(track, "car", 0.1, 0.2, 0.3, 0.4, 0.9) for track in tracks
        ])
        for n, tracks in enumerate([["1-0-0"], ["1-0-0", "1-1-0"], []])
    ]  # fmt: skip
    made = of_live_tracks(told)

    assert (made.frame.tolist(), made.id.tolist()) == ([1000, 1040, 1040], [0, 0, 1])
    assert made.corners[0].tolist() == [0.1, 0.2, 0.3, 0.4]


def test_pictures_of_a_simulation_are_boxes_of_those_who_can_be_seen():
    def box(user, visible):
        return TrueBox(
            user=user, label="car", x1=0.1, y1=0.1, x2=0.2, y2=0.2, visible=visible, inside=1.0, occluded=0.0, speed_kmh=30
        )  # fmt: skip

    made = of_pictures([Picture(number=3, t_ms=300.0, boxes=(box(1, 0.9), box(2, 0.05)))])

    assert (made.frame.tolist(), made.id.tolist()) == ([300], [1])


def test_tracks_on_boxes_to_ignore_are_neither_right_nor_false():
    truth, ignored = boxes([(1, 1, 0, 0, 10, 10)]), boxes([(1, 2, 30, 0, 40, 10), (2, 2, 30, 0, 40, 10)])
    run = boxes([(1, 7, 0, 0, 10, 10), (1, 8, 30, 0, 40, 9), (2, 8, 30, 0, 40, 4), (3, 8, 30, 0, 40, 10)])
    kept = without_ignored(run, truth, ignored)

    assert list(zip(kept.frame, kept.id, strict=True)) == [(1, 7), (2, 8), (3, 8)], "only an overlap of 0.5 lies on it"
    assert without_ignored(run, truth, NOBODY).id.tolist() == run.id.tolist()


def test_a_track_of_a_user_that_counts_is_kept_beside_one_to_ignore():
    truth, ignored = boxes([(1, 1, 0, 0, 10, 10)]), boxes([(1, 2, 1, 0, 11, 10)])

    assert len(without_ignored(boxes([(1, 7, 0, 0, 10, 10)]), truth, ignored)) == 1
    assert without_ignored(boxes([(1, 7, 0, 0, 10, 10), (1, 8, 1, 0, 11, 10)]), truth, ignored).id.tolist() == [7]
