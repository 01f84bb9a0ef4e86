"""Which way and how fast vehicles drive at each place of one camera's picture, learned from the camera itself.

The picture is cut into square cells. Each cell keeps a few modes, a mode being a mean velocity and how often it was
seen: where roads cross or turn there are several. Whoever comes into sight with an unknown speed is likely to drive
as others drove there; and who drives on changes speed and course as the modes along the way do, so that perspective
and bends are followed with few pictures a second. Coordinates are level (picture heights, see geometry).
"""

import math
import struct
from collections.abc import Iterable
from functools import lru_cache

import msgspec
import numpy as np

from pipeline.core import kernels
from pipeline.core.kernels import CELL, Field
from pipeline.core.perspective import UNSEEN, Perspective

MODES = 4
"""Velocities kept of one cell."""

_ALIKE = 0.35
"""Velocities that differ by less than this share of their size are one mode."""

Step = tuple[float, float, float, float, float]
"""Somebody drove from (x0, y0) to (x1, y1) in dt seconds."""

Modes = list[list[float]]
"""The MODES modes of one cell: times seen (0: no such mode), vx, vy."""

_ENOUGH = 3.0
"""So many vehicles at a place tell where one goes from there; else its neighbours are asked, too."""

_MODE = np.dtype([("cell", "<u2"), ("n", "<f2"), ("vx", "<f2"), ("vy", "<f2")])
"""How a mode is kept: eight bytes, so that the field of a busy junction is a few kilobytes in a snapshot."""

_PACKER = struct.Struct("<Heee")
"""The same for one mode, where numpy would be slow."""

_MEMORY = 50.0
"""A mode remembers about so many vehicles."""


class FlowField(msgspec.Struct, frozen=True, array_like=True):
    """The field of one kind of road user.

    rows, columns: cells of the picture.
    modes: one after another as in _MODE, by cell and within one in the order they were found.
    """

    rows: int
    columns: int
    modes: bytes = b""

    @classmethod
    def empty(cls, aspect: float) -> "FlowField":
        """Nothing was seen yet in a picture of this width / height."""
        return cls(math.ceil(1 / CELL), math.ceil(aspect / CELL))

    @property
    def table(self) -> Field:
        """What is kept, as it is looked up. Not to be written to.

        Returns:
            cells: [rows, columns] the row of each cell in the other two.
            modes: [3, MODES, n] times seen (0: no such mode), vx, vy, in picture heights a second.
            likeness: [4, MODES, n] their course, a unit vector (0, 0: no such mode), and two terms of their likeness.
        """
        return _dense(self.rows, self.columns, self.modes)

    def _of(self, row: int, column: int) -> Modes:
        """The modes of a cell."""
        cells, kept, _ = self.table
        modes: Modes = kept[:, :, cells[row, column]].T.tolist()
        return modes

    def _cell(self, x: float, y: float) -> int:
        column = min(max(int(x / CELL), 0), self.columns - 1)
        return min(max(int(y / CELL), 0), self.rows - 1) * self.columns + column

    def at(self, x: float, y: float) -> list[tuple[float, float, float]]:
        """The modes near a place: (times seen, vx, vy), most seen first; neighbours count where the cell knows little."""
        r, c = divmod(self._cell(x, y), self.columns)
        found: list[list[float]] = []
        for reach in (0, 1, 2, 3):
            for rr in range(max(0, r - reach), min(self.rows, r + reach + 1)):
                for cc in range(max(0, c - reach), min(self.columns, c + reach + 1)):
                    if max(abs(rr - r), abs(cc - c)) != reach:
                        continue
                    for n, vx, vy in self._of(rr, cc):
                        if n > 0:
                            _join(found, n / (1 + 2 * reach), vx, vy)
            if sum(f[0] for f in found) >= _ENOUGH:
                break
        found.sort(key=lambda f: -f[0])
        return [(f[0], f[1], f[2]) for f in found[:MODES]]

    def arrows(self) -> list[tuple[float, float, float, float, float]]:
        """All that is known: (x and y of a cell's middle, times seen, vx, vy), level."""
        kept = np.frombuffer(self.modes, dtype=_MODE)
        row, column = np.divmod(kept["cell"].astype(np.intp), self.columns)
        said = np.stack([(column + 0.5) * CELL, (row + 0.5) * CELL, kept["n"], kept["vx"], kept["vy"]], axis=1)
        return [(x, y, n, vx, vy) for x, y, n, vx, vy in said.astype(np.float64).tolist()]

    def learned(self, steps: Iterable[Step], perspective: Perspective = UNSEEN) -> "FlowField":
        """The field after vehicles drove from (x0, y0) to (x1, y1) in dt seconds each.

        At a constant speed over the ground: on a long step towards the camera they are seen slower at its begin than at
        its end, by the square of the size they are seen with there.
        """
        touched: dict[int, Modes] = {}
        for x0, y0, x1, y1, dt in steps:
            parts = max(1, math.ceil(math.hypot(x1 - x0, y1 - y0) / CELL))
            ends = perspective.size_at(x0, y0) * perspective.size_at(x1, y1)
            before = -1
            for k in range(parts):
                share = (k + 0.5) / parts
                x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
                cell = self._cell(x, y)
                if cell != before:
                    if cell not in touched:
                        touched[cell] = self._of(*divmod(cell, self.columns))
                    quicker = perspective.size_at(x, y) ** 2 / ends
                    _vote(touched[cell], (x1 - x0) / dt * quicker, (y1 - y0) / dt * quicker)
                before = cell
        return FlowField(self.rows, self.columns, self._with(touched))

    def _with(self, touched: dict[int, Modes]) -> bytes:
        """The modes with those of some cells put in the place of what is kept of these cells."""
        kept, size = np.frombuffer(self.modes, dtype=_MODE)["cell"], _MODE.itemsize
        cells = sorted(touched)
        first, last = (kept.searchsorted(np.array(cells, kept.dtype), side).tolist() for side in ("left", "right"))
        pieces, at = [], 0
        for cell, begin, end in zip(cells, first, last, strict=True):
            pieces += [self.modes[at * size : begin * size], _packed(cell, touched[cell])]
            at = end
        return b"".join([*pieces, self.modes[at * size :]])


