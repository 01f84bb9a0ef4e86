"""Simulated cameras: painted pictures of recorded traffic, or what a detector would see of it.

They are paced and given their capture time as a file is.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from itertools import islice

import msgspec

from pipeline.adapters.painter.child import Request
from pipeline.adapters.playback import Pace, started_ms
from pipeline.adapters.recordings import showing
from pipeline.adapters.video.messages import packed
from pipeline.adapters.video.pictures import JPEG_QUALITY
from pipeline.adapters.video.player import played
from pipeline.core.model import Boxes, Camera, Clock, Detections
from pipeline.core.thinning import Thinning, thin
from pipeline.ports import Clockwork, Picture
from pipeline.simulate.address import has_pixels

__all__ = ["SimulatedSource"]

PAINTER = "pipeline.adapters.painter.child"

AT_ONCE = 32
"""Pictures made in one go, in a thread: cameras beside this one never wait for longer than a thread's turn."""


class SimulatedSource:
    """Opens simulated cameras (implements ports.Source).

    The address says how many pictures a second the camera takes; a camera's own `fps` thins them, as it thins a
    file's. Where the pictures are boxes its `width` changes nothing, for there is nothing to scale.

    Args:
        clock: the world's time.
        quality: of painted pictures' JPEG.
    """

    def __init__(self, clock: Clockwork, *, quality: int = JPEG_QUALITY) -> None:
        self._clock, self._quality = clock, quality

    def pictures(self, camera: Camera) -> AsyncIterator[Picture]:
        """Pictures of one pass, or of one after the other for ever if it loops; see ports.Source."""
        if has_pixels(camera.source):
            return _painted(camera, self._clock, self._quality)
        return _seen(camera, self._clock)


async def _painted(camera: Camera, clock: Clockwork, quality: int) -> AsyncGenerator[Picture, None]:
    await asyncio.to_thread(showing, camera.source)  # what is wrong with it shows here, and not in the child
    request = Request(source=camera.source, fps=camera.fps, width=camera.width, quality=quality, loop=camera.loop)
    async with aclosing(played(camera, camera.source, PAINTER, packed(request), clock=clock)) as pictures:
        async for picture in pictures:
            yield picture


async def _seen(camera: Camera, clock: Clockwork) -> AsyncGenerator[Picture, None]:
    start_ms = started_ms(camera)
    pace, thinning, restarts, begins_ms = Pace(clock), Thinning(), False, 0
    fast = camera.pace == "fast"
    show = await asyncio.to_thread(showing, camera.source)
    while True:
        passing = show.begin()
        while made := await asyncio.to_thread(_some, passing):
            for t_ms, seen in made:
                media_ms = begins_ms + t_ms
                thinning, keep = thin(thinning, media_ms, camera.fps)
                if not keep:
                    continue
                if not fast:
                    await pace.wait_for(media_ms, anew=False)
                if start_ms is None:
                    start_ms = clock.now_ms() - media_ms
                yield Picture(
                    body=Boxes(**msgspec.structs.asdict(seen)),
                    captured_ms=start_ms + media_ms,
                    clock=Clock.FILE,
                    size=show.place.size,
                    source_size=show.place.size,
                    restarts=restarts,
                )
                restarts = False
        if not camera.loop:
            return
        begins_ms, restarts = begins_ms + show.recording.duration_ms, True


def _some(pictures: Iterator[tuple[int, Detections]]) -> list[tuple[int, Detections]]:
    return list(islice(pictures, AT_ONCE))
