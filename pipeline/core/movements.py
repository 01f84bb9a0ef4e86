"""Movements: from which place to which did a vehicle go, and where did those go that were lost on their way.

A place is a line (perhaps crossed one way only: `north/to_left`) or a zone. A vehicle's movement begins at the first
place it comes to at which one may begin, and ends at the next at which one may end; a movement that the scene's table
does not have is told, too, as not legal. Who drives on to a further place makes a further movement. A
movement begins when the vehicle crosses the line or leaves the zone, and ends when it crosses the line or enters the
zone. Turning round over one line is a movement from it to itself; to leave a zone and come back is one only where the
table has it.

Destinations are learned from the movements this camera saw to their end: the picture is divided into cells, and for
each origin and cell it is counted where those went who came through. Of a vehicle lost in a cell, the likeliest
destination is told with its probability: Laplace's estimate over the cell, backed by that over the whole origin
as if it were `BACKING` further vehicles (a Dirichlet prior; Jelinek and Mercer's idea of 1980 of backing a rare
context by a common one).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from pipeline.core.model import Point, Scene, Way

COLUMNS, ROWS = 12, 8
"""Cells of the picture: a vehicle is some cells away from its origin before it is lost."""

BACKING = 2.0
MOST = 500
"""Vehicles counted at one cell; then all counts there are halved, so that what was learned long ago fades."""

VERSION = 1
"""Of what is learned: another one's is forgotten."""


class Learned(msgspec.Struct, frozen=True, array_like=True):
    """Where vehicles went. Its size is bounded by the scene: cells times origins times destinations."""

    version: int = VERSION
    counts: dict[str, dict[str, int]] = {}  # "origin" and "origin|cell" -> destination -> vehicles


class Journey(msgspec.Struct, frozen=True, array_like=True):
    """What one track remembers of its way."""

    origin: str | None = None  # the place the movement began at; None: at none yet
    origin_ms: int = 0
    origin_sd_ms: float | None = None
    told: int = 0  # movements told so far
    first: int = 0  # the cell it was first seen in
    cells: tuple[int, ...] = ()  # it came through since the origin


class Visit(msgspec.Struct, frozen=True):
    """A vehicle came to a place, or left it."""

    place: str
    way: Way | None  # None: a zone
    ms: int
    sd_ms: float | None
    leaves: bool = False  # it left a zone


class Finished(msgspec.Struct, frozen=True):
    """A vehicle went from one place to another."""

    origin: str
    destination: str
    from_ms: int
    to_ms: int
    sd_ms: float | None
    nth: int  # of the track
    cells: tuple[int, ...]


class Guess(msgspec.Struct, frozen=True):
    """Where a lost vehicle most likely went, or came from."""

    place: str | None
    probability: float | None
    learned: int  # movements it is drawn from


class Places(msgspec.Struct, frozen=True):
    """The places of a scene and what movements may do there."""

    table: Mapping[tuple[str, str], tuple[str | None, bool]]  # (from, to) -> name, legal
    origins: tuple[str, ...]
    destinations: tuple[str, ...]
    declared: bool  # there is a table, and what is not in it is not legal

    def name(self, origin: str, destination: str) -> str | None:
        """The movement's name in the table."""
        return self.table.get((origin, destination), (None, False))[0]

    def legal(self, origin: str, destination: str) -> bool | None:
        """Whether one may go so; None: nobody said."""
        return self.table.get((origin, destination), (None, False))[1] if self.declared else None


def places_of(scene: Scene) -> Places | None:
    """The scene's places; None: it wants no movements."""
    if scene.movements:
        return Places(
            {(m.origin, m.destination): (m.name, m.legal) for m in scene.movements},
            tuple(dict.fromkeys(m.origin for m in scene.movements)),
            tuple(dict.fromkeys(m.destination for m in scene.movements)),
            declared=True,
        )
    if scene.movement_places:
        every = tuple(scene.movement_places)
        return Places({}, every, every, declared=False)
    return None


def cell_of(at: Point) -> int:
    """The cell of a point in shares; beyond the picture's edge, the nearest."""
    column = min(COLUMNS - 1, max(0, int(at[0] * COLUMNS)))
    return min(ROWS - 1, max(0, int(at[1] * ROWS))) * COLUMNS + column


