"""The better eye's boxes become a pseudo-truth: tracked, smoothed forwards and backwards, and sifted.

Units: px of the picture scaled to 640 px width, both ways. Boxes are whole: an edge that the picture cuts off is
guessed from the shape the user has where it is whole.

Source of the smoother: Rauch, Tung, Striebel, Maximum likelihood estimates of linear dynamic systems, AIAA Journal
3(8), 1965; every edge by itself, of constant velocity.
"""

# ruff: noqa: PLR2004 - a statistic's bounds are told where they are used

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from benchmarks.noise.look import WIDTH, Film
from pipeline.core.model import Detections, Size
from pipeline.simulate.noise.hidden import shown_part
from pipeline.simulate.view import View

Array = NDArray[np.float64]

LEAST_SCORE = 0.25
"""Of a sighting that carries a track; weaker ones may continue it."""

LEAST_LOOKS, LEAST_SPAN_MS, LEAST_MEAN, LEAST_BEST, LEAST_DENSITY = 6, 500.0, 0.4, 0.55, 0.55
"""What a track must have to count as true."""

LOST_MS = 900.0
"""A hole longer than this ends a track."""

EDGE_PX = 2.5
"""Nearer to the picture's edge than this, a box is cut off by it."""

_KINDS = {"person": "walker", "bicycle": "rider", "motorcycle": "rider"}
_NOISE, _PUSH = 0.03, 1.2  # of an edge, in box sizes; and the acceleration it may take, in box sizes a second^1.5
_UNSURE = 8.0  # times the noise of an edge that others hide: the boxes of a detector shrink there, users do not


def kind(label: str) -> str:
    """walker, rider or vehicle."""
    return _KINDS.get(label, "vehicle")


@dataclass
class Found:
    """One user of the pseudo-truth, at the clip's frames from the first sighting to the last."""

    label: str
    named: float  # share of the better eye's evidence that is for this label
    frames: NDArray[np.intp]
    boxes: Array  # [n, 4] whole boxes, px
    visible: Array  # [n] share of the whole box in the picture and not behind another user's
    inside: Array  # [n] share in the picture


@dataclass
class Truth:
    """A clip's pseudo-truth, and what the better eye thinks possible besides."""

    film: Film
    height: float  # of the picture, px
    found: list[Found]
    doubtful: list[Array]  # for each frame [k, 4]: boxes where a detection is neither right nor wrong

    @property
    def seconds(self) -> float:
        """How long the clip is."""
        looks = self.film.looks
        return float((looks[-1].t_ms - looks[0].t_ms) * len(looks) / (len(looks) - 1) / 1000)

    @property
    def fps(self) -> float:
        """Pictures a second."""
        return len(self.film.looks) / self.seconds


@dataclass
class _Track:
    frames: list[int] = field(default_factory=list)
    boxes: list[Array] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    labels: dict[str, float] = field(default_factory=dict)
    speed: Array = field(default_factory=lambda: np.zeros(4))  # px a second

    def at(self, t_ms: float, times: Array) -> Array:
        guess: Array = self.boxes[-1] + self.speed * (t_ms - times[self.frames[-1]]) / 1000
        return guess

    @property
    def label(self) -> str:
        return max(self.labels, key=lambda label: self.labels[label])


def truth(film: Film) -> Truth:
    """The pseudo-truth of a clip."""
    height = WIDTH * film.size.height / film.size.width
    times = np.array([look.t_ms for look in film.looks])
    asked = [number for number, look in enumerate(film.looks) if look.better is not None]
    tracks = _follow(film, asked, times, height)
    kept = [track for track in tracks if _believed(track, asked, times)]
    found = [_smooth(track, times, height, None) for track in kept]
    drawn_in = _drawn_in(found, len(times))
    found = [_smooth(track, times, height, each) for track, each in zip(kept, drawn_in, strict=True)]
    _hide(found, height, len(times))
    raw = {number: np.concatenate([_wide(film.looks[number].better, height), _wide(film.looks[number].again, height)]) for number in asked}  # fmt: skip
    nearest = [min(asked, key=lambda n: (abs(n - number), n)) for number in range(len(times))]
    around = [sorted({nearest[number], *(n for n in asked if abs(times[n] - times[number]) < 250)}) for number in range(len(times))]  # fmt: skip
    doubtful = [np.concatenate([raw[n] for n in some]) for some in around]
    return Truth(film, height, found, doubtful)