@lru_cache(maxsize=256)
def _dense(rows: int, columns: int, modes: bytes) -> Field:
    """See `FlowField.table`; row 0 of modes and likeness is that of all cells of which nothing is kept."""
    cell = np.frombuffer(modes, dtype="<u2")[::4].astype(np.intp)
    kept = np.frombuffer(modes, dtype="<f2").reshape(-1, 4)[:, 1:].astype(np.float64)
    n = 1 + len(cell)  # no more than that: some modes are of one cell
    table = np.zeros((rows, columns), np.intp), np.zeros((3, MODES, n)), np.zeros((4, MODES, n))
    kernels.dense(cell, kept, *table)
    for each in table:
        each.flags.writeable = False
    return table


def _packed(cell: int, modes: Modes) -> bytes:
    """One cell's modes as they are kept."""
    return b"".join([_PACKER.pack(cell, n, vx, vy) for n, vx, vy in modes if n > 0])


def _alike(vx: float, vy: float, wx: float, wy: float) -> bool:
    return math.hypot(vx - wx, vy - wy) < _ALIKE * max(math.hypot(vx, vy), math.hypot(wx, wy), 1e-6)


def _join(found: list[list[float]], n: float, vx: float, vy: float) -> None:
    for f in found:
        if _alike(vx, vy, f[1], f[2]):
            total = f[0] + n
            f[1] += (vx - f[1]) * n / total
            f[2] += (vy - f[2]) * n / total
            f[0] = total
            return
    found.append([n, vx, vy])


def _vote(modes: Modes, vx: float, vy: float) -> None:
    best, least = -1, 0
    near = math.inf
    for k, (n, mx, my) in enumerate(modes):
        if n > 0 and _alike(vx, vy, mx, my):
            d = math.hypot(vx - mx, vy - my)
            if d < near:
                best, near = k, d
        if n < modes[least][0]:
            least = k
    if best >= 0:
        n, mx, my = modes[best]
        n = min(n + 1, _MEMORY)
        modes[best] = [n, mx + (vx - mx) / n, my + (vy - my) / n]
    elif modes[least][0] <= 1:
        modes[least] = [1.0, vx, vy]
    else:
        modes[least][0] -= 1