def advance(
    places: Places, journey: Journey | None, visits: Sequence[Visit], at: Point
) -> tuple[Journey, list[Finished]]:
    """Take in one step of a vehicle.

    Args:
        places: of the scene.
        journey: what earlier steps left; None: there was none.
        visits: what it did to lines and zones in this step, in any order.
        at: where it is now, in shares.

    Returns:
        The new memory, and the movements that ended in this step, in order.
    """
    cell = cell_of(at)
    journey = journey or Journey(first=cell)
    finished: list[Finished] = []
    for visit in sorted(visits, key=lambda v: (v.ms, not v.leaves, v.place)):
        refs = [visit.place] if visit.way is None else [f"{visit.place}/{visit.way.value}", visit.place]
        if visit.leaves:
            if journey.origin == visit.place:
                journey = msgspec.structs.replace(journey, origin_ms=visit.ms, origin_sd_ms=visit.sd_ms)
            continue
        ended = _ended(places, journey, refs, visit)
        if ended is not None:
            finished.append(ended)
            begins = next((ref for ref in refs if ref in places.origins), None)
            journey = Journey(begins, visit.ms, visit.sd_ms, ended.nth, journey.first)
        elif journey.origin not in places.origins:
            begins = next((ref for ref in refs if ref in places.origins), None)
            if begins is None and journey.origin is None:  # where one only arrives: nobody saw where it came from
                begins = next((ref for ref in refs if ref in places.destinations), None)
            if begins is not None:
                journey = Journey(begins, visit.ms, visit.sd_ms, journey.told, journey.first)
    if journey.origin is not None and (not journey.cells or journey.cells[-1] != cell) and cell not in journey.cells:
        journey = msgspec.structs.replace(journey, cells=(*journey.cells, cell))
    return journey, finished


def _ended(places: Places, journey: Journey, refs: Sequence[str], visit: Visit) -> Finished | None:
    """The movement that ends with this visit."""
    origin = journey.origin
    if origin is None:
        return None
    wanted: Iterator[str] = (ref for ref in refs if (origin, ref) in places.table)
    destination = next(wanted, None) or next((ref for ref in refs if ref in places.destinations), None)
    if destination is None and origin not in places.origins and origin.partition("/")[0] != visit.place:
        # From where nobody should come to where nobody should go: the wrong way through.
        destination = next((ref for ref in refs if ref in places.origins), None)
    if destination is None:
        return None
    if destination == origin and visit.way is None and (origin, destination) not in places.table:
        return None
    sd_ms = None
    if journey.origin_sd_ms is not None and visit.sd_ms is not None:
        sd_ms = round(float((journey.origin_sd_ms**2 + visit.sd_ms**2) ** 0.5), 1)
    return Finished(origin, destination, journey.origin_ms, visit.ms, sd_ms, journey.told + 1, journey.cells)


def learn(learned: Learned, finished: Iterable[Finished]) -> Learned:
    """Count finished movements at every cell they came through."""
    counts = learned.counts if learned.version == VERSION else {}
    for each in finished:
        counts = dict(counts)
        for key in (each.origin, *(f"{each.origin}|{cell}" for cell in each.cells)):
            there = {**counts.get(key, {}), each.destination: counts.get(key, {}).get(each.destination, 0) + 1}
            if sum(there.values()) > MOST:
                there = {place: n // 2 for place, n in there.items() if n > 1}
            counts[key] = there
    return learned if counts is learned.counts else Learned(VERSION, counts)


def likeliest_destination(places: Places, learned: Learned, origin: str, lost_at: int) -> Guess:
    """Where a vehicle from there went that was lost in this cell.

    Every destination that is legal from there, or that somebody went to, is possible; where nobody went anywhere yet
    nothing is told.
    """
    whole = learned.counts.get(origin, {})
    possible = _possible(places, origin, whole)
    return _likeliest(possible, whole, learned.counts.get(f"{origin}|{lost_at}", {}))


def likeliest_origin(places: Places, learned: Learned, destination: str, first_at: int) -> Guess:
    """Where a vehicle came from that was first seen in this cell and went there."""
    whole, cell = {}, {}
    for origin in places.origins:
        if destination in _possible(places, origin, learned.counts.get(origin, {})):
            whole[origin] = learned.counts.get(origin, {}).get(destination, 0)
            cell[origin] = learned.counts.get(f"{origin}|{first_at}", {}).get(destination, 0)
    return _likeliest(sorted(whole), whole, cell)


def _possible(places: Places, origin: str, whole: Mapping[str, int]) -> list[str]:
    if places.declared:
        legal = {to for (begin, to), (_, may) in places.table.items() if begin == origin and may}
    else:
        legal = {to for to in places.destinations if to != origin}
    return sorted(legal | whole.keys())


def _likeliest(possible: Sequence[str], whole: Mapping[str, int], cell: Mapping[str, int]) -> Guess:
    total = sum(whole.values())
    if not total or not possible:
        return Guess(None, None, total)
    in_cell = sum(cell.values())

    def probability(place: str) -> float:
        prior = (whole.get(place, 0) + 1) / (total + len(possible))
        return (cell.get(place, 0) + BACKING * prior) / (in_cell + BACKING)

    best = max(possible, key=probability)  # of equals the first by name
    return Guess(best, round(probability(best), 4), total)
