"""One decoded frame becomes the picture we send: turned upright, scaled once, encoded once, and now and then measured."""

from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt
import simplejpeg
from av.video.reformatter import VideoReformatter

from pipeline.core.health import measure
from pipeline.core.model import Health, Size
from pipeline.core.thinning import Thinning, shifted, thin

JPEG_QUALITY = 85
"""Where nobody says otherwise; 4:2:0, which is what cameras send anyway."""


MEASURED_FPS = 1.0
"""So many pictures a second of capture time are measured for the camera's health: it takes about a millisecond each."""


class Sent(NamedTuple):
    """A frame as it is sent."""

    jpeg: bytes
    size: Size
    source_size: Size  # as it is looked at
    health: Health | None  # None: this one was not measured


class Encoder:
    """Scales, encodes and measures the frames of one stream.

    Args:
        width: of the picture sent, in pixels; a smaller source is never blown up.
        quality: of the JPEG, 1..100.
    """

    def __init__(self, width: int, quality: int = JPEG_QUALITY) -> None:
        self.width, self.quality = width, quality
        self._scaler = VideoReformatter()  # keeps swscale's tables between frames
        self._due = Thinning()
        self._measured: npt.NDArray[np.uint8] | None = None  # the picture measured last

    def clock_moved(self, by_ms: float) -> None:
        """Later frames' capture times are on a clock that shows `by_ms` more."""
        self._due = shifted(self._due, by_ms)

    def encode(self, frame: av.VideoFrame, captured_ms: float) -> Sent:
        """One frame; captured_ms rises from frame to frame."""
        turns = round(frame.rotation / 90) % 4  # counter-clockwise, as the file asks its player to
        source = Size(frame.width, frame.height) if turns % 2 == 0 else Size(frame.height, frame.width)
        sent = picture_size(source, self.width)
        lying = sent if turns % 2 == 0 else Size(sent.height, sent.width)
        # Full-range BT.601 is what every JPEG is read as; the planes then need no trip through RGB.
        scaled = self._scaler.reformat(
            frame,
            width=lying.width,
            height=lying.height,
            format="yuvj420p",
            dst_colorspace="ITU601",  # type: ignore[arg-type]  # a name is allowed, the stub says a number
            dst_color_range="JPEG",
            interpolation="AREA",
            threads=1,
        )
        planes = [_turned(_plane(scaled, i), turns) for i in range(3)]
        jpeg: bytes = simplejpeg.encode_jpeg_yuv_planes(*planes, quality=self.quality)
        return Sent(jpeg, sent, source, self._measure(planes[0], captured_ms))

    def _measure(self, grey: npt.NDArray[np.uint8], captured_ms: float) -> Health | None:
        self._due, due = thin(self._due, captured_ms, MEASURED_FPS)
        if not due:
            return None
        before, self._measured = self._measured, grey.copy()  # the frame's own memory goes with it
        return measure(grey, before)


def picture_size(source: Size, width: int) -> Size:
    """The size a picture is sent in: at most `width` wide, the source's aspect, both sides even.

    4:2:0 halves both sides, so an odd one would smear its last row of colour.
    """
    share = min(1.0, width / source.width)
    return Size(_even(source.width * share), _even(source.height * share))


def _even(length: float) -> int:
    return max(2, round(length / 2) * 2)


def _plane(frame: av.VideoFrame, index: int) -> npt.NDArray[np.uint8]:
    plane = frame.planes[index]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]


def _turned(plane: npt.NDArray[np.uint8], turns: int) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(np.rot90(plane, turns))
