"""A film from its first picture to its last, on its own clock."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

from pipeline.adapters.video import Probe, VideoSource
from pipeline.adapters.video.pictures import JPEG_QUALITY
from pipeline.core.model import Camera, CameraId, Frame, Scene, Size
from pipeline.stages.count import check_shape

EPOCH = "1970-01-01T00:00:00+00:00"
"""Capture times of a film that begins here are milliseconds since its first picture."""


class Shot(NamedTuple):
    """One picture."""

    jpeg: bytes
    size: Size
    source_size: Size
    t_ms: int  # since the film's first picture


async def film(video: str, *, width: int = 640, quality: int = JPEG_QUALITY) -> AsyncGenerator[Shot, None]:
    """Every picture, scaled to a width but never up. Close it (`aclosing`) when you stop before its end.

    Raises:
        Fatal: the film cannot be read.
    """
    camera = Camera(
        id=CameraId("film"), source=video, shard=0, capture_shard=0, revision=0, width=width, pace="fast", start=EPOCH
    )
    shown = VideoSource(resolve=str, quality=quality).pictures(camera)
    async with aclosing(shown):  # type: ignore[type-var]  # a generator, behind its port
        async for picture in shown:
            if isinstance(picture.body, Frame):
                yield Shot(picture.body.jpeg, picture.size, picture.source_size, picture.captured_ms)


def check_probe(scene: Scene, seen: Probe, source: str) -> None:
    """Refuse a scene drawn on another shape, as far as a film's own words tell: it may be turned. Raises Fatal."""
    turned = Size(seen.size.height, seen.size.width)  # a turned film says so with each frame only
    if not scene.drawn_on.same_shape(turned):
        check_shape(scene, seen.size, source)
