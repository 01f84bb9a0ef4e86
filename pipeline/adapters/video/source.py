"""One Source for every kind of camera, told apart by the scheme of its `source`."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from urllib.parse import unquote, urlsplit

from pipeline.adapters.video.file import film
from pipeline.adapters.video.pictures import JPEG_QUALITY
from pipeline.adapters.video.rtsp import Limits, stream
from pipeline.core.model import Camera
from pipeline.errors import Fatal
from pipeline.ports import Clockwork, Picture


class VideoSource:
    """Opens cameras (implements ports.Source).

    Args:
        resolve: replaces references to secrets in a camera's source by the secrets; raises Fatal.
        connect_s: how long a stream may take to connect.
        stall_s: how long a stream may be silent before its connection counts as broken.
        hold_s: how long a stream's first pictures wait for the sender to tell the time (RTCP).
        quality: of the JPEG.
        clock: the world's time; the machine's own where none is given.
    """

    def __init__(
        self,
        *,
        resolve: Callable[[str], str],
        connect_s: float = 10.0,
        stall_s: float = 10.0,
        hold_s: float = 5.0,  # GStreamer, for one, tells it for the first time within 4 s
        quality: int = JPEG_QUALITY,
        clock: Clockwork | None = None,
    ) -> None:
        self._resolve = resolve
        self._limits = Limits(connect_s=connect_s, stall_s=stall_s, hold_s=hold_s)
        self._quality = quality
        self._clock = clock or _MachineClock()

    def pictures(self, camera: Camera) -> AsyncIterator[Picture]:
        """Pictures of one connection, see ports.Source."""
        source = self._resolve(camera.source)
        scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", source)
        if scheme is None:
            return film(camera, source, quality=self._quality, clock=self._clock)
        match scheme[1].lower():
            case "file":
                return film(camera, unquote(urlsplit(source).path), quality=self._quality, clock=self._clock)
            case "rtsp" | "rtsps":
                return stream(camera, source, limits=self._limits, quality=self._quality, clock=self._clock)
            case other:
                raise Fatal(f"camera {camera.id}: {other}:// is not known: use a path, file://, rtsp:// or rtsps://")


class _MachineClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
