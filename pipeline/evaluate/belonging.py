"""Whether a run and a truth speak of the same thing: figures of a mismatched pair would look real and mean nothing."""

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePath
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import msgspec

from pipeline.core.geometry import along, distance, level
from pipeline.core.model import Line, Point, Scene, Size
from pipeline.errors import Fatal
from pipeline.evaluate.passages import Passages, Truth
from pipeline.evaluate.run import Run
from pipeline.simulate.address import SCHEMES

NEAR = 0.02
"""How far, in picture heights, events may lie from the line that they crossed: they are told to a thousandth."""

SLACK_SHARE, SLACK_MS = 0.02, 2000.0
"""How much less or more than the truth's time a run may have watched."""

SIZE = 0.02
"""How much wider or narrower than the truth's a film's pictures may be: coders round to blocks."""


def differences(run: Run, placed: Passages, truth: Truth, *, tolerance_ms: float) -> list[str]:
    """Everything that says that a run was not of this truth; each names both sides. Empty: they belong together.

    Args:
        run: as it was written.
        placed: its events on the truth's clock.
        truth: the other side; lines by the run's names.
        tolerance_ms: how far beyond the truth's end an event may be.
    """
    return [
        *_sources(run, truth),
        *_lines(placed, truth),
        *_places(placed, truth),
        *_spans(placed, truth, tolerance_ms),
    ]


def _sources(run: Run, truth: Truth) -> list[str]:
    """The film or the simulated place."""
    wrong = []
    names = {PurePath(file).name for file in run.files}
    if truth.video is not None and names and PurePath(truth.video).name not in names:
        wrong.append(f"video: {run.name} counted {', '.join(sorted(names))}, {truth.name} was counted in {truth.video}")
    for file in run.files:
        wrong += _simulated(file, run.name, truth)
    if truth.video is None:  # a painted film may have been counted by eye, too
        for film in run.films:
            wrong += _simulated(film, run.name, truth)
    return wrong


def _simulated(address: str, what: str, truth: Truth) -> list[str]:
    """Whether the traffic of a simulated camera is the truth's; nothing where it is no such address."""
    parts = urlsplit(address)
    if parts.scheme not in SCHEMES:
        return []
    wrong = []
    if truth.scenario is None or truth.scenario != parts.netloc:
        told = "no scenario" if truth.scenario is None else f"scenario {truth.scenario}"
        wrong.append(f"scenario: {what} is of {parts.netloc}, {truth.name} of {told}")
    asked = parse_qs(parts.query)
    seed = asked.get("seed", ["0"])[0]
    if "recording" in asked:  # then the address's seed is of the noise alone
        if "traffic" not in asked:
            return wrong
        seed = asked["traffic"][0]
    if truth.seed is not None and str(truth.seed) != seed:
        wrong.append(f"seed: {what} is of seed {seed}, {truth.name} of seed {truth.seed}")
    return wrong


def _lines(placed: Passages, truth: Truth) -> list[str]:
    ours = {p.line for p in placed.passages}
    known = {*truth.lines, *(p.line for p in truth.passages)}
    if strange := sorted(ours - known):
        told = ", ".join(sorted(known)) or "none"
        return [f"lines: {placed.name} has events of {', '.join(strange)}, {truth.name} knows {told}"]
    return []


def _places(placed: Passages, truth: Truth) -> list[str]:
    """Events lie on the line that they crossed, to a rounding."""
    where: dict[str, list[Point]] = defaultdict(list)
    for p in placed.passages:
        if p.x is not None and p.y is not None:
            where[p.line].append((p.x, p.y))
    aspect = truth.size.aspect if truth.size else 1.0
    wrong = []
    for line, points in sorted(where.items()):
        if line not in truth.lines:
            continue
        a, b = (level(end, aspect) for end in truth.lines[line])
        away = statistics.median(
            max(abs(distance(a, b, level(p, aspect))), _beyond(a, b, level(p, aspect))) for p in points
        )
        if away > NEAR:
            start, end = truth.lines[line]
            wrong.append(
                f"line {line}: events of {placed.name} lie {away:.2f} picture heights (median) from the line of"
                f" {truth.name}, which runs from {_shown(start)} to {_shown(end)}"
            )
    return wrong


def _beyond(a: Point, b: Point, p: Point) -> float:
    """How far beyond the line's ends a point lies; 0 between them."""
    length = math.dist(a, b)
    share = along(a, b, p)
    return max(0.0, -share, share - 1.0) * length


def _spans(placed: Passages, truth: Truth, tolerance_ms: float) -> list[str]:
    """The stretch of time."""
    wrong: list[str] = []
    if truth.duration_ms is None:
        return wrong
    end = truth.duration_ms
    times = [p.t_ms for p in placed.passages]
    late = [t for t in times if not -tolerance_ms - SLACK_MS <= t <= end + tolerance_ms + SLACK_MS]
    if late:
        wrong.append(
            f"clock: {len(late)} of {len(times)} events of {placed.name} lie outside of the {_s(end)} of {truth.name}"
            f" (they reach from {_s(min(times))} to {_s(max(times))} after its beginning); if the run's clock was another,"
            " say by --start when the truth began by it"
        )
    seen = placed.duration_ms
    if seen is not None and abs(seen - end) > max(SLACK_MS, SLACK_SHARE * end):
        wrong.append(f"time: {placed.name} watched {_s(seen)}, {truth.name} {_s(end)}")
    return wrong


