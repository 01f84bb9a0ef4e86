"""Overcrowding: a zone that holds too many vehicles, for too long.

It begins when the zone has held `vehicles` or more for `for_s` without a break, and is told with the moment at which
that began; it ends when the zone has been down to `until` or fewer for as long, and is told with the moment at which
that began. Between the two numbers it stays what it was, so that one vehicle more or less changes nothing.

What was not seen is unknown, not empty: a gap breaks the time that counts towards a beginning, and ends nothing. An
overcrowding that is over when sight comes back lasted at least until sight was lost.
"""

import msgspec

from pipeline.core.model import CrowdEnd, Crowding


class Crowd(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered of one zone."""

    since_ms: int | None = None  # it has held too many since then, without a break
    clear_ms: int | None = None  # it has held few enough since then
    full_ms: int = 0  # when it was last seen with more than few enough
    peak: int = 0
    id: str = ""  # of the overcrowding that goes on; empty: none does
    revision: int = 0


class Told(msgspec.Struct, frozen=True):
    """What there is to say of an overcrowding."""

    id: str
    revision: int
    begin_ms: int
    vehicles: int
    end_ms: int | None = None
    ended: CrowdEnd | None = None


def advance(
    rule: Crowding, crowd: Crowd | None, *, vehicles: int, now_ms: int, blind: bool, new_id: str
) -> tuple[Crowd | None, Told | None]:
    """Take in what one picture shows.

    Args:
        rule: when it is too many.
        crowd: what earlier pictures left.
        vehicles: how many are in the zone.
        now_ms: when the picture was captured.
        blind: nobody saw what was between the picture before and this one.
        new_id: the id of an overcrowding that begins with this picture.

    Returns:
        The new memory, and what there is to say, if anything.
    """
    crowd = crowd or Crowd()
    few = vehicles <= rule.over
    if not crowd.id:
        if vehicles < rule.vehicles:
            return None, None
        since = now_ms if blind or crowd.since_ms is None else crowd.since_ms
        peak = vehicles if since == now_ms else max(crowd.peak, vehicles)
        begun = now_ms - since >= rule.for_s * 1000
        crowd = Crowd(since, None, now_ms, peak, new_id if begun else "", 0)
        return crowd, Told(new_id, 0, since, peak) if begun else None
    assert crowd.since_ms is not None
    if few and blind:
        return None, ended(crowd, CrowdEnd.UNSEEN)
    if few:
        clear = now_ms if crowd.clear_ms is None else crowd.clear_ms
        if now_ms - clear >= rule.for_s * 1000:
            return None, _end(crowd, clear, CrowdEnd.CLEARED)
        return msgspec.structs.replace(crowd, clear_ms=clear), None
    higher = vehicles > crowd.peak
    crowd = msgspec.structs.replace(
        crowd,
        clear_ms=None,
        full_ms=now_ms,
        peak=max(crowd.peak, vehicles),
        revision=crowd.revision + higher,
    )
    assert crowd.since_ms is not None
    return crowd, Told(crowd.id, crowd.revision, crowd.since_ms, crowd.peak) if higher else None


def ended(crowd: Crowd, how: CrowdEnd) -> Told | None:
    """What to say of one that ends without being seen to: it lasted at least until it was last seen."""
    return _end(crowd, crowd.full_ms, how) if crowd.id else None


def _end(crowd: Crowd, end_ms: int, how: CrowdEnd) -> Told:
    assert crowd.since_ms is not None
    return Told(crowd.id, crowd.revision + 1, crowd.since_ms, crowd.peak, end_ms, how)
