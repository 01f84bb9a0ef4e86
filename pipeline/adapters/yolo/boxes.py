"""What a YOLO head answers becomes the boxes of one picture: decoding, non-maximum suppression, shares.

The order of steps is Ultralytics' (`utils/nms.py`, `utils/ops.py` `scale_boxes`), so that the boxes are theirs. The
suppression is OpenCV's; both keep the surest box and drop others of its class that overlap it by more than `iou`.
"""

from typing import Any

import cv2
import msgspec
import numpy as np

from pipeline.adapters.yolo.pictures import Letterbox
from pipeline.core.model import Detections

Array = np.ndarray[Any, np.dtype[np.float32]]

MOST_BOXES = 300
"""Boxes kept of one picture, the surest first. Ultralytics' own bound."""

_MOST_CANDIDATES = 30_000


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """How answers are read. Labels are the model's own; only the classes in `wanted` are kept."""

    labels: dict[int, str]
    wanted: frozenset[int]
    score: float
    iou: float
    model: str  # name and digest, for the record

    def knows(self, shape: tuple[int, ...]) -> bool:
        """Whether an answer of this shape, for one picture, is one we can read."""
        return len(shape) == 2 and (shape[0] == 4 + len(self.labels) or shape[1] == 6)  # noqa: PLR2004 - the head's

    def read(self, answer: Array, letterbox: Letterbox) -> Detections:
        """The boxes of one picture.

        Args:
            answer: either (4 + classes, n): centre x, centre y, width, height in px of the input, then a score for
                each class; or, of models that suppress by themselves, (n, 6): x1, y1, x2, y2, score, class.
            letterbox: how the picture was fitted in.
        """
        if answer.shape[0] == 4 + len(self.labels):
            corners, scores, classes = self._suppressed(answer)
        else:
            sure = answer[:, 4] > self.score
            corners, scores, classes = answer[sure, :4], answer[sure, 4], answer[sure, 5].astype(np.int32)
            mine = np.isin(classes, sorted(self.wanted))
            corners, scores, classes = corners[mine], scores[mine], classes[mine]
        return self._in_shares(corners, scores, classes, letterbox)

    def _suppressed(self, answer: Array) -> tuple[Array, Array, np.ndarray[Any, Any]]:
        by_class = answer[4:]
        maybe = np.flatnonzero(by_class.max(axis=0) > self.score)
        classes = by_class[:, maybe].argmax(axis=0).astype(np.int32)
        # A width that is no number would also spoil the comparison of other boxes.
        sound = np.isfinite(answer[:4, maybe]).all(axis=0) & (answer[2:4, maybe] > 0).all(axis=0)
        mine = sound & np.isin(classes, sorted(self.wanted))
        maybe, classes = maybe[mine], classes[mine]
        scores: Array = by_class[classes, maybe].astype(np.float32)
        surest = np.argsort(-scores, kind="stable")[:_MOST_CANDIDATES]
        maybe, classes, scores = maybe[surest], classes[surest], scores[surest]

        centre, size = answer[:2, maybe].T, answer[2:4, maybe].T
        corners: Array = np.concatenate([centre - size / 2, centre + size / 2], axis=1)
        if not len(scores):
            return corners, scores, classes
        kept = np.array(
            cv2.dnn.NMSBoxesBatched(
                np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).tolist(),
                scores.tolist(),
                classes.tolist(),
                self.score,
                self.iou,
            ),
            dtype=np.intp,
        )
        kept = kept[np.argsort(-scores[kept], kind="stable")][:MOST_BOXES]
        return corners[kept], scores[kept], classes[kept]

    def _in_shares(
        self, corners: Array, scores: Array, classes: np.ndarray[Any, Any], letterbox: Letterbox
    ) -> Detections:
        offset = np.array([letterbox.left, letterbox.top] * 2, dtype=np.float64)
        inner = np.array([letterbox.inner.width, letterbox.inner.height] * 2, dtype=np.float64)
        shares = np.round(np.clip((corners.astype(np.float64) - offset) / inner, 0.0, 1.0), 5) + 0.0  # no -0.0
        rows = sorted(
            (-round(float(score), 4), x1, y1, x2, y2, self.labels[int(label)])
            for (x1, y1, x2, y2), score, label in zip(shares.tolist(), scores, classes, strict=True)
            if x1 < x2 and y1 < y2  # false for a box beside the picture, for one thinner than 1e-5, and for NaN
        )
        return Detections(
            x1=[row[1] for row in rows],
            y1=[row[2] for row in rows],
            x2=[row[3] for row in rows],
            y2=[row[4] for row in rows],
            score=[-row[0] for row in rows],
            label=[row[5] for row in rows],
            model=self.model,
        )
