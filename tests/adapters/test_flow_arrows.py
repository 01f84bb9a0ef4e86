"""The learned flow as a picture that people can look at."""

import cv2
import numpy as np
import pytest
import simplejpeg

from pipeline.adapters.painter.flow_arrows import WIDTH, flow_arrows
from pipeline.core.flow_field import FlowField
from pipeline.core.model import Size
from pipeline.errors import Fatal

SIZE = Size(640, 360)


def pixels(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


def lanes():
    """To the right on the upper half of the picture, to the left on the lower one."""
    up, down = (0.3, 0.25, 1.3, 0.25, 2.0), (1.3, 0.75, 0.3, 0.75, 2.0)
    return FlowField.empty(SIZE.aspect).learned([up, down] * 9)


def test_arrows_stand_where_vehicles_drove_and_their_colour_tells_which_way():
    drawn = pixels(flow_arrows(None, SIZE, {"vehicle": lanes()})).astype(int)
    high = drawn.shape[0]

    assert drawn.shape == (720, WIDTH, 3)
    lit = np.argwhere(drawn.max(axis=2) > 60)[:, 0] / high
    assert {round(float(y), 1) for y in np.percentile(lit, [5, 95])} == {0.3, 0.8}
    right, left = drawn[: high // 2].reshape(-1, 3).sum(axis=0), drawn[high // 2 :].reshape(-1, 3).sum(axis=0)
    assert right[2] > right[0]  # red is to the right
    assert left[0] > left[2]  # and cyan to the left


def test_they_are_drawn_over_the_cameras_picture():
    grey = simplejpeg.encode_jpeg(np.full((360, 640, 3), 200, dtype=np.uint8))

    drawn = pixels(flow_arrows(grey, SIZE, {"vehicle": lanes()}))

    assert 100 <= drawn[5, 5].min() <= drawn[5, 5].max() <= 120


def test_a_picture_that_cannot_be_read_is_told():
    with pytest.raises(Fatal, match="no whole JPEG"):
        flow_arrows(b"nonsense", SIZE, {})