def views(truth: Truth) -> list[View]:
    """The pseudo-truth as a camera's views, for the noise model."""
    scale = np.array([WIDTH, truth.height, WIDTH, truth.height])
    rows = _by_frame(truth.found, len(truth.film.looks))
    out = []
    for look, here in zip(truth.film.looks, rows, strict=True):
        users = [(truth.found[index], row) for index, row in here]
        box = np.array([user.boxes[row] for user, row in users]).reshape(-1, 4) / scale
        out.append(
            View(
                t_ms=look.t_ms,
                index=np.array([index for index, _ in here], dtype=np.intp),
                label=tuple(user.label for user, _ in users),
                x1=box[:, 0],
                y1=box[:, 1],
                x2=box[:, 2],
                y2=box[:, 3],
                visible=np.array([user.visible[row] for user, row in users]),
                inside=np.array([user.inside[row] for user, row in users]),
                occluded=np.zeros(len(here)),  # not told, and not used
                depth_m=10 / np.maximum(box[:, 3], 0.05),  # the lower the foot, the nearer
                speed_ms=np.zeros(len(here)),
            )
        )
    return out


def columns(seen: Detections | None, height: float) -> tuple[Array, Array, list[str]]:
    """Boxes in px [n, 4], scores [n], labels."""
    if seen is None:
        return np.zeros((0, 4)), np.zeros(0), []
    boxes = np.array([seen.x1, seen.y1, seen.x2, seen.y2]).T.reshape(-1, 4) * [WIDTH, height, WIDTH, height]
    return boxes, np.array(seen.score), list(seen.label)


def overlap(a: Array, b: Array) -> Array:
    """Intersection over union, (n, 4) and (m, 4) -> (n, m)."""
    both = shared(a, b)
    union = area(a)[:, None] + area(b) - both
    return np.divide(both, union, out=np.zeros_like(both), where=union > 0)


def shared(a: Array, b: Array) -> Array:
    """Area of the intersections, (n, 4) and (m, 4) -> (n, m)."""
    wide = np.minimum(a[:, None, 2], b[:, 2]) - np.maximum(a[:, None, 0], b[:, 0])
    high = np.minimum(a[:, None, 3], b[:, 3]) - np.maximum(a[:, None, 1], b[:, 1])
    both: Array = np.maximum(wide, 0) * np.maximum(high, 0)
    return both


def area(a: Array) -> Array:
    """Of boxes (n, 4)."""
    size: Array = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1])
    return size


def cut(boxes: Array, height: float) -> Array:
    """The part of boxes (n, 4) in the picture."""
    return np.clip(boxes, 0, [WIDTH, height, WIDTH, height])


def _wide(seen: Detections | None, height: float) -> Array:
    return columns(seen, height)[0]


def _follow(film: Film, asked: list[int], times: Array, height: float) -> list[_Track]:
    living: list[_Track] = []
    done: list[_Track] = []
    for number in asked:
        boxes, scores, labels = _once(*columns(film.looks[number].better, height))
        now = times[number]
        done += [track for track in living if now - times[track.frames[-1]] > LOST_MS]
        living = [track for track in living if now - times[track.frames[-1]] <= LOST_MS]
        taken: set[int] = set()
        for least in (0.35, 0.08):  # the plain matches first
            free = [track for track in living if track.frames[-1] != number]
            left = [d for d in range(len(boxes)) if d not in taken]
            if not free or not left:
                continue
            guess = np.array([track.at(now, times) for track in free])
            like = overlap(guess, boxes[left])
            like *= [[kind(track.label) == kind(labels[d]) for d in left] for track in free]
            for row, column in zip(*linear_sum_assignment(-like), strict=True):
                if like[row, column] >= least:
                    _extend(free[row], number, boxes[left[column]], scores[left[column]], labels[left[column]], times)
                    taken.add(left[column])
        for d in range(len(boxes)):
            if d not in taken and scores[d] >= LEAST_SCORE:
                track = _Track([number], [boxes[d]], [float(scores[d])], {labels[d]: float(scores[d])})
                living.append(track)
    return done + living


