"""Fit the noise model of simulated cameras to YOLOv8n's real output, and print both side by side.

    python -m benchmarks.noise            (`make noise` writes the fit, too; needs the extra torch and GANTRY_TEST_DATA)

No clip has true boxes: the pseudo-truth is YOLOv8s at 1280 px, tracked and smoothed (see truth.py). The model is
judged as YOLOv8n is: it looks at the pseudo-truth's users, and its boxes are matched with them again. Clips that were
held out of the fit stand apart. The first run looks at all clips, which takes 10 to 25 minutes on two cores.
"""

# ruff: noqa: PLR2004 - a statistic's bounds are told where they are used

import argparse
import itertools
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

import pipeline.simulate.noise
from benchmarks.noise.fit import COARSE_ENDS, Pool, fit, likeness_in_time, middle_spread, near
from benchmarks.noise.judge import Judged, judge
from benchmarks.noise.look import films
from benchmarks.noise.truth import Truth, size_of, truth, views
from pipeline.simulate.noise import Noise, NoiseModel
from pipeline.simulate.noise.model import Rider

Array = NDArray[np.float64]

FITTED = Path(pipeline.simulate.noise.__file__).with_name("yolov8n.json")
SEEDS = 5
"""The model looks at every clip so many times; YOLOv8n gives the same boxes each time."""

SHOWN_HEIGHTS = (9.0, 16.0, 30.0, 60.0, 120.0)
SHOWN_SHARES = ((0.9, 1.01), (0.6, 0.9), (0.3, 0.6), (0.0, 0.3))
_NO_RIDER = Rider(cycle=[0.0, 0.0, 1.0, 1.0], person=[0.0, 0.0, 1.0, 1.0], seen=0.0)  # they have tracks of their own


def main() -> None:
    """Look, fit, write and print."""
    wanted = _wishes()
    truths = [truth(film) for film in films(wanted.data / "videos", wanted.data / "weights", wanted.looks)]
    judged = [judge(each, [look.seen for look in each.film.looks]) for each in truths]
    mine = [place for place, each in enumerate(truths) if not each.film.clip.held_out]
    others = [place for place, each in enumerate(truths) if each.film.clip.held_out]
    model = fit(
        [truths[place] for place in mine],
        [judged[place] for place in mine],
        "yolov8n",
        lambda model: [each for place in mine for each in _modelled(model, truths[place])],
    )
    if wanted.write:
        parts = [
            b'"%s":%s' % (key.encode(), msgspec.json.encode(part))
            for key, part in msgspec.structs.asdict(model).items()
        ]
        FITTED.write_bytes(b"{\n" + b",\n".join(parts) + b"\n}\n")
    columns = []
    for places in (mine, others):
        columns.append(figures([judged[place] for place in places]))
        columns.append(figures([each for place in places for each in _modelled(model, truths[place])]))
    _print_clips(truths, judged)
    _print_table(columns)
    _print_speed(model, truths)


def _wishes() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.noise", description="Fit the noise model to YOLOv8n's real output."
    )
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("GANTRY_TEST_DATA", ".")))
    parser.add_argument("--looks", type=Path, default=Path(".make/noise"), help="where looks at the clips are kept")
    parser.add_argument("--write", action="store_true", help="write the fitted model into the package")
    wanted = parser.parse_args()
    if not (wanted.data / "videos").is_dir():
        parser.error(f"there is no {wanted.data / 'videos'}: set GANTRY_TEST_DATA to the folder of test data")
    return wanted


def _modelled(model: NoiseModel, truth: Truth) -> list[Judged]:
    seen = views(truth)
    size = size_of(truth.film)
    plain = msgspec.structs.replace(model, rider=_NO_RIDER)
    told = []
    for seed in range(SEEDS):
        noise = Noise(plain, seed)
        told.append(judge(truth, [noise.see(view, size) for view in seen]))
    return told


def figures(judged: Sequence[Judged]) -> dict[str, str]:
    """What is compared, by name."""
    pool = Pool(judged)
    watched_s = float(sum((each.height >= 12).sum() / each.fps for each in judged))
    return _recall(pool) | _misses(pool, watched_s) | _edges(pool) | _classes(pool, watched_s) | _extra(pool, judged)


