"""JPEG bytes become the pixels a model is shown: simplejpeg decodes, OpenCV resizes.

The letterbox is Ultralytics' own (`data/augment.py`, `LetterBox` with `auto=True`), step by step, so that a model
sees the same pixels from us as from their `predict`.
"""

from typing import Any

import cv2
import msgspec
import numpy as np
import simplejpeg

from pipeline.core.model import Size
from pipeline.ports import BadPicture

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
"""uint8, (height, width, 3), blue-green-red."""

MOST_PIXELS = 64_000_000
"""A larger picture is refused before it is decoded: 64 MP takes 192 MB, and no camera sends more."""

_PAD = (114, 114, 114)


class Letterbox(msgspec.Struct, frozen=True):
    """How a picture is fitted into a model's input: scaled to `inner`, then padded to `shape`."""

    picture: Size
    inner: Size
    left: int
    top: int
    shape: tuple[int, int]  # height, width of the input: the bucket

    @classmethod
    def of(cls, picture: Size, *, longest: int = 640, stride: int = 32) -> "Letterbox":
        """The smallest input whose sides are multiples of `stride` and whose longer side is `longest`.

        Small pictures are scaled up. Both are px.
        """
        gain = min(longest / picture.height, longest / picture.width)
        inner = Size(max(round(picture.width * gain), 1), max(round(picture.height * gain), 1))
        pad_x, pad_y = (longest - inner.width) % stride, (longest - inner.height) % stride
        return cls(
            picture=picture,
            inner=inner,
            left=round(pad_x / 2 - 0.1),
            top=round(pad_y / 2 - 0.1),
            shape=(inner.height + pad_y, inner.width + pad_x),
        )

    def fit(self, pixels: Pixels) -> Pixels:
        """The picture as the model's input, `shape` large."""
        if (self.inner.width, self.inner.height) != (pixels.shape[1], pixels.shape[0]):
            pixels = cv2.resize(pixels, (self.inner.width, self.inner.height), interpolation=cv2.INTER_LINEAR)
        height, width = self.shape
        bottom, right = height - self.inner.height - self.top, width - self.inner.width - self.left
        if not (self.top or bottom or self.left or right):
            return np.ascontiguousarray(pixels)
        out: Pixels = cv2.copyMakeBorder(pixels, self.top, bottom, self.left, right, cv2.BORDER_CONSTANT, value=_PAD)
        return out


def decode(jpeg: bytes, *, most_pixels: int = MOST_PIXELS) -> "Pixels | BadPicture":
    """The pixels of a JPEG, the same bits as OpenCV and Ultralytics decode; a BadPicture says why there are none.

    Damaged and cut off files are refused, not guessed at: half a picture shows half the vehicles.
    """
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
        if height * width > most_pixels:
            return BadPicture(f"the picture has {width}x{height} pixels, more than the {most_pixels} allowed")
        pixels: Pixels = simplejpeg.decode_jpeg(jpeg, "BGR", fastdct=False, fastupsample=False)
    except (ValueError, MemoryError) as exc:
        if not jpeg:
            return BadPicture("the picture has no bytes")
        return BadPicture(f"the picture is no whole JPEG ({len(jpeg)} bytes): {exc}")
    return pixels
