"""Video files: decoded in a child process with limits."""

import os
import stat
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

from pipeline.adapters.video.messages import Failed, Info, Request, packed
from pipeline.adapters.video.player import child, played
from pipeline.core.model import Camera, Size
from pipeline.errors import Fatal
from pipeline.ports import Clockwork, Picture

CHILD = "pipeline.adapters.video.child"
MOST_THREADS = 4  # decoding gains little from more


class Probe(NamedTuple):
    """What a file says of itself; often it declares more frames than it holds."""

    size: Size
    fps: float | None
    declared_frames: int | None
    duration_s: float | None
    comment: str = ""  # whatever whoever made the file wrote there


async def probe(path: str) -> Probe:
    """Look into a video file, in the child.

    Raises:
        Fatal: it is missing, unreadable or no video.
    """
    readable(path)
    async with child(CHILD, packed(Request(path=path, probe=True))) as decoder:
        match await decoder.next():
            case Info() as info:
                return Probe(info.size, info.fps, info.declared_frames, info.duration_s, info.comment)
            case Failed() as failed:
                raise Fatal(f"{path}: {failed.why}")
            case _:
                raise Fatal(f"{path}: {await decoder.verdict()}")


async def film(camera: Camera, path: str, *, quality: int, clock: Clockwork) -> AsyncGenerator[Picture, None]:
    """Pictures of a file, see `ports.Source.pictures`."""
    readable(path)
    request = Request(
        path=path,
        fps=camera.fps,
        width=camera.width,
        quality=quality,
        loop=camera.loop,
        threads=min(MOST_THREADS, os.cpu_count() or 1) if camera.pace == "fast" else 1,
    )
    async with aclosing(played(camera, path, CHILD, packed(request), clock=clock)) as pictures:
        async for picture in pictures:
            yield picture


def readable(path: str) -> None:
    """Check before anything is started that the path leads to a file we may read.

    Raises:
        Fatal: it does not.
    """
    try:
        kind = Path(path).stat().st_mode
        if stat.S_ISDIR(kind):
            raise Fatal(f"{path}: it is a directory, not a video: name the file in it")
        if not stat.S_ISREG(kind):
            raise Fatal(f"{path}: it is no regular file")
        with Path(path).open("rb"):
            pass
    except FileNotFoundError as exc:
        raise Fatal(f"{path}: no such file: check the path (as seen from {Path.cwd()})") from exc
    except PermissionError as exc:
        raise Fatal(f"{path}: not allowed to read it: check its owner and mode") from exc
    except (OSError, ValueError) as exc:
        raise Fatal(f"{path}: it cannot be read ({type(exc).__name__})") from exc
