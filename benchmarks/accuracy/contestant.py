"""Who counts: a name, its settings, and how it is run."""

from collections.abc import Callable, Mapping

import msgspec

from benchmarks.accuracy.streams import Sample
from pipeline.core.model import Way

Value = float | int | bool | str

DEFAULTS = "defaults"


class Event(msgspec.Struct, frozen=True, array_like=True):
    """Somebody said that a vehicle crossed, or, where it has an origin, that it went from there to this line."""

    line: str
    direction: Way
    t_ms: float
    origin: str = ""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One way to run a contestant: of one tracker, how its tracks are counted may vary at next to no cost."""

    tracker: Mapping[str, Value] = {}
    counter: Mapping[str, Value] = {}

    @property
    def text(self) -> str:
        """For people."""
        both = {**self.tracker, **self.counter}
        return ", ".join(f"{key} {value}" for key, value in both.items()) or DEFAULTS


Counters = tuple[Mapping[str, Value], ...]
Count = Callable[[Sample, Mapping[str, Value], Counters], list[list[Event]]]
"""(sample, tracker's setting, counters' settings) -> the events of each counter."""


class Contestant(msgspec.Struct, frozen=True, kw_only=True):
    """One method of counting."""

    key: str  # for files and options
    title: str
    version: Callable[[], str]  # results of another one are not used again
    count: Count
    trackers: tuple[Mapping[str, Value], ...] = ({},)  # the first is the default
    counters: Counters = ({},)  # likewise

    @property
    def settings(self) -> list[Setting]:
        """The whole grid, the defaults first."""
        return [Setting(tracker=tracker, counter=counter) for tracker in self.trackers for counter in self.counters]
