"""Everyone who counts."""

from benchmarks.accuracy import line_zone, object_counter, ours
from benchmarks.accuracy.contestant import Contestant


def contestants() -> dict[str, Contestant]:
    """Everyone, gantry first."""
    return {each.key: each for each in (ours.GANTRY, *line_zone.CONTESTANTS, *object_counter.CONTESTANTS)}
