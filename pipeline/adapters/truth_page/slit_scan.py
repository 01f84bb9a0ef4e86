"""The slit-scan of a line: its pixels in every frame, side by side, so that whoever passes leaves a streak.

A column is one frame, its top the line's `from` and its bottom the line's `to`. Long films are cut into several
pictures (tiles) of equally many frames.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import simplejpeg

from pipeline.core.model import Line

Pixels = npt.NDArray[np.uint8]

BAND_PX = 5
"""Pixels across the line whose mean is shown: one row alone is noise, many would smear a fast vehicle."""

LEAST_ROWS, MOST_ROWS = 16, 320
TILE_FRAMES = 512
OVERVIEW_ROWS, OVERVIEW_COLUMNS = 48, 2000
QUALITY = 88


class Run(msgspec.Struct, frozen=True, array_like=True):
    """Frames that follow each other evenly: their columns may be drawn as one stretched picture."""

    first: int
    count: int


class SlitScan:
    """Collects one line's columns and writes them as JPEG tiles.

    Args:
        line: whose ends are shares of the picture.
        folder: where tiles are written, as <line>-0000.jpg and so on. It must exist.

    Attributes:
        rows: height of the tiles in pixels; 0 before the first frame.
        tiles: names of the files written so far.

    Every method raises OSError where the folder cannot be written to.
    """

    def __init__(self, line: Line, folder: Path) -> None:
        self.line, self._folder = line, folder
        self.rows = 0
        self.tiles: list[str] = []
        self._columns: list[Pixels] = []
        self._small: list[Pixels] = []
        self._places: tuple[tuple[int, int], Any] | None = None

    def add(self, picture: Pixels) -> None:
        """Add the next frame, [height, width, 3] RGB. Frames may differ in size, the line lies in shares."""
        height, width = picture.shape[:2]
        if self._places is None or self._places[0] != (width, height):
            self.rows = self.rows or rows_of(self.line, width, height)
            self._places = (width, height), places(self.line, width, height, self.rows)
        ys, xs = self._places[1]
        column = picture[ys, xs].mean(axis=0).astype(np.uint8)
        self._columns.append(column)
        self._small.append(column[np.linspace(0, self.rows - 1, min(self.rows, OVERVIEW_ROWS)).astype(int)])
        if len(self._columns) == TILE_FRAMES:
            self._write_tile()

    def finish(self) -> str:
        """Write what is left, and the overview of the whole film; its file name."""
        if self._columns:
            self._write_tile()
        count = min(len(self._small), OVERVIEW_COLUMNS)
        kept = np.linspace(0, len(self._small) - 1, count).round().astype(int)
        name = f"{self.line.name}-all.jpg"
        self._write(name, [self._small[i] for i in kept])
        return name

    def _write_tile(self) -> None:
        name = f"{self.line.name}-{len(self.tiles):04d}.jpg"
        self._write(name, self._columns)
        self.tiles.append(name)
        self._columns = []

    def _write(self, name: str, columns: Sequence[Pixels]) -> None:
        image = np.ascontiguousarray(np.stack(columns, axis=1))
        (self._folder / name).write_bytes(simplejpeg.encode_jpeg(image, quality=QUALITY, colorsubsampling="444"))


def rows_of(line: Line, width: int, height: int) -> int:
    """How many pixels of a line are worth keeping: as many as it is long in the picture, within limits."""
    length = np.hypot((line.end[0] - line.start[0]) * width, (line.end[1] - line.start[1]) * height)
    return int(np.clip(round(length), LEAST_ROWS, MOST_ROWS))


def places(line: Line, width: int, height: int, rows: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Which pixels of a picture make a column.

    Returns:
        (ys, xs), both [k, rows]: a row's mean is taken over k pixels, BAND_PX of them across the line (on both sides)
        times those along it that share the row. Rows go from `from` to `to`. What would lie outside the picture is
        its nearest pixel.
    """
    start = np.array([line.start[0] * width, line.start[1] * height])
    end = np.array([line.end[0] * width, line.end[1] * height])
    length = max(float(np.linalg.norm(end - start)), 1e-9)
    sharing = max(1, int(np.ceil(length / rows)))
    shares = (np.arange(rows)[None] + (np.arange(sharing)[:, None] + 0.5) / sharing) / rows
    ahead = (end - start) / length
    across = np.array([-ahead[1], ahead[0]])
    offsets = np.arange(BAND_PX) - BAND_PX // 2
    points = start + (shares * length)[None, :, :, None] * ahead + offsets[:, None, None, None] * across
    points = points.reshape(-1, rows, 2)
    xs = np.clip(np.floor(points[..., 0]), 0, width - 1).astype(np.intp)
    ys = np.clip(np.floor(points[..., 1]), 0, height - 1).astype(np.intp)
    return ys, xs


def runs(times_ms: Sequence[int], tile: int = TILE_FRAMES) -> list[Run]:
    """Cut a film into stretches in which every frame is where even spacing puts it, to half a frame.

    A hole in the film, a change of its rate and the end of a tile end a run.

    Args:
        times_ms: of every frame, rising.
        tile: frames in one tile.
    """
    if not times_ms:
        return []
    times = np.asarray(times_ms, float)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    out: list[Run] = []
    first = 0
    for i in range(1, len(times) + 1):
        even = i < len(times) and abs(times[i] - times[first] - (i - first) * step) < step / 2
        if even and i % tile:
            continue
        out.append(Run(first, i - first))
        first = i
    return out
