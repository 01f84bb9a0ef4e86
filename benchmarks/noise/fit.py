"""The numbers of the noise model, from what became of the pseudo-truth."""

# ruff: noqa: PLR2004 - a statistic's bounds are told where they are used

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, isotonic_regression, nnls
from scipy.special import expit, logit, ndtr, ndtri
from scipy.stats import rankdata

from benchmarks.noise.judge import Judged
from benchmarks.noise.truth import Truth, kind, overlap
from pipeline.simulate.noise.hidden import shown_part
from pipeline.simulate.noise.model import (
    SCORE_FLOOR,
    Cover,
    Double,
    Doubles,
    Ghost,
    Likeness,
    Memory,
    Mistaken,
    NoiseModel,
    Rider,
    Sight,
)

Array = NDArray[np.float64]
Rows = NDArray[np.bool_]

HEIGHTS = (6.0, 9.0, 12.0, 16.0, 22.0, 30.0, 42.0, 60.0, 85.0, 130.0)
COARSE = (15.0, 35.0, 80.0)
COARSE_ENDS = (0.0, 24.0, 50.0, 1e9)
QUANTILES = 13
FREE = (0.0, 0.15, 0.4, 0.6, 0.8, 1.0)
"""Shares that are told apart; the last is "nobody hides it"."""

SURE = (0.15, 0.25, 0.375, 0.525, 0.675, 0.85)
TAIL = 13
STANDING_S = 60.0
"""A ghost there from a clip's beginning to its end is taken to live this long: the clips cannot tell."""

LINKED_S = 1.0
MOST_GHOSTS, MOST_DOUBLES = 60, 24
ENOUGH = 40
"""Rows; with fewer, a figure is taken from its neighbour."""

FEW = 8
"""Users; fewer riders than this are taken to be seen like walkers, whose height they have."""

RIDER = Rider(cycle=[0.0, 0.38, 1.0, 1.0], person=[0.03, 0.0, 0.97, 0.78], seen=0.65)
"""Medians of 79 pairs of the better eye (OpenTrafficCam's cyclist, Intel's cyclist); 121 cycles were looked at."""


_START = Memory(habit=0.2, slow=0.4, slow_s=1.0, quick=0.3, quick_s=0.15, white=0.1)


class Pool:
    """The rows of several clips as one."""

    def __init__(self, judged: Sequence[Judged]) -> None:
        self.judged = judged
        self.user = np.concatenate([each.user + 10_000 * place for place, each in enumerate(judged)])
        self.t_s, self.height, self.visible = self._all("t_s"), self._all("height"), self._all("visible")
        self.inside, self.score, self.named = self._all("inside"), self._all("score"), self._all("named")
        self.off, self.edge = self._all("off"), self._all("edge")
        self.touching, self.merged = self._all("touching"), self._all("merged")
        self.label = np.array([label for each in judged for label in each.label])
        self.seen = np.array([label for each in judged for label in each.seen])
        self.kind = np.array([kind(label) for label in self.label])
        self.free = np.clip(self.visible / np.maximum(self.inside, 1e-6), 0, 1)
        first = np.cumsum([0, *(len(each.user) for each in judged)])
        self.doubled = np.zeros(len(self.user), dtype=int)
        self.doubles = []
        for place, each in enumerate(judged):
            for _, row, label, score, box in each.doubles:
                self.doubled[first[place] + row] += 1
                self.doubles.append((int(first[place] + row), label, score, box))

    def _all(self, name: str) -> Any:
        return np.concatenate([getattr(each, name) for each in self.judged])

    @property
    def found(self) -> Rows:
        """Who has a box."""
        told: Rows = self.score > 0
        return told

    @property
    def plain(self) -> Rows:
        """Whole, and hidden by nobody."""
        told: Rows = (self.inside > 0.98) & (self.free >= 0.9)
        return told


Look = Callable[[NoiseModel], Sequence[Judged]]
"""What becomes of the same users when a model looks at them."""

ROUNDS = 3


