"""What `gantry count` leaves on disk: events.jsonl, events.csv and flow.csv in one folder.

Where the scene has zones there is also zones.csv, and movements.csv where vehicles went from one of its places to
another. Of an event that is told again, the last revision stands, in the place of the first.

Rows are written as they come, into files that get their names only when the survey is complete: a file that is
there is whole.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from zoneinfo import ZoneInfo

import msgspec

from pipeline.core.model import Event, Flow, OfTrack
from pipeline.errors import Fatal

EVENT_COLUMNS = (
    "type", "camera", "line", "direction", "direction_name", "class", "captured_ms", "local_time", "file", "t_seconds", "x", "y",
    "score", "speed_kmh", "speed_sd_kmh", "trap", "from_line", "metres", "seconds", "track", "id", "valid", "lane", "zone", "from", "to", "name", "legal", "began", "ended", "entered_ms", "dwell_ms",
    "from_ms", "travel_ms", "at_ms", "likeliest", "probability", "limit", "vehicles", "end_ms", "revision", "captured_sd_ms",
    "dwell_sd_ms", "travel_sd_ms", "class_share", "scene_revision", "model", "clock",
)  # fmt: skip
FLOW_COLUMNS = (
    "camera", "start_ms", "local_time", "window_s", "coverage", "line", "direction", "class", "count", "speeds", "mean_kmh", "median_kmh", "revision",
    "health",
)  # fmt: skip

ZONE_COLUMNS = (
    "camera", "start_ms", "local_time", "window_s", "coverage", "zone", "mean_vehicles", "max_vehicles", "occupied_share", "entered",
    "left", "mean_dwell_ms", "max_dwell_ms", "revision",
)  # fmt: skip
MOVEMENT_COLUMNS = (
    "camera", "start_ms", "local_time", "window_s", "coverage", "from", "to", "name", "legal", "class", "count", "revision",
)  # fmt: skip


class SurveyFiles:
    """The files of one survey; use it as a context manager.

    Args:
        out: the folder, made if missing.
        zone: the survey's time zone, or None where nobody said when the survey began: local_time stays empty.

    Every method raises Fatal when the folder cannot be written to; then, as after any error, nothing of this survey
    is left there.
    """

    def __init__(self, out: Path, zone: ZoneInfo | None) -> None:
        self.out, self.zone = out, zone
        self._files: dict[str, IO[str]] = {}
        self._flows: dict[int, Flow] = {}
        self._revised: dict[str, dict[str, object]] = {}  # rows that take the place of earlier ones
        try:
            with self._in_our_words():
                out.mkdir(parents=True, exist_ok=True)
                for name in ("events.jsonl", "events.csv", "flow.csv"):
                    self._files[name] = self._part(name).open("w", encoding="utf-8", newline="")
        except Fatal:
            self._forget()
            raise
        self._events = csv.writer(self._files["events.csv"])
        self._events.writerow(EVENT_COLUMNS)
        csv.writer(self._files["flow.csv"]).writerow(FLOW_COLUMNS)

    def event(self, event: Event, file: str, t_seconds: float, *, shows: str | None = None) -> None:
        """Add one event; a later revision takes the place of an earlier one. `shows` is the simulated camera whose film the file is, for events.jsonl only."""
        row: dict[str, object] = msgspec.to_builtins(event) | {
            "file": file, "t_seconds": t_seconds, "local_time": self._local(event.captured_ms),
        }  # fmt: skip
        if isinstance(event, OfTrack):
            row["valid"] = event.valid
        if shows is not None:
            row["shows"] = shows
        if event.revision:
            self._revised[event.id] = row
        else:
            with self._in_our_words():
                self._write(row)

    def flow(self, flow: Flow) -> None:
        """Add one window; a later revision takes the place of an earlier one."""
        self._flows[flow.start_ms] = flow

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with self._in_our_words():
                    self._finish()
        finally:
            self._forget()

    def _write(self, row: dict[str, object]) -> None:
        self._files["events.jsonl"].write(_json(row))
        self._events.writerow(_cells(row))

    def _finish(self) -> None:
        flows = [flow for _, flow in sorted(self._flows.items())]
        csv.writer(self._files["flow.csv"]).writerows(row for flow in flows for row in self._flow_rows(flow))
        self._also("zones.csv", ZONE_COLUMNS, [row for flow in flows for row in self._zone_rows(flow)])
        self._also("movements.csv", MOVEMENT_COLUMNS, [row for flow in flows for row in self._movement_rows(flow)])
        for file in self._files.values():
            file.close()
        if self._revised:
            self._revise("events.jsonl", lambda line: json.loads(line)["id"], _json)
            self._revise("events.csv", lambda line: next(csv.reader([line]))[_ID], _csv)
        for name in self._files:
            self._part(name).replace(self.out / name)

    def _also(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A file that is there only where there is something to say."""
        if rows:
            self._files[name] = self._part(name).open("w", encoding="utf-8", newline="")
            csv.writer(self._files[name]).writerows([columns, *rows])

    def _revise(self, name: str, id_of: Callable[[str], str], text_of: Callable[[dict[str, object]], str]) -> None:
        """Write a file of events anew, with what was said of some of them later."""
        part, anew = self._part(name), self._part(f"{name}.anew")
        with part.open(encoding="utf-8", newline="") as old, anew.open("w", encoding="utf-8", newline="") as new:
            for line in old:
                row = self._revised.get(id_of(line))
                new.write(line if row is None else text_of(row))
        anew.replace(part)

    def _forget(self) -> None:
        """Close what is open and take away what is not whole."""
        for name, file in self._files.items():
            with suppress(OSError):
                file.close()  # may have to write what a full disk does not take
            with suppress(OSError):
                self._part(name).unlink(missing_ok=True)
                self._part(f"{name}.anew").unlink(missing_ok=True)

    def _part(self, name: str) -> Path:
        return self.out / f".{name}.part"

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise Fatal(f"--out {self.out}: cannot write there: {exc.strerror or exc}") from exc

    def _flow_rows(self, flow: Flow) -> list[list[object]]:
        """One row per line, way and class; a line where nothing crossed has one row with count 0.

        Speeds are of the line and way, of all classes together; empty where none is known.
        """
        place = self._place(flow)
        rows: list[list[object]] = []
        for line in flow.lines:
            said = [flow.revision, flow.health.value if flow.health else ""]
            fast = {s.direction: [s.speeds, s.mean_kmh, s.median_kmh] for s in line.speeds}
            for c in line.counts:
                speeds = ["" if v is None else v for v in fast.get(c.direction, [None] * 3)]
                rows.append([*place, line.line, c.direction.value, c.label, c.count, *speeds, *said])
            if not line.counts:
                rows.append([*place, line.line, "", "", 0, "", "", "", *said])
        return rows

    def _zone_rows(self, flow: Flow) -> list[list[object]]:
        """One row per zone; what is not known is empty."""
        return [
            [
                *self._place(flow), z.zone, z.mean_vehicles, z.max_vehicles, z.occupied_share, z.entered, z.left, z.mean_dwell_ms,
                z.max_dwell_ms, flow.revision,
            ]
            for z in flow.zones
        ]  # fmt: skip

    def _movement_rows(self, flow: Flow) -> list[list[object]]:
        """One row per movement and class that was made."""
        return [
            [
                *self._place(flow), m.origin, m.destination, m.name, m.legal, m.label, m.count, flow.revision,
            ]
            for m in flow.movements
        ]  # fmt: skip

    def _place(self, flow: Flow) -> list[object]:
        return [flow.place, flow.start_ms, self._local(flow.start_ms), flow.window_ms / 1000, flow.coverage]

    def _local(self, ms: int) -> str:
        if self.zone is None:
            return ""
        return datetime.fromtimestamp(ms / 1000, UTC).astimezone(self.zone).isoformat(timespec="milliseconds")


_ID = EVENT_COLUMNS.index("id")


def _json(row: dict[str, object]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _cells(row: dict[str, object]) -> list[object]:
    return [_cell(row.get(c)) for c in EVENT_COLUMNS]


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value


def _csv(row: dict[str, object]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(_cells(row))
    return out.getvalue()
