"""The folder of one truth page: whole or not there, and never in the place of somebody's marks."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import simplejpeg

from pipeline.adapters.truth_page.slit_scan import BAND_PX, TILE_FRAMES, SlitScan, runs
from pipeline.core.model import Line, Size
from pipeline.core.thinning import Thinning, thin
from pipeline.errors import Fatal

PAGE = "index.html"
PICTURES, STRIPS = "pictures", "strips"
SCRIPTS = ("marks.js", "strip.js", "picture.js", "page.js")
FALLBACK_FPS = 25.0  # of a film with a single frame that says nothing of itself

DIRECTION_CONVENTION = (
    "Line runs P1->P2 in normalised image coordinates (x right, y DOWN). side(p)=(x2-x1)*(py-y1)-(y2-y1)*(px-x1). "
    "direction '+' = side goes from negative to positive (to the right hand of who stands at P1 and faces P2), "
    "'-' = positive to negative."
)
T_SECONDS_MEANING = (
    "moment the bottom-centre of the vehicle's visible bounding box crosses the line, in seconds after the first frame "
    "by the film's own timestamps"
)
MATCH_TOLERANCE_S = 1.0


class TruthFolder:
    """Collects a film, then writes the page; use it as a context manager.

    Args:
        out: the folder; made if missing.
        video: path of the film, for its name and its digest.
        lines: to be counted on; at least one.
        pictures: a second, kept to look at.

    Leaving it with an error, or without `finish`, takes away everything that was written.

    Every method raises Fatal where the folder cannot be written to; making it, too, where it holds anything already.
    """

    def __init__(self, out: Path, video: Path, lines: list[Line], pictures: float) -> None:
        self.out, self.video, self.pictures = out, video, pictures
        self._times: list[int] = []
        self._kept: list[int] = []  # frames whose pictures are kept
        self._thinning = Thinning()
        self._size: tuple[Size, Size] | None = None  # of the film, of its pictures
        self._whole = False
        self._made = not out.exists()
        with self._in_our_words():
            _refuse_others_work(out)
            try:
                for name in (PICTURES, STRIPS):
                    (out / name).mkdir(parents=True)
            except OSError:
                self._forget()
                raise
        self._scans = [SlitScan(line, out / STRIPS) for line in lines]

    def add(self, jpeg: bytes, t_ms: int, size: Size, source_size: Size) -> None:
        """Add the next frame.

        Args:
            jpeg: its picture, of `size`.
            t_ms: after the first frame, by the film's own timestamps; rising.
            size, source_size: of the picture, and of the film as it is looked at.
        """
        self._size = self._size or (source_size, size)
        self._thinning, wanted = thin(self._thinning, t_ms, self.pictures)
        picture = simplejpeg.decode_jpeg(jpeg, colorspace="RGB")
        with self._in_our_words():
            if wanted:
                (self.out / PICTURES / f"{len(self._kept):06d}.jpg").write_bytes(jpeg)
                self._kept.append(len(self._times))
            for scan in self._scans:
                scan.add(picture)
        self._times.append(t_ms)

    def finish(self, fps: float | None) -> None:
        """Write the page.

        Args:
            fps: what the film says of itself; used only where it has a single frame.

        Raises:
            Fatal: there was no frame.
        """
        if self._size is None:
            raise Fatal(f"{self.video}: not one picture of it can be decoded")
        with self._in_our_words():
            survey = self._survey(fps)
            (self.out / PAGE).write_text(page(survey), encoding="utf-8")
        self._whole = True

    def _survey(self, fps: float | None) -> dict[str, Any]:
        """Everything the page knows."""
        assert self._size is not None
        source, size = self._size
        many = len(self._times) > 1
        rate = 1000 * (len(self._times) - 1) / self._times[-1] if many else fps or FALLBACK_FPS
        return {
            "video": self.video.name,
            "video_path": Path(os.path.relpath(self.video, self.out)).as_posix(),
            "size": [source.width, source.height],
            "picture_size": [size.width, size.height],
            "fps": round(rate, 3),
            "frames": len(self._times),
            "steps_ms": [b - a for a, b in pairwise([0, *self._times])],
            "pictures": self._kept,
            "runs": runs(self._times),
            "tile": TILE_FRAMES,
            "lines": [self._line(scan) for scan in self._scans],
            "direction_convention": DIRECTION_CONVENTION,
            "t_seconds_meaning": T_SECONDS_MEANING,
            "match_tolerance_s": MATCH_TOLERANCE_S,
            "how_established": (
                f"Marked by eye on the slit-scan of the line (a band of {BAND_PX} pixels, every frame) and on pictures "
                f"of the film ({self.pictures:g} a second), in gantry's truth page. One person."
            ),
        }

    def _line(self, scan: SlitScan) -> dict[str, Any]:
        overview = scan.finish()
        line = scan.line
        place = f"{self.video.name}|{self.video.stat().st_size}|{len(self._times)}|{line.start}|{line.end}|{line.name}"
        return {
            "name": line.name,
            "from": line.start,
            "to": line.end,
            "to_right": line.to_right,
            "to_left": line.to_left,
            "key": hashlib.sha256(place.encode()).hexdigest()[:16],  # marks of another film or line are not ours
            "rows": scan.rows,
            "tiles": scan.tiles,
            "overview": overview,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._whole:
            self._forget()

    def _forget(self) -> None:
        """Take away what is not whole."""
        for name in (PICTURES, STRIPS):
            shutil.rmtree(self.out / name, ignore_errors=True)
        with suppress(OSError):
            (self.out / PAGE).unlink()
        if self._made:
            with suppress(OSError):
                self.out.rmdir()

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise Fatal(f"--out {self.out}: cannot write there: {exc.strerror or exc}") from exc


def _refuse_others_work(out: Path) -> None:
    """Raises Fatal where the folder holds anything but a page that was never finished, which is taken away."""
    if not out.exists():
        return
    found = sorted(path.name for path in out.iterdir())
    if marks := [name for name in found if name.endswith(".json")]:
        raise Fatal(
            f"--out {out}: it holds marks ({', '.join(marks)}), which gantry never writes over: name another folder"
        )
    if PAGE in found:
        raise Fatal(f"--out {out}: it holds a page already: open {out / PAGE} to go on, or name another folder")
    if other := [name for name in found if name not in {PICTURES, STRIPS}]:
        raise Fatal(f"--out {out}: it is not empty (it holds {other[0]}): name another folder")
    for name in found:
        shutil.rmtree(out / name)


def page(survey: dict[str, Any]) -> str:
    """The page as one text: style, scripts and data inside, pictures beside it."""
    here = resources.files(__package__)
    texts = {name: (here / name).read_text(encoding="utf-8") for name in ("page.html", "page.css", *SCRIPTS)}
    data = msgspec.json.encode(survey).decode().replace("<", "\\u003c")  # a name may hold </script>
    html = texts["page.html"]
    for mark, text in (
        ("/* page.css */", texts["page.css"]),
        ("/* scripts */", "\n".join(texts[name] for name in SCRIPTS)),
        ("{survey}", data),
    ):
        before, _, after = html.partition(mark)
        html = before + text + after
    return html