def _recall(pool: Pool) -> dict[str, str]:
    vehicles = pool.kind == "vehicle"
    told: dict[str, str] = {}
    for place, height in enumerate(SHOWN_HEIGHTS):
        rows = pool.plain & vehicles & near(pool.height, SHOWN_HEIGHTS, place)
        told[f"recall, vehicles near {height:g} px"] = _share(pool.found[rows])
    for low, high in SHOWN_SHARES:
        rows = (pool.inside > 0.9) & (pool.free >= low) & (pool.free < high) & (pool.height >= 12)
        told[f"recall, {low:g} to {min(high, 1):g} not hidden"] = _share(pool.found[rows])
    for low, high in SHOWN_SHARES[1:]:
        rows = (pool.free > 0.9) & (pool.inside >= low) & (pool.inside < high) & (pool.height >= 12)
        told[f"recall, {low:g} to {high:g} in the picture"] = _share(pool.found[rows])
    for kind in ("walker", "rider"):
        told[f"recall, {kind}s"] = _share(pool.found[pool.kind == kind])
    return told


def _misses(pool: Pool, watched_s: float) -> dict[str, str]:
    told: dict[str, str] = {}
    tall = pool.height >= 12
    runs = np.array(_runs(pool, tall))
    told["misses between two boxes, mean s"] = _number(runs.mean() if len(runs) else np.nan)
    told["misses between two boxes, median s"] = _number(np.median(runs) if len(runs) else np.nan)
    told["misses between two boxes, 90 % s"] = _number(np.quantile(runs, 0.9) if len(runs) else np.nan)
    told["misses between two boxes, a user and minute"] = _number(len(runs) / watched_s * 60)
    for quantile in (0.1, 0.5, 0.9):
        told[f"score, {quantile:.0%} quantile"] = _number(np.quantile(pool.score[pool.found & tall], quantile))
    ranks = ndtri((rankdata(pool.score) - 0.5) / len(pool.score))
    for lag, alike in zip(
        (0.04, 0.2, 1.2), likeness_in_time(pool.user, pool.t_s, ranks, (0.04, 0.2, 1.2)), strict=True
    ):
        told[f"score, correlation after {lag:g} s"] = _number(alike)
    return told


def _edges(pool: Pool) -> dict[str, str]:
    told: dict[str, str] = {}
    tall = pool.height >= 12
    off = np.where(pool.edge, np.nan, pool.off)
    for place, height in enumerate(SHOWN_HEIGHTS):
        rows = pool.plain & pool.found & near(pool.height, SHOWN_HEIGHTS, place)
        if rows.sum() >= 40:
            x, y = middle_spread(off[rows])[[0, 2]].mean(), middle_spread(off[rows])[[1, 3]].mean()
            told[f"edges near {height:g} px, spread in widths / heights"] = f"{x:.3f} / {y:.3f}"
            told[f"lower edge near {height:g} px, bias in heights"] = f"{np.nanmedian(off[rows, 3]):+.3f}"
        else:
            told[f"edges near {height:g} px, spread in widths / heights"] = "-"
            told[f"lower edge near {height:g} px, bias in heights"] = "-"
    rows = pool.plain & pool.found & tall
    told["edges off by more than 0.2 of the size"] = _share(
        np.nanmax(np.abs(np.where(np.isfinite(off[rows]), off[rows], 0)), axis=1) > 0.2
    )
    clear = np.where(rows[:, None], np.clip(off, -0.3, 0.3), np.nan)
    for lag, alike in zip(
        (0.04, 0.2, 1.2), likeness_in_time(pool.user, pool.t_s, clear, (0.04, 0.2, 1.2)), strict=True
    ):
        told[f"edges, correlation after {lag:g} s"] = _number(alike)
    return told


def _classes(pool: Pool, watched_s: float) -> dict[str, str]:
    told: dict[str, str] = {}
    for label in ("car", "truck", "bus", "person"):
        rows = (pool.label == label) & pool.found & (pool.named > 0.7)
        told[f"class right, {label}"] = _share(pool.seen[rows] == label)
    told["class changes, a vehicle and minute"] = _number(_changes(pool) / max(watched_s, 1e-9) * 60)
    return told


