"""What `gantry count` leaves on disk: events.jsonl, events.csv and flow.csv in one folder.

Rows are written as they come, into files that get their names only when the survey is complete: a file that is
there is whole.
"""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from zoneinfo import ZoneInfo

import msgspec

from pipeline.core.model import Crossing, Flow, Speed
from pipeline.errors import Fatal

EVENT_COLUMNS = (
    "type", "camera", "line", "direction", "direction_name", "class", "captured_ms", "local_time", "file", "t_seconds", "x", "y",
    "score", "speed_kmh", "speed_sd_kmh", "trap", "from_line", "metres", "seconds", "track", "id",
)  # fmt: skip
FLOW_COLUMNS = (
    "camera", "start_ms", "local_time", "window_s", "coverage", "line", "direction", "class", "count", "speeds", "mean_kmh", "median_kmh", "revision",
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

    def event(self, event: Crossing | Speed, file: str, t_seconds: float, *, shows: str | None = None) -> None:
        """Add one crossing or speed; `shows` is the simulated camera whose film the file is, for events.jsonl only."""
        row = msgspec.to_builtins(event) | {
            "file": file, "t_seconds": t_seconds, "local_time": self._local(event.captured_ms),
        }  # fmt: skip
        if shows is not None:
            row["shows"] = shows
        with self._in_our_words():
            self._files["events.jsonl"].write(json.dumps(row, ensure_ascii=False) + "\n")
            self._events.writerow(["" if row.get(c) is None else row[c] for c in EVENT_COLUMNS])

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

    def _finish(self) -> None:
        rows = csv.writer(self._files["flow.csv"])
        for _, flow in sorted(self._flows.items()):
            rows.writerows(self._flow_rows(flow))
        for file in self._files.values():
            file.close()
        for name in self._files:
            self._part(name).replace(self.out / name)

    def _forget(self) -> None:
        """Close what is open and take away what is not whole."""
        for name, file in self._files.items():
            with suppress(OSError):
                file.close()  # may have to write what a full disk does not take
            with suppress(OSError):
                self._part(name).unlink(missing_ok=True)

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
        place = [flow.place, flow.start_ms, self._local(flow.start_ms), flow.window_ms / 1000, flow.coverage]
        rows: list[list[object]] = []
        for line in flow.lines:
            fast = {s.direction: [s.speeds, s.mean_kmh, s.median_kmh] for s in line.speeds}
            for c in line.counts:
                speeds = ["" if v is None else v for v in fast.get(c.direction, [None] * 3)]
                rows.append([*place, line.line, c.direction.value, c.label, c.count, *speeds, flow.revision])
            if not line.counts:
                rows.append([*place, line.line, "", "", 0, "", "", "", flow.revision])
        return rows

    def _local(self, ms: int) -> str:
        if self.zone is None:
            return ""
        return datetime.fromtimestamp(ms / 1000, UTC).astimezone(self.zone).isoformat(timespec="milliseconds")