def _extend(track: _Track, number: int, box: Array, score: float, label: str, times: Array) -> None:
    back = max(len(track.frames) - 3, 0)
    spent = (times[number] - times[track.frames[back]]) / 1000
    track.speed = (box - track.boxes[back]) / spent
    track.speed[[0, 2]] = track.speed[[0, 2]].mean()  # boxes move more than they grow
    track.speed[[1, 3]] = track.speed[[1, 3]].mean()
    track.frames.append(number)
    track.boxes.append(box)
    track.scores.append(float(score))
    track.labels[label] = track.labels.get(label, 0.0) + float(score)


def _once(boxes: Array, scores: Array, labels: list[str]) -> tuple[Array, Array, list[str]]:
    """Each user once: of two boxes of a kind on one user the surer one."""
    like = overlap(boxes, boxes)
    kept: list[int] = []
    for d in np.argsort(-scores, kind="stable"):
        if all(like[d, k] < 0.7 or kind(labels[d]) != kind(labels[k]) for k in kept):
            kept.append(int(d))
    return boxes[kept], scores[kept], [labels[k] for k in kept]


def _believed(track: _Track, asked: list[int], times: Array) -> bool:
    first, last = track.frames[0], track.frames[-1]
    looks = sum(first <= number <= last for number in asked)
    return (
        len(track.frames) >= LEAST_LOOKS
        and times[last] - times[first] >= LEAST_SPAN_MS
        and float(np.mean(track.scores)) >= LEAST_MEAN
        and max(track.scores) >= LEAST_BEST
        and len(track.frames) / looks >= LEAST_DENSITY
    )


def _smooth(track: _Track, times: Array, height: float, unsure: NDArray[np.bool_] | None) -> Found:
    frames = np.arange(track.frames[0], track.frames[-1] + 1)
    looked = dict(zip(track.frames, zip(track.boxes, track.scores, strict=True), strict=True))
    edges = np.array([0.0, 0.0, WIDTH, height])
    n = len(frames)
    before, after = np.zeros((n, 2, 4)), np.zeros((n, 2, 4))
    cov_before, cov_after = np.zeros((n, 3, 4)), np.zeros((n, 3, 4))
    touched = np.zeros((n, 4), dtype=bool)
    mean = np.stack([track.boxes[0], np.zeros(4)])
    cov = np.stack([np.full(4, 1e4), np.zeros(4), np.full(4, 1e5)])
    for row, frame in enumerate(frames):
        if row:
            dt = (times[frame] - times[frames[row - 1]]) / 1000
            scale = np.repeat(np.maximum(_size(mean[0]), 4.0)[None], 2, axis=0).ravel()
            push = (_PUSH * scale) ** 2
            mean = np.stack([mean[0] + dt * mean[1], mean[1]])
            pp, pv, vv = cov
            cov = np.stack([pp + 2 * dt * pv + dt**2 * vv + push * dt**3 / 3, pv + dt * vv + push * dt**2 / 2, vv + push * dt])  # fmt: skip
        before[row], cov_before[row] = mean, cov
        if int(frame) in looked:
            box, score = looked[int(frame)]
            scale = np.repeat(np.maximum(_size(box), 4.0)[None], 2, axis=0).ravel()
            noise = (_NOISE * scale / max(score, 0.1) ** 0.5) ** 2 + 0.3**2
            if unsure is not None:
                noise = np.where(unsure[row], noise * _UNSURE**2, noise)
            touched[row] = np.abs(box - edges) < EDGE_PX
            pp, pv, vv = cov
            gain, speed_gain = pp / (pp + noise), pv / (pp + noise)
            off = box - mean[0]
            mean = np.stack([mean[0] + gain * off, mean[1] + speed_gain * off])
            cov = np.stack([(1 - gain) * pp, (1 - gain) * pv, vv - speed_gain * pv])
        elif row:
            touched[row] = touched[row - 1]
        after[row], cov_after[row] = mean, cov
    for row in range(n - 2, -1, -1):
        dt = (times[frames[row + 1]] - times[frames[row]]) / 1000
        for edge in range(4):
            pp, pv, vv = cov_after[row, :, edge]
            now = np.array([[pp, pv], [pv, vv]])
            ahead = cov_before[row + 1, :, edge]
            step = np.array([[1.0, dt], [0.0, 1.0]])
            back = now @ step.T @ np.linalg.inv(np.array([[ahead[0], ahead[1]], [ahead[1], ahead[2]]]))
            after[row, :, edge] += back @ (after[row + 1, :, edge] - before[row + 1, :, edge])
    boxes = after[:, 0]
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 2)
    shown = cut(boxes, height)
    boxes = _made_whole(np.where(touched, shown, boxes), touched)
    inside = np.clip(area(cut(boxes, height)) / area(boxes), 0.02, 1)
    named = track.labels[track.label] / sum(track.labels.values())
    return Found(track.label, named, frames, boxes, inside.copy(), inside)


