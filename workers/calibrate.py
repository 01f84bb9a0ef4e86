"""`gantry calibrate`: how good a scene's calibration is, as a table and as a picture with metres on it."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from pipeline.adapters.painter.metric_grid import metric_grid
from pipeline.config import load_scene
from pipeline.core.calibration import CalibrationError, GroundPlane, fitted
from pipeline.core.model import Calibration, Point
from pipeline.core.speed import SpeedPolicy, expected
from pipeline.errors import Fatal
from pipeline.stages.count import check_shape
from workers.film import Shot, film
from workers.ranges import Finite
from workers.saying import log_to_stderr
from workers.whole import write_there

POOR = 3
"""Exit code of a calibration that can be used nowhere."""

FULL_WIDTH = 8192
QUALITY = 95
FAR_OFF = 3.0
"""A point off by so many times of what was said of clicks is worth another look."""

DEPTHS = (("near", 0.15), ("middle", 0.5), ("far", 0.85))
"""How far up the part of the polygon that is in the picture."""


class Place(NamedTuple):
    """What may be expected at one place."""

    name: str
    away_m: float  # from the nearest place of the polygon
    pixel_m: float  # how much road a pixel is, along the view
    sd_kmh: float | None
    of_calibration_kmh: float | None


@click.command()
@click.argument("picture", metavar="PICTURE_OR_VIDEO")
@click.option("--scene", "scene_file", required=True, type=click.Path(path_type=Path), help="YAML with `calibration:`.")
@click.option("--camera", help="Whose scene, where the file holds several.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the picture with metres on it there (PNG).")
@click.option(
    "--at", "at_s", type=Finite("seconds", 0, 10**6), default=0.0, show_default=True, help="Which picture of a video."
)
@click.option(
    "--speed",
    "kmh",
    type=Finite("km/h", 1, 400),
    default=50.0,
    show_default=True,
    help="Of the car that is reckoned with.",
)
@click.option(
    "--fps", type=Finite("pictures a second", 0.5, 60), default=10.0, show_default=True, help="Reckoned with."
)
def calibrate(
    picture: str, scene_file: Path, camera: str | None, out: Path | None, at_s: float, kmh: float, fps: float
) -> None:
    """Fit the calibration of a scene and show how good it is.

    Prints how far each measured point is off and how well speeds will be known; --out draws the metres over the
    picture. Exit code 0: it can be used; 3: it fits, but no speed would be known well enough to be told.
    """
    log_to_stderr()
    if "://" in picture:
        raise Fatal(
            f"{picture.partition('://')[0]}://...: gantry calibrate reads a picture or a video; save one of the camera first"
        )
    if out is not None and out.suffix.lower() != ".png":
        raise Fatal(f"--out {out}: the picture is a PNG; name it like calibration.png")
    scene = load_scene(scene_file, camera)
    if scene.calibration is None:
        raise Fatal(f"{scene_file}: the scene has no `calibration:`; docs/calibration.md tells how to measure one")
    try:
        plane = fitted(scene.calibration, scene.drawn_on)
    except CalibrationError as exc:
        raise Fatal(f"{scene_file}: calibration: {exc}") from exc
    shot = asyncio.run(_shot(picture, at_s))
    check_shape(scene, shot.source_size, picture)
    console = Console()
    _show(console, plane, scene.calibration)
    places = _places(plane, kmh, fps)
    usable = _tell(console, places, plane, scene.calibration, kmh, fps)
    if out is not None:
        drawn = metric_grid(shot.jpeg, plane, lines=scene.lines, bad_px=FAR_OFF * scene.calibration.picture_sd_px)
        write_there(out, drawn)
        console.print(
            f"{out}: look whether the lines of the grid lie along the road and across it",
            soft_wrap=True,
            highlight=False,
        )
    if not usable:
        raise click.exceptions.Exit(POOR)


async def _shot(picture: str, at_s: float) -> Shot:
    """The picture at that time, or the last one before. Raises Fatal."""
    last: Shot | None = None
    async with aclosing(film(picture, width=FULL_WIDTH, quality=QUALITY)) as shots:
        async for shot in shots:
            if last is not None and shot.t_ms > at_s * 1000:
                break
            last = shot
            if shot.t_ms >= at_s * 1000:
                break
    if last is None:
        raise Fatal(f"{picture}: there is no picture in it")
    return last


def _show(console: Console, plane: GroundPlane, calibration: Calibration) -> None:
    """What was measured, and how far the plane is from it."""
    if not plane.residuals:
        console.print("The camera's pose is taken as it was given: there is nothing to compare it with.")
        return
    table = Table(box=SIMPLE_HEAD, title="Measured and fitted", title_justify="left")
    for head in ("what", "x, px", "y, px", "off, px", "off, m"):
        table.add_column(head, justify="left" if head == "what" else "right")
    for r in plane.residuals:
        far = r.px > FAR_OFF * calibration.picture_sd_px
        table.add_row(
            r.what, f"{r.at[0] * plane.drawn_on.width:.0f}", f"{r.at[1] * plane.drawn_on.height:.0f}", f"{r.px:.1f}",
            f"{r.metres:.2f}", style="red" if far else None,
        )  # fmt: skip
    console.print(table)


def _places(plane: GroundPlane, kmh: float, fps: float) -> list[Place]:
    """What may be expected near, in the middle and far, on the way that leads up the picture through the polygon."""
    rows = [y for y in np.linspace(1.0, 0.0, 401).tolist() if _across(plane, y) is not None]
    if not rows:
        return []
    low, high = rows[0], rows[-1]
    start = _across(plane, low)
    found = []
    for name, share in DEPTHS:
        y = low + (high - low) * share
        at, toward = _across(plane, y), _across(plane, y - 0.02 * (low - high))
        if at is None or toward is None or start is None:
            continue
        metres = plane.to_ground(np.array([start, at]))
        pixel = float(np.hypot(*plane.jacobian(np.array([at]))[0, :, 1])) / plane.drawn_on.height
        known = expected(plane, at, toward, kmh=kmh, fps=fps, policy=SpeedPolicy())
        found.append(
            Place(
                name,
                float(np.hypot(*(metres[1] - metres[0]))),
                pixel,
                known[0].sd_kmh if known else None,
                known[1] if known else None,
            )
        )
    return found


def _across(plane: GroundPlane, y: float) -> Point | None:
    """The middle of the polygon at a height of the picture; None where it has nothing there."""
    x = np.linspace(0.0, 1.0, 401)
    inside = plane.inside_validity(np.column_stack([x, np.full_like(x, y)]))
    return (float(x[inside].mean()), y) if inside.any() else None


def _tell(
    console: Console, places: list[Place], plane: GroundPlane, calibration: Calibration, kmh: float, fps: float
) -> bool:
    """What it means for speeds, and what to do; whether it can be used at all."""
    policy = SpeedPolicy()
    table = Table(
        box=SIMPLE_HEAD, title=f"A car at {kmh:g} km/h, {fps:g} pictures a second, driving away", title_justify="left"
    )
    for head in ("where", "from the nearest, m", "a pixel is, m", "speed ±, km/h", "of it the calibration, km/h", ""):
        table.add_column(head, justify="left" if head in {"where", ""} else "right")
    usable = False
    for p in places:
        good = p.sd_kmh is not None and p.sd_kmh <= max(policy.worst_share * kmh, policy.worst_kmh)
        usable |= good
        word = "is told" if good else "too unsure: not told"
        cells = [f"{v:.1f}" if v is not None else "-" for v in (p.sd_kmh, p.of_calibration_kmh)]
        table.add_row(p.name, f"{p.away_m:.0f}", f"{p.pixel_m:.2f}", *cells, word)
    console.print(table)
    for advice in _advice(places, plane, calibration, kmh):
        console.print(advice, soft_wrap=True, highlight=False)
    return usable


def _advice(places: list[Place], plane: GroundPlane, calibration: Calibration, kmh: float) -> list[str]:
    """What to do, the most useful first."""
    out = ["± is one standard deviation: two of three speeds are nearer to the truth than that."]
    if plane.residuals:
        worst = max(plane.residuals, key=lambda r: r.px)
        if worst.px > FAR_OFF * calibration.picture_sd_px:
            out.append(
                f"{worst.what} is off by {worst.px:.1f} px ({worst.metres:.2f} m), far more than picture_sd_px"
                f" {calibration.picture_sd_px:g}: look for a mistake in its place or its metres, there or in a neighbour."
            )
        elif worst.px < 1e-6:  # noqa: PLR2004 - an exact fit
            out.append("So few measurements fit exactly, right or wrong: one more would show mistakes.")
        else:
            out.append(
                f"The worst is {worst.what}, off by {worst.px:.1f} px ({worst.metres:.2f} m): no more than picture_sd_px allows."
            )
    unsure = [p for p in places if p.of_calibration_kmh is not None and p.of_calibration_kmh > 0.03 * kmh]
    if unsure:
        what = {
            "points": "more points there, far apart, would help",
            "road": "marks farther apart, or focal_px, would help",
            "pose": "measure height and tilt better, or take points on the road instead",
        }[_form(calibration)]
        out.append(f"{' and '.join(p.name for p in unsure)}: the calibration alone makes more than 3 % there; {what}.")
    return out


def _form(calibration: Calibration) -> str:
    return "points" if calibration.points is not None else "road" if calibration.road is not None else "pose"
