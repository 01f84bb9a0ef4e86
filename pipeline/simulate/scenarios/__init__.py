"""The places there are, by name. A new one is a module with a SCENARIO and its name here."""

import difflib

from pipeline.errors import Fatal
from pipeline.simulate.scenario import Scenario
from pipeline.simulate.scenarios import junction, motorway, roundabout, stopline, street

SCENARIOS: dict[str, Scenario] = {
    place.SCENARIO.name: place.SCENARIO for place in (junction, motorway, roundabout, stopline, street)
}
"""Name -> place."""


def scenario(name: str) -> Scenario:
    """A place by its name.

    Raises:
        Fatal: there is none of this name; the message has the nearest one, and all.
    """
    if name in SCENARIOS:
        return SCENARIOS[name]
    near = difflib.get_close_matches(name, SCENARIOS, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise Fatal(f"there is no scenario {name!r}: {hint}there are {', '.join(SCENARIOS)}")
