"""A picture with the road's metres drawn over it, so that people see whether a calibration is right."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from pipeline.adapters.painter import Pixels
from pipeline.core.calibration import Array, GroundPlane
from pipeline.core.model import Line
from pipeline.errors import Fatal

_GRID = (255, 190, 60)  # blue, green, red
_ZERO = (255, 255, 255)
_VALID = (0, 215, 255)
_GOOD, _BAD = (80, 220, 80), (60, 60, 255)
_LINE = (255, 120, 220)
_LINES = 12  # of the grid each way, about
_WIDEST = 8192
_SIZE = 0.45  # of the letters
_DIM = 0.3  # what stays of the picture behind them


def metric_grid(picture: bytes, plane: GroundPlane, *, lines: Sequence[Line] = (), bad_px: float) -> bytes:
    """Draw the grid, the polygon in which it holds, what it was fitted to, and the scene's lines. A PNG.

    Measured points are circles, green or, where they are off by more than bad_px, red; a cross is where the
    plane puts them.

    Raises:
        Fatal: the picture cannot be read.
    """
    canvas = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    if canvas is None:
        raise Fatal("the picture cannot be read: it is neither a JPEG nor a PNG that is whole")
    if canvas.shape[1] < plane.drawn_on.width <= _WIDEST:  # labels are made for the size it was drawn on
        size = (plane.drawn_on.width, round(canvas.shape[0] * plane.drawn_on.width / canvas.shape[1]))
        canvas = cv2.resize(canvas, size, interpolation=cv2.INTER_LINEAR)
    frame: Pixels = np.ascontiguousarray(canvas)
    labels = _Labels(frame)
    _shade(frame, plane)
    for line in lines:
        start, end = (_px(frame, np.array([p]))[0] for p in (line.start, line.end))
        cv2.line(frame, start, end, _LINE, 2, cv2.LINE_AA)
        labels.put(line.name, [start, end], _LINE)
    for residual in plane.residuals:
        colour = _BAD if residual.px > bad_px else _GOOD
        at = _px(frame, np.array([residual.at]))[0]
        cv2.circle(frame, at, 7, colour, 2, cv2.LINE_AA)
        if residual.again is not None:
            again = _px(frame, np.array([residual.again]))[0]
            cv2.drawMarker(frame, again, colour, cv2.MARKER_CROSS, 11, 1, cv2.LINE_AA)
        labels.put(
            f"{residual.what}: {residual.px:.1f} px",
            [(at[0] + 9, at[1]), (at[0] + 9, at[1] + 22), (at[0] - 135, at[1])],
            colour,
        )
    _grid(frame, plane, labels)
    _, packed = cv2.imencode(".png", frame)
    return bytes(packed)


def _shade(frame: Pixels, plane: GroundPlane) -> None:
    """What lies outside the polygon is darker; the polygon has an outline."""
    corners = np.array(_px(frame, plane.valid), dtype=np.int32)
    mask = np.zeros(frame.shape[:2], dtype=np.uint8)
    cv2.fillPoly(mask, [corners], 1)
    frame[mask == 0] = (frame[mask == 0] * 0.62).astype(np.uint8)
    cv2.polylines(frame, [corners], isClosed=True, color=_VALID, thickness=2, lineType=cv2.LINE_AA)


def _grid(frame: Pixels, plane: GroundPlane, labels: "_Labels") -> None:
    outline = np.concatenate(
        [
            a + (b - a) * np.linspace(0, 1, 40)[:, None]
            for a, b in zip(plane.valid, np.roll(plane.valid, -1, axis=0), strict=True)
        ]
    )
    # the part of the polygon that is in the picture
    with np.errstate(invalid="ignore"):
        road = plane.to_ground(np.clip(outline, 0.0, 1.0))
    road = road[np.isfinite(road).all(axis=1)]
    if not len(road):
        return
    low, high = road.min(axis=0), road.max(axis=0)
    for axis in (0, 1):
        step = _nice((high[axis] - low[axis]) / _LINES)
        for n in range(math.ceil(low[axis] / step), math.floor(high[axis] / step) + 1):
            metres = np.empty((400, 2))
            metres[:, axis] = n * step
            metres[:, 1 - axis] = np.linspace(low[1 - axis], high[1 - axis], len(metres))
            _draw(frame, plane, metres, f"{'xy'[axis]} {n * step:g} m", zero=n == 0, labels=labels)


def _draw(frame: Pixels, plane: GroundPlane, metres: Array, text: str, *, zero: bool, labels: "_Labels") -> None:
    """One line of the grid, where it is in the polygon and the picture."""
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = plane.to_picture(metres)
        kept = plane.inside_validity(shares) & ((shares >= 0) & (shares <= 1)).all(axis=1)
    places = np.flatnonzero(kept)
    if len(places) < 2:  # noqa: PLR2004 - a line
        return
    for part in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1):
        points = np.array(_px(frame, shares[part]), dtype=np.int32)
        cv2.polylines(
            frame,
            [points],
            isClosed=False,
            color=_ZERO if zero else _GRID,
            thickness=2 if zero else 1,
            lineType=cv2.LINE_AA,
        )
    ends = [_px(frame, shares[[place]])[0] for place in (places[0], places[-1], places[len(places) // 2])]
    labels.put(text, ends, _ZERO if zero else _GRID)


def _nice(step: float) -> float:
    """The least of 1, 2, 5, 10, ... times a power of ten that is no smaller."""
    power = 10.0 ** math.floor(math.log10(max(step, 1e-6)))
    return next(n * power for n in (1, 2, 5, 10) if n * power >= step * (1 - 1e-9))


class _Labels:
    """Words on a picture that never cover each other: one that finds no place is left out."""

    def __init__(self, frame: Pixels) -> None:
        self._frame = frame
        self._taken: list[tuple[int, int, int, int]] = []

    def put(self, text: str, places: Sequence[tuple[int, int]], colour: tuple[int, int, int]) -> None:
        """Write it at the first of the places that is free."""
        (wide, high), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, _SIZE, 1)
        height, width = self._frame.shape[:2]
        for at in places:
            x, y = min(max(2, at[0] + 3), width - wide - 3), min(max(high + 3, at[1] - 3), height - below - 2)
            box = (x - 2, y - high - 2, x + wide + 2, y + below)
            if all(box[0] > b[2] or b[0] > box[2] or box[1] > b[3] or b[1] > box[3] for b in self._taken):
                self._taken.append(box)
                behind = self._frame[max(0, box[1]) : box[3], max(0, box[0]) : box[2]]
                behind[:] = (behind * _DIM).astype(np.uint8)
                cv2.putText(self._frame, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, _SIZE, colour, 1, cv2.LINE_AA)
                return


def _px(frame: Pixels, shares: Array) -> list[tuple[int, int]]:
    height, width = frame.shape[:2]
    far = np.clip(shares * (width, height), -10_000, 10_000)
    return [(int(x), int(y)) for x, y in np.round(far).tolist()]
