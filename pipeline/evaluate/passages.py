"""The one value that every run and every truth becomes: who crossed which line, which way, when."""

from collections.abc import Mapping

import msgspec

from pipeline.core.model import Point, Size, SpeedTrap, Way


class Passage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One road user crossed one line, as a truth knows it or as a run says it."""

    line: str
    direction: Way
    t_ms: float  # since the first picture (t = 0 of the truth)
    label: str
    user: str | None = None  # who: the truth's user, the run's track; None: nobody says
    x: float | None = None  # where, in shares of the picture
    y: float | None = None
    speed_kmh: float | None = None
    speed_sd_kmh: float | None = None  # how well a run says that it knows it
    way_m: float | None = None  # truth only: what the user has driven since it was first there
    optional: bool = False  # truth only: accepted whether it is counted or not

    @property
    def order(self) -> tuple[float, str, str, str, str]:
        """A place in line that does not depend on the order in which passages were handed over."""
        return (self.t_ms, self.line, self.direction.value, self.label, self.user or "")


class Timed(msgspec.Struct, frozen=True, kw_only=True):
    """A speed between two lines, as a run tells it."""

    trap: str
    from_line: str
    metres: float  # between the lines, as the run's scene says
    passage: Passage  # of the second line, with the mean speed from line to line


class Passages(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one side knows of one camera, and what it was seen by. None: that side does not say."""

    name: str  # the file or address, for people
    passages: tuple[Passage, ...]
    duration_ms: float | None = None  # how much was watched
    size: Size | None = None  # of the picture
    lines: Mapping[str, tuple[Point, Point]] = {}  # name -> from, to, in shares; empty: it does not say
    went: tuple[tuple[str, str, str], ...] | None = (
        None  # movements it tells itself: from, to, class; None: it tells none
    )
    timed: tuple[Timed, ...] = ()  # speeds of traps
    speed_traps: tuple[SpeedTrap, ...] = ()  # of its scene, as far as that is known


class Truth(Passages, frozen=True, kw_only=True):
    """What happened."""

    start_ms: float | None = None  # captured_ms of t = 0
    video: str | None = None  # the file that was watched
    scenario: str | None = None  # the simulated place
    seed: int | None = None
    pooled: tuple[str, ...] = ()  # classes that it wants to be scored together
    nameless: bool = False  # its one line has no name of its own
