"""Passages, events and truths for these tests."""

from hypothesis import strategies as st

from pipeline.core.model import Size, Way
from pipeline.evaluate.passages import Passage, Passages, Truth
from pipeline.evaluate.run import Seen

LINE = {"near": ((0.1, 0.5), (0.9, 0.5))}
TWO_LINES = LINE | {"far": ((0.2, 0.2), (0.8, 0.2))}


def passage(t_s, way=Way.TO_RIGHT, *, line="near", label="car", user=None, **more):
    return Passage(line=line, direction=way, t_ms=t_s * 1000, label=label, user=user, **more)


def run(*passages, name="the run", duration_s=None):
    return Passages(name=name, passages=passages, duration_ms=None if duration_s is None else duration_s * 1000)


def truth(*passages, name="the truth", duration_s=60.0, lines=None, **more):
    return Truth(
        name=name, passages=passages, duration_ms=duration_s * 1000, size=Size(640, 360), lines=lines or LINE, **more
    )


def seen(t_s, *, line="near", way=Way.TO_RIGHT, label="car", x=0.5, y=0.5, **more):
    return Seen(line=line, direction=way, label=label, captured_ms=t_s * 1000, x=x, y=y, **more)


@st.composite
def passages(draw, *, most=12, optional=False, users=False):
    """Few lines and directions, times close together: everything collides."""
    each = st.builds(
        Passage,
        line=st.sampled_from(["near", "far"]),
        direction=st.sampled_from(Way),
        t_ms=st.integers(0, 60).map(lambda tenth: tenth * 100.0),
        label=st.sampled_from(["car", "truck"]),
        user=st.sampled_from(["a", "b", "c"]) if users else st.none(),
        optional=st.booleans() if optional else st.just(value=False),
    )
    return draw(st.lists(each, max_size=most))
