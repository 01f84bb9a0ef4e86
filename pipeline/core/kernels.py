"""What is computed for each vehicle, and for each pair of a vehicle and a box, of a picture: the tracker's inner loops.

All of it is scalar arithmetic and compiled (see `compiled`). It stands in one file, for numba's cache of a function does
not notice when one that it calls was changed elsewhere. What is believed and what is kept is in the modules that call
it: `motion`, `flow_field`, `perspective`, `boxes`, `tracking`.

Of r vehicles means are [8, r] and covariances [12, r], of m boxes [4, m], all as in `motion` and `boxes`. A vehicle's
or a box's own is told by the last index.

field: the dense table of a flow field, as in flow_field: cells [rows, columns], modes [3, MODES, n] and likeness
[4, MODES, n].
plane: level, right and down of a perspective: a metre at (x, y) is seen level + right x + down y high.
"""

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.core.compiled import compiled

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.intp]

Field = tuple[Places, Array, Array]
Plane = tuple[float, float, float]

# --- boxes -----------------------------------------------------------------------------------------

_EDGE = 0.004
"""An edge this near to the picture's is taken to be cut by it, in picture heights."""

_COVERED = 0.4
"""A nearer box hides an edge if it covers at least this share of it."""

_SLACK = 0.1
"""A nearer box that ends this share of the other's size short of its edge is taken to hide it."""

_LOWER = 0.05
"""A box is nearer if it ends lower by more than this share of the other's height."""


@compiled
def _shared(low: float, high: float, other_low: float, other_high: float) -> float:
    """How much two stretches share; below 0: how far they lie apart."""
    return min(high, other_high) - max(low, other_low)


@compiled
def surest_first(rows: Array, least_score: float, order: Places) -> int:
    """Put the boxes that are sure enough and have an area in order, equally sure ones as they came.

    Args:
        rows: [5, n] x1, y1, x2, y2 and score.
        least_score: what is less sure is left out.
        order: [n] their places, to be filled in.

    Returns:
        How many these are.
    """
    m = 0
    for d in range(rows.shape[1]):
        score, wide, high = rows[4, d], rows[2, d] - rows[0, d], rows[3, d] - rows[1, d]
        if score >= least_score and wide > 0 and high > 0:
            at = m
            while at > 0 and rows[4, order[at - 1]] < score:
                order[at] = order[at - 1]
                at -= 1
            order[at] = d
            m += 1
    return m


@compiled
def touching(edges: Array, least: float, pairs: Places, areas: Array) -> int:
    """Boxes i < j that share more than this share of the smaller one's area.

    Args:
        edges: [at least 4, m] x1, y1, x2, y2, level.
        least: share of the area.
        pairs: [m (m - 1) / 2, 2] i and j, in order, to be filled in.
        areas: [m (m - 1) / 2, 3] the area shared, that of i and that of j, likewise.

    Returns:
        How many these are.
    """
    n = 0
    for i in range(edges.shape[1]):
        x1, y1, x2, y2 = edges[0, i], edges[1, i], edges[2, i], edges[3, i]
        area = (x2 - x1) * (y2 - y1)
        for j in range(i + 1, edges.shape[1]):
            across = _shared(x1, x2, edges[0, j], edges[2, j])
            down = _shared(y1, y2, edges[1, j], edges[3, j])
            other = (edges[2, j] - edges[0, j]) * (edges[3, j] - edges[1, j])
            if across > 0 and down > 0 and across * down > least * min(area, other):
                pairs[n, 0], pairs[n, 1] = i, j
                areas[n, 0], areas[n, 1], areas[n, 2] = across * down, area, other
                n += 1
    return n


