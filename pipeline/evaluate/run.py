"""What a run said: its events as they were written, and put on a truth's clock."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

import msgspec

from pipeline.core.model import Way
from pipeline.errors import Fatal
from pipeline.evaluate.passages import Passage, Passages, Truth
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
    shows: str | None = None  # painted films only: the simulated camera whose film it is


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a run said of one camera."""

    name: str  # the file, folder or address, for people
    events: tuple[Seen, ...]
    watched_ms: float | None = None  # how much it saw; None: it does not say

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


def _seen(rows: list[tuple[str, Any]], name: str, mistakes: list[tuple[str, str]]) -> tuple[Seen, ...]:
    found: dict[str, Seen] = {}
    for place, row in rows:
        if isinstance(row, dict) and row.get("type", "crossing") != "crossing":
            continue
        try:
            event = msgspec.convert(row, Seen)
        except msgspec.ValidationError as exc:
            mistakes.append((place, str(exc).replace("`", "")))
            continue
        found[event.id or place] = event
    if mistakes:
        raise mistaken(mistakes, name=name)
    return tuple(found.values())


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
    if start is not None:
        offsets = [e.captured_ms - start for e in events]
    since = [None if e.t_seconds is None else e.t_seconds * 1000 for e in events]
    if start_ms is None and None not in since and len({e.file for e in events}) <= 1:
        reach = (truth.duration_ms or float("inf")) + tolerance_ms
        falls = any(t is not None and -tolerance_ms <= t <= reach for t in offsets)
        if truth.video is not None or (not falls and all(map(_undated, events))):
            offsets = list(since)
    if len(offsets) < len(events):
        raise Fatal(
            f"{run.name} tells capture times only, and {truth.name} does not say when it began:"
            " give the capture time of the clip's first picture by --start"
        )
    passages = [_passage(e, t) for e, t in zip(events, offsets, strict=True) if t is not None]
    return Passages(
        name=run.name,
        passages=tuple(sorted(passages, key=lambda p: p.order)),
        duration_ms=run.watched_ms if len(run.files) <= 1 else None,
    )


def _undated(event: Seen) -> bool:
    """Whether an event's capture time is but the time since the first picture, as where nobody said when that was."""
    return event.t_seconds is not None and abs(event.captured_ms - event.t_seconds * 1000) <= UNDATED_MS


def _of_file(event: Seen, truth: Truth, run: Run) -> bool:
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
    return msgspec.structs.replace(run, events=tuple(e for e in run.events if e.camera in {camera, None}))