def _extra(pool: Pool, judged: Sequence[Judged]) -> dict[str, str]:
    told: dict[str, str] = {}
    vehicles = pool.kind == "vehicle"
    for low, high in itertools.pairwise(COARSE_ENDS):
        rows = vehicles & pool.found & (pool.height >= low) & (pool.height < high)
        name = f"{low:g} to {high:g} px" if high < 1e6 else f"above {low:g} px"
        told[f"second boxes a vehicle, {name}"] = _number(pool.doubled[rows].mean() if rows.any() else np.nan)
    told["swallowed by a neighbour that touches"] = _share(pool.merged[pool.touching & vehicles])
    told["ghosts in a picture"] = _number(
        float(np.mean([len(each.ghosts) / each.seconds / each.fps for each in judged]))
    )
    told["surer ghosts (0.25) in a picture"] = _number(
        float(np.mean([sum(ghost[2] >= 0.25 for ghost in each.ghosts) / each.seconds / each.fps for each in judged]))
    )
    return told


def _share(hits: Any) -> str:
    return f"{np.mean(hits):.3f}" if len(hits) >= 20 else "-"


def _number(told: float) -> str:
    return "-" if np.isnan(told) else f"{told:.3g}"


def _runs(pool: Pool, rows: NDArray[np.bool_]) -> list[float]:
    """Seconds from the last box before a miss to the first after it, less one picture."""
    told = []
    starts = np.flatnonzero(np.diff(pool.user, prepend=-1, append=-1))
    for first, end in itertools.pairwise(starts.tolist()):
        found = np.flatnonzero(pool.found[first:end] & rows[first:end]) + first
        for before, after in itertools.pairwise(found.tolist()):
            if after > before + 1:
                told.append(float(pool.t_s[after] - pool.t_s[before + 1]))
    return told


def _changes(pool: Pool) -> int:
    """How often a vehicle's class is another one than in its box before."""
    mine = np.flatnonzero(pool.found & (pool.kind == "vehicle") & (pool.height >= 12))
    same = pool.user[mine][1:] == pool.user[mine][:-1]
    return int((same & (pool.seen[mine][1:] != pool.seen[mine][:-1])).sum())


def _print_clips(truths: Sequence[Truth], judged: Sequence[Judged]) -> None:
    print(
        "| clip | pictures a second | seconds | true users | their sightings | recall | held out |\n|---|---|---|---|---|---|---|"
    )
    for clip, each in zip(truths, judged, strict=True):
        recall = f"{np.mean(each.score > 0):.2f}" if len(each.score) else "-"
        held = "yes" if clip.film.clip.held_out else ""
        told = (
            clip.film.clip.name,
            f"{clip.fps:.0f}",
            f"{clip.seconds:.0f}",
            len(clip.found),
            len(each.score),
            recall,
            held,
        )
        print("| " + " | ".join(map(str, told)) + " |")


def _print_table(columns: Sequence[dict[str, str]]) -> None:
    print("\n| | YOLOv8n | model | held out: YOLOv8n | model |\n|---|---|---|---|---|")
    for name in columns[0]:
        print(f"| {name} | " + " | ".join(column[name] for column in columns) + " |")


def _print_speed(model: NoiseModel, truths: Sequence[Truth]) -> None:
    """Time of a call, on the clip with the most users."""
    crowd = max(truths, key=lambda each: sum(len(user.frames) for user in each.found) / len(each.film.looks))
    seen, size = views(crowd), size_of(crowd.film)
    noise = Noise(model, 0)
    began = time.process_time()
    answers = [noise.see(view, size) for view in seen]
    spent = (time.process_time() - began) / len(seen) * 1000
    users = np.mean([len(view) for view in seen])
    boxes = np.mean([len(answer) for answer in answers])
    print(f"\nsee() took {spent:.2f} ms of processor time for {users:.0f} users and {boxes:.0f} boxes a picture")


if __name__ == "__main__":
    main()
