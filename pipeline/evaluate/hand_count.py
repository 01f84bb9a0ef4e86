"""Truth counted by eye: a JSON file that says when vehicles crossed one line of a clip.

The keys are `video`, `fps`, `frames`, `size`, `line` and `crossings` (each with `t_seconds`, `direction`, `class`),
and optionally `optional_crossings`, `name` of the line, and notes. `direction` is `+` where
side(p) = (x2 - x1) * (py - y1) - (y2 - y1) * (px - x1) goes from negative to positive; with y down that is to the
right of the line, so `+` is `to_right`.
"""

import json
from collections.abc import Iterator
from typing import Any

from pipeline.core.model import Point, Size, Way
from pipeline.errors import Fatal
from pipeline.evaluate.classes import KNOWN as CLASSES
from pipeline.evaluate.classes import did_you_mean
from pipeline.evaluate.passages import Passage, Truth
from pipeline.wire.checked import mistaken

WAYS = {"+": Way.TO_RIGHT, "-": Way.TO_LEFT}
POOLED = ("bus", "car", "truck")
"""Scored together: which of them a van or a pick-up is, detectors and people decide differently."""

LINE = "line"
"""What a hand count's line is called where the file gives it no name."""

NEEDED = ("video", "fps", "frames", "size", "line", "crossings")
NOTES = (
    "direction_convention", "t_seconds_meaning", "match_tolerance_s", "totals", "how_established", "uncertainty",
    "difficulty", "note",
)  # fmt: skip
KNOWN = {*NEEDED, *NOTES, "name", "optional_crossings"}
OF_A_CROSSING = {"t_seconds", "direction", "class", "t_center_seconds", "note", "edge"}
MOST = 1e9  # larger numbers are no clip's; nan compares false
SLACK_S = 0.5
"""A crossing may be noted so long after the last frame's time: rates are rounded."""


def is_hand_count(data: Any) -> bool:
    """Whether a JSON document looks like a count by eye, right or wrong."""
    return isinstance(data, dict) and bool({"crossings", "optional_crossings", "video"} & data.keys())


def read_hand_count(text: str, name: str) -> Truth:
    """Read a count by eye.

    Args:
        text: the JSON document.
        name: of the file, for messages.

    Raises:
        Fatal: everything that is wrong with it, each with its place.
    """
    try:
        data = json.loads(text, object_pairs_hook=_no_key_twice)
    except (ValueError, RecursionError) as exc:
        raise Fatal(f"{name}: is not JSON: {exc}") from exc
    reader = _Reader(data)
    truth = reader.truth(name)
    if truth is None:
        raise mistaken([("", mistake) for mistake in reader.mistakes], name=name)
    return truth


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise ValueError(f"key {twice[0]!r} stands twice in one object")
    return dict(pairs)


