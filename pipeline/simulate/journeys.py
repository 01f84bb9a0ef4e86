"""Who went where: the ways of all road users of a recording, and how they are kept in a small file.

A way is kept as knots, step_ms apart; the curve through them IS the truth: whoever asks where a user was asks `at` or
`positions`, so everything made of one recording agrees, at any frame rate.
"""

import functools
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import Fatal, Poison

Array = NDArray[np.float64]

IncidentKind = Literal["stopped_vehicle", "near_collision", "u_turn", "spill_back", "wrong_way", "pedestrian_on_road"]
"""What can be made to happen."""

FARTHEST_M = 1e6
"""No road user is farther from the middle of its world than this."""

QUANTUM_M = 0.01
"""Lengths are kept as whole centimetres."""

QUANTUM_RAD = 0.001
"""Headings are kept as whole milliradians: 9 mm at the end of a lorry of 18 m."""

_MAGIC = b"gantry-journeys\n"
_VERSION = 1
_AT_MOST = 640 * 1024 * 1024  # bytes of an unpacked file: a day of the busiest place; a shipped one has one million
_FILE = re.compile(r"(?P<name>[a-z][a-z0-9_]*)-(?P<seed>\d+)\.traj")


@dataclass(frozen=True, eq=False)
class Journey:
    """One road user's way.

    x_m, y_m and heading_rad are [n], n >= 2, one value per knot; (x_m, y_m) is the MIDDLE of the footprint. Arrays
    are copied and made read-only.

    Raises:
        ValueError: a size is not above 0, or the arrays are not finite, not of one length, shorter than 2 or
            farther away than FARTHEST_M.
    """

    id: int
    label: str  # one of COCO's
    length_m: float
    width_m: float
    height_m: float
    origin: str  # where it came from: an arm of the scenario; a pedestrian's kerb
    destination: str
    from_ms: int  # of the first knot
    x_m: Array
    y_m: Array
    heading_rad: Array

    def __post_init__(self) -> None:
        """Refuse a way that nobody could go."""
        for name in ("length_m", "width_m", "height_m"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"journey {self.id}: {name} must be above 0, got {value:g}")
        for name in ("x_m", "y_m", "heading_rad"):
            kept = np.array(getattr(self, name), dtype=np.float64)
            if kept.ndim != 1 or len(kept) < 2 or len(kept) != len(self.x_m):  # noqa: PLR2004 - a way has two ends
                raise ValueError(f"journey {self.id}: {name} needs one value per knot, 2 or more, got {kept.shape}")
            if not np.all(np.abs(kept) <= FARTHEST_M):  # nan is not
                raise ValueError(f"journey {self.id}: {name} holds a value that is no number or beyond {FARTHEST_M:g}")
            kept.setflags(write=False)
            object.__setattr__(self, name, kept)

    def to_ms(self, step_ms: int) -> int:
        """The time of the last knot."""
        return self.from_ms + (len(self.x_m) - 1) * step_ms


@dataclass(frozen=True)
class Staged:
    """An incident made on purpose, as it really happened."""

    kind: IncidentKind
    from_ms: int
    to_ms: int
    users: tuple[int, ...]  # ids of journeys
    x_m: float  # where
    y_m: float


