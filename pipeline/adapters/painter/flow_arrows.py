"""A picture with what was learned of how vehicles drive drawn over it: an arrow for each way at each place."""

import colorsys
import math
from collections.abc import Mapping

import cv2
import numpy as np

from pipeline.adapters.painter import Pixels
from pipeline.core.flow_field import FlowField
from pipeline.core.kernels import CELL
from pipeline.core.model import Size
from pipeline.errors import Fatal

WIDTH = 1280
"""Of the picture, in pixels."""

_DIM = 0.55
"""What stays of the camera's picture behind the arrows."""

_SURE = 8.0
"""Ways that were seen so often are drawn in full colour."""

_LONGEST_S = 0.25
"""An arrow is as long as the way of this time, but no longer than two cells."""


def flow_arrows(picture: bytes | None, size: Size, flow: Mapping[str, FlowField]) -> bytes:
    """Draw the flow of all kinds of road users. A PNG.

    An arrow's colour is its direction, its length the speed there, its strength how often it was seen.

    Args:
        picture: a JPEG of the camera; None: there is none, and the arrows stand on black.
        size: the camera's picture.
        flow: by kind of road user.

    Raises:
        Fatal: the picture cannot be read.
    """
    height = round(WIDTH / size.aspect)
    canvas = np.zeros((height, WIDTH, 3), dtype=np.uint8)
    if picture is not None:
        read = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
        if read is None:
            raise Fatal("the camera's picture cannot be read: it is no whole JPEG")
        canvas = (cv2.resize(read, (WIDTH, height), interpolation=cv2.INTER_LINEAR) * _DIM).astype(np.uint8)
    frame: Pixels = np.ascontiguousarray(canvas)
    for field in flow.values():
        for x, y, n, vx, vy in sorted(field.arrows(), key=lambda arrow: arrow[2]):
            speed = math.hypot(vx, vy)
            if speed > 0:
                long = min(speed * _LONGEST_S, 2 * CELL) / speed
                tail, head = (x - vx * long / 2, y - vy * long / 2), (x + vx * long / 2, y + vy * long / 2)
                red, green, blue = colorsys.hsv_to_rgb(math.atan2(vy, vx) / math.tau % 1, 0.75, 1)
                strength = 0.35 + 0.65 * min(1.0, n / _SURE)
                colour = tuple(round(255 * strength * part) for part in (blue, green, red))
                start, end = ((round(px * height), round(py * height)) for px, py in (tail, head))
                cv2.arrowedLine(frame, start, end, colour, 2, cv2.LINE_AA, tipLength=0.35)
    _, packed = cv2.imencode(".png", frame)
    return bytes(packed)