class _Reader:
    """Walks through one document and notes every mistake."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self.mistakes: list[str] = []

    def truth(self, name: str) -> Truth | None:
        """The whole document; None where anything is wrong."""
        if not isinstance(self.data, dict):
            self.mistakes.append(f"a count by eye is a JSON object, this is {_kind(self.data)}")
            return None
        self._keys(self.data, "", KNOWN)
        self.mistakes += [f"{key} is missing" for key in NEEDED if key not in self.data]
        video = self._text("video")
        fps, frames = self._number("fps", least=0.0), self._number("frames", least=0.0)
        size, line = self._size(), self._line()
        seconds = frames / fps if fps and frames else None
        called = self._text("name") if "name" in self.data else LINE
        passages = [
            *self._crossings("crossings", called or LINE, seconds, optional=False),
            *self._crossings("optional_crossings", called or LINE, seconds, optional=True),
        ]
        self._totals()
        if self.mistakes or line is None or seconds is None:
            return None
        return Truth(
            name=name,
            passages=tuple(passages),
            duration_ms=seconds * 1000,
            size=size,
            lines={called or LINE: line},
            video=video,
            pooled=POOLED,
            nameless="name" not in self.data,
        )

    def _crossings(self, key: str, line: str, seconds: float | None, *, optional: bool) -> Iterator[Passage]:
        rows = self.data.get(key, [])
        if not isinstance(rows, list):
            self.mistakes.append(f"{key}: a list of crossings is wanted, not {_kind(rows)}")
            return
        for index, row in enumerate(rows):
            place = f"{key}[{index}]"
            if not isinstance(row, dict):
                self.mistakes.append(
                    f"{place}: an object with t_seconds, direction and class is wanted, not {_kind(row)}"
                )
                continue
            self._keys(row, f"{place}.", OF_A_CROSSING)
            t, way, label = self._time(row, place, seconds), self._way(row, place), self._label(row, place)
            if t is not None and way is not None and label is not None:
                yield Passage(line=line, direction=way, t_ms=t * 1000, label=label, optional=optional)

    def _time(self, row: dict[str, Any], place: str, seconds: float | None) -> float | None:
        t: Any = row.get("t_seconds")
        if not _is_number(t):
            what = "is missing" if "t_seconds" not in row else f"must be a number of seconds, not {_shown(t)}"
            self.mistakes.append(f"{place}.t_seconds {what}")
            return None
        if t < 0 or (seconds is not None and t > seconds + SLACK_S):
            end = "" if seconds is None else f"; the clip (frames / fps) ends at {seconds:.2f} s"
            self.mistakes.append(f"{place}.t_seconds {t} lies outside the clip{end}")
            return None
        return float(t)

    def _way(self, row: dict[str, Any], place: str) -> Way | None:
        way = row.get("direction")
        if isinstance(way, str) and way in WAYS:
            return WAYS[way]
        what = "is missing" if "direction" not in row else f"must be '+' or '-', not {_shown(way)}"
        self.mistakes.append(f"{place}.direction {what}")
        return None

    def _label(self, row: dict[str, Any], place: str) -> str | None:
        label = row.get("class")
        if isinstance(label, str) and label in CLASSES:
            return label
        if isinstance(label, str) and label:
            self.mistakes.append(f"{place}.class {_shown(label)} is no class{did_you_mean(label, CLASSES)}")
            return None
        what = "is missing" if "class" not in row else f"must be a word like 'car', not {_shown(label)}"
        self.mistakes.append(f"{place}.class {what}")
        return None

    def _totals(self) -> None:
        """A file that says its own totals is held to them: a row that was lost shows here.

        Whatever else is wrong with the file; only a row without a direction cannot be counted.
        """
        totals, rows = self.data.get("totals"), self.data.get("crossings")
        if totals is None:
            return
        if not isinstance(totals, dict):
            self.mistakes.append(f"totals: an object with '+', '-' and all is wanted, not {_kind(totals)}")
            return
        ways: list[Any] = (
            [row.get("direction") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else [None]
        )
        if not isinstance(rows, list) or len(ways) < len(rows) or any(way not in [*WAYS] for way in ways):
            return
        counted = {sign: ways.count(sign) for sign in WAYS} | {"all": len(ways)}
        for key, value in totals.items():
            if key in counted and value != counted[key]:
                self.mistakes.append(f"totals.{key} says {_shown(value)}, but crossings hold {counted[key]}")

    def _line(self) -> tuple[Point, Point] | None:
        if "line" not in self.data:
            return None
        line = self.data["line"]
        if not (isinstance(line, list) and len(line) == 2 and all(map(_is_point, line))):  # noqa: PLR2004 - two ends
            self.mistakes.append(
                f"line: two points [[x1, y1], [x2, y2]] with shares from 0 to 1 are wanted, not {_shown(line)}"
            )
            return None
        start, end = ((float(x), float(y)) for x, y in line)
        if start == end:
            self.mistakes.append("line: its two points are the same; it has no sides")
            return None
        return start, end

    def _size(self) -> Size | None:
        if "size" not in self.data:
            return None
        size = self.data["size"]
        if isinstance(size, list) and len(size) == 2 and all(type(n) is int and n > 0 for n in size):  # noqa: PLR2004
            return Size(*size)
        self.mistakes.append(f"size: [width, height] in whole pixels is wanted, not {_shown(size)}")
        return None

    def _text(self, key: str) -> str | None:
        if key not in self.data:
            return None
        if isinstance(self.data[key], str) and self.data[key]:
            return str(self.data[key])
        self.mistakes.append(f"{key}: a text is wanted, not {_shown(self.data[key])}")
        return None

    def _number(self, key: str, *, least: float) -> float | None:
        if key not in self.data:
            return None
        value = self.data[key]
        if _is_number(value) and value > least:
            return float(value)
        self.mistakes.append(f"{key}: a number above {least:g} is wanted, not {_shown(value)}")
        return None

    def _keys(self, row: dict[str, Any], place: str, known: set[str]) -> None:
        self.mistakes += [
            f"{place}{key}: there is no such key; known are {', '.join(sorted(known))}"
            for key in row
            if key not in known
        ]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MOST


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_is_number(n) and 0 <= n <= 1 for n in value)  # noqa: PLR2004


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:40]}..."  # noqa: PLR2004 - what fits a line