def fit(truths: Sequence[Truth], judged: Sequence[Judged], name: str, look: Look) -> NoiseModel:
    """The model of the detector that made these.

    What is measured on boxes is not quite what made them (a missed user has no score, a second box may be taken for
    another's): so the model looks too, is measured the same way, and what it lacks is added, a few times over.
    """
    pool = Pool(judged)
    model = _first(truths, judged, pool, name)
    wanted = {each: _alike(pool, each, model) for each in _MEMORIES}
    model = msgspec.structs.replace(model, **{each: memory(told) for each, told in wanted.items()})
    aimed = {each: told.copy() for each, told in wanted.items() if each != "label_memory"}  # too few are wrong for that
    for _ in range(ROUNDS):
        own = Pool(look(model))
        aimed = {each: told + wanted[each] - _alike(own, each, model) for each, told in aimed.items()}
        model = msgspec.structs.replace(
            model,
            **{each: memory(told) for each, told in aimed.items()},
            doubles=_more_doubles(model, pool, own),
            merged=float(np.clip(model.merged * _merged(pool) / max(_merged(own), 1e-4), 0, 0.3).round(4)),
        )
    return model


_MEMORIES = ("score_memory", "edge_memory", "label_memory", "double_memory")


def _alike(pool: Pool, which: str, model: NoiseModel) -> Array:
    """How alike in time the numbers behind a kind of mistake are, at LAGS_S."""
    tall = _tall(pool, model.likeness)
    match which:
        case "score_memory":
            return likeness_in_time(pool.user, pool.t_s, _normal_scores(pool, tall))
        case "edge_memory":
            return likeness_in_time(
                pool.user, pool.t_s, _normal_edges(_standard(pool, model.sight, tall, model.likeness), tall)
            )
        case "label_memory":
            yes = _right(pool)
        case _:
            yes = np.where(pool.found, (pool.doubled > 0).astype(float), np.nan)
    told: Array = np.sin(np.pi / 2 * np.clip(likeness_in_time(pool.user, pool.t_s, yes), 0, 1))
    return told


def _tall(pool: Pool, likeness: dict[str, Likeness]) -> Array:
    """Heights of vehicles that are as hard to see."""
    told: Array = pool.height * np.array([1.0 if each == "vehicle" else likeness[each].height for each in pool.kind])
    return told


def _more_doubles(model: NoiseModel, pool: Pool, own: Pool) -> dict[str, Doubles]:
    told = {}
    for label, doubles in model.doubles.items():
        mean = []
        for place, now in enumerate(doubles.mean):
            real, made = (_band(each, label, place) for each in (pool, own))
            mean.append(float(np.clip(now * np.clip(real / max(made, 1e-3), 0.5, 2.0), 0, 1.6)) if made else now)
        told[label] = msgspec.structs.replace(doubles, mean=_rounded(np.array(mean), 4))
    return told


def _band(pool: Pool, label: str, place: int) -> float:
    """Second boxes per box of a class in a coarse band of heights; in all of them where there are too few."""
    mine = (pool.label == label) & pool.found
    band = mine & (pool.height >= COARSE_ENDS[place]) & (pool.height < COARSE_ENDS[place + 1])
    return float(pool.doubled[band if band.sum() >= 2 * ENOUGH else mine].mean())


def _first(truths: Sequence[Truth], judged: Sequence[Judged], pool: Pool, name: str) -> NoiseModel:
    sight = _sight(pool)
    likeness = {"walker": _likeness(pool, sight, "walker")}
    few = len(np.unique(pool.user[pool.kind == "rider"])) < FEW
    likeness["rider"] = likeness["walker"] if few else _likeness(pool, sight, "rider")
    tall = _tall(pool, likeness)
    standard = _standard(pool, sight, tall, likeness)
    normal = _normal_edges(standard, tall)
    detected = pool.found & np.isfinite(standard).all(axis=1)
    return NoiseModel(
        name=name,
        sight=sight,
        likeness=likeness,
        hidden=_cover(pool, sight, tall, standard, pool.free, pool.inside > 0.9),
        cut=_cover(pool, sight, tall, standard, pool.inside, pool.free > 0.9),
        shrink=_shrink(truths, judged),
        tail=_tail(standard),
        sure=_sure(pool, standard),
        edges=_rounded(np.corrcoef(normal[detected & pool.plain].T), 3),
        mistaken=_mistaken(pool),
        doubles=_doubles(pool),
        merged=_merged(pool),
        rider=RIDER,
        ghosts=_ghosts(truths, judged),
        score_memory=_START,
        edge_memory=_START,
        label_memory=_START,
        double_memory=_START,
        merge_memory=Memory(habit=0.2, slow=0.4, slow_s=1.0, quick=0.4, quick_s=0.15, white=0.0),
    )


