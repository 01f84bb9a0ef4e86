"""The data set: pictures and labels as Ultralytics reads them, painted once by several processes.

A shoot whose pictures are all there is not painted again, so that an interrupted painting goes on where it was. What a
folder was made for stands in its `pictures.json`; one that was made for something else is refused, not mixed.
"""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import cv2
import msgspec
import simplejpeg

from pipeline.adapters.painter import Looks, Painter
from pipeline.errors import Fatal
from pipeline.simulate.journeys import recorded
from pipeline.simulate.lessons import CLASSES, PICTURE, Box, Shoot, boxes, turned_a_little
from pipeline.simulate.scenario import Scenario
from pipeline.simulate.scenarios import scenario

QUALITY = 80
"""Of the JPEG, as capture's."""

_MADE_FOR = "pictures.json"


class MadeFor(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder of pictures is."""

    version: int
    shoots: tuple[Shoot, ...]


VERSION = 1
"""Of how pictures look: raise it where the painter's pictures change so much that old ones should not teach."""


def paint(shots: Sequence[Shoot], folder: Path, *, jobs: int, progress: Callable[[int, int], None]) -> None:
    """Have all pictures of these shoots in folder/images, their labels in folder/labels.

    Args:
        shots: what to paint.
        folder: where; it may hold a part of it.
        jobs: processes.
        progress: called with (pictures done, pictures in all).

    Raises:
        Fatal: the folder was made for something else, or cannot be written.
    """
    try:
        _claim(folder, MadeFor(version=VERSION, shoots=tuple(shots)))
        total = sum(len(shot.times_ms) for shot in shots)
        left = [(number, shot) for number, shot in enumerate(shots) if not (folder / f"{number:05d}.done").exists()]
        done = total - sum(len(shot.times_ms) for _, shot in left)
        progress(done, total)
        if not left:
            return
        pool = ProcessPoolExecutor(min(jobs, len(left)), mp_context=multiprocessing.get_context("spawn"))
        try:
            for future in as_completed([pool.submit(_shoot, number, shot, folder) for number, shot in left]):
                done += future.result()
                progress(done, total)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    except OSError as exc:
        raise Fatal(f"{exc.filename or folder} cannot be written: {exc.strerror or exc}") from exc


def jpeg(painter: Painter, t_ms: float) -> bytes:
    """A picture of the size PICTURE, scaled and packed as capture does it."""
    small = cv2.resize(painter.picture(t_ms), PICTURE, interpolation=cv2.INTER_AREA)
    packed: bytes = simplejpeg.encode_jpeg(small, quality=QUALITY, colorspace="BGR")
    return packed


def names(number: int, shot: Shoot) -> list[str]:
    """The file names, without ending, of a shoot's pictures."""
    return [f"{number:05d}-{place:02d}" for place in range(len(shot.times_ms))]


def _claim(folder: Path, wanted: MadeFor) -> None:
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    file, told = folder / _MADE_FOR, msgspec.json.encode(wanted)
    if file.exists():
        if file.read_bytes() != told:
            raise Fatal(f"{folder} holds the pictures of another training; name another --out, or remove the folder")
        return
    part = file.with_suffix(".part")
    part.write_bytes(told)
    part.replace(file)


def _place(shot: Shoot) -> Scenario:
    place = scenario(shot.place)
    if shot.camera is None:
        return place
    return msgspec.structs.replace(place, camera=turned_a_little(place.camera, shot.camera))


def _shoot(number: int, shot: Shoot, folder: Path) -> int:
    """Paint one shoot, in a process of its own; how many pictures."""
    cv2.setNumThreads(1)
    recording, place = recorded(shot.place, shot.seed), _place(shot)
    painter = Painter(recording, place, Looks(shot.daylight, shot.weather, seed=number))
    for name, t_ms in zip(names(number, shot), shot.times_ms, strict=True):
        (folder / "images" / f"{name}.jpg").write_bytes(jpeg(painter, t_ms))
        rows = [_row(box) for box in boxes(recording, place, t_ms) if box.taught]
        (folder / "labels" / f"{name}.txt").write_text("".join(rows))
    (folder / f"{number:05d}.done").touch()
    return len(shot.times_ms)


def _row(box: Box) -> str:
    """Class, middle and size in shares, as Ultralytics reads them."""
    middle = ((box.x1 + box.x2) / 2, (box.y1 + box.y2) / 2)
    return f"{CLASSES.index(box.label)} {middle[0]:.6f} {middle[1]:.6f} {box.x2 - box.x1:.6f} {box.y2 - box.y1:.6f}\n"
