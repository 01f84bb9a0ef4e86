"""How well tracks follow their users: HOTA, which weighs seeing and keeping an identity alike."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pipeline.evaluate.boxes import Boxes, Floats, overlaps

ALPHAS = np.arange(0.05, 0.99, 0.05)
"""How much a box must overlap to count; HOTA is the mean over all of them."""

ROUNDING = float(np.finfo(np.float64).eps)


class Hota(msgspec.Struct, frozen=True, kw_only=True):
    """Means over all overlaps from 0.05 to 0.95; None where there is nothing to follow."""

    hota: float | None
    deta: float | None  # of seeing: found / (found + missed + false)
    assa: float | None  # of keeping identities
    loca: (
        float | None
    )  # mean overlap of what was found, over the alphas at which anything was (TrackEval adds 1 for others)


class Identities(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one track stays with one user, at an overlap of 0.5 and more."""

    idf1: float | None
    idp: float | None
    idr: float | None
    mota: float | None
    switches: int


class Followed(msgspec.Struct, frozen=True, kw_only=True):
    """Both, and what they were measured on."""

    pictures: int
    users: int
    tracks: int
    hota: Hota
    identities: Identities | None  # None: the library that measures them is not installed


class Picture(NamedTuple):
    """Who is in one picture, by index, and how much each user's box and each track's overlap."""

    users: NDArray[np.int64]  # [users]
    tracks: NDArray[np.int64]  # [tracks]
    overlap: Floats  # [users, tracks]


def hota(truth: Boxes, run: Boxes) -> Hota:
    """HOTA of tracks against the true boxes.

    Args:
        truth, run: boxes in one unit; pictures are those that either side has boxes in.

    Returns:
        The figures; all 0 where one side has no boxes, None where neither has.

    Source:
        J. Luiten et al., HOTA: a higher order metric for evaluating multi-object tracking, IJCV 129 (2021). As in
        the authors' TrackEval, boxes are paired once a picture, by overlap times how well the two identities agree
        over all pictures, and the pairs that overlap enough count for each alpha.
    """
    if not len(truth) and not len(run):
        return Hota(hota=None, deta=None, assa=None, loca=None)
    if not len(truth) or not len(run):
        return Hota(hota=0.0, deta=0.0, assa=0.0, loca=None)
    seen = list(pictures(truth, run))
    of_user = np.bincount(np.concatenate([p.users for p in seen])).astype(np.float64)
    of_track = np.bincount(np.concatenate([p.tracks for p in seen])).astype(np.float64)
    agreement = _agreement(seen, of_user, of_track)
    pairs, overlap = _pairs(seen, agreement)
    figures = [_at(alpha, pairs, overlap, of_user, of_track) for alpha in ALPHAS]
    deta, assa, loca = (np.array(column) for column in zip(*figures, strict=True))
    return Hota(
        hota=float(np.sqrt(deta * assa).mean()),
        deta=float(deta.mean()),
        assa=float(assa.mean()),
        loca=None if np.isnan(loca).all() else float(np.nanmean(loca)),
    )


def _pairs(seen: list[Picture], agreement: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The user and the track of each pair in each picture [pairs, 2], and their overlap [pairs]."""
    pairs, overlap = [], []
    for p in seen:
        rows, columns = linear_sum_assignment(-(agreement[np.ix_(p.users, p.tracks)] * p.overlap))
        pairs.append(np.stack([p.users[rows], p.tracks[columns]], axis=1))
        overlap.append(p.overlap[rows, columns])
    return np.concatenate(pairs), np.concatenate(overlap)


def _at(
    alpha: float, pairs: NDArray[np.int64], overlap: Floats, of_user: Floats, of_track: Floats
) -> tuple[float, float, float]:
    """DetA, AssA and LocA where a pair must overlap by alpha."""
    enough = overlap >= alpha - ROUNDING
    found = int(enough.sum())
    if not found:
        return 0.0, 0.0, float("nan")
    who, together = np.unique(pairs[enough], axis=0, return_counts=True)
    kept = together / (of_user[who[:, 0]] + of_track[who[:, 1]] - together)
    deta = found / (of_user.sum() + of_track.sum() - found)
    return float(deta), float((together * kept).sum() / found), float(overlap[enough].mean())


def pictures(truth: Boxes, run: Boxes) -> Iterator[Picture]:
    """Every picture in which either side has boxes, identities as indices."""
    _, users = np.unique(truth.id, return_inverse=True)
    _, tracks = np.unique(run.id, return_inverse=True)
    for frame in np.union1d(truth.frame, run.frame):
        ours, theirs = truth.frame == frame, run.frame == frame
        yield Picture(users[ours], tracks[theirs], overlaps(truth.corners[ours], run.corners[theirs]))


def _agreement(seen: list[Picture], of_user: Floats, of_track: Floats) -> Floats:
    """How much a user and a track go together over all pictures [users, tracks]: 0..1, before any pairing."""
    common = np.zeros((len(of_user), len(of_track)))
    for p in seen:
        either = p.overlap.sum(axis=0)[None, :] + p.overlap.sum(axis=1)[:, None] - p.overlap
        share = np.divide(p.overlap, either, out=np.zeros_like(p.overlap), where=either > ROUNDING)
        common[np.ix_(p.users, p.tracks)] += share
    agreed: Floats = common / (of_user[:, None] + of_track[None, :] - common)
    return agreed