def near(heights: Array, knots: Sequence[float], place: int) -> Rows:
    """Heights that are nearest to one of the knots, on a logarithmic scale."""
    edges = np.sqrt(np.array(knots[1:]) * np.array(knots[:-1]))
    told: Rows = np.digitize(heights, edges) == place
    return told


def middle_spread(off: Array) -> Array:
    """Standard deviation of the middle two thirds, column by column; nan rows are left out."""
    low, high = np.nanpercentile(off, [16, 84], axis=0)
    told: Array = (high - low) / 2
    return told


def _sight(pool: Pool) -> Sight:
    mine = pool.plain & (pool.kind == "vehicle")
    missed, weight, scores, bias, spread = [], [], [], [], []
    for place in range(len(HEIGHTS)):
        rows = mine & near(pool.height, HEIGHTS, place)
        found = rows & pool.found
        missed.append((rows.sum() - found.sum() + 0.5) / (rows.sum() + 1))
        weight.append(rows.sum() + 1.0)
        enough = found.sum() >= ENOUGH
        scores.append(np.quantile(pool.score[found], np.linspace(0, 1, QUANTILES)) if enough else None)
        off = pool.off[found]
        bias.append(np.clip(np.median(off, axis=0), -0.1, 0.1) if enough else None)
        spread.append(np.clip(middle_spread(off), 0.006, 0.2) if enough else None)
    falling = isotonic_regression(missed, weights=weight, increasing=False).x
    return Sight(
        heights=list(HEIGHTS),
        missed=_rounded(np.clip(falling, 0.005, 0.97), 4),
        scores=_rounded(_filled(scores), 4),
        bias=_rounded(_filled(bias), 4),
        spread=_rounded(_filled(spread), 4),
    )


def _filled(rows: Sequence[Array | None]) -> Array:
    """What is missing is taken from the nearest that is there."""
    there = [place for place, row in enumerate(rows) if row is not None]
    chosen = [min(there, key=lambda other, here=place: (abs(other - here), -other)) for place in range(len(rows))]  # type: ignore[misc]
    return np.array([rows[place] for place in chosen])


def _expected(sight: Sight, tall: Array) -> Array:
    """Log odds of a miss."""
    at = np.log(np.clip(tall, 1, None))
    told: Array = logit(np.interp(at, np.log(sight.heights), sight.missed))
    return told


def _table(sight: Sight, tall: Array, rows: Sequence[Sequence[float]] | Array) -> Array:
    at = np.log(np.clip(tall, 1, None))
    told: Array = np.stack([np.interp(at, np.log(sight.heights), column) for column in np.array(rows).T], axis=-1)
    return told


def _likeness(pool: Pool, sight: Sight, which: str) -> Likeness:
    mine = pool.plain & (pool.kind == which)
    grid = np.geomspace(0.25, 1.6, 40)

    def surprise(factor: float) -> float:
        chance = expit(_expected(sight, pool.height[mine] * factor))
        return float(-np.mean(np.where(pool.found[mine], np.log(1 - chance), np.log(chance))))

    factor = float(grid[np.argmin([surprise(each) for each in grid])]) if mine.sum() >= ENOUGH else 0.6
    found = mine & pool.found
    standard = (pool.off - _table(sight, pool.height * factor, sight.bias)) / _table(
        sight, pool.height * factor, sight.spread
    )
    spread = np.clip(middle_spread(standard[found]), 0.4, 3.0) if found.sum() >= ENOUGH else np.ones(4)
    return Likeness(height=round(factor, 3), spread=_rounded(spread, 3))


def _standard(pool: Pool, sight: Sight, tall: Array, likeness: dict[str, Likeness]) -> Array:
    """Edges' mistakes in spreads; nan where missed, or where the picture cuts the edge."""
    more = np.array([[1.0] * 4 if each == "vehicle" else likeness[each].spread for each in pool.kind])
    told: Array = (pool.off - _table(sight, tall, sight.bias)) / (_table(sight, tall, sight.spread) * more)
    return np.where(pool.edge, np.nan, told)


