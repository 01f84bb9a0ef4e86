"""Whether tracks keep their identities, by py-motmetrics (the extra `evaluate`)."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import motmetrics
import numpy as np
from numpy.typing import NDArray

OVERLAP = 0.5
"""A track's box that overlaps less is not the user's, as MOTChallenge has it."""

FIGURES = ["idf1", "idp", "idr", "mota", "num_switches"]


class Identities(NamedTuple):
    """Shares are None where they are 0 / 0."""

    idf1: float | None
    idp: float | None
    idr: float | None
    mota: float | None
    switches: int


def identities(pictures: Iterable[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]) -> Identities:
    """IDF1 and its kin, and CLEAR MOT.

    Args:
        pictures: users [n], tracks [m] and their overlap [n, m] (intersection over union), picture by picture.

    Source:
        E. Ristani et al., Performance measures and a data set for multi-target, multi-camera tracking, ECCV 2016;
        K. Bernardin and R. Stiefelhagen, Evaluating multiple object tracking performance: the CLEAR MOT metrics,
        EURASIP JIVP 2008.
    """
    seen = motmetrics.MOTAccumulator(auto_id=True)
    empty = True
    for users, tracks, overlap in pictures:
        seen.update(users, tracks, np.where(overlap >= OVERLAP, 1.0 - overlap, np.nan))
        empty = False
    if empty:
        return Identities(None, None, None, None, 0)
    figures = motmetrics.metrics.create().compute(seen, metrics=FIGURES, return_dataframe=False)
    return Identities(
        idf1=_share(figures["idf1"]),
        idp=_share(figures["idp"]),
        idr=_share(figures["idr"]),
        mota=_share(figures["mota"]),
        switches=int(figures["num_switches"]),
    )


def _share(figure: Any) -> float | None:
    return float(figure) if math.isfinite(figure) else None