@dataclass(frozen=True, eq=False)
class Recording:
    """Traffic of one place, from t = 0 to duration_ms. Compared by identity; `write` gives comparable bytes.

    Raises:
        ValueError: a length of time is not above 0, two journeys have one id, or an incident names no journey.
    """

    scenario: str
    seed: int
    step_ms: int
    duration_ms: int
    journeys: tuple[Journey, ...]
    staged: tuple[Staged, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what fits no clock, and ids that fit nobody."""
        if self.step_ms <= 0 or self.duration_ms <= 0:
            raise ValueError(
                f"a recording needs step_ms and duration_ms above 0, got {self.step_ms}, {self.duration_ms}"
            )
        ids = {journey.id for journey in self.journeys}
        if len(ids) != len(self.journeys):
            raise ValueError("every journey of a recording has an id of its own; two have the same")
        for staged in self.staged:
            if unknown := set(staged.users) - ids:
                raise ValueError(f"the staged {staged.kind} names users that have no journey: {sorted(unknown)}")

    @functools.cached_property
    def by_id(self) -> Mapping[int, Journey]:
        """The journeys by their ids."""
        return {journey.id: journey for journey in self.journeys}

    @functools.cached_property
    def _packed(self) -> "_Packed":
        """All knots in one array, made when first asked for."""
        return _Packed.of(self)


@dataclass(frozen=True, eq=False)
class Moment:
    """Who is there at one moment: arrays of length n, in the order of the recording's journeys."""

    t_ms: float
    index: NDArray[np.intp]  # into recording.journeys
    x_m: Array  # the middle of the footprint
    y_m: Array
    heading_rad: Array  # from -pi to pi
    speed_ms: Array  # metres per second along the curve
    length_m: Array
    width_m: Array
    height_m: Array


def at(recording: Recording, t_ms: float) -> Moment:
    """Everybody who is there at a moment; nobody before and after the recording's journeys.

    Source:
        Uniform Catmull-Rom splines: Catmull and Rom, A Class of Local Interpolating Splines, Computer Aided Geometric
        Design (1974). Before the first knot and after the last the way is taken to go on straight.
    """
    packed = recording._packed  # noqa: SLF001 - the recording keeps it for this function
    index = np.flatnonzero((packed.from_ms <= t_ms) & (t_ms <= packed.to_ms))
    passed = (t_ms - packed.from_ms[index]) / recording.step_ms
    knot = np.minimum(passed.astype(np.intp), packed.knots[index] - 2)
    share = passed - knot
    rows = packed.first[index] + knot  # the padding's row before it is one less
    around = packed.table[rows[:, None] + np.arange(-1, 3)]
    value, slope = _curve(around, share[:, None])
    slope_s = slope[:, :2] * (1000 / recording.step_ms)
    return Moment(
        t_ms=t_ms,
        index=index,
        x_m=value[:, 0],
        y_m=value[:, 1],
        heading_rad=_wrapped(value[:, 2]),
        speed_ms=np.hypot(slope_s[:, 0], slope_s[:, 1]),
        length_m=packed.sizes[index, 0],
        width_m=packed.sizes[index, 1],
        height_m=packed.sizes[index, 2],
    )


def positions(journey: Journey, step_ms: int, t_ms: Array) -> tuple[Array, Array, Array, Array]:
    """Where one user was at many times: the same curve as `at`.

    Args:
        journey, step_ms: the way, and its recording's time between knots.
        t_ms: [m], in any order.

    Returns:
        x_m, y_m, heading_rad (-pi to pi) and speed_ms, each [m]; nan at times when the user was not there.
    """
    times = np.asarray(t_ms, dtype=np.float64)
    table = _padded(journey)
    passed = (times - journey.from_ms) / step_ms
    there = (passed >= 0) & (passed <= len(journey.x_m) - 1)
    passed = np.where(there, passed, 0.0)
    knot = np.minimum(passed.astype(np.intp), len(journey.x_m) - 2)
    value, slope = _curve(table[knot[:, None] + np.arange(4)], (passed - knot)[:, None])
    speed = np.hypot(slope[:, 0], slope[:, 1]) * (1000 / step_ms)
    columns = (value[:, 0], value[:, 1], _wrapped(value[:, 2]), speed)
    x, y, heading, along = (np.where(there, column, np.nan) for column in columns)
    return x, y, heading, along


def write(recording: Recording) -> bytes:
    """The recording in a small file: lengths to QUANTUM_M, headings to QUANTUM_RAD, times to the millisecond."""
    journeys = recording.journeys
    kept = _Kept(
        scenario=recording.scenario,
        seed=recording.seed,
        step_ms=recording.step_ms,
        duration_ms=recording.duration_ms,
        users=[
            (
                j.id, j.label, _whole(j.length_m), _whole(j.width_m), _whole(j.height_m), j.origin, j.destination,
                j.from_ms, len(j.x_m),
            )
            for j in journeys
        ],
        staged=[(s.kind, s.from_ms, s.to_ms, s.users, _whole(s.x_m), _whole(s.y_m)) for s in recording.staged],
        x=_deltas([j.x_m for j in journeys], QUANTUM_M),
        y=_deltas([j.y_m for j in journeys], QUANTUM_M),
        heading=_deltas([j.heading_rad for j in journeys], QUANTUM_RAD),
    )  # fmt: skip
    return _MAGIC + bytes([_VERSION]) + zlib.compress(msgspec.msgpack.encode(kept), level=9)


def read(data: bytes) -> Recording:
    """The recording that `write` wrote.

    Raises:
        Poison: the bytes are no such file, damaged, or of a version that is not known here.
    """
    if not data.startswith(_MAGIC) or len(data) == len(_MAGIC):
        raise Poison("this is no recording of journeys: it does not begin as one")
    if (version := data[len(_MAGIC)]) != _VERSION:
        raise Poison(
            f"this recording has format version {version}, known here: {_VERSION}; update gantry or record anew"
        )
    try:
        unpacking = zlib.decompressobj()
        plain = unpacking.decompress(data[len(_MAGIC) + 1 :], _AT_MOST)
        if not unpacking.eof or unpacking.unused_data:
            raise Poison("this recording is cut short, too large or followed by something else")
        kept = msgspec.msgpack.decode(plain, type=_Kept)
        return _restored(kept)
    except (zlib.error, msgspec.DecodeError, ValueError, OverflowError) as exc:
        raise Poison(f"this recording is damaged: {exc}") from exc


def shipped() -> dict[str, tuple[int, ...]]:
    """The recordings that come with gantry: scenario -> its seeds, rising."""
    seeds: dict[str, list[int]] = {}
    folder = _shipped_folder()
    for file in folder.iterdir() if folder.is_dir() else ():
        if found := _FILE.fullmatch(file.name):
            seeds.setdefault(found["name"], []).append(int(found["seed"]))
    return {name: tuple(sorted(seeds[name])) for name in sorted(seeds)}


@functools.lru_cache(maxsize=4)
def recorded(scenario: str, seed: int) -> Recording:
    """A recording that comes with gantry.

    Raises:
        Fatal: it does not; the message says which do, and how another is made.
    """
    there = shipped()
    if seed not in there.get(scenario, ()):
        seeds = "; ".join(f"{name} seeds {ranges(numbers)}" for name, numbers in there.items()) or "none"
        raise Fatal(
            f"no recording of scenario {scenario!r} with seed {seed} comes with gantry; there are: {seeds}. "
            f"Make it: gantry simulate record {scenario} --seed {seed}"
        )
    try:
        return read((_shipped_folder() / f"{scenario}-{seed}.traj").read_bytes())
    except Poison as exc:
        raise Fatal(f"the shipped recording {scenario}-{seed}.traj: {exc}; install gantry anew") from exc


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """What the file holds, in order."""

    scenario: str
    seed: int
    step_ms: int
    duration_ms: int
    users: list[tuple[int, str, int, int, int, str, str, int, int]]  # ..., cm, ..., from_ms, knots
    staged: list[tuple[IncidentKind, int, int, tuple[int, ...], int, int]]  # ..., cm
    x: bytes
    y: bytes
    heading: bytes


@dataclass(frozen=True, eq=False)
class _Packed:
    """All knots of a recording, each journey's with one made-up knot before and after."""

    table: Array  # [knots and padding, 3]
    first: NDArray[np.intp]  # row of each journey's first knot
    knots: NDArray[np.intp]
    from_ms: NDArray[np.int64]
    to_ms: NDArray[np.int64]
    sizes: Array  # [n, 3]

    @classmethod
    def of(cls, recording: Recording) -> "_Packed":
        journeys = recording.journeys
        knots = np.array([len(j.x_m) for j in journeys], dtype=np.intp)
        return cls(
            table=np.concatenate([_padded(j) for j in journeys] or [np.empty((0, 3))]),
            first=np.cumsum(knots + 2) - knots - 1,
            knots=knots,
            from_ms=np.array([j.from_ms for j in journeys], dtype=np.int64),
            to_ms=np.array([j.to_ms(recording.step_ms) for j in journeys], dtype=np.int64),
            sizes=np.array([(j.length_m, j.width_m, j.height_m) for j in journeys], dtype=np.float64).reshape(-1, 3),
        )


def _padded(journey: Journey) -> Array:
    """Knots [n + 2, 3] of x, y and the heading without jumps, gone on straight at both ends."""
    inner = np.column_stack([journey.x_m, journey.y_m, np.unwrap(journey.heading_rad)])
    return np.concatenate([2 * inner[:1] - inner[1:2], inner, 2 * inner[-1:] - inner[-2:-1]])


def _curve(around: Array, share: Array) -> tuple[Array, Array]:
    """Value and slope (per step) [m, 3] between the second and third of four knots [m, 4, 3] at a share [m, 1] of it."""
    before, start, end, after = (around[:, k] for k in range(4))
    linear = (end - before) / 2
    square = before - 2.5 * start + 2 * end - 0.5 * after
    cube = 1.5 * (start - end) + (after - before) / 2
    value = start + share * (linear + share * (square + share * cube))
    return value, linear + share * (2 * square + 3 * share * cube)


def _wrapped(angle: Array) -> Array:
    return np.asarray((angle + math.pi) % (2 * math.pi) - math.pi)


def _whole(metres: float) -> int:
    return round(metres / QUANTUM_M)


def _deltas(ways: list[Array], quantum: float) -> bytes:
    """Second differences of whole numbers, folded to be positive, byte plane by byte plane: zlib finds what is there."""
    parts = []
    for way in ways:
        whole = np.rint(way / quantum).astype(np.int64)
        parts.append(np.diff(np.concatenate([np.zeros(2, np.int64), whole]), n=2))
    flat = np.concatenate(parts or [np.empty(0, np.int64)])
    folded = np.where(flat >= 0, 2 * flat, -2 * flat - 1).astype("<u8")
    return folded.view(np.uint8).reshape(-1, 8)[:, :5].T.tobytes()  # 40 bits: four times the farthest, folded


def _undelta(data: bytes, knots: list[int], quantum: float) -> list[Array]:
    """The inverse of `_deltas`. Raises ValueError where the bytes are not for so many knots."""
    total = sum(knots)
    if len(data) != 5 * total:
        raise ValueError(f"{total} knots need {5 * total} bytes, there are {len(data)}")
    planes = np.zeros((total, 8), np.uint8)
    planes[:, :5] = np.frombuffer(data, np.uint8).reshape(5, total).T
    folded = planes.view("<u8").reshape(-1).astype(np.int64)
    flat = np.where(folded % 2 == 0, folded // 2, -(folded + 1) // 2)
    parts = np.split(flat, np.cumsum(knots)[:-1]) if knots else []
    return [np.cumsum(np.cumsum(part)) * quantum for part in parts]


def _restored(kept: _Kept) -> Recording:
    knots = [user[-1] for user in kept.users]
    if any(count < 2 for count in knots):  # noqa: PLR2004 - a way has two ends
        raise ValueError("a journey has fewer than two knots")
    columns = zip(
        kept.users,
        _undelta(kept.x, knots, QUANTUM_M),
        _undelta(kept.y, knots, QUANTUM_M),
        _undelta(kept.heading, knots, QUANTUM_RAD),
        strict=True,
    )
    return Recording(
        scenario=kept.scenario,
        seed=kept.seed,
        step_ms=kept.step_ms,
        duration_ms=kept.duration_ms,
        journeys=tuple(
            Journey(
                id=user, label=label, length_m=length * QUANTUM_M, width_m=width * QUANTUM_M,
                height_m=height * QUANTUM_M, origin=origin, destination=destination, from_ms=from_ms,
                x_m=x, y_m=y, heading_rad=heading,
            )
            for (user, label, length, width, height, origin, destination, from_ms, _), x, y, heading in columns
        ),
        staged=tuple(
            Staged(kind, from_ms, to_ms, users, x * QUANTUM_M, y * QUANTUM_M)
            for kind, from_ms, to_ms, users, x, y in kept.staged
        ),
    )  # fmt: skip


def _shipped_folder() -> Any:
    return resources.files("pipeline.simulate") / "recordings"


def ranges(numbers: tuple[int, ...]) -> str:
    """0, 1, 2, 5 as "0-2, 5"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
