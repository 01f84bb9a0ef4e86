import pytest

from pipeline.adapters.motmetrics import Identities, identities
from pipeline.evaluate.hota import pictures
from tests.evaluate.followed import boxes, followed

BY_TRACKEVAL = [
    ((1, 2, 0, 1.0), (0.9285714286, 0.9629629630, 0.8965517241, 0.8620689655, 0)),
    ((2, 4, 0.05, 2.0), (0.7850467290, 0.8400000000, 0.7368421053, 0.8245614035, 2)),
    ((3, 6, 0.1, 4.0), (0.4472049689, 0.4768211921, 0.4210526316, 0.7251461988, 17)),
    ((4, 7, 0.02, 6.0), (0.5483870968, 0.5862068966, 0.5151515152, 0.3636363636, 4)),
    ((5, 3, 0.5, 3.0), (0.1728395062, 0.1818181818, 0.1647058824, 0.4235294118, 37)),
]
"""IDF1, IDP, IDR, MOTA and switches by TrackEval 1.3.0, on the same boxes."""


@pytest.mark.parametrize(("case", "figures"), BY_TRACKEVAL)
def test_the_figures_are_those_of_trackeval(case, figures):
    seed, users, swap, jitter = case

    assert identities(pictures(*followed(seed, users=users, swap=swap, jitter=jitter))) == pytest.approx(figures)


def test_what_is_0_of_0_is_unknown():
    nobody, (_, run) = boxes([]), followed(1, users=2, swap=0, jitter=1)

    assert identities(pictures(nobody, nobody)) == Identities(None, None, None, None, 0)
    assert identities(pictures(nobody, run)).idr is None
    assert identities(pictures(nobody, run)).mota is None
