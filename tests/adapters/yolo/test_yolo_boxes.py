import numpy as np
import pytest

from pipeline.adapters.yolo.boxes import MOST_BOXES, Head
from pipeline.adapters.yolo.pictures import Letterbox
from pipeline.core.model import Size

LABELS = {0: "person", 1: "car", 2: "kite"}
SQUARE = Letterbox.of(Size(640, 640))


def head(**changes):
    return Head(**{"labels": LABELS, "wanted": frozenset({0, 1}), "score": 0.1, "iou": 0.7, "model": "m@1"} | changes)


def raw(*rows, classes=3):
    """An answer before suppression from rows of (centre x, centre y, width, height, class, score)."""
    answer = np.zeros((4 + classes, max(len(rows), 1)), dtype=np.float32)
    for n, (*box, label, score) in enumerate(rows):
        answer[:4, n] = box
        answer[4 + label, n] = score
    return answer


def test_no_sure_box_is_an_empty_answer():
    found = head().read(raw((100, 100, 50, 50, 1, 0.1)), SQUARE)

    assert (len(found), found.model) == (0, "m@1")


def test_of_two_boxes_of_a_class_that_overlap_the_surer_one_is_kept():
    found = head().read(raw((100, 100, 50, 50, 1, 0.6), (102, 100, 50, 50, 1, 0.8)), SQUARE)

    assert (found.score, found.x1, found.label) == ([0.8], [round(77 / 640, 5)], ["car"])


def test_boxes_of_different_classes_do_not_suppress_each_other():
    found = head().read(raw((100, 100, 50, 50, 1, 0.6), (100, 100, 50, 50, 0, 0.8)), SQUARE)

    assert found.label == ["person", "car"]


def test_boxes_that_overlap_less_than_iou_are_two():
    rows = raw((100, 100, 50, 50, 1, 0.6), (110, 100, 50, 50, 1, 0.8))  # IoU 40/60

    assert len(head(iou=0.7).read(rows, SQUARE)) == 2
    assert len(head(iou=0.6).read(rows, SQUARE)) == 1


def test_an_unwanted_class_that_is_surest_takes_its_box_with_it():
    answer = raw((100, 100, 50, 50, 2, 0.9))
    answer[4 + 1, 0] = 0.5

    assert len(head().read(answer, SQUARE)) == 0


def test_padding_is_taken_off_and_boxes_are_cut_at_the_edge():
    wide = Letterbox.of(Size(640, 360))  # 12 px of padding at the top

    found = head().read(raw((10, 12 + 36, 40, 72, 1, 0.9)), wide)

    assert (found.x1, found.y1, found.x2, found.y2) == ([0.0], [0.0], [round(30 / 640, 5)], [0.2])


@pytest.mark.parametrize(
    "box",
    [(100, 5, 50, 8), (100, 100, 0, 50), (100, 100, -5, 50), (-100, 100, 50, 50), (float("nan"), 100, 50, 50)],
    ids=["in the padding", "no width", "negative width", "beside the picture", "not a number"],
)
def test_a_box_without_area_in_the_picture_is_dropped(box):
    wide = Letterbox.of(Size(640, 360))

    found = head().read(raw((*box, 1, 0.9), (300, 200, 50, 50, 1, 0.5)), wide)

    assert found.score == [0.5]


def test_equal_scores_are_sorted_by_place_whatever_their_order_was():
    rows = [(100 * n + 50, 100, 50, 50, 1, 0.5) for n in range(5)]

    assert head().read(raw(*rows), SQUARE) == head().read(raw(*rows[::-1]), SQUARE)


def test_at_most_the_surest_boxes_are_kept():
    rows = [(20 * (n % 30) + 10, 20 * (n // 30) + 10, 10, 10, 1, 0.2 + n / 1000) for n in range(MOST_BOXES + 50)]

    found = head().read(raw(*rows), SQUARE)

    assert len(found) == MOST_BOXES
    assert min(found.score) == 0.25


def test_an_answer_that_is_already_suppressed_is_read_row_by_row():
    rows = np.array([[10, 20, 74, 84, 0.9, 1], [10, 20, 74, 84, 0.8, 1], [0, 0, 9, 9, 0.7, 2], [0, 0, 0, 0, 0, 0]])

    found = head().read(rows.astype(np.float32), SQUARE)

    assert (found.score, found.label) == ([0.9, 0.8], ["car", "car"])
    assert (found.x1, found.y2) == ([round(10 / 640, 5)] * 2, [round(84 / 640, 5)] * 2)


@pytest.mark.parametrize(("shape", "known"), [((7, 5040), True), ((300, 6), True), ((84, 8400), False), ((7,), False)])
def test_only_answers_of_a_detection_head_are_known(shape, known):
    assert head().knows(shape) is known


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("size", [Size(640, 352), Size(1280, 720), Size(352, 288), Size(333, 777)], ids=str)
def test_boxes_of_random_answers_equal_those_of_ultralytics(seed, size):
    torch = pytest.importorskip("torch")
    pytest.importorskip("ultralytics")
    from ultralytics.utils.nms import non_max_suppression  # noqa: PLC0415 - only with the extra torch
    from ultralytics.utils.ops import scale_boxes  # noqa: PLC0415

    random = np.random.default_rng(seed)
    letterbox = Letterbox.of(size)
    places = random.uniform(0, 1, (2, 400)) * np.array([letterbox.shape[::-1]]).T
    answer = np.concatenate([places, random.uniform(5, 300, (2, 400)), random.uniform(0, 1, (3, 400)) ** 3])
    answer = answer.astype(np.float32)

    ours = head().read(answer, letterbox)
    (theirs,) = non_max_suppression(torch.from_numpy(answer[None].copy()), 0.1, 0.7, classes=[0, 1], max_det=300)
    theirs[:, :4] = scale_boxes(letterbox.shape, theirs[:, :4], (size.height, size.width))
    theirs[:, :4] /= torch.tensor([size.width, size.height] * 2)
    theirs = theirs[(theirs[:, 2:4] - theirs[:, :2] > 1e-5).all(1)]  # they keep boxes that lie in the padding

    assert len(ours) == len(theirs) > 20
    mine, wanted = np.array([ours.x1, ours.y1, ours.x2, ours.y2, ours.score]).T, theirs[:, :5].numpy()
    apart = np.abs(mine[:, None] - wanted[None]).max(axis=2)
    assert apart.min(axis=0).max() < 1e-4
    assert apart.min(axis=1).max() < 1e-4
    assert [ours.label.count(LABELS[n]) for n in (0, 1)] == [int((theirs[:, 5] == n).sum()) for n in (0, 1)]
