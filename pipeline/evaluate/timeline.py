"""One direction over one line as a picture: passages above, events below, and what joins them."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape

from pipeline.evaluate.matching import Outcome, Verdict

WIDTH, LEFT, RIGHT = 1040.0, 58.0, 14.0
ROW, TOP, PASSAGES, EVENTS, AXIS = 78.0, 6.0, 20.0, 46.0, 62.0
LONGEST_MS, ROW_MS = 90_000.0, 60_000.0
"""What is longer goes on in the next row, so that what is near in time stays apart."""

MOST_ROWS = 24
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)
MOST_MARKS = 12

NAMES = {
    Verdict.FOUND: "found",
    Verdict.MISSED: "missed",
    Verdict.DOUBLED: "counted twice",
    Verdict.WRONG_WAY: "counted the wrong way",
    Verdict.EXTRA: "counted out of nothing",
    Verdict.ACCEPTED: "may be counted or not",
    Verdict.OUTSIDE: "beyond the truth's time",
}
"""What people call a verdict."""


def timeline(outcomes: Sequence[Outcome], *, duration_ms: float) -> str:
    """An SVG picture of the outcomes of one direction over one line.

    Long stretches go on in further rows; a row in which nothing happened is left out. The styles (`.found`, `.missed` and so on) are the page's. A mark tells its time and class when pointed at.
    """
    whole = max(duration_ms, 1.0)
    span = whole if whole <= LONGEST_MS else max(ROW_MS, whole / MOST_ROWS)
    rows: dict[int, list[Outcome]] = defaultdict(list)
    for o in outcomes:
        rows[min(max(0, int(o.t_ms // span)), math.ceil(whole / span) - 1)].append(o)
    parts: list[str] = []
    for place, (row, there) in enumerate(sorted(rows.items()) or [(0, [])]):
        parts += _row_of(there, place * ROW, row * span, (row + 1) * span, min((row + 1) * span, whole))
    height = max(1, len(rows)) * ROW + 4
    label = "passages and events by time"
    return f'<svg class="timeline" viewBox="0 0 {WIDTH:g} {height:g}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _row_of(outcomes: Iterable[Outcome], y: float, begin: float, scale_end: float, end: float) -> Iterator[str]:
    """One stretch of time."""

    def x(t_ms: float) -> float:
        share = (t_ms - begin) / (scale_end - begin)
        return LEFT + min(1.01, max(-0.01, share)) * (WIDTH - LEFT - RIGHT)

    yield f'<text class="lane" x="{LEFT - 10:g}" y="{y + PASSAGES + 4:g}">truth</text>'
    yield f'<text class="lane" x="{LEFT - 10:g}" y="{y + EVENTS + 4:g}">run</text>'
    for lane in (PASSAGES, EVENTS):
        yield f'<line class="rail" x1="{LEFT:g}" x2="{x(end):.1f}" y1="{y + lane:g}" y2="{y + lane:g}"/>'
    for t in _marks(begin, scale_end):
        if t <= end:
            yield f'<line class="mark" x1="{x(t):.1f}" x2="{x(t):.1f}" y1="{y + TOP:g}" y2="{y + AXIS - 4:g}"/>'
            yield f'<text class="time" x="{x(t):.1f}" y="{y + AXIS + 8:g}">{_clock(t)}</text>'
    for outcome in sorted(outcomes, key=lambda o: o.verdict is not Verdict.FOUND):  # what went wrong lies on top
        yield _mark(outcome, x, y)


def _mark(outcome: Outcome, x: Callable[[float], float], y: float) -> str:
    verdict = outcome.verdict
    own_passage = outcome.passage is not None and verdict in {Verdict.FOUND, Verdict.MISSED, Verdict.ACCEPTED}
    parts = [f'<g class="{verdict.value}"><title>{escape(told(outcome))}</title>']
    if outcome.passage is not None and outcome.event is not None:
        parts.append(_path(x(outcome.passage.t_ms), y + PASSAGES, x(outcome.event.t_ms), y + EVENTS))
    if outcome.passage is not None and own_passage:
        at = x(outcome.passage.t_ms)
        parts.append(f'<circle cx="{at:.1f}" cy="{y + PASSAGES:g}" r="5"/>')
        if verdict is Verdict.MISSED:
            parts.append(_cross(at, y + PASSAGES, 9.0))
    if outcome.event is not None:
        parts.append(_event(verdict, x(outcome.event.t_ms), y + EVENTS))
    return "".join([*parts, "</g>"])


def _event(verdict: Verdict, x: float, y: float) -> str:
    """The shape tells the verdict, too: not everyone sees all colours."""
    match verdict:
        case Verdict.DOUBLED:
            return f'<path d="M{x:.1f} {y - 8:g}l8 8-8 8-8-8z"/>'
        case Verdict.WRONG_WAY:
            return f'<path d="M{x - 8:.1f} {y:g}l14-8v16z"/>'
        case Verdict.EXTRA:
            return _cross(x, y, 7.0)
        case _:
            return f'<circle cx="{x:.1f}" cy="{y:g}" r="4"/>'


def _cross(x: float, y: float, r: float) -> str:
    return f'<path class="cross" d="M{x - r:.1f} {y - r:g}l{2 * r:g} {2 * r:g}M{x - r:.1f} {y + r:g}l{2 * r:g} {-2 * r:g}"/>'


def _path(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path class="joint" d="M{x1:.1f} {y1:g}L{x2:.1f} {y2:g}"/>'


def told(outcome: Outcome) -> str:
    """An outcome in words: `missed: car near to_right at 7.14 s`."""
    where = outcome.where
    who = "" if where.user is None else f" ({where.user})"
    text = (
        f"{NAMES[outcome.verdict]}: {where.label}, {where.line} {where.direction.value}, {where.t_ms / 1000:.2f} s{who}"
    )
    if outcome.passage is None or outcome.event is None:
        return text
    off = outcome.event.t_ms - outcome.passage.t_ms
    other = f", told as {outcome.event.label}" if outcome.event.label != outcome.passage.label else ""
    return f"{text}, event {off:+.0f} ms{other}"


def _marks(begin: float, end: float) -> Iterator[float]:
    step = next((s * 1000.0 for s in STEPS_S if (end - begin) / (s * 1000.0) <= MOST_MARKS), STEPS_S[-1] * 1000.0)
    t = -(-begin // step) * step
    while t <= end:
        yield t
        t += step


def _clock(t_ms: float) -> str:
    seconds = round(t_ms / 1000)
    hours, minutes, rest = seconds // 3600, seconds // 60 % 60, seconds % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
