"""What is measured, and the measuring: watch, tune the peers, count, score."""

import multiprocessing
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from benchmarks.accuracy import clips, plain, roads, runs, streams
from benchmarks.accuracy.contestant import Contestant, Setting
from benchmarks.accuracy.figures import Cluster, Tally, pooled, tally
from benchmarks.accuracy.roster import contestants
from benchmarks.accuracy.runs import Job
from benchmarks.accuracy.streams import Identity, Sampling, Stream
from pipeline.errors import Fatal
from pipeline.simulate.noise.model import LEVELS

RATES = (2.0, 3.0, 5.0, 10.0, 15.0, 25.0)
NOISE = "yolov8n"
"""What peers are tuned on."""
NOISES = tuple(level for level in LEVELS if level != "none")
REPORTED, TUNING, GUARDED = (1, 3, 7), (0, 2, 4, 6), (5,)
"""Seeds: nothing is ever chosen by looking at the odd ones. What CI looks at at every change is not reported."""

DEFAULTS, TUNED, HINDSIGHT = "defaults", "tuned", "hindsight"
"""How a contestant is set: as it comes; best on the tuning seeds, for each rate; best on the very clips shown."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be measured."""

    scenarios: tuple[str, ...]
    seeds: tuple[int, ...] = REPORTED
    tuning: tuple[int, ...] = TUNING  # none: peers run at their defaults only
    noise: tuple[str, ...] = NOISES
    rates: tuple[float, ...] = RATES
    phases: int | None = None  # at most so many; None: all
    seconds: float = 0.0  # of each road; 0: all
    tuning_phases: int | None = 1
    tuning_seconds: float = 0.0
    clips: tuple[str, ...] = (*clips.CLIPS, *clips.OUT_OF_DOMAIN)
    contestants: tuple[str, ...] = ()  # none: all
    tolerance_ms: float = 1000.0  # how far an event may be from its passage


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One contestant, set one way, over one stream at one rate."""

    contestant: str
    how: str
    rate: float  # wanted
    fps: float  # true
    cluster: Cluster
    phases: tuple[Tally, ...]


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in one table."""

    title: str
    cells: tuple[Cell, ...]


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """What tuning chose."""

    contestant: str
    rate: float
    setting: Setting


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything measured."""

    plan: Plan
    titles: Mapping[str, str]  # contestants, in order
    versions: Mapping[str, str]
    grids: Mapping[str, int]  # how many settings were tried
    chosen: tuple[Chosen, ...]
    groups: tuple[Group, ...]


Settings = dict[tuple[str, float, str], Setting]
"""(contestant, rate, how) -> setting."""


class Bench:
    """Does what is not done yet, on all cores, and finds the rest in its folder."""

    def __init__(
        self, folder: Path, jobs: int, console: Console, everyone: Mapping[str, Contestant] | None = None
    ) -> None:
        """Of the roster's keys; None: the whole roster."""
        self.folder, self.jobs, self.console = folder, jobs, console
        self.everyone = contestants() if everyone is None else everyone
        self.versions = {key: each.version() for key, each in self.everyone.items()}
        self._kept: dict[Path, tuple[Stream, str]] = {}

    def watch(self, identities: Sequence[Identity]) -> list[Path]:
        """The kept streams of these identities, in order. Raises Fatal: one cannot be watched."""
        paths = [stream_path(identity, self.folder) for identity in identities]
        missing = {path: each for path, each in zip(paths, identities, strict=True) if not path.exists()}
        self._all(make_road, [(p, each) for p, each in missing.items() if each.kind == roads.KIND], "watching roads")
        for path, each in missing.items():
            if each.kind == clips.KIND:
                self.console.print(f"looking at {each.place} with YOLOv8n, once")
                streams.write(*clips.clip(each.place), path)
        return paths

    def stream(self, path: Path) -> Stream:
        """A kept stream."""
        return self._stream(path)[0]

    def _stream(self, path: Path) -> tuple[Stream, str]:
        if path not in self._kept:
            stream, _ = streams.read(path)
            self._kept[path] = (stream, stream.digest)
        return self._kept[path]

    def job(self, path: Path, contestant: str, sampling: Sampling, setting: Setting) -> Job:
        """What is to be run for a setting."""
        stream, digest = self._stream(path)
        return Job(
            stream=str(path),
            digest=digest,
            name=stream.identity.name,
            contestant=contestant,
            version=self.versions[contestant],
            sampling=sampling,
            tracker=setting.tracker,
            counters=self.everyone[contestant].counters,
        )

    def run(self, jobs: Iterable[Job], what: str) -> None:
        """Do the jobs that are not done."""
        unique = {job.path(self.folder): job for job in jobs}
        left = sorted((job for path, job in unique.items() if not path.exists()), key=lambda job: job.stream)
        self._all(runs.do, [(job, self.folder) for job in left], what)

    def tallies(self, path: Path, job: Job, setting: Setting, tolerance_ms: float) -> tuple[float, tuple[Tally, ...]]:
        """The true rate, and what each phase of a finished job is worth."""
        stream = self.stream(path)
        result = runs.done(job, self.folder)
        events = result.events[list(job.counters).index(setting.counter)]
        told = (tally(stream.truth, e, duration_ms=stream.duration_ms, tolerance_ms=tolerance_ms) for e in events)
        return result.fps, tuple(told)

    def _all(self, do: Callable[..., None], arguments: Sequence[tuple[object, ...]], what: str) -> None:
        if not arguments:
            return
        bar = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        pool = ProcessPoolExecutor(
            min(self.jobs, len(arguments)), mp_context=multiprocessing.get_context("spawn"), initializer=end_with_parent
        )
        with Progress(*bar, console=self.console) as progress:
            task = progress.add_task(what, total=len(arguments))
            try:
                for future in as_completed([pool.submit(do, *each) for each in arguments]):
                    future.result()
                    progress.advance(task)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def end_with_parent() -> None:
    """A process of the pool ends when the one that made it is killed."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def stream_path(identity: Identity, folder: Path) -> Path:
    """Where a stream is kept."""
    suffix = f"-{roads.fingerprint(identity)}" if identity.kind == roads.KIND else ""
    return folder / "streams" / f"{identity.name}{suffix}.npz"


def make_road(path: Path, identity: Identity) -> None:
    """Watch a simulated road and keep what was seen."""
    streams.write(roads.road(identity), roads.GRID, path)


def measure(bench: Bench, plan: Plan) -> Report:
    """Measure all of it.

    Raises:
        Fatal: something that is named does not exist, or footage or a peer is missing.
    """
    if unknown := set(plan.contestants) - bench.everyone.keys():
        raise Fatal(f"no contestant is called {', '.join(sorted(unknown))}: there are {', '.join(bench.everyone)}")
    keys = [key for key in bench.everyone if not plan.contestants or key in plan.contestants]
    plain.check(bench.everyone[key] for key in keys)
    peers = [bench.everyone[key] for key in keys if len(bench.everyone[key].settings) > 1]
    settings: Settings = {(key, rate, DEFAULTS): bench.everyone[key].settings[0] for key in keys for rate in plan.rates}
    chosen: Settings = {}
    if plan.tuning and plan.scenarios:
        paths = bench.watch(_roads(plan, plan.tuning, NOISE, plan.tuning_seconds))
        chosen = best(bench, plan, peers, paths, plan.tuning_phases, TUNED)
        settings |= chosen
    groups = []
    for noise in plan.noise if plan.scenarios else ():
        paths = bench.watch(_roads(plan, plan.seeds, noise, plan.seconds))
        groups.append(Group(title=f"simulated roads, noise {noise}", cells=_cells(bench, plan, paths, settings)))
    for title, names in (("real clips", clips.CLIPS), ("a real clip from straight above", clips.OUT_OF_DOMAIN)):
        if wanted := [name for name in names if name in plan.clips]:
            paths = bench.watch([Identity(kind=clips.KIND, place=name) for name in wanted])
            fitted = best(bench, plan, peers, paths, plan.phases, HINDSIGHT) if plan.tuning else {}
            groups.append(Group(title=title, cells=_cells(bench, plan, paths, settings | fitted)))
    return Report(
        plan=plan,
        titles={key: bench.everyone[key].title for key in keys},
        versions={key: bench.versions[key] for key in keys},
        grids={key: len(bench.everyone[key].settings) for key in keys},
        chosen=tuple(Chosen(contestant=key, rate=rate, setting=setting) for (key, rate, _), setting in chosen.items()),
        groups=tuple(groups),
    )


def best(
    bench: Bench, plan: Plan, peers: Sequence[Contestant], paths: Sequence[Path], phases: int | None, how: str
) -> Settings:
    """For every peer and rate, the setting of its grid with the fewest errors on these streams."""
    samplings = {rate: Sampling(rate, phases) for rate in plan.rates}

    def jobs(peer: Contestant, rate: float, setting: Setting) -> dict[Path, Job]:
        return {path: bench.job(path, peer.key, samplings[rate], setting) for path in paths}

    def errors(peer: Contestant, rate: float, setting: Setting) -> int:
        told = [
            bench.tallies(path, job, setting, plan.tolerance_ms)[1] for path, job in jobs(peer, rate, setting).items()
        ]
        return pooled(each for of_phases in told for each in of_phases).errors

    every = [(peer, rate) for peer in peers for rate in plan.rates]
    bench.run(
        (job for peer, rate in every for s in peer.settings for job in jobs(peer, rate, s).values()), "trying settings"
    )
    return {
        (peer.key, rate, how): min(peer.settings, key=lambda setting: errors(peer, rate, setting))
        for peer, rate in every
    }


def _roads(plan: Plan, seeds: Sequence[int], noise: str, seconds: float) -> list[Identity]:
    return [
        Identity(kind=roads.KIND, place=place, seed=seed, noise=noise, seconds=seconds)
        for place in plan.scenarios
        for seed in seeds
    ]


def _cells(bench: Bench, plan: Plan, paths: Sequence[Path], settings: Settings) -> tuple[Cell, ...]:
    """Run these settings over these streams."""
    jobs = {
        (path, key): bench.job(path, key[0], Sampling(key[1], plan.phases), setting)
        for path in paths
        for key, setting in settings.items()
    }
    bench.run(jobs.values(), "counting")
    cells = []
    for (path, key), job in jobs.items():
        contestant, rate, how = key
        identity = bench.stream(path).identity
        fps, phases = bench.tallies(path, job, settings[key], plan.tolerance_ms)
        stratum = identity.place if identity.kind == roads.KIND else identity.kind
        cell = Cell(contestant=contestant, how=how, rate=rate, fps=fps, cluster=(stratum, identity.name), phases=phases)
        cells.append(cell)
    return tuple(cells)


def strata(cells: Iterable[Cell]) -> dict[tuple[float, str, str], dict[Cluster, tuple[Tally, ...]]]:
    """(rate, contestant, how) -> cluster -> its phases; in the order of the cells."""
    found: dict[tuple[float, str, str], dict[Cluster, tuple[Tally, ...]]] = defaultdict(dict)
    for cell in cells:
        found[cell.rate, cell.contestant, cell.how][cell.cluster] = cell.phases
    return dict(found)
