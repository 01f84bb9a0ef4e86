"""What a run said: its events as they were written, and put on a truth's clock."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Annotated, Any, TypeVar

import msgspec

from pipeline.core.model import SpeedTrap, Way
from pipeline.errors import Fatal
from pipeline.evaluate.passages import Passage, Passages, Timed, Truth
from pipeline.wire.checked import mistaken

UNDATED_MS = 2000.0
"""A simulated camera's first picture may be taken so long after t = 0."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A crossing as any version of gantry, or a program beside it, writes it; other keys are passed over."""

    line: str
    direction: Way
    label: str = msgspec.field(name="class")
    captured_ms: float
    id: str | None = None
    camera: str | None = None
    track: str | None = None
    x: float | None = None
    y: float | None = None
    speed_kmh: float | None = None
    speed_sd_kmh: float | None = None
    file: str | None = None  # files only: which, and when since its first picture
    t_seconds: float | None = None
    valid: bool = True  # False: the camera was not well, so the run did not count it
    shows: str | None = None  # painted films only: the simulated camera whose film it is


class Went(msgspec.Struct, frozen=True, kw_only=True, rename={"origin": "from", "destination": "to", "label": "class"}):
    """A movement as gantry writes it; other keys are passed over."""

    origin: str
    destination: str
    label: str
    captured_ms: float  # when its end was reached
    id: str | None = None
    camera: str | None = None
    file: str | None = None
    t_seconds: float | None = None


class Clocked(msgspec.Struct, frozen=True, kw_only=True):
    """A speed between two lines as gantry writes it; other keys are passed over."""

    trap: str
    from_line: str
    line: str
    direction: Way
    label: str = msgspec.field(name="class")
    captured_ms: float  # when the second line was crossed
    metres: Annotated[float, msgspec.Meta(gt=0)]
    speed_kmh: Annotated[float, msgspec.Meta(ge=0)]
    speed_sd_kmh: Annotated[float, msgspec.Meta(ge=0)] | None = None
    id: str | None = None
    camera: str | None = None
    track: str | None = None
    file: str | None = None
    t_seconds: float | None = None
    valid: bool = True


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a run said of one camera."""

    name: str  # the file, folder or address, for people
    events: tuple[Seen, ...]
    watched_ms: float | None = None  # how much it saw; None: it does not say
    went: tuple[Went, ...] = ()  # movements, as far as it tells any
    clocked: tuple[Clocked, ...] = ()  # speeds of traps
    speed_traps: tuple[SpeedTrap, ...] = ()  # of its scene, as far as that is known

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it counted, as far as events name them."""
        return tuple(sorted({e.file for e in self.events if e.file}))

    @property
    def films(self) -> tuple[str, ...]:
        """The simulated cameras whose films it counted, as far as events name them."""
        return tuple(sorted({e.shows for e in self.events if e.shows}))