def _drawn_in(found: list[Found], frames: int) -> list[NDArray[np.bool_]]:
    """Which edges [n, 4] of each user are behind others."""
    told = [np.zeros(user.boxes.shape, dtype=bool) for user in found]
    for users in _by_frame(found, frames):
        boxes = np.array([found[index].boxes[row] for index, row in users]).reshape(-1, 4)
        scale = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        hidden = np.abs(shown_part(boxes, -boxes[:, 3]) - boxes) > 0.05 * scale
        for place, (index, row) in enumerate(users):
            told[index][row] = hidden[place]
    return told


def _by_frame(found: list[Found], frames: int) -> list[list[tuple[int, int]]]:
    """For each frame its users: (which, row)."""
    here: list[list[tuple[int, int]]] = [[] for _ in range(frames)]
    for index, user in enumerate(found):
        for row, frame in enumerate(user.frames):
            here[frame].append((index, row))
    return here


def _size(box: Array) -> Array:
    return np.array([box[2] - box[0], box[3] - box[1]])


def _made_whole(boxes: Array, touched: NDArray[np.bool_]) -> Array:
    """Push the edges that the picture cuts outwards, until the shape is that of the frames where the user is whole."""
    whole: NDArray[np.bool_] = np.logical_not(np.any(touched, axis=1))
    if whole.sum() < 3:
        return boxes
    wide, high = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    aspect = np.array([np.median((wide / high)[near]) for near in _nearest(whole)])
    out = boxes.copy()
    across, down = touched[:, 0] | touched[:, 2], touched[:, 1] | touched[:, 3]
    more = np.where(across & ~down, np.maximum(high * aspect - wide, 0), 0)
    out[:, 0] -= np.where(touched[:, 0], more, 0)
    out[:, 2] += np.where(touched[:, 2] & ~touched[:, 0], more, 0)
    more = np.where(down & ~across, np.maximum(wide / aspect - high, 0), 0)
    out[:, 1] -= np.where(touched[:, 1], more, 0)
    out[:, 3] += np.where(touched[:, 3] & ~touched[:, 1], more, 0)
    return out


def _nearest(whole: NDArray[np.bool_], most: int = 10) -> list[Any]:
    places = np.flatnonzero(whole)
    return [places[np.argsort(np.abs(places - row))[:most]] for row in range(len(whole))]


def _hide(found: list[Found], height: float, frames: int) -> None:
    """Tell how much of each user is behind others: those whose foot is lower are nearer."""
    lattice = (np.arange(12) + 0.5) / 12
    across, down = (each.ravel() for each in np.meshgrid(lattice, lattice))
    for users in _by_frame(found, frames):
        if len(users) < 2:
            continue
        boxes = np.array([found[index].boxes[row] for index, row in users])
        for place, (index, row) in enumerate(users):
            mine = boxes[place]
            nearer = boxes[boxes[:, 3] > mine[3] + 0.02 * (mine[3] - mine[1])]
            if kind(found[index].label) != "vehicle":  # a rider does not hide the cycle under it
                nearer = nearer[shared(mine[None], nearer)[0] < 0.85 * area(mine[None])]
            if not len(nearer):
                continue
            x, y = mine[0] + across * (mine[2] - mine[0]), mine[1] + down * (mine[3] - mine[1])
            covered = ((x[:, None] > nearer[:, 0]) & (x[:, None] < nearer[:, 2]) & (y[:, None] > nearer[:, 1]) & (y[:, None] < nearer[:, 3])).any(axis=1)  # fmt: skip
            shown = (x > 0) & (x < WIDTH) & (y > 0) & (y < height)
            found[index].visible[row] = max((shown & ~covered).mean(), 0.0)


def size_of(film: Film) -> Size:
    """Of the picture as YOLOv8n sees it."""
    return Size(WIDTH, round(WIDTH * film.size.height / film.size.width))