@compiled
def cut(edges: Array, aspect: float, hidden: Flags) -> None:
    """Which edges are not the vehicle's own: those at the picture's edge, and those behind a nearer box.

    Args:
        edges: [at least 4, m] x1, y1, x2, y2, level.
        aspect: width / height of the picture.
        hidden: [4, m] as in Look, to be filled in.
    """
    for i in range(edges.shape[1]):
        x1, y1, x2, y2 = edges[0, i], edges[1, i], edges[2, i], edges[3, i]
        wide, high = x2 - x1, y2 - y1
        left, top, right, bottom = x1 <= _EDGE, y1 <= _EDGE, x2 >= aspect - _EDGE, y2 >= 1 - _EDGE
        for j in range(edges.shape[1]):
            by_x1, by_y1, by_x2, by_y2 = edges[0, j], edges[1, j], edges[2, j], edges[3, j]
            if by_y2 <= y2 + _LOWER * high:
                continue  # not nearer; nor is a box than itself
            if _shared(y1, y2, by_y1, by_y2) > _COVERED * high:
                left |= by_x1 < x1 and x1 - _SLACK * wide < by_x2 < x2
                right |= by_x2 > x2 and x1 < by_x1 < x2 + _SLACK * wide
            if _shared(x1, x2, by_x1, by_x2) > _COVERED * wide:
                bottom |= by_y1 < y2 + _SLACK * high
        hidden[0, i], hidden[1, i], hidden[2, i], hidden[3, i] = left, top, right, bottom


# --- perspective -----------------------------------------------------------------------------------

_LEAST = 1e-3
"""A metre is seen no smaller, in picture heights."""

_MOST = 3.0
"""Nothing becomes more times larger or smaller on a way that is believed."""


@compiled
def size(plane: Plane, x: float, y: float) -> float:
    """How high a metre is seen at a place, above 0."""
    level, right, down = plane
    return max(right * x + down * y + level, _LEAST)


@compiled
def larger(plane: Plane, x: float, y: float, then_x: float, then_y: float) -> float:
    """How many times larger a thing is seen at the second place than it is at the first."""
    return min(max(size(plane, then_x, then_y) / size(plane, x, y), 1 / _MOST), _MOST)


@compiled
def growth(
    plane: Plane, doubt: Array, at: tuple[float, float], speed: tuple[float, float], unsure: tuple[float, float]
) -> tuple[float, float]:
    """By which share a thing that moves grows in a second, and the variance of that.

    Args:
        plane: of the view.
        doubt: [3, 3] covariance of the plane's three terms.
        at: where it is.
        speed: its own.
        unsure: variances of that.
    """
    _, right, down = plane
    here = size(plane, at[0], at[1])
    rate = (right * speed[0] + down * speed[1]) / here
    # Size times how the rate changes with each of the three terms.
    towards = (-rate, speed[0] - rate * at[0], speed[1] - rate * at[1])
    variance = right * right * unsure[0] + down * down * unsure[1]
    for i in range(3):
        for j in range(3):
            variance += doubt[i, j] * towards[i] * towards[j]
    return rate, variance / (here * here)


# --- flow ------------------------------------------------------------------------------------------

CELL = 0.05
"""Side of a cell of a flow field, in picture heights."""

_SAME_WAY = 0.8
"""Cosine of the angle between a mode and a vehicle that follows it, at least."""


