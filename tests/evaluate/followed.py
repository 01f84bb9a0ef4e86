"""Users and the tracks that follow them, well or badly; repeatable."""

import numpy as np

from pipeline.evaluate.boxes import Boxes


def boxes(rows):
    """Rows of frame, id, x1, y1, x2, y2."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 6)
    return Boxes(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2:])


def followed(seed, *, users, swap, jitter, frames=30):
    """(truth, run): boxes that move, are missed, wobble, change identity, and some of nobody."""
    draw = np.random.default_rng(seed)
    truth, run = [], []
    names, fresh = list(range(100, 100 + users)), 500
    start, step = draw.uniform(0, 200, (users, 2)), draw.uniform(-4, 4, (users, 2))
    for frame in range(frames):
        for user in range(users):
            if draw.random() < 0.05:
                continue
            x, y = start[user] + step[user] * frame
            truth.append((frame, user, x, y, x + 40, y + 30))
            if draw.random() < swap:
                fresh += 1
                names[user] = fresh
            if draw.random() >= 0.15:
                off = draw.normal(0, jitter, 4)
                run.append((frame, names[user], x + off[0], y + off[1], x + 40 + off[2], y + 30 + off[3]))
        if draw.random() < 0.1:
            x, y = draw.uniform(0, 200, 2)
            run.append((frame, 9000 + frame, x, y, x + 40, y + 30))
    return boxes(truth), boxes(run)
