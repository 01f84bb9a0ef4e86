"""Average precision of a model on pictures that nobody was taught, by pycocotools.

Boxes that need not be found (lower than LEAST_PX, or of which less than LEAST_VISIBLE is visible) are kept out in the way
COCO keeps objects of the wrong size out: a box of the model that matches one counts neither for nor against it.
"""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

import msgspec
import numpy as np

from pipeline.adapters.yolo.training import require
from pipeline.core.model import Detections
from pipeline.simulate.lessons import CLASSES, PICTURE, Box

OVERLAP = 0.5
_LEAST_AREA = 1.0  # COCO ignores what is smaller; what need not be found is said to be


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """One picture: its look, what is there, and what the model saw."""

    look: str  # "day clear"
    truth: list[Box]
    seen: Detections


class Precision(msgspec.Struct, frozen=True, kw_only=True):
    """Average precision at an overlap of 0.5."""

    of: dict[str, float | None]  # by class; None: nobody of it was to be found
    wanted: dict[str, int]  # by class: how many were to be found

    @property
    def mean(self) -> float | None:
        """Over the classes of which anybody was to be found (mAP50)."""
        known = [value for value in self.of.values() if value is not None]
        return float(np.mean(known)) if known else None


def precision(examined: Sequence[Examined]) -> Precision:
    """Average precision by class over these pictures.

    Source:
        T.-Y. Lin and others, Microsoft COCO, ECCV 2014; the figures at an IoU of 0.50, at most 100 boxes a picture.

    Raises:
        Fatal: the extra `train` is missing.
    """
    require()
    from pycocotools.coco import COCO  # noqa: PLC0415 - the extra may be missing
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415

    wanted = {
        label: sum(box.label == label and box.wanted for each in examined for box in each.truth) for label in CLASSES
    }
    with redirect_stdout(io.StringIO()):
        truth, seen = COCO(), COCO()
        truth.dataset, seen.dataset = _truth(examined), _seen(examined)
        truth.createIndex()
        seen.createIndex()
        scored: Any = COCOeval(truth, seen, "bbox")
        scored.params.iouThrs = np.array([OVERLAP])
        scored.params.areaRng, scored.params.areaRngLbl = [[_LEAST_AREA, 1e10]], ["wanted"]
        scored.params.maxDets = [100]
        scored.evaluate()
        scored.accumulate()
    table = scored.eval["precision"][0, :, :, 0, 0]  # [recall, class]
    return Precision(
        of={label: float(table[:, n].mean()) if wanted[label] else None for n, label in enumerate(CLASSES)},
        wanted=wanted,
    )


def _truth(examined: Sequence[Examined]) -> dict[str, Any]:
    boxes: list[dict[str, Any]] = []
    for picture, each in enumerate(examined):
        for box in each.truth:
            area = box.height_px * (box.x2 - box.x1) * PICTURE[0]
            boxes.append(
                {
                    "id": len(boxes) + 1, "image_id": picture, "category_id": CLASSES.index(box.label),
                    "bbox": _rectangle(box.x1, box.y1, box.x2, box.y2), "iscrowd": 0,
                    "area": max(area, 2 * _LEAST_AREA) if box.wanted else 0.0,
                }
            )  # fmt: skip
    return _dataset(len(examined), boxes)


def _seen(examined: Sequence[Examined]) -> dict[str, Any]:
    boxes: list[dict[str, Any]] = []
    for picture, each in enumerate(examined):
        s = each.seen
        for x1, y1, x2, y2, score, label in zip(s.x1, s.y1, s.x2, s.y2, s.score, s.label, strict=True):
            boxes.append(
                {
                    "id": len(boxes) + 1, "image_id": picture, "category_id": CLASSES.index(label), "score": score,
                    "bbox": _rectangle(x1, y1, x2, y2), "iscrowd": 0, "area": 2 * _LEAST_AREA,
                }
            )  # fmt: skip
    return _dataset(len(examined), boxes)


def _dataset(pictures: int, boxes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "images": [{"id": n} for n in range(pictures)],
        "categories": [{"id": n, "name": label} for n, label in enumerate(CLASSES)],
        "annotations": boxes,
    }


def _rectangle(x1: float, y1: float, x2: float, y2: float) -> list[float]:
    """Left, top, width and height in px."""
    return [x1 * PICTURE[0], y1 * PICTURE[1], (x2 - x1) * PICTURE[0], (y2 - y1) * PICTURE[1]]
