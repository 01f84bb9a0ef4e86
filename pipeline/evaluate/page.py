"""The whole evaluation for people: one HTML file that needs no network and no script."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from typing import cast

import msgspec

from pipeline.core.model import Point, Size, Way
from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.matching import Outcome, Verdict
from pipeline.evaluate.passages import Passage
from pipeline.evaluate.tables import Sheet, headline, percent, sheets, windows
from pipeline.evaluate.timeline import NAMES, timeline, told

WRONG = (Verdict.MISSED, Verdict.DOUBLED, Verdict.WRONG_WAY, Verdict.EXTRA)
"""What a picture is shown of."""

POINT = 7.0  # radius of a point on a picture, in its pixels, for pictures 480 wide

STYLE = """\
:root { color-scheme: light dark; --ink: #1d2733; --dim: #5d6b7a; --paper: #f6f7f9; --card: #fff; --rule: #dde2e8;
  --good: #00795a; --missed: #c2410c; --doubled: #b7791f; --wrong_way: #8b3fa0; --extra: #b0123b; --quiet: #93a1b0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ebf0; --dim: #9fadbb; --paper: #14191f; --card: #1d242c;
  --rule: #323c47; --good: #34c39a; --missed: #ff8a4c; --doubled: #f0b429; --wrong_way: #cf8fe0; --extra: #ff6b8b;
  --quiet: #6d7b89; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 70rem; margin: 0 auto; }
h1 { font-size: 1.65rem; line-height: 1.25; margin: 0 0 .35rem; letter-spacing: -.01em; }
h2 { font-size: 1.1rem; margin: 0 0 .15rem; }
p { margin: .2rem 0; } .dim { color: var(--dim); font-size: .88rem; overflow-wrap: anywhere; }
section, .tile, .note { background: var(--card); border: 1px solid var(--rule); border-radius: .6rem; }
section { padding: 1.1rem 1.25rem; margin-top: 1.1rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem; margin-top: 1.2rem; }
.tile { padding: .75rem .95rem; } .tile b { display: block; font-size: 1.45rem; line-height: 1.3; font-weight: 650;
  white-space: nowrap; }
.note { padding: .6rem .95rem; margin-top: .7rem; border-left: .3rem solid var(--doubled); }
.scroll { overflow-x: auto; margin-top: .6rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: right; font-weight: 600; font-size: .82rem; color: var(--dim); padding: .3rem .7rem; vertical-align: bottom; }
td { text-align: right; padding: .38rem .7rem; border-top: 1px solid var(--rule); vertical-align: top; white-space: nowrap; }
.word { text-align: left; } td small { display: block; color: var(--dim); font-size: .8rem; }
tr.sum td { font-weight: 650; border-top: 2px solid var(--dim); } tr.sum td small { font-weight: 400; }
th:first-child, td:first-child { padding-left: 0; } th:last-child, td:last-child { padding-right: 0; }
h3 { font-size: .95rem; margin: 1rem 0 .2rem; font-weight: 600; }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.3rem; font-size: .88rem; color: var(--dim); margin: .5rem 0 .2rem; }
.legend svg { width: 18px; height: 18px; vertical-align: -4px; margin-right: .35rem; overflow: visible; }
.timeline { display: block; width: 100%; height: auto; min-width: 44rem; }
.lane, .time { fill: var(--dim); font-size: 12px; } .lane { text-anchor: end; } .time { text-anchor: middle; }
.rail { stroke: var(--rule); stroke-width: 2; } .mark { stroke: var(--rule); stroke-width: 1; }
.joint { fill: none; stroke: currentColor; stroke-width: 1.5; opacity: .55; }
.cross { fill: none; stroke: currentColor; stroke-width: 3; stroke-linecap: round; }
svg .found, svg .missed, svg .doubled, svg .wrong_way, svg .extra, svg .accepted, svg .outside { fill: currentColor; }
.found { color: var(--good); } .missed { color: var(--missed); } .doubled { color: var(--doubled); }
.wrong_way { color: var(--wrong_way); } .extra { color: var(--extra); } .accepted, .outside { color: var(--quiet); }
svg .missed circle { fill: none; stroke: currentColor; stroke-width: 0; }
.doubled .joint, .wrong_way .joint { stroke-dasharray: 3 3; }
.stills { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1rem; margin-top: .8rem; }
figure { margin: 0; border: 1px solid var(--rule); border-radius: .5rem; overflow: hidden; background: var(--paper); }
figure svg { display: block; width: 100%; height: auto; } figcaption { padding: .5rem .75rem .65rem; font-size: .9rem; }
figcaption b { display: block; }
details { margin-top: .8rem; } summary { cursor: pointer; color: var(--dim); }
@media print { body { background: #fff; padding: 0; } section, figure { break-inside: avoid; } }
"""


class Still(msgspec.Struct, frozen=True, kw_only=True):
    """The picture that was taken nearest to an outcome."""

    outcome: Outcome
    jpeg: bytes
    size: Size
    t_ms: float  # when it was taken


def page(
    evaluation: Evaluation,
    *,
    lines: Mapping[str, tuple[Point, Point]],
    stills: Sequence[Still] = (),
    untold: str = "",
) -> str:
    """The report as one HTML document.

    Args:
        evaluation: what is told.
        lines: name -> from, to, in shares; drawn on the stills.
        stills: pictures of what went wrong, in the order in which they are shown.
        untold: why there are no stills, or not all; shown in their place.
    """
    parts = [
        f"<h1>{escape(headline(evaluation))}</h1>",
        f'<p class="dim">Run {escape(evaluation.run)}<br>Truth {escape(evaluation.truth)}{_place(evaluation)}</p>',
        _tiles(evaluation),
        *(f'<p class="note">{escape(note)}</p>' for note in evaluation.notes),
        _timelines(evaluation),
        *map(_section, sheets(evaluation)),
        _more(windows(evaluation)),
        _stills(stills, lines, untold),
        _method(evaluation),
    ]
    title = escape(f"{evaluation.total.found} of {evaluation.total.truth} found")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>\n{STYLE}</style></head><body><main>\n{chr(10).join(p for p in parts if p)}\n</main></body></html>\n"
    )


def worth_a_picture(evaluation: Evaluation) -> tuple[Outcome, ...]:
    """What went wrong, in the order of time."""
    return tuple(o for o in evaluation.outcomes if o.verdict in WRONG)


def _place(evaluation: Evaluation) -> str:
    if evaluation.scenario is None:
        return ""
    seed = "" if evaluation.seed is None else f", seed {evaluation.seed}"
    return f" (scenario {escape(evaluation.scenario)}{seed})"


def _tiles(evaluation: Evaluation) -> str:
    total = evaluation.total
    tiles = [
        ("found", f"{total.found} of {total.truth}", percent(total.recall, joint=", ")),
        ("count error", *_split(percent(total.count_error, signed=True))),
        ("missed", str(total.missed), "passages without an event"),
        ("counted twice", str(total.doubled), "events on one passage"),
        ("wrong way", str(total.wrong_way), "events of the other direction"),
        ("out of nothing", str(total.extra), "events without a passage"),
    ]
    cells = "".join(
        f'<div class="tile"><span class="dim">{name}</span><b>{escape(big)}</b>'
        f'<span class="dim">{escape(small)}</span></div>'
        for name, big, small in tiles
    )
    return f'<div class="tiles">{cells}</div>'


def _split(cell: str) -> tuple[str, str]:
    big, _, small = cell.partition("\n")
    return big, small


def _timelines(evaluation: Evaluation) -> str:
    shown = {o.verdict for o in evaluation.outcomes} | {Verdict.FOUND, Verdict.MISSED, Verdict.EXTRA}
    legend = "".join(f"<span>{_sign(v)}{NAMES[v]}</span>" for v in Verdict if v in shown)
    parts = []
    for way in evaluation.directions:
        own = [o for o in evaluation.outcomes if (o.where.line, o.where.direction) == (way.line, way.direction)]
        parts.append(f"<h3>{escape(way.line)}, {way.direction.value.replace('_', ' ')}</h3>")
        parts.append(f'<div class="scroll">{timeline(own, duration_ms=evaluation.duration_ms)}</div>')
    return f'<section><h2>Over time</h2><div class="legend">{legend}</div>{"".join(parts)}</section>'


def _sign(verdict: Verdict) -> str:
    """One mark of the timeline, for the legend."""
    own = Passage(line="", direction=Way.TO_RIGHT, t_ms=0.0, label="")
    passage = own if verdict in {Verdict.FOUND, Verdict.MISSED, Verdict.ACCEPTED} else None
    event = None if passage is not None else own
    drawn = timeline([Outcome(verdict=verdict, passage=passage, event=event)], duration_ms=1.0)
    group = drawn[drawn.index(f'<g class="{verdict.value}"') : drawn.rindex("</g>") + 4]
    y = 20 if passage is not None else 46
    return f'<svg viewBox="49 {y - 9} 18 18" aria-hidden="true">{group}</svg>'


def _section(sheet: Sheet) -> str:
    return f"<section><h2>{escape(sheet.title)}</h2>{_table(sheet)}</section>"


def _more(sheet: Sheet) -> str:
    """A long table, folded up."""
    if not sheet.rows:
        return ""
    return f"<section><details><summary>{escape(sheet.title)}</summary>{_table(sheet)}</details></section>"


def _table(sheet: Sheet) -> str:
    note = f'<p class="dim">{escape(sheet.note)}</p>' if sheet.note else ""
    head = "".join(f'<th{_word(n, sheet)} scope="col">{escape(c)}</th>' for n, c in enumerate(sheet.columns))
    body = []
    for index, row in enumerate(sheet.rows):
        is_sum = sheet.last_is_sum and index == len(sheet.rows) - 1 and len(sheet.rows) > 1
        cells = "".join(f"<td{_word(n, sheet)}>{_cell(cell)}</td>" for n, cell in enumerate(row))
        body.append(f'<tr class="sum">{cells}</tr>' if is_sum else f"<tr>{cells}</tr>")
    return (
        f'{note}<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def _word(column: int, sheet: Sheet) -> str:
    return ' class="word"' if column < sheet.words else ""


def _cell(text: str) -> str:
    figure, _, range_ = text.partition("\n")
    return escape(figure) + (f"<small>{escape(range_)}</small>" if range_ else "")


def _stills(stills: Sequence[Still], lines: Mapping[str, tuple[Point, Point]], untold: str) -> str:
    if not stills and not untold:
        return ""
    note = f'<p class="dim">{escape(untold)}</p>' if untold else ""
    figures = "".join(_still(still, lines) for still in stills)
    return f'<section><h2>What went wrong, in pictures</h2>{note}<div class="stills">{figures}</div></section>'


def _still(still: Still, lines: Mapping[str, tuple[Point, Point]]) -> str:
    width, height = still.size.width, still.size.height
    where, unit = still.outcome.where, width / 480
    verdict = still.outcome.verdict.value
    drawn = [
        f'<image href="data:image/jpeg;base64,{b64encode(still.jpeg).decode("ascii")}" width="{width}" height="{height}"/>'
    ]
    if where.line in lines:
        drawn.append(_line(lines[where.line], where.direction, still.size, unit))
    drawn += [
        f'<circle cx="{p.x * width:.1f}" cy="{p.y * height:.1f}" r="{POINT * unit:.1f}" fill="none" '
        f'stroke="currentColor" stroke-width="{3 * unit:.1f}"/>'
        for p in (still.outcome.event, still.outcome.passage)
        if p is not None and p.x is not None and p.y is not None
    ]
    text = told(still.outcome)
    name, _, rest = text.partition(": ")
    return (
        f'<figure><svg class="{verdict}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(text)}">'
        f'{"".join(drawn)}</svg><figcaption><b class="{verdict}">{escape(name[0].upper() + name[1:])}</b>{escape(rest)}'
        f'<br><span class="dim">picture of {still.t_ms / 1000:.2f} s</span></figcaption></figure>'
    )


def _line(ends: tuple[Point, Point], way: Way, size: Size, unit: float) -> str:
    """The line, and an arrow across it that shows the direction."""
    (x1, y1), (x2, y2) = ((x * size.width, y * size.height) for x, y in ends)
    length = cast("float", ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5)
    across = (-(y2 - y1) / length, (x2 - x1) / length)  # to the right as one goes from -> to, with y down
    turn = 1.0 if way is Way.TO_RIGHT else -1.0
    mx, my = (x1 + x2) / 2, (y1 + y2) / 2
    tip = (mx + turn * across[0] * 30 * unit, my + turn * across[1] * 30 * unit)
    along = ((x2 - x1) / length, (y2 - y1) / length)
    back = (tip[0] - turn * across[0] * 10 * unit, tip[1] - turn * across[1] * 10 * unit)
    wings = [(back[0] + s * along[0] * 7 * unit, back[1] + s * along[1] * 7 * unit) for s in (1, -1)]
    d = (
        f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}M{mx:.1f} {my:.1f}L{tip[0]:.1f} {tip[1]:.1f}"
        f"M{wings[0][0]:.1f} {wings[0][1]:.1f}L{tip[0]:.1f} {tip[1]:.1f}L{wings[1][0]:.1f} {wings[1][1]:.1f}"
    )
    return (
        f'<path d="{d}" fill="none" stroke="#000" stroke-opacity=".55" stroke-width="{5 * unit:.1f}"/>'
        f'<path d="{d}" fill="none" stroke="#ffd84d" stroke-width="{2.2 * unit:.1f}"/>'
    )


def _method(evaluation: Evaluation) -> str:
    left_out = []
    if evaluation.accepted:
        left_out.append(f"{evaluation.accepted} on passages that may be counted or not")
    if evaluation.outside:
        left_out.append(f"{evaluation.outside} beyond the truth's time")
    left = f" Events in no figure: {', '.join(left_out)}." if left_out else ""
    return (
        '<section><h2>How it was measured</h2><p class="dim">'
        "Each event was given to at most one passage of its line and direction, not more than "
        f"{evaluation.tolerance_ms:g} ms away, so that time differences and passages left alone are least in sum. "
        f"Ranges are of {evaluation.confidence:.0%} confidence: Wilson's for shares, Wilson's and the exact Poisson one joined "
        "for the count error, bootstrap over passages for times and speeds. GEH compares hourly volumes; shorter "
        f"times are scaled up to an hour.{escape(left)}</p></section>"
    )