def sizes(of_run: Size, what: str, truth: Truth) -> list[str]:
    """Whether a picture has the shape of the truth's; what is one of the run's, such as its scene or video."""
    if truth.size is None or of_run.same_shape(truth.size):
        return []
    return [f"size: {what} is of {of_run} pictures, {truth.name} of {truth.size}, another shape"]


def film_differences(
    size: Size, duration_s: float | None, what: str, truth: Truth, *, shows: str | None = None
) -> list[str]:
    """Whether a film is the one that the truth is of, by its size, its length and, where it was painted, its traffic.

    Args:
        size, duration_s: of the film; None: it does not say.
        what: the film, for people.
        truth: the other side.
        shows: the simulated camera whose film it is, as it says itself; None: it was not painted.
    """
    if truth.video is None:
        if shows is None:
            made = "whose film gantry simulate film makes"
            return [f"video: {what} does not say that it was painted, {truth.name} is of simulated traffic, {made}"]
        if wrong := _simulated(shows, what, truth):
            return wrong
    wrong = sizes(size, what, truth)
    of = truth.size
    if not wrong and of is not None and abs(size.width - of.width) > SIZE * of.width:
        wrong.append(f"size: {what} is of {size} pictures, {truth.name} of {of}")
    end = truth.duration_ms
    if duration_s is not None and end is not None and abs(duration_s * 1000 - end) > max(SLACK_MS, SLACK_SHARE * end):
        wrong.append(f"time: {what} is {_s(duration_s * 1000)} long, {truth.name} {_s(end)}")
    return wrong


def eventless(run: Run, placed: Passages, truth: Truth) -> list[str]:
    """A note on a run of which nothing can be held against the truth; empty where it has events."""
    if placed.passages:
        return []
    held = "no event" if not run.events else f"{len(run.events)} events, but none of this film and these lines"
    return [f"{run.name} holds {held}: nothing ties it to {truth.name}; it is scored as zero counted"]


def scene_differences(scene: Scene, what: str, truth: Truth) -> list[str]:
    """Whether the lines of the run's scene are the truth's, ends and all."""
    wrong = sizes(scene.drawn_on, what, truth)
    aspect = scene.drawn_on.aspect
    by_name = {line.name: line for line in scene.lines}
    for name, (start, end) in truth.lines.items():
        if name not in by_name:
            wrong.append(f"lines: {what} has {', '.join(by_name) or 'none'}, {truth.name} has {name}")
            continue
        line = by_name[name]
        if _same(line, (start, end), aspect):
            continue
        turned = _same(line, (end, start), aspect)
        how = "runs the other way round, so its directions are swapped" if turned else "lies elsewhere"
        wrong.append(
            f"line {name}: in {what} it {how}: {_shown(line.start)} to {_shown(line.end)},"
            f" but {_shown(start)} to {_shown(end)} in {truth.name}"
        )
    return wrong


def _same(line: Line, ends: tuple[Point, Point], aspect: float) -> bool:
    pairs = zip((line.start, line.end), ends, strict=True)
    return all(((a[0] - b[0]) * aspect) ** 2 + (a[1] - b[1]) ** 2 <= NEAR**2 for a, b in pairs)


def named(truth: Truth, lines: Sequence[str]) -> Truth:
    """Give a truth's nameless line the name that the run uses.

    Args:
        truth: its line has no name.
        lines: the run's.

    Raises:
        Fatal: the run has several lines.
    """
    if not truth.nameless or not lines:
        return truth
    if len(lines) > 1:
        raise Fatal(
            f"{truth.name} has one line, without a name; the run has {', '.join(sorted(lines))}: say which by --line"
        )
    return msgspec.structs.replace(
        truth,
        nameless=False,
        lines=dict(zip(lines, truth.lines.values(), strict=True)),
        passages=tuple(msgspec.structs.replace(p, line=lines[0]) for p in truth.passages),
    )


Side = TypeVar("Side", bound=Passages)


def only_lines(side: Side, lines: Sequence[str]) -> Side:
    """One side with these lines only."""
    return msgspec.structs.replace(
        side,
        passages=tuple(p for p in side.passages if p.line in lines),
        lines={name: ends for name, ends in side.lines.items() if name in lines},
        timed=tuple(t for t in side.timed if t.from_line in lines and t.passage.line in lines),
        speed_traps=tuple(trap for trap in side.speed_traps if trap.start in lines and trap.end in lines),
    )


def merged(truths: Sequence[Truth]) -> Truth:
    """Several counts by eye of one film, a line each, as one truth.

    Raises:
        Fatal: they are not of one film, or two of them have one line.
    """
    first, *others = truths
    for other in others:
        same = (
            first.video is not None
            and other.video is not None
            and PurePath(first.video).name == PurePath(other.video).name
            and (first.duration_ms, first.size) == (other.duration_ms, other.size)
        )
        if not same:
            raise Fatal(
                f"{first.name} and {other.name} are not of one film (video, size, frames and fps must be equal)"
            )
        first = msgspec.structs.replace(
            first,
            name=f"{first.name}, {other.name}",
            passages=first.passages + other.passages,
            lines={**first.lines, **other.lines},
            nameless=False,
        )
    if len(first.lines) < len(truths):
        raise Fatal(f"{first.name}: two of them have one line; give each line one count, and a name")
    return first


def _s(ms: float) -> str:
    return f"{ms / 1000:.1f} s"


def _shown(point: Point) -> str:
    return f"({point[0]:g}, {point[1]:g})"
