"""`gantry evaluate`: what a run counted, against what truly happened."""

import asyncio
import importlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.adapters import serve_client
from pipeline.adapters.video import probe
from pipeline.config import load_scene
from pipeline.core.credentials import without_credentials
from pipeline.core.model import Scene
from pipeline.errors import Fatal
from pipeline.evaluate import hota
from pipeline.evaluate.belonging import (
    differences,
    eventless,
    film_differences,
    merged,
    named,
    only_lines,
    scene_differences,
)
from pipeline.evaluate.boxes import Boxes, read_mot, read_mot_truth, without_ignored
from pipeline.evaluate.classes import Pools, pools, strangers
from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.evaluation import evaluate as evaluated
from pipeline.evaluate.page import Still, page, worth_a_picture
from pipeline.evaluate.passages import Passages, Truth
from pipeline.evaluate.run import (
    Run,
    events_of,
    movements_of,
    only_camera,
    placed,
    read_events,
    read_movements,
    read_speeds,
    read_watched,
    speeds_of,
)
from pipeline.evaluate.shift import shift
from pipeline.evaluate.tables import headline, sheets
from pipeline.evaluate.truth import read_truth
from pipeline.simulate.address import in_comment
from workers.ranges import Finite
from workers.saying import log_to_stderr
from workers.stills import stills
from workers.whole import write_there

FEW = 3
"""So many events that all go the other way are no accident."""

BESIDE_MS = 10_000
"""A running gantry is asked for events from so long before the truth begins until so long after it ends."""

MOST_BYTES = 512 << 20