@compiled
def dense(cell: Places, kept: Array, cells: Places, modes: Array, likeness: Array) -> None:
    """Fill in the empty table of a flow field.

    Args:
        cell: [k] of each mode; those of one cell stand together.
        kept: [k, 3] times seen, vx, vy.
        cells: [rows, columns], modes: [3, MODES, n], likeness: [4, MODES, n] as in FlowField.

    Raises:
        IndexError: a cell is none of these, or has more modes.
    """
    columns, most = cells.shape[1], modes.shape[1]
    row, nth = 0, 0
    for k in range(len(cell)):
        if k > 0 and cell[k] == cell[k - 1]:
            nth += 1
        else:
            row, nth = row + 1, 0
        if nth >= most or cell[k] >= cells.size:
            raise IndexError("a flow field tells of a cell or a mode that it has no room for")
        cells[cell[k] // columns, cell[k] % columns] = row
        times, vx, vy = kept[k, 0], kept[k, 1], kept[k, 2]
        speed = max(math.hypot(vx, vy), 1e-6)
        modes[0, nth, row], modes[1, nth, row], modes[2, nth, row] = times, vx, vy
        likeness[0, nth, row], likeness[1, nth, row] = vx / speed, vy / speed
        likeness[2, nth, row], likeness[3, nth, row] = min(times, 5.0) / 50, math.log(speed) / 5


@compiled
def _row(cells: Places, x: float, y: float) -> int:
    """The row of a place in a field's table; beyond the picture, that of the nearest cell."""
    rows, columns = cells.shape
    row = int(min(y / CELL, rows - 1.0)) if y > 0 else 0  # what is no number must not point out of the array either
    column = int(min(x / CELL, columns - 1.0)) if x > 0 else 0
    return cells[row, column]  # type: ignore[no-any-return]


@compiled
def along(field: Field, x: float, y: float, vx: float, vy: float) -> tuple[float, float, float]:
    """The mode that is most like a velocity at a place: (vx, vy, times seen), 0 times where none is alike."""
    cells, modes, likeness = field
    row = _row(cells, x, y)
    own = max(math.hypot(vx, vy), 1e-6)
    right, down, pace = vx / own, vy / own, math.log(own) / 5
    best, pick = -math.inf, -1
    for k in range(modes.shape[1]):
        dot = likeness[0, k, row] * right + likeness[1, k, row] * down
        if dot > _SAME_WAY:  # and so one that is there: others lead nowhere
            # The most alike in course; between two of them the more usual one, and the one of the more alike speed.
            alike = dot + likeness[2, k, row] - abs(likeness[3, k, row] - pace)
            if alike > best:
                best, pick = alike, k
    if pick < 0:
        return 0.0, 0.0, 0.0
    return modes[1, pick, row], modes[2, pick, row], modes[0, pick, row]


@compiled
def along_way(field: Field, x: float, y: float, dx: float, dy: float) -> tuple[float, float]:
    """How far the way (dx, dy) from a place leads the way others drive there.

    Returns:
        (how far along the mode that it is most like, below 0 if it goes against all; vehicles seen there).
    """
    cells, modes, _ = field
    row = _row(cells, x, y)
    most, seen = -math.inf, 0.0
    for k in range(modes.shape[1]):
        n, vx, vy = modes[0, k, row], modes[1, k, row], modes[2, k, row]
        seen += n
        if n > 0:
            most = max(most, (dx * vx + dy * vy) / max(math.hypot(vx, vy), 1e-9))
    return most, seen


# --- motion ----------------------------------------------------------------------------------------

_PARTS = 4
"""Into so many parts a way is cut; at the end of each the flow is looked up anew. More of them are no better."""

_FARTHEST, _NEAREST = 0.3, 3.5
"""A box becomes no more times smaller or larger between two sightings."""

_TURN_S = 1.0
"""A box gets wider and lower while its vehicle turns, for about so long."""


@compiled
def _nearer(
    mean: Array, cov: Array, k: int, dt: float, plane: Plane, doubt: Array, grows_share: float
) -> tuple[float, float, float]:
    """How many times larger a vehicle is seen after its dt, the variance of the rate at which it grows, and that rate.

    Who drives straight on at a constant speed over level ground is seen with a size of 1 / distance. If that is g
    times the size it had, it moved g times as far in the picture as its speed there told, and has g * g times that
    speed: follows from x = X / Z with X and Z linear in time. Its box tells how fast it grows, and so does its speed
    where the perspective is known; each counts by how sure it is.
    """
    wide, high = mean[2, k], mean[3, k]
    seen = (mean[6, k] / wide + mean[7, k] / high) / 2
    unsure = (cov[10, k] / (wide * wide) + cov[11, k] / (high * high)) / 4
    at, speed, of_speed = (mean[0, k], mean[1, k]), (mean[4, k], mean[5, k]), (cov[8, k], cov[9, k])
    told, of_told = growth(plane, doubt, at, speed, of_speed)
    by_box, by_speed = 1 / (unsure + 1e-9), 1 / (of_told + 1e-9)
    sure = by_box + by_speed + 1 / grows_share**2
    rate = (seen * by_box + told * by_speed) / sure
    nearer = 1 / (1 - min(max(rate * dt, 1 - 1 / _FARTHEST), 1 - 1 / _NEAREST))
    return nearer, 1 / sure, rate


@compiled
def _carried(
    field: Field,
    plane: Plane,
    state: tuple[float, float, float, float],
    dt: float,
    most: float,
    least_seen: float,
) -> tuple[bool, tuple[float, float, float, float]]:
    """Carry a vehicle along the flow: who is faster than it stays so; where it ends they drive straight on.

    Args:
        field: the flow of its kind.
        plane: of the view.
        state: x, y, vx, vy.
        dt: seconds.
        most: how much more speed it gathers or loses in a second, at most, than it would seem to at a constant one.
        least_seen: so many vehicles must have driven where it is.

    Returns:
        (whether the flow there is known, its state then).
    """
    x, y, vx, vy = state
    fx, fy, n = along(field, x, y, vx, vy)
    if n < least_seen:
        return False, state
    step, before = dt / _PARTS, size(plane, x, y)
    for _ in range(_PARTS):
        x, y = x + vx * step, y + vy * step
        gx, gy, m = along(field, x, y, vx, vy)
        now = size(plane, x, y)
        straight, before = min(max(now / before, 0.7), 1.4) ** 2, now
        if min(n, m) > 0:
            # The turn and stretch from the one mode to the other, as a quotient of complex numbers.
            squared = max(fx * fx + fy * fy, 1e-12)
            a, b = (gx * fx + gy * fy) / squared, (gy * fx - gx * fy) / squared
            stretch = max(math.hypot(a, b), 1e-12)
            room = most * step / max(math.hypot(vx, vy), 1e-9)
            within = min(max(stretch, straight - room, 0.5), straight + room) / stretch
            a, b = a * within, b * within
        else:
            a, b = straight, 0.0
        was_x, was_y, vx, vy = vx, vy, vx * a - vy * b, vx * b + vy * a
        x, y = x + (vx - was_x) * step / 2, y + (vy - was_y) * step / 2
        if m > 0:
            fx, fy, n = gx, gy, m
    return True, (x, y, vx, vy)


@compiled
def predict(
    mean: Array,
    cov: Array,
    dt: Array,
    mine: Places,
    field: Field,
    plane: Plane,
    doubt: Array,
    wander: tuple[float, float, float, float],
    flow: tuple[float, float, float],
    mean_then: Array,
    cov_then: Array,
) -> None:
    """Where vehicles of one kind are after their dt; see `motion.predict`.

    Args:
        mean: [8, r], cov: [12, r] when last seen.
        dt: [r] seconds since.
        mine: [n] places of those of the kind.
        field: the flow of the kind.
        plane: of the view.
        doubt: [3, 3] covariance of the plane's three terms.
        wander: MotionPolicy's wander_heights, wander_share, wander_flow and wander_size.
        flow: its gathers_heights, flow_seen and grows_share.
        mean_then: [8, r], cov_then: [12, r] to be filled in.
    """
    wander_heights, wander_share, wander_flow, wander_size = wander
    gathers_heights, flow_seen, grows_share = flow
    for k in mine:
        x, y, wide, high, vx, vy = mean[0, k], mean[1, k], mean[2, k], mean[3, k], mean[4, k], mean[5, k]
        nearer, unsure, rate = _nearer(mean, cov, k, dt[k], plane, doubt, grows_share)
        share, known, then = wander_share, False, (x, y, vx, vy)
        if _moves(mean, k):
            known, then = _carried(field, plane, then, dt[k], gathers_heights * high, flow_seen)
        if known:
            share, unsure = wander_flow, 0.0
            nearer = min(max(larger(plane, x, y, then[0], then[1]), _FARTHEST), _NEAREST)
        else:
            ahead, faster = dt[k] * nearer, nearer * nearer
            then = (x + vx * ahead, y + vy * ahead, vx * faster, vy * faster)
        squared = nearer * nearer
        mean_then[0, k], mean_then[1, k], mean_then[4, k], mean_then[5, k] = then
        mean_then[2, k], mean_then[3, k] = wide * nearer, high * nearer
        # Coming nearer lets a box grow as a whole; what one side grows by more ends with the turn it tells of.
        left = math.exp(dt[k] / -_TURN_S)
        for i in range(2):
            grows = rate * mean[2 + i, k]
            mean_then[6 + i, k] = squared * grows + (mean[6 + i, k] - grows) * left
        # How much a speed's variance grows in a second.
        of_place = (wander_heights * high) ** 2 + (share * share) * (vx * vx + vy * vy)
        of_size = (wander_size * high) ** 2
        for i in range(4):
            off = unsure * (mean[4 + i, k] * dt[k]) ** 2 if i < 2 else 0.0  # noqa: PLR2004 - x and y
            push = of_place if i < 2 else of_size  # noqa: PLR2004
            _spread(cov, i, k, dt[k], push, off, squared, cov_then)


@compiled
def _moves(mean: Array, k: int) -> bool:
    """Whether a vehicle is fast enough to go with the flow."""
    return math.hypot(mean[4, k], mean[5, k]) > 0.5 * mean[3, k]  # type: ignore[no-any-return]


@compiled
def _spread(cov: Array, i: int, k: int, dt: float, push: float, off: float, times: float, then: Array) -> None:
    """How uncertain a vehicle's axis i becomes within dt.

    Args:
        cov: [12, r] when last seen.
        i: x, y, width or height.
        k: the vehicle.
        dt: seconds.
        push: how much the speed's variance grows in a second.
        off: variance of the way by an error of the growth rate; the speed is off by twice as much of itself.
        times: all variances are so many times larger then.
        then: [12, r] to be filled in.
    """
    pp, pv, vv, push = cov[i, k], cov[4 + i, k], cov[8 + i, k], push * dt
    # From the speed on, each row's integral over the time.
    then[i, k] = times * (pp + dt * (2 * pv + dt * (vv + push / 3)) + off * dt * dt)
    then[4 + i, k] = times * (pv + dt * (vv + push / 2) + 2 * off * dt)
    then[8 + i, k] = times * (vv + push + 4 * off)


@compiled
def update(
    cov: Array,
    off: Array,
    blur: Array,
    expected: Array,
    scores: Array,
    least_score: float,
    jitter_s: float,
    mean_then: Array,
    cov_then: Array,
) -> None:
    """Kalman's update of k vehicles by a detection each; see `motion.update`.

    Args:
        cov: [12, k] predicted.
        off: [4, k], blur: [4, k], expected: [8, k] as in Fit.
        scores: [k] of the detections.
        least_score: how much a box of no score is believed.
        jitter_s: standard deviation of a capture time.
        mean_then: [8, k], cov_then: [12, k] to be filled in.
    """
    for k in range(len(scores)):
        for i in range(4):
            pp, pv, vv = cov[i, k], cov[4 + i, k], cov[8 + i, k]
            noise = blur[i, k] / max(scores[k], least_score) + (expected[4 + i, k] * jitter_s) ** 2
            total = pp + noise
            gain, speed_gain = pp / total, pv / total
            mean_then[i, k] = expected[i, k] + gain * off[i, k]
            mean_then[4 + i, k] = expected[4 + i, k] + speed_gain * off[i, k]
            cov_then[i, k] = (1 - gain) * pp
            cov_then[4 + i, k] = (1 - gain) * pv
            cov_then[8 + i, k] = vv - speed_gain * pv


# --- how well a box fits a vehicle -----------------------------------------------------------------

_CUT_DOUBT = 4.0
"""A box both of whose edges across are not its own is so many times noisier."""

_PARTLY = 1.5
"""And one of which something is not."""

_HIDDEN = 4.0
"""The size of a box with a hidden edge is doubted so many times more."""

_REACH = (0.5, 1.0)
"""How far from its lower middle an edge of a box lies, in widths and in heights: left or right, and top."""


@compiled
def _fitted(
    means: Array,
    covs: Array,
    r: int,
    boxes: Array,
    cut: Flags,
    d: int,
    plane: Plane,
    noise: tuple[float, float, float],
    off: Array,
    blur: Array,
) -> tuple[float, float]:
    """How well a box fits a vehicle; what a box tells that shows a part of one is said in `motion.fit`.

    Args:
        means: [8, r], covs: [12, r] expected.
        r: the vehicle.
        boxes: [4, m], cut: [4, m] as in Look.
        d: the box.
        plane: of the view.
        noise: MotionPolicy's noise_heights, same_size and odd_doubt.
        off, blur: [4] as in Fit, to be filled in.

    Returns:
        Width and height of the vehicle where it is if the box is its own.
    """
    noise_heights, same_size, odd_doubt = noise
    times = _drawn(means, covs, r, boxes, cut, d, plane, noise_heights)
    wide, high = means[2, r] * times, means[3, r] * times
    blurred = noise_heights * max(boxes[3, d], high)
    for i in range(2):  # across and down: the near edge is the left or top one, the far one the right or lower one
        near_cut, far_cut = cut[i, d], cut[2 + i, d]
        known = wide if i == 0 else high
        anchor, change = boxes[i, d] - means[i, r], boxes[2 + i, d] - known
        odd = abs(change) > same_size * known + 2 * math.sqrt(covs[2 + i, r])
        hidden = near_cut or far_cut
        if (odd or hidden) and change < 0:
            edge = _REACH[i] * change
            by_near, by_far = anchor - edge, anchor + edge if i == 0 else anchor
            nearer = near_cut == far_cut and abs(by_near) < abs(by_far)
            off[i] = by_near if nearer or (far_cut and not near_cut) else by_far
        else:
            off[i] = anchor
        off[2 + i] = 0.0 if hidden and change < 0 else change
        doubt = _CUT_DOUBT if near_cut and far_cut else _PARTLY if odd or hidden else 1.0
        blur[i] = (doubt * blurred) ** 2
        doubt = _HIDDEN if hidden else odd_doubt if odd else 1.0
        blur[2 + i] = (doubt * blurred) ** 2
    return wide, high


@compiled
def _drawn(
    means: Array, covs: Array, r: int, boxes: Array, cut: Flags, d: int, plane: Plane, noise_heights: float
) -> float:
    """How many times larger a vehicle is seen than expected, where it is if a box is its own."""
    if cut[3, d]:  # where the lower edge is hidden the box does not tell where the vehicle stands
        return 1.0
    x, y, noise = means[0, r], means[1, r], (noise_heights * boxes[3, d]) ** 2
    by_x, by_y = covs[0, r] / (covs[0, r] + noise), covs[1, r] / (covs[1, r] + noise)
    return larger(plane, x, y, x + by_x * (boxes[0, d] - x), y + by_y * (boxes[1, d] - y))


@compiled
def fit(
    means: Array,
    covs: Array,
    boxes: Array,
    cut: Flags,
    plane: Plane,
    noise: tuple[float, float, float],
    off: Array,
    blur: Array,
    expected: Array,
) -> None:
    """How well p boxes fit p vehicles; see `motion.fit`.

    Args:
        means: [8, p], covs: [12, p] expected.
        boxes: [4, p], cut: [4, p] as in Look.
        plane: of the view.
        noise: MotionPolicy's noise_heights, same_size and odd_doubt.
        off: [4, p], blur: [4, p], expected: [8, p] as in Fit, to be filled in.
    """
    its_off, its_blur = np.empty(4), np.empty(4)
    for p in range(means.shape[1]):
        wide, high = _fitted(means, covs, p, boxes, cut, p, plane, noise, its_off, its_blur)
        for i in range(8):  # number by number: slices are compiled several times as long
            expected[i, p] = wide if i == 2 else high if i == 3 else means[i, p]  # noqa: PLR2004 - as in motion
        for i in range(4):
            off[i, p], blur[i, p] = its_off[i], its_blur[i]


# --- what it costs to believe that a box is a vehicle's --------------------------------------------


@compiled
def costs(
    means: Array,
    covs: Array,
    start: Array,
    assumed: Array,
    newcomers: Array,
    mine: Places,
    boxes: Array,
    cut: Flags,
    more: Array,
    theirs: Places,
    field: Field,
    plane: Plane,
    noise: tuple[float, float, float],
    jitter_s: float,
    gate: float,
    drives: tuple[float, float, float],
    out: Array,
) -> None:
    """-2 log of how much likelier it is that a box of one kind continues a vehicle of that kind than that it is new.

    Args:
        means: [8, r], covs: [12, r] expected.
        start: [8, r] when last seen.
        assumed: [r] what is to be added for a vehicle, whatever its box.
        newcomers: [r] so many vehicles came into sight since.
        mine: [n] places of the vehicles of the kind.
        boxes: [4, m], cut: [4, m] as in Look.
        more: [m] what is to be added for a box, whosever it is.
        theirs: [k] places of the boxes of the kind.
        field: the flow of the kind.
        plane: of the view.
        noise: MotionPolicy's noise_heights, same_size and odd_doubt.
        jitter_s: standard deviation of a capture time.
        gate: squared Mahalanobis distance; what is further off has no cost.
        drives: TrackingPolicy's moving_heights, back_heights and against_heights.
        out: [r, m] to be filled in where there is a cost, and it is below 0 before what goes against others is added.
    """
    off, blur = np.empty(4), np.empty(4)
    for r in mine:
        reach = _reach(means, covs, r, gate, jitter_s, noise[0])
        for d in theirs:
            if not _near(means, r, reach, boxes, d, gate, noise[0]):
                continue
            _, high = _fitted(means, covs, r, boxes, cut, d, plane, noise, off, blur)
            far, spread = 0.0, 1.0
            for i in range(4):
                variance = blur[i] + (means[4 + i, r] * jitter_s) ** 2 + covs[i, r]
                far += off[i] * off[i] / variance
                spread *= variance
            if far > gate:
                continue
            # The density of boxes around where one is expected, over that of newcomers: heights cancel out but for four.
            square = max(boxes[3, d], high) ** 2
            rarer = spread * (newcomers[r] * newcomers[r]) / (square * square)
            cost = far + math.log(rarer) + assumed[r] + more[d]
            if cost < 0 and not _thrown(means, start, r, off[0], off[1], drives):
                out[r, d] = cost + _against(start, r, boxes, d, field, drives)


@compiled
def _reach(
    means: Array, covs: Array, r: int, gate: float, jitter_s: float, noise_heights: float
) -> tuple[float, float]:
    """How far, across and down, a vehicle reaches out for boxes; see `_near`."""
    reach = 1.001 * math.sqrt(gate)  # a little more than the gate: sums are rounded
    most = reach * noise_heights * _CUT_DOUBT * means[3, r]
    x = reach * math.sqrt((means[4, r] * jitter_s) ** 2 + covs[0, r])
    y = reach * math.sqrt((means[5, r] * jitter_s) ** 2 + covs[1, r])
    return x + abs(most + _REACH[0] * means[2, r]), y + abs(most + _REACH[1] * means[3, r])


@compiled
def _near(
    means: Array, r: int, reach: tuple[float, float], boxes: Array, d: int, gate: float, noise_heights: float
) -> bool:
    """Whether a box may be within the gate of a vehicle. One that may not surely is not.

    A box is off by something between what its two edges across are off by, and so by no less than its lower middle less
    the sizes of both. Every noise is thought as large as it can be, so that what is to be known of a vehicle and what of
    a box are two numbers, and of a pair nothing but two comparisons. A vehicle is as large here as where it is expected;
    one that may be seen elsewhere, and larger, has a wide reach anyway.
    """
    most = 1.001 * math.sqrt(gate) * noise_heights * _CUT_DOUBT * boxes[3, d]
    return (  # type: ignore[no-any-return]
        abs(boxes[0, d] - means[0, r]) <= reach[0] + most + _REACH[0] * boxes[2, d]
        and abs(boxes[1, d] - means[1, r]) <= reach[1] + most + _REACH[1] * boxes[3, d]
    )


@compiled
def _thrown(means: Array, start: Array, r: int, dx: float, dy: float, drives: tuple[float, float, float]) -> bool:
    """Whether a moving vehicle would have been thrown back the way it came: it was not, however long it was hidden.

    Args:
        means: [8, r] expected, start: [8, r] when last seen.
        r: the vehicle.
        dx, dy: how far off it is from where it is expected.
        drives: as in `costs`.
    """
    moving_heights, back_heights, _ = drives
    high, vx, vy = start[3, r], start[4, r], start[5, r]
    speed = math.hypot(vx, vy)
    # The way times the speed.
    gone = (dx + means[0, r] - start[0, r]) * vx + (dy + means[1, r] - start[1, r]) * vy
    return speed >= moving_heights * high and gone < -back_heights * high * speed  # type: ignore[no-any-return]


@compiled
def _against(start: Array, r: int, boxes: Array, d: int, field: Field, drives: tuple[float, float, float]) -> float:
    """What it costs a vehicle to have driven against all others. Laplace's rule: nobody of n did, so one in n + 1 may.

    Args:
        start: [8, r] when last seen.
        r: the vehicle.
        boxes: [4, m].
        d: where it is now.
        field: the flow of its kind.
        drives: as in `costs`.
    """
    _, _, against_heights = drives
    x, y, least = start[0, r], start[1, r], against_heights * start[3, r]
    dx, dy = boxes[0, d] - x, boxes[1, d] - y
    # Who drove less than that did not drive that far against anybody: with many pictures a second, nearly everyone.
    if dx * dx + dy * dy <= least * least:
        return 0.0
    furthest, seen = along_way(field, x, y, dx, dy)
    return 2 * math.log1p(seen) if furthest < -least else 0.0


# --- lines and zones -------------------------------------------------------------------------------


@compiled
def sides(places: Array, lines: Array, far: float, right: Flags, passes: Flags, reach: Array) -> None:
    """On which side of each endless line n steps end.

    Args:
        places: [2n, 2] level; n begins and then the n ends.
        lines: [4, m] a point on each line, x and y, and its unit normal to the right.
        far: nobody needs to know of more.
        right: [n, m] whether the step ends on the right or on the line, to be filled in.
        passes: [n, m] whether it began on the other side, likewise.
        reach: [n, m] how far from the line it ends, likewise.
    """
    n = len(places) // 2
    for k in range(n):
        for i in range(lines.shape[1]):
            x, y, nx, ny = lines[0, i], lines[1, i], lines[2, i], lines[3, i]
            was = nx * (places[k, 0] - x) + ny * (places[k, 1] - y)
            now = nx * (places[n + k, 0] - x) + ny * (places[n + k, 1] - y)
            right[k, i], passes[k, i], reach[k, i] = now >= 0, (now >= 0) != (was >= 0), min(abs(now), far)


@compiled
def near(places: Array, corners: Array, close: Flags) -> None:
    """Which of n steps may come near which zones.

    Args:
        places: [2n, 2] level; n begins and then the n ends.
        corners: [4, m] left, top, right and bottom of the upright box around each zone.
        close: [n, m] to be filled in.
    """
    n = len(places) // 2
    for k in range(n):
        x, y, then_x, then_y = places[k, 0], places[k, 1], places[n + k, 0], places[n + k, 1]
        for i in range(corners.shape[1]):
            left, top, right, bottom = corners[0, i], corners[1, i], corners[2, i], corners[3, i]
            across = max(x, then_x) >= left and min(x, then_x) <= right
            close[k, i] = across and max(y, then_y) >= top and min(y, then_y) <= bottom
