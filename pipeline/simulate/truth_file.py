"""Read a truth file, and tell everything that is wrong with it: with its form, and where it contradicts itself."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from pipeline.core.model import Scene
from pipeline.errors import Fatal
from pipeline.simulate.occupied import Occupied
from pipeline.simulate.passages import Passage
from pipeline.simulate.queues import Queue
from pipeline.simulate.scenarios import SCENARIOS
from pipeline.simulate.truth import VERSION, Incident, Movement, Truth
from pipeline.wire.checked import decoded, mistaken, mistakes

T = TypeVar("T")

Rows = list[tuple[int, T]]
"""Those rows of a list that can be read, each with its place in it."""

Told = Iterator[tuple[str, str]]
"""Mistakes: place and text."""


def read_truth(data: bytes, *, name: str = "truth") -> Truth:
    """The truth of a file.

    Args:
        data: JSON as the published `truth.schema.json` has it.
        name: of the file, for the message.

    Raises:
        Fatal: everything that is wrong with it, each with its place: what the schema does not allow, and what does not
            fit together as far as it can be read: lines that the scene does not have, users that nobody is, rows that
            stand twice, times that do not fit.
    """
    tree = decoded(data, name=name)
    version = tree.get("version", VERSION) if isinstance(tree, dict) else VERSION
    if type(version) is int and version != VERSION:
        raise Fatal(f"{name}: is truth of version {version}, read here: {VERSION}; update gantry or make it anew")
    wrong = mistakes(tree, Truth)
    if found := [*wrong, *_contradictions(tree if isinstance(tree, dict) else {})]:
        raise mistaken(found, name=name)
    return msgspec.convert(tree, Truth)


def _contradictions(tree: dict[str, Any]) -> Told:
    """What each part alone does not tell, from all parts that can be read."""
    scene, end_ms = _one(tree.get("scene"), Scene), _one(tree.get("duration_ms"), int)
    lines = None if scene is None else [line.name for line in scene.lines]
    places = None if scene is None or lines is None else [*lines, *(zone.name for zone in scene.zones)]
    passages, movements = _rows(tree, "passages", Passage), _rows(tree, "movements", Movement)
    queues, occupied = _rows(tree, "queues", Queue), _rows(tree, "occupied", Occupied)
    incidents = _rows(tree, "incidents", Incident)
    yield from _unknown("passages", "line", "line", ((n, each.line) for n, each in passages), lines)
    yield from _late("passages", ((n, each.t_ms) for n, each in passages), end_ms)
    yield from _twice("passages", [(n, (each.line, each.user, each.t_ms)) for n, each in passages])
    yield from _twice("movements", [(n, each.user) for n, each in movements])
    place = SCENARIOS.get(str(tree.get("scenario")))
    approaches = None if place is None else [approach.name for approach in place.approaches]
    yield from _unknown("queues", "approach", "approach", ((n, each.approach) for n, each in queues), approaches)
    yield from _late("queues", ((n, each.t_ms) for n, each in queues), end_ms)
    yield from _twice("queues", [(n, (each.approach, each.t_ms)) for n, each in queues])
    yield from _unknown("occupied", "place", "line or zone", ((n, each.place) for n, each in occupied), places)
    yield from _twice("occupied", [(n, (each.place, each.from_ms)) for n, each in occupied])
    for n, each in occupied:
        if each.to_ms <= each.from_ms:
            yield f"occupied[{n}].to_ms", f"must be after from_ms {each.from_ms}, got {each.to_ms}"
    spans = [(f"movements[{n}]", row.from_ms, row.to_ms) for n, row in movements]
    spans += [(f"incidents[{n}]", row.from_ms, row.to_ms) for n, row in incidents]
    for where, from_ms, to_ms in spans:
        if to_ms < from_ms:
            yield f"{where}.to_ms", f"must not be before from_ms {from_ms}, got {to_ms}"
    if _whole(tree, "passages", passages) and _whole(tree, "movements", movements):
        users = {row.user for _, row in passages} | {row.user for _, row in movements}
        for n, incident in incidents:
            for at, user in enumerate(incident.users):
                if user not in users:
                    yield f"incidents[{n}].users[{at}]", f"user {user} has neither a movement nor a passage"


def _unknown(key: str, part: str, what: str, rows: Iterable[tuple[int, str]], known: Sequence[str] | None) -> Told:
    """Names that are not among the known; None: what is known cannot be read."""
    if known is None:
        return
    owner = "the scenario" if part == "approach" else "the scene"
    for n, name in rows:
        if name not in known:
            yield f"{key}[{n}].{part}", f"{owner} has no {what} {name!r} (it has: {', '.join(known) or 'none'})"


def _late(key: str, rows: Iterable[tuple[int, float]], end_ms: int | None) -> Told:
    for n, t_ms in rows:
        if end_ms is not None and t_ms > end_ms:
            yield f"{key}[{n}].t_ms", f"{t_ms:g} is after the end, duration_ms {end_ms}"


def _twice(key: str, rows: Iterable[tuple[int, Hashable]]) -> Told:
    """Rows that say what an earlier one says already."""
    first: dict[Hashable, int] = {}
    for n, same in rows:
        if first.setdefault(same, n) != n:
            yield f"{key}[{n}]", f"stands twice: {key}[{first[same]}] is the same"


def _rows(tree: dict[str, Any], key: str, kind: type[T]) -> Rows[T]:
    rows = tree.get(key)
    if not isinstance(rows, list):
        return []
    read = ((n, _one(row, kind)) for n, row in enumerate(rows))
    return [(n, row) for n, row in read if row is not None]


def _whole(tree: dict[str, Any], key: str, rows: Rows[Any]) -> bool:
    """Whether all rows can be read."""
    there = tree.get(key)
    return isinstance(there, list) and len(there) == len(rows)


def _one(part: Any, kind: type[T]) -> T | None:
    """A part; None where it cannot be read, which `mistakes` tells."""
    try:
        return msgspec.convert(part, kind)
    except msgspec.ValidationError:
        return None