class Moment(click.ParamType):
    """A capture time: ISO 8601 with an offset, or milliseconds since 1970."""

    name = "time"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Milliseconds since 1970, UTC."""
        if isinstance(value, int | float):
            return float(value)
        if value.isascii() and value.isdigit():
            return float(value)
        try:
            when = datetime.fromisoformat(value)
        except ValueError:
            when = None
        if when is None or when.tzinfo is None:
            self.fail(f"{value!r} is no time; write 2026-05-01T08:00:00+02:00, or milliseconds since 1970", param, ctx)
        return when.timestamp() * 1000


@click.command()
@click.argument("run")
@click.option(
    "--truth", "truth_files", required=True, multiple=True, type=click.Path(path_type=Path),
    help="truth.json of a simulation, or a count by eye; repeat it for counts of several lines.",
)  # fmt: skip
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write all figures there; - is stdout.")
@click.option("--report", type=click.Path(path_type=Path), help="Write a page for people there (HTML).")
@click.option("--video", help="The film, so that the report shows what went wrong.")
@click.option("--camera", help="Whose events, where RUN holds several cameras.")
@click.option("--line", "lines", multiple=True, help="Score this line only; may be repeated.")
@click.option(
    "--classes",
    help="What is scored: car+bus+truck,motorcycle (plus joins, comma parts), all, or each."
    "  [default: each; counts by eye: car+bus+truck]",
)
@click.option(
    "--tolerance", type=Finite("seconds", 0, 60, low_open=True), default=1.0, show_default=True,
    help="Seconds that an event may be from its passage.",
)  # fmt: skip
@click.option(
    "--window", type=Finite("seconds", 1, 86400), default=60.0, show_default=True,
    help="Seconds of the windows for volumes and GEH.",
)  # fmt: skip
@click.option("--start", type=Moment(), help="When the truth's t = 0 was captured, like 2026-05-01T08:00:00Z.")
@click.option("--scene", "scene_file", type=click.Path(path_type=Path), help="The run's scene, held against the truth.")
@click.option("--tracks", type=click.Path(path_type=Path), help="The run's boxes (MOTChallenge), for HOTA and IDF1.")
@click.option(
    "--boxes", type=click.Path(path_type=Path),
    help="The true boxes for --tracks.  [default: mot/SCENARIO-SEED/gt/gt.txt, gt/gt.txt or gt.txt beside TRUTH]",
)  # fmt: skip
@click.option(
    "--pictures", type=click.IntRange(0, 1000), default=60, show_default=True, help="Most pictures in the report."
)
@click.option("--anyway", is_flag=True, help="Score a run and a truth that do not seem to belong together.")
@click.option("--quiet", is_flag=True, help="No tables.")
def evaluate(
    run: str,
    truth_files: tuple[Path, ...],
    json_file: Path | None,
    report: Path | None,
    video: str | None,
    camera: str | None,
    lines: tuple[str, ...],
    classes: str | None,
    tolerance: float,
    window: float,
    start: float | None,
    scene_file: Path | None,
    tracks: Path | None,
    boxes: Path | None,
    pictures: int,
    anyway: bool,
    quiet: bool,
) -> None:
    """Score what RUN counted against what truly happened.

    RUN is the folder that `gantry count --out` wrote, an events.jsonl, or the address of a running gantry
    (http://host:8080, with --camera). docs/accuracy.md explains every figure.
    """
    log_to_stderr()
    if video is not None and report is None:
        raise click.UsageError("--video is for the report: give --report FILE, too")
    if boxes is not None and tracks is None:
        raise click.UsageError("--boxes is for --tracks: give --tracks FILE, too")
    truth = merged(_truths(truth_files))
    said = _run(run, camera, truth, start)
    scene = None if scene_file is None else load_scene(scene_file, camera)
    if scene is not None:
        said = msgspec.structs.replace(said, speed_traps=tuple(scene.speed_traps))
    ours, truth, notes = _sides(said, truth, lines, start, tolerance * 1000)
    notes += _check(said, ours, truth, tolerance * 1000, scene, str(scene_file), video, anyway=anyway)
    followed = None
    if tracks is not None:
        of_tracks = read_mot(_text(tracks), str(tracks))
        followed, more = _followed(of_tracks, _true_boxes(boxes, truth_files[0], truth))
        notes += more
    known = {p.label for p in (*ours.passages, *truth.passages)}
    scored = pools(classes, truth.pooled, known)
    evaluation = evaluated(
        ours, truth, pools=scored, tolerance_ms=tolerance * 1000, window_ms=window * 1000,
        notes=notes, followed=followed,
    )  # fmt: skip
    evaluation = msgspec.structs.replace(
        evaluation, notes=(*evaluation.notes, *_hints(evaluation, ours, truth, scored))
    )
    if report is not None:
        shown, untold = _stills(video, evaluation, pictures)
        write_there(report, page(evaluation, lines=truth.lines, stills=shown, untold=untold).encode())
    if json_file is not None:
        text = msgspec.json.format(msgspec.json.encode(evaluation), indent=2).decode() + "\n"
        if str(json_file) == "-":
            click.echo(text, nl=False)
            return
        write_there(json_file, text.encode())
    _show(Console(quiet=quiet), evaluation, report)


def _truths(files: Sequence[Path]) -> list[Truth]:
    """All truth files. Raises Fatal: everything that is wrong with any of them."""
    found, wrong = [], []
    for file in files:
        try:
            found.append(read_truth(_read(file), str(file)))
        except Fatal as exc:
            wrong.append(str(exc))
    if wrong:
        raise Fatal("\n".join(wrong))
    return found


def _run(where: str, camera: str | None, truth: Truth, start: float | None) -> Run:
    """What the run said."""
    if "://" in where:
        return _served(where, camera, truth, start)
    path = Path(where)
    if not path.is_dir():
        text = _text(path)
        if text.strip() and not text.lstrip().startswith("{"):
            raise Fatal(f"{where}: this is no events.jsonl; give the folder that `gantry count --out` made")
        return only_camera(_told(text, where, where), camera)
    events, flow = path / "events.jsonl", path / "flow.csv"
    if not events.exists():
        raise Fatal(f"{where}: there is no events.jsonl in this folder; `gantry count --out` makes one")
    watched = read_watched(_text(flow), str(flow)) if flow.exists() else None
    told = _told(_text(events), where, str(events))
    return only_camera(msgspec.structs.replace(told, watched_ms=watched), camera)


def _told(text: str, name: str, file: str) -> Run:
    """Everything in events.jsonl. Raises Fatal."""
    events = read_events(text, file)
    return Run(name=name, events=events, went=read_movements(text), clocked=read_speeds(text, file))


def _served(where: str, camera: str | None, truth: Truth, start: float | None) -> Run:
    """What a running gantry kept of the time that the truth is about."""
    name = without_credentials(where)
    if camera is None:
        raise click.UsageError(f"{name} serves many cameras: say whose events by --camera")
    begin = truth.start_ms if start is None else start
    if begin is None or truth.duration_ms is None:
        raise Fatal(f"{truth.name} does not say when it began: give the capture time of its first picture by --start")
    rows = list(
        serve_client.events(
            where, camera, from_ms=round(begin) - BESIDE_MS, to_ms=round(begin + truth.duration_ms) + BESIDE_MS
        )
    )
    events, went, speeds = events_of(rows, name), movements_of(rows), speeds_of(rows, name)
    return Run(name=f"{name}, camera {camera}", events=events, went=went, clocked=speeds)


def _sides(
    said: Run, truth: Truth, lines: Sequence[str], start: float | None, tolerance_ms: float
) -> tuple[Passages, Truth, list[str]]:
    """Both sides on one clock, with one set of lines, and what to note."""
    of_run = sorted({e.line for e in said.events})
    if lines and (missing := [line for line in lines if line not in {*of_run, *truth.lines}]):
        known = ", ".join(sorted({*of_run, *truth.lines}))
        raise Fatal(f"--line {missing[0]}: neither {said.name} nor {truth.name} has it; there are: {known}")
    truth = named(truth, lines or of_run)
    notes = []
    if not lines and truth.video is not None and set(truth.lines) < set(of_run):  # people count one line at a time
        left = [line for line in of_run if line not in truth.lines]
        notes = [f"events of {', '.join(left)} are left out: no count by eye of them was given"]
        lines = list(truth.lines)
    ours = placed(said, truth, start_ms=start, tolerance_ms=tolerance_ms)
    if lines:
        ours, truth = only_lines(ours, lines), only_lines(truth, lines)
    return ours, truth, notes


def _check(
    said: Run,
    ours: Passages,
    truth: Truth,
    tolerance_ms: float,
    scene: Scene | None,
    of_scene: str,
    video: str | None,
    *,
    anyway: bool,
) -> list[str]:
    """Refuse what does not belong together, or note it.

    Raises:
        Fatal: they do not, and nobody said to go on anyway.
    """
    wrong = differences(said, ours, truth, tolerance_ms=tolerance_ms)
    if scene is not None:
        wrong += scene_differences(scene, of_scene, truth)
    if video is not None:
        film = asyncio.run(probe(video))
        wrong += film_differences(film.size, film.duration_s, video, truth, shows=in_comment(film.comment))
    if wrong and not anyway:
        raise Fatal(
            "\n".join([*wrong, "the run and the truth do not belong together; --anyway scores them all the same"])
        )
    told = [*strangers(said.name, ours.passages), *strangers(truth.name, truth.passages)]
    return [*wrong, *eventless(said, ours, truth), *told]


def _hints(evaluation: Evaluation, ours: Passages, truth: Truth, pools: Pools) -> list[str]:
    """What a person would ask next."""
    total = evaluation.total
    off = shift(
        pools.scored(truth.passages),
        pools.scored(ours.passages),
        found=total.found,
        tolerance_ms=evaluation.tolerance_ms,
        pool=pools.pool,
    )
    if off is not None:
        how = f"{abs(off.late_ms) / 1000:.1f} s too {'late' if off.late_ms > 0 else 'early'}"
        note = (
            f"clock: all events seem to be {how}: without that {off.found} of {total.truth} passages would be found,"
            f" not {total.found}; look at the run's clock, or say by --start when the truth begins"
        )
        return [note]
    if total.wrong_way >= FEW and not total.found:
        return ["every event goes the other way: is the line drawn from its other end in the run's scene?"]
    return []


def _true_boxes(named_file: Path | None, file: Path, truth: Truth) -> Path:
    """The file of true boxes: the one that was named, or one beside the truth's file."""
    if named_file is not None:
        return named_file
    beside = [file.parent / "gt.txt", file.parent / "gt" / "gt.txt"]
    if truth.scenario is not None:  # as `gantry simulate truth --mot` writes them
        beside.insert(0, file.parent / "mot" / f"{truth.scenario}-{truth.seed}" / "gt" / "gt.txt")
    there = [path for path in beside if path.is_file()]
    if not there:
        looked = " and no ".join(map(str, beside))
        raise Fatal(f"--tracks needs the true boxes: there is no {looked}; name them by --boxes")
    return there[0]


def _followed(tracks: Boxes, boxes: Path) -> tuple[hota.Followed, list[str]]:
    """How well tracks follow, and what to note."""
    truth, ignored = read_mot_truth(_text(boxes), str(boxes))
    run = without_ignored(tracks, truth, ignored)
    seen = list(hota.pictures(truth, run))
    notes: list[str] = []
    figures = None
    try:
        library = importlib.import_module("pipeline.adapters.motmetrics")
    except ModuleNotFoundError:
        notes = ["IDF1 and MOTA need motmetrics, which is not installed: make setup EXTRAS=dev,evaluate"]
    else:
        figures = hota.Identities(**library.identities(seen)._asdict())
    return hota.Followed(
        pictures=len(seen), users=_many(truth), tracks=_many(run), hota=hota.hota(truth, run), identities=figures
    ), notes


def _many(boxes: Boxes) -> int:
    return len(set(boxes.id.tolist()))


def _stills(video: str | None, evaluation: Evaluation, most: int) -> tuple[list[Still], str]:
    """Pictures of what went wrong, and what to say where some are missing."""
    wrong = worth_a_picture(evaluation)
    if video is None or not wrong:
        return [], "" if video is None else "Nothing went wrong."
    chosen = wrong[:most]
    shots = asyncio.run(stills(video, [o.t_ms for o in chosen]))
    shown = [
        Still(outcome=o, jpeg=shot.jpeg, size=shot.size, t_ms=shot.t_ms)
        for o, shot in zip(chosen, shots, strict=True)
        if shot is not None
    ]
    told = []
    if len(wrong) > most:
        told.append(f"The first {most} of {len(wrong)}; --pictures shows more.")
    if len(shown) < len(chosen):
        told.append(f"The film has no picture of {len(chosen) - len(shown)} of them.")
    return shown, " ".join(told)


def _show(console: Console, evaluation: Evaluation, report: Path | None) -> None:
    """Everything for people."""
    console.print(f"[bold]{escape(headline(evaluation))}[/bold]")
    for note in evaluation.notes:
        console.print(f"[yellow]note:[/yellow] {escape(note)}", highlight=False)
    for sheet in sheets(evaluation):
        table = Table(
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            title=escape(sheet.title),
            title_justify="left",
            caption=escape(sheet.note),
            caption_justify="left",
        )
        for n, column in enumerate(sheet.columns):
            table.add_column(escape(column), justify="left" if n < sheet.words else "right", no_wrap=n < sheet.words)
        for n, row in enumerate(sheet.rows):
            if sheet.last_is_sum and n == len(sheet.rows) - 1 and n:
                table.add_section()
            table.add_row(*map(escape, row))
        console.print(table)
    if report is not None:
        console.print(f"the report is {report}", soft_wrap=True, highlight=False, markup=False)


def _read(path: Path) -> bytes:
    """A file's bytes. Raises Fatal."""
    try:
        if path.is_dir():
            raise Fatal(f"{path}: it is a folder; name the file in it")
        if path.stat().st_size > MOST_BYTES:
            raise Fatal(f"{path}: it is larger than {MOST_BYTES >> 20} MiB, which is no file of this kind")
        return path.read_bytes()
    except FileNotFoundError as exc:
        raise Fatal(f"{path}: there is no such file") from exc
    except (OSError, ValueError) as exc:
        raise Fatal(f"{path}: cannot read it: {getattr(exc, 'strerror', None) or exc}") from exc


def _text(path: Path) -> str:
    """A text file. Raises Fatal."""
    try:
        return _read(path).decode()
    except UnicodeDecodeError as exc:
        raise Fatal(f"{path}: it is no text (UTF-8)") from exc