def read_events(text: str, name: str) -> tuple[Seen, ...]:
    """Read events.jsonl: one JSON object a line. Of rows with one id the last one holds; other types are passed over.

    Crossings that are not valid are left out: the run says itself that it did not count them.

    Raises:
        Fatal: rows that are no events, each with its line.
    """
    rows: list[Any] = []
    mistakes: list[tuple[str, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append((f"line {number}", msgspec.json.decode(line)))
        except (msgspec.MsgspecError, RecursionError) as exc:
            mistakes.append((f"line {number}", f"is not JSON: {exc}"))
    return _seen(rows, name, mistakes)


def events_of(rows: Iterable[Mapping[str, Any]], name: str) -> tuple[Seen, ...]:
    """The same from objects that were decoded elsewhere (the API's answers). Raises Fatal."""
    return _seen([(f"event {n}", row) for n, row in enumerate(rows, 1)], name, [])


def read_movements(text: str) -> tuple[Went, ...]:
    """The movements in events.jsonl that `read_events` has read without a mistake."""
    return movements_of(msgspec.json.decode(line) for line in text.splitlines() if line.strip())


def movements_of(rows: Iterable[Mapping[str, Any]]) -> tuple[Went, ...]:
    """The movements among events that were decoded elsewhere. Raises Fatal: one of them is none."""
    found: dict[str, Went] = {}
    for number, row in enumerate(rows, 1):
        if row.get("type") == "movement":
            try:
                went = msgspec.convert(row, Went)
            except msgspec.ValidationError as exc:
                raise Fatal(f"movement in row {number}: {str(exc).replace('`', '')}") from exc
            found[went.id or f"{number}"] = went
    return tuple(found.values())


def read_speeds(text: str, name: str) -> tuple[Clocked, ...]:
    """The speeds of traps in events.jsonl that `read_events` has read without a mistake. Raises Fatal."""
    rows = ((f"line {n}", line) for n, line in enumerate(text.splitlines(), 1) if line.strip())
    return _clocked(((place, msgspec.json.decode(line)) for place, line in rows), name)


def speeds_of(rows: Iterable[Mapping[str, Any]], name: str) -> tuple[Clocked, ...]:
    """The same among events that were decoded elsewhere. Raises Fatal."""
    return _clocked(((f"event {n}", row) for n, row in enumerate(rows, 1)), name)


def _clocked(rows: Iterable[tuple[str, Any]], name: str) -> tuple[Clocked, ...]:
    return tuple(speed for speed in _of_type("speed", rows, Clocked, name, []) if speed.valid)


def _seen(rows: Iterable[tuple[str, Any]], name: str, mistakes: list[tuple[str, str]]) -> tuple[Seen, ...]:
    return tuple(event for event in _of_type("crossing", rows, Seen, name, mistakes) if event.valid)


_Row = TypeVar("_Row", Seen, Clocked)


def _of_type(
    kind: str, rows: Iterable[tuple[str, Any]], shape: type[_Row], name: str, mistakes: list[tuple[str, str]]
) -> Iterable[_Row]:
    """The rows of one type, each with its place; what tells no type is a crossing. Of rows with one id the last one holds.

    Raises:
        Fatal: some cannot be read; they are told after the mistakes that were found before.
    """
    found: dict[str, _Row] = {}
    for place, row in rows:
        if isinstance(row, dict) and row.get("type", "crossing") != kind:
            continue
        try:
            one = msgspec.convert(row, shape)
        except msgspec.ValidationError as exc:
            mistakes.append((place, str(exc).replace("`", "")))
            continue
        found[one.id or place] = one
    if mistakes:
        raise mistaken(mistakes, name=name)
    return found.values()


def read_watched(text: str, name: str) -> float | None:
    """How much was seen, in milliseconds, by the windows of flow.csv; None where it holds no window.

    Raises:
        Fatal: it is no flow.csv.
    """
    windows: dict[str, float] = {}
    rows = csv.DictReader(io.StringIO(text))
    try:
        for row in rows:
            windows[row["start_ms"]] = float(row["coverage"]) * float(row["window_s"]) * 1000
    except (KeyError, TypeError, ValueError, csv.Error) as exc:
        raise Fatal(f"{name}: line {rows.line_num}: this is no flow.csv as gantry writes it ({exc})") from exc
    return sum(windows.values()) if windows else None


def placed(run: Run, truth: Truth, *, start_ms: float | None = None, tolerance_ms: float = 0.0) -> Passages:
    """Put a run's events on the truth's clock.

    Args:
        run, truth: the two sides.
        start_ms: the captured_ms at which the truth's t = 0 was; None: found out. Events of a file that the truth
            names carry their time since its first picture, and so do those of a run that tells no date; else the
            truth's own start is taken, and events outside of its span stay outside.
        tolerance_ms: how far beyond the span an event may lie.

    Returns:
        The events as passages, ordered by time. Events of other files than the truth's are left out.

    Raises:
        Fatal: the clocks cannot be brought together; names both sides.
    """
    events = [e for e in run.events if _of_file(e, truth, run)]
    start = truth.start_ms if start_ms is None else start_ms
    offsets: list[float | None] = []
    by_file = False
    if start is not None:
        offsets = [e.captured_ms - start for e in events]
    since = [None if e.t_seconds is None else e.t_seconds * 1000 for e in events]
    if start_ms is None and None not in since and len({e.file for e in events}) <= 1:
        reach = (truth.duration_ms or float("inf")) + tolerance_ms
        falls = any(t is not None and -tolerance_ms <= t <= reach for t in offsets)
        if truth.video is not None or (not falls and all(map(_undated, events))):
            offsets, by_file = list(since), True
    if len(offsets) < len(events):
        raise Fatal(
            f"{run.name} tells capture times only, and {truth.name} does not say when it began:"
            " give the capture time of the clip's first picture by --start"
        )
    passages = [_passage(e, t) for e, t in zip(events, offsets, strict=True) if t is not None]
    no_clock = by_file or start is None

    def at(said: Went | Clocked) -> float | None:
        return _since(said) if no_clock or start is None else said.captured_ms - start

    went = [w for w in run.went if _is_in(at(w), truth)]
    speeds = [(speed, at(speed)) for speed in run.clocked if _of_file(speed, truth, run)]
    return Passages(
        name=run.name,
        went=tuple((_line_of(w.origin), _line_of(w.destination), w.label) for w in went) if run.went else None,
        passages=tuple(sorted(passages, key=lambda p: p.order)),
        duration_ms=run.watched_ms if len(run.files) <= 1 else None,
        timed=tuple(_timed(speed, t) for speed, t in speeds if t is not None),
        speed_traps=run.speed_traps,
    )


def _timed(speed: Clocked, t_ms: float) -> Timed:
    return Timed(
        trap=speed.trap,
        from_line=speed.from_line,
        metres=speed.metres,
        passage=Passage(
            line=speed.line,
            direction=speed.direction,
            t_ms=t_ms,
            label=speed.label,
            user=speed.track,
            speed_kmh=speed.speed_kmh,
            speed_sd_kmh=speed.speed_sd_kmh,
        ),
    )


def _since(went: Went | Clocked) -> float | None:
    return None if went.t_seconds is None else went.t_seconds * 1000


def _is_in(t_ms: float | None, truth: Truth) -> bool:
    return t_ms is not None and 0 <= t_ms <= (truth.duration_ms or float("inf"))


def _line_of(place: str) -> str:
    """A place without the way its line is crossed."""
    return place.partition("/")[0]


def _undated(event: Seen) -> bool:
    """Whether an event's capture time is but the time since the first picture, as where nobody said when that was."""
    return event.t_seconds is not None and abs(event.captured_ms - event.t_seconds * 1000) <= UNDATED_MS


def _of_file(event: Seen | Clocked, truth: Truth, run: Run) -> bool:
    """One of several files of a survey is the truth's; a single file is taken as it is (`belonging` looks at it)."""
    if truth.video is None or event.file is None or len(run.files) == 1:
        return True
    return PurePath(event.file).name == PurePath(truth.video).name


def _passage(event: Seen, t_ms: float) -> Passage:
    return Passage(
        line=event.line,
        direction=event.direction,
        t_ms=t_ms,
        label=event.label,
        user=event.track,
        x=event.x,
        y=event.y,
        speed_kmh=event.speed_kmh,
        speed_sd_kmh=event.speed_sd_kmh,
    )


def cameras_of(run: Run) -> Counter[str]:
    """How many events each camera has; events that name none are not counted."""
    return Counter(e.camera for e in run.events if e.camera)


def only_camera(run: Run, camera: str | None) -> Run:
    """The events of one camera.

    Raises:
        Fatal: the run holds several cameras and none was named, or the one named is not there.
    """
    there = sorted(cameras_of(run))
    if camera is None:
        if len(there) > 1:
            raise Fatal(f"{run.name} holds events of {len(there)} cameras ({', '.join(there)}): say whose by --camera")
        return run
    if there and camera not in there:
        raise Fatal(f"{run.name} holds no events of camera {camera}, but of {', '.join(there)}")
    return msgspec.structs.replace(
        run,
        events=tuple(e for e in run.events if e.camera in {camera, None}),
        went=tuple(w for w in run.went if w.camera in {camera, None}),
        clocked=tuple(s for s in run.clocked if s.camera in {camera, None}),
    )