def _cover(pool: Pool, sight: Sight, tall: Array, standard: Array, share: Array, mine: Rows) -> Cover:
    usual = _expected(sight, tall)
    odds = np.log(np.maximum(pool.score - SCORE_FLOOR, 1e-3) / (1 - np.minimum(pool.score, 0.999)))
    middle = _table(sight, tall, np.array(sight.scores)[:, QUANTILES // 2][:, None])[:, 0]
    usual_odds = np.log(np.maximum(middle - SCORE_FLOOR, 1e-3) / (1 - middle))
    missed, score, spread, weight = [], [], [], []
    for place in range(len(FREE) - 1):
        half = (FREE[place + 1] - FREE[place]) / 2
        rows = mine & (share > FREE[place] - half) & (share <= FREE[place] + half) & (share < 0.95)
        found = rows & pool.found
        weight.append(float(rows.sum()))
        missed.append(_added(usual[rows], 1 - pool.found[rows].mean()) if rows.sum() >= ENOUGH else np.nan)
        score.append(float(np.median((usual_odds - odds)[found])) if found.sum() >= ENOUGH else np.nan)
        spread.append(float(np.mean(middle_spread(standard[found]))) if found.sum() >= ENOUGH else np.nan)
    return Cover(
        share=list(FREE),
        missed=_rounded(_falling([*missed, 0.0], weight), 3),
        score=_rounded(_falling([*score, 0.0], weight), 3),
        spread=_rounded(_falling([*spread, 1.0], weight), 3),
    )


def _added(log_odds: Array, missed: float) -> float:
    wanted = float(np.clip(missed, 0.01, 0.99))
    return float(brentq(lambda more: float(expit(log_odds + more).mean()) - wanted, -12, 12))


def _falling(told: Sequence[float], weight: Sequence[float]) -> Array:
    """Never less than at a greater share; what is not known is as at the next greater one."""
    known = np.array(told)
    for place in range(len(known) - 2, -1, -1):
        if np.isnan(known[place]):
            known[place] = known[place + 1]
    fitted: Array = isotonic_regression(known, weights=np.array([*weight, 1e6]) + 1, increasing=False).x
    return fitted


def _shrink(truths: Sequence[Truth], judged: Sequence[Judged]) -> float:
    """By least squares: how far the edges that others hide are drawn in."""
    up, down = 0.0, 1e-9
    for truth, each in zip(truths, judged, strict=True):
        boxes = np.concatenate([user.boxes for user in truth.found] or [np.zeros((0, 4))])
        for frame in np.unique(each.frame):
            rows = np.flatnonzero(each.frame == frame)
            whole = boxes[rows]
            scale = np.tile(whole[:, 2:] - whole[:, :2], 2)
            drawn = (shown_part(whole, -whole[:, 3]) - whole) / scale
            off = each.off[rows]
            use = np.isfinite(off) & (np.abs(drawn) > 0.05) & (np.abs(drawn) < 0.7)
            up += float((np.clip(off, -1, 1) * drawn)[use].sum())
            down += float((drawn**2)[use].sum())
    return round(float(np.clip(up / down, 0, 1)), 3)


def _tail(standard: Array) -> list[float]:
    sizes = np.abs(standard[np.isfinite(standard)])
    told: list[float] = _rounded(np.quantile(sizes, 2 * ndtr(np.arange(TAIL) * 0.25) - 1), 3)
    return told


def _sure(pool: Pool, standard: Array) -> Cover:
    mine = pool.plain & pool.found
    ends = np.array([0.1, 0.2, 0.3, 0.45, 0.6, 0.75, 1.01])
    spread = [
        float(np.mean(middle_spread(standard[mine & (pool.score >= low) & (pool.score < high)])))
        for low, high in itertools.pairwise(ends.tolist())
    ]
    nothing = [0.0] * len(SURE)
    return Cover(share=list(SURE), missed=nothing, score=nothing, spread=_rounded(np.array(spread), 3))


def _normal_scores(pool: Pool, tall: Array) -> Array:
    """The rank of each score (a miss is the lowest) among those of like height and cover, as a normal number."""
    told = np.zeros(len(tall))
    cell = np.digitize(tall, np.sqrt(np.array(HEIGHTS[1:]) * np.array(HEIGHTS[:-1]))) * 10 + np.digitize(pool.visible, [0.3, 0.6, 0.9])  # fmt: skip
    for each in np.unique(cell):
        mine = cell == each
        told[mine] = ndtri((rankdata(pool.score[mine]) - 0.5) / mine.sum())
    return told


def _normal_edges(standard: Array, tall: Array) -> Array:
    told = np.full_like(standard, np.nan)
    cell = np.digitize(tall, np.sqrt(np.array(HEIGHTS[1:]) * np.array(HEIGHTS[:-1])))
    for each in np.unique(cell):
        for edge in range(4):
            mine = (cell == each) & np.isfinite(standard[:, edge])
            told[mine, edge] = ndtri((rankdata(standard[mine, edge]) - 0.5) / max(mine.sum(), 1))
    return told


def _right(pool: Pool) -> Array:
    return np.where(pool.found & (pool.named > 0.7) & (pool.kind == "vehicle"), (pool.seen == pool.label).astype(float), np.nan)  # fmt: skip


LAGS_S = (0.04, 0.08, 0.12, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0, 3.0)


def likeness_in_time(user: NDArray[np.intp], t_s: Array, told: Array, lags_s: Iterable[float] = LAGS_S) -> Array:
    """How alike a user's numbers are that far apart: correlation at each lag; columns are put together. nan is left out."""
    columns = told.reshape(len(told), -1)
    columns = columns - np.nanmean(columns, axis=0)
    starts = np.flatnonzero(np.diff(user, prepend=-1, append=-1))
    out = []
    for lag in lags_s:
        product = before = after = 0.0
        for first, end in itertools.pairwise(starts.tolist()):
            if end - first < 3:
                continue
            step = t_s[first + 1] - t_s[first]
            many = round(lag / step)
            if not 0 < many < end - first or abs(many * step - lag) > 0.3 * lag:
                continue
            a, b = columns[first : end - many], columns[first + many : end]
            both = np.isfinite(a) & np.isfinite(b)
            product += float((a * b)[both].sum())
            before += float((a**2)[both].sum())
            after += float((b**2)[both].sum())
        out.append(product / np.sqrt(before * after) if before and after else np.nan)
    return np.array(out)


def memory(alike: Array) -> Memory:
    """The memory whose likeness in time comes nearest, by least squares."""
    known = np.isfinite(alike)
    lags, wanted = np.array(LAGS_S)[known], np.clip(alike[known], 0, 1)
    best: tuple[float, Memory] | None = None
    for slow in (0.8, 1.2, 1.8, 2.5, 4.0):
        for quick in (0.06, 0.1, 0.15, 0.22, 0.3, 0.4):
            basis = np.stack([np.ones_like(lags), np.exp(-lags / slow), np.exp(-lags / quick)], axis=1)
            weights, _ = nnls(basis, wanted)
            weights = weights / max(weights.sum(), 1.0)
            rest = float(np.sum((basis @ weights - wanted) ** 2))
            habit, slowly, quickly = (round(float(each), 3) for each in weights)
            if best is None or rest < best[0]:
                white = round(max(1 - habit - slowly - quickly, 0.0), 3)
                best = (rest, Memory(habit=habit, slow=slowly, slow_s=slow, quick=quickly, quick_s=quick, white=white))
    assert best is not None
    return best[1]


def _mistaken(pool: Pool) -> dict[str, Mistaken]:
    told = {}
    for label in sorted(set(pool.label.tolist())):
        mine = (pool.label == label) & pool.found & (pool.named > 0.7)
        if mine.sum() < 2 * ENOUGH:
            continue
        bands = [mine & (pool.height >= low) & (pool.height < high) for low, high in itertools.pairwise(COARSE_ENDS)]  # fmt: skip
        bands = [band if band.sum() >= 2 * ENOUGH else mine for band in bands]
        shares = {
            other: _rounded(np.array([(pool.seen[band] == other).mean() for band in bands]), 4)
            for other in sorted(set(pool.seen[mine].tolist()) - {label})
        }
        told[label] = Mistaken(
            heights=list(COARSE), shares={other: each for other, each in shares.items() if max(each) >= 0.002}
        )
    return told


def _doubles(pool: Pool) -> dict[str, Doubles]:
    by_label: defaultdict[str, list[tuple[int, str, float, Array]]] = defaultdict(list)
    for double in pool.doubles:
        by_label[str(pool.label[double[0]])].append(double)
    told = {}
    for label, doubles in sorted(by_label.items()):
        mine = (pool.label == label) & pool.found
        if mine.sum() < 2 * ENOUGH:
            continue
        bands = [mine & (pool.height >= low) & (pool.height < high) for low, high in itertools.pairwise(COARSE_ENDS)]  # fmt: skip
        bands = [band if band.sum() >= 2 * ENOUGH else mine for band in bands]
        told[label] = Doubles(
            heights=list(COARSE),
            mean=_rounded(np.array([pool.doubled[band].mean() for band in bands]), 4),
            seen=[_double(pool, each) for each in _some(sorted(doubles, key=lambda each: each[2]), MOST_DOUBLES)],
        )
    return told


def _double(pool: Pool, double: tuple[int, str, float, Array]) -> Double:
    row, label, score, box = double
    same = bool(pool.seen[row] == label)
    return Double(same=same, label=label, score=round(score, 3), box=_rounded(np.clip(box, -0.3, 1.3), 3))


def _some(every: list[Any], most: int) -> list[Any]:
    """At most so many, evenly from all."""
    if len(every) <= most:
        return every
    return [every[round((place + 0.5) * len(every) / most - 0.5)] for place in range(most)]


def _merged(pool: Pool) -> float:
    mine = pool.touching & (pool.kind == "vehicle")
    return round(float(pool.merged[mine].mean()), 4)


class _Site(msgspec.Struct):
    first_s: float
    last_s: float
    boxes: list[Any]
    scores: list[float]
    labels: list[str]


def _ghosts(truths: Sequence[Truth], judged: Sequence[Judged]) -> list[Ghost]:
    passing: list[Ghost] = []
    standing: list[Ghost] = []
    minutes = sum(each.seconds for each in judged) / 60
    for truth, each in zip(truths, judged, strict=True):
        for site in _sites(each, [look.t_ms / 1000 for look in truth.film.looks]):
            life = site.last_s - site.first_s + 1 / each.fps
            stays = site.first_s < 0.1 * each.seconds and site.last_s > 0.9 * each.seconds
            box = np.median(site.boxes, axis=0) / [640, truth.height, 640, truth.height]
            (standing if stays else passing).append(
                Ghost(
                    label=max(set(site.labels), key=site.labels.count),
                    score=round(float(np.clip(np.median(site.scores), SCORE_FLOOR + 0.003, 0.99)), 3),
                    box=_rounded(np.clip(box, 0, 1), 4),
                    life_s=STANDING_S if stays else round(life, 3),
                    on=round(min(len(site.boxes) / (life * each.fps), 1.0), 3),
                    per_minute=60 / STANDING_S / len(judged) if stays else 1 / minutes,
                )
            )
    every = sorted(passing + standing, key=lambda ghost: -ghost.per_minute * ghost.life_s * ghost.on)
    often, rest = every[:MOST_GHOSTS], every[MOST_GHOSTS:]
    chosen = _some(rest, MOST_GHOSTS)
    more = len(rest) / max(len(chosen), 1)
    told = often + [msgspec.structs.replace(ghost, per_minute=ghost.per_minute * more) for ghost in chosen]
    return [msgspec.structs.replace(ghost, per_minute=round(ghost.per_minute, 4)) for ghost in told]


def _sites(judged: Judged, times: Sequence[float]) -> list[_Site]:
    sites: list[_Site] = []
    for frame, label, score, box in judged.ghosts:
        now = times[frame]
        open_ones = [site for site in sites if 0 < now - site.last_s <= LINKED_S]
        like = overlap(box[None], np.array([site.boxes[-1] for site in open_ones]).reshape(-1, 4))[0]
        if len(like) and like.max() >= 0.3:
            site = open_ones[int(like.argmax())]
            site.last_s = now
            site.boxes.append(box)
            site.scores.append(score)
            site.labels.append(label)
        else:
            sites.append(_Site(now, now, [box], [score], [label]))
    return sites


def _rounded(told: Any, digits: int) -> Any:
    return np.round(told, digits).tolist()
