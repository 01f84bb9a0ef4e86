"""The vehicles of all scenarios: vTypes with the sizes of today's traffic, in SUMO's words.

Use FLEET once at the head of a routes file, and the names CARS, LORRIES, BUSES, MOTORCYCLES, BICYCLES and WALKERS as
`type`. Each is a distribution of a few types, so that no two neighbours look alike.

Sizes: typical of European fleets (segments B to E, vans of 2 and 3.5 t, lorries of 8 to 16.5 m, city buses).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

CARS = "cars"
LORRIES = "lorries"
BUSES = "buses"
MOTORCYCLES = "motorcycles"
BICYCLES = "bicycles"
WALKERS = "walkers"

FIRST_S = 900.0
"""Traffic enters for so long at least, whatever is recorded; people are drawn in pieces of this length."""

PAUSE_S = 600.0
"""What is recorded before does not depend on how long it goes on."""

_DRIVES = 'minGap="2.2" tau="1.1" sigma="0.4" '

FLEET = f"""
<vTypeDistribution id="{CARS}">
  <vType id="car-small" vClass="passenger" length="3.9" width="1.70" height="1.48" probability="0.28"
         accel="2.4" decel="4.5" speedFactor="normc(0.95,0.09,0.70,1.20)" {_DRIVES}/>
  <vType id="car-medium" vClass="passenger" length="4.5" width="1.80" height="1.47" probability="0.36"
         accel="2.7" decel="4.5" speedFactor="normc(0.98,0.09,0.70,1.25)" {_DRIVES}/>
  <vType id="car-tall" vClass="passenger" length="4.6" width="1.88" height="1.70" probability="0.28"
         accel="2.6" decel="4.5" speedFactor="normc(0.97,0.09,0.70,1.25)" {_DRIVES}/>
  <vType id="car-van" vClass="passenger" length="5.0" width="1.95" height="1.95" probability="0.08"
         accel="2.2" decel="4.5" speedFactor="normc(0.93,0.08,0.70,1.10)" {_DRIVES}/>
</vTypeDistribution>
<vTypeDistribution id="{LORRIES}">
  <vType id="lorry-rigid" vClass="truck" length="8.6" width="2.50" height="3.50" probability="0.45"
         accel="1.2" decel="3.8" maxSpeed="25.0" speedFactor="normc(0.92,0.05,0.75,1.05)" {_DRIVES}/>
  <vType id="lorry-trailer" vClass="trailer" length="16.5" width="2.55" height="3.95" probability="0.55"
         accel="0.9" decel="3.5" maxSpeed="24.2" speedFactor="normc(0.92,0.04,0.75,1.02)" {_DRIVES}/>
</vTypeDistribution>
<vTypeDistribution id="{BUSES}">
  <vType id="bus-city" vClass="bus" length="12.0" width="2.55" height="3.10" probability="0.7"
         accel="1.2" decel="3.5" maxSpeed="27.5" speedFactor="normc(0.92,0.05,0.75,1.0)" {_DRIVES}/>
  <vType id="bus-coach" vClass="coach" length="13.0" width="2.55" height="3.60" probability="0.3"
         accel="1.1" decel="3.5" maxSpeed="27.8" speedFactor="normc(0.95,0.04,0.75,1.0)" {_DRIVES}/>
</vTypeDistribution>
<vTypeDistribution id="{MOTORCYCLES}">
  <vType id="motorcycle-any" vClass="motorcycle" length="2.2" width="0.80" height="1.65" probability="1.0"
         accel="4.0" decel="6.0" speedFactor="normc(1.0,0.10,0.75,1.25)" {_DRIVES}/>
</vTypeDistribution>
<vTypeDistribution id="{BICYCLES}">
  <vType id="bicycle-any" vClass="bicycle" length="1.75" width="0.60" height="1.70" probability="1.0"
         accel="1.0" decel="3.0" maxSpeed="5.6" speedFactor="normc(0.95,0.12,0.65,1.3)"
         minGap="0.8" tau="1.0" sigma="0.4" />
</vTypeDistribution>
<vTypeDistribution id="{WALKERS}">
  <vType id="walker-tall" vClass="pedestrian" width="0.50" length="0.30" height="1.78" probability="0.5"
         speedFactor="normc(1.0,0.12,0.7,1.4)"/>
  <vType id="walker-small" vClass="pedestrian" width="0.46" length="0.28" height="1.62" probability="0.4"
         speedFactor="normc(0.95,0.12,0.65,1.3)"/>
  <vType id="walker-child" vClass="pedestrian" width="0.38" length="0.24" height="1.25" probability="0.1"
         speedFactor="normc(0.9,0.12,0.6,1.3)"/>
</vTypeDistribution>
"""


def routes(*parts: str) -> str:
    """A whole routes file: the fleet and then the parts."""
    return "\n".join(["<routes>", FLEET, *parts, "</routes>"])


def flow(name: str, kind: str, way: str, per_hour: float, *, until_s: float, words: str = "") -> str:
    """Vehicles that come by chance (Poisson), so many an hour.

    Args:
        name: of its own in the file.
        kind: CARS, LORRIES, ...
        way: `from="a" to="b"` or `route="r"`.
        until_s: when the last may come; never before FIRST_S.
        words: further attributes.
    """
    if per_hour <= 0:
        return ""
    return (
        f'<flow id="{name}" type="{kind}" {way} begin="0" end="{max(FIRST_S, until_s):.1f}" '
        f'period="exp({per_hour / 3600:.6f})" departLane="best" departSpeed="desired" departPos="base" {words}/>'
    )


class People(NamedTuple):
    """Who walks from one pavement to another, by chance (Poisson)."""

    name: str  # of its own in the file
    begin: str  # the first edge
    end: str  # the last one
    depart_m: float  # where on the first edge
    arrive_m: float
    per_hour: float


def walks(people: Sequence[People], piece: int = 0) -> list[str]:
    """The parts of a routes file that let people come, of the first FIRST_S or of a further piece as long."""
    return [
        f'<personFlow id="{each.name}{f"_{piece}" if piece else ""}" type="{WALKERS}" begin="{piece * FIRST_S:g}" '
        f'end="{(piece + 1) * FIRST_S:g}" departPos="{each.depart_m:.1f}" period="exp({each.per_hour / 3600:.6f})">'
        f'<walk from="{each.begin}" to="{each.end}" arrivalPos="{each.arrive_m:.1f}"/></personFlow>'
        for each in people
    ]


def walks_on(people: Sequence[People], until_s: float) -> list[tuple[float, str]]:
    """The further pieces of `walks` until a second, each with its begin, by which SUMO wants them sorted among trips.

    SUMO draws all people of a personFlow when it reads it, and reads on when the time of what it read last has come. So
    before them comes a flow of (as good as) nobody: without it the next piece would be drawn at once, and whoever is drawn after it
    would depend on how long it goes on.
    """
    pieces = range(1, math.ceil(until_s / FIRST_S))
    if not pieces:
        return []
    way = f'from="{people[0].begin}" to="{people[0].begin}"'
    nobody = f'<flow id="nobody" type="car-small" {way} begin="{PAUSE_S:g}" end="{PAUSE_S + 1:g}" probability="1e-9"/>'
    return [(PAUSE_S, nobody), *((piece * FIRST_S, text) for piece in pieces for text in walks(people, piece))]
