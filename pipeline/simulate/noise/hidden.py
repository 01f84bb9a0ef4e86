"""Which part of a box nearer users leave to be seen."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_REACHES = 0.1
"""A box that ends this share of another's width (or height) short of its edge still covers it across."""

_LEAST = 0.15
"""Of a box's width or height is left at least."""


def shown_part(box: Array, depth: Array) -> Array:
    """The boxes' parts that no nearer box covers from side to side, or from top to bottom.

    A box that only covers a corner leaves a user's outline in all four directions, and so the whole box.

    Args:
        box: [n, 4] x1, y1, x2, y2 in any unit.
        depth: [n] the smaller, the nearer.

    Returns:
        [n, 4], each within its box, at least 0.15 of its width and height.
    """
    x1, y1, x2, y2 = (each[:, None] for each in box.T)
    other_x1, other_y1, other_x2, other_y2 = (each[None, :] for each in box.T)
    slack_x, slack_y = _REACHES * (x2 - x1), _REACHES * (y2 - y1)
    nearer = depth[None, :] < depth[:, None]
    nearer &= (other_x1 < x2) & (other_x2 > x1) & (other_y1 < y2) & (other_y2 > y1)
    left, right = other_x1 <= x1 + slack_x, other_x2 >= x2 - slack_x
    above, below = other_y1 <= y1 + slack_y, other_y2 >= y2 - slack_y
    across, down = nearer & left & right, nearer & above & below
    out = box.copy()
    out[:, 3] = np.where(across & below & ~above, other_y1, y2).min(axis=1, initial=np.inf)
    out[:, 1] = np.where(across & above & ~below, other_y2, y1).max(axis=1, initial=-np.inf)
    out[:, 2] = np.where(down & right & ~left, other_x1, x2).min(axis=1, initial=np.inf)
    out[:, 0] = np.where(down & left & ~right, other_x2, x1).max(axis=1, initial=-np.inf)
    return _at_least(out, box)


def _at_least(part: Array, box: Array) -> Array:
    least = _LEAST * (box[:, 2:] - box[:, :2])
    short = np.maximum(least - (part[:, 2:] - part[:, :2]), 0)
    part[:, :2] = np.maximum(part[:, :2] - short, box[:, :2])
    part[:, 2:] = np.minimum(np.maximum(part[:, 2:], part[:, :2] + least), box[:, 2:])
    return part
