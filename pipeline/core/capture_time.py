"""Capture time: from a stream's own timestamps to milliseconds that always rise.

Timestamps of real streams are missing, repeated, jump and run a little fast. Within one connection capture time
never goes back and never repeats, and whoever reads it is told (`fresh`) where it had to be set anew.
"""

import msgspec

JUMP_MS = 10_000
"""A step ahead by more than this is a jump, not a pause."""

BACK_MS = 250
"""A step back by less than this is a stray picture out of order, not a clock that was set back."""

HOLE_MS = 24 * 3600 * 1000
"""A file may have holes (recordings that pause), but none of a day."""

DRIFT_WINDOW_MS = 60_000
DRIFT_SHARE = 1 / 2000
"""A camera's crystal and ours part by up to this share (quartz: 0.0001): followed, window by window."""


class CaptureTime(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered between the pictures of one connection."""

    nominal_ms: float = 40.0  # between two pictures, where timestamps do not tell
    origin_ms: float | None = None  # capture time of timestamp 0; None: not anchored yet
    last_pts_ms: float | None = None  # the greatest timestamp so far
    last_ms: int | None = None  # capture time of the last picture
    last_arrival_ms: int | None = None
    strays: int = 0  # pictures in a row whose timestamp told nothing
    lag_ms: float | None = None  # least (arrival - capture) of the first drift window
    least_lag_ms: float | None = None  # of the window that runs
    window_ends_ms: int | None = None


class Stamped(msgspec.Struct, frozen=True):
    """The answer for one picture."""

    time: CaptureTime
    captured_ms: int
    fresh: bool = False  # timestamps jumped: a new epoch begins with this picture
    adrift: bool = False  # and the tie to the sender's clock is lost: from here on arrival tells


def stamp(time: CaptureTime, pts_ms: float | None, arrival_ms: int | None) -> Stamped:  # noqa: PLR0911 - one a case
    """Tell when a picture was captured.

    Args:
        time: the memory; `CaptureTime(nominal_ms=...)` at the start of a connection.
        pts_ms: the stream's own timestamp, None if it has none.
        arrival_ms: when the picture reached us (UTC); None for files, whose time counts from 0 at the first picture.

    Returns:
        captured_ms, later than that of the picture before, and the new memory. A missing timestamp is one nominal
        period after the last one (or the arrival, for a stream that never had any).
    """
    if time.last_ms is None:
        captured_ms = 0 if arrival_ms is None else arrival_ms
        origin = None if pts_ms is None else captured_ms - pts_ms
        return _answer(time, captured_ms, pts_ms, arrival_ms, origin_ms=origin)
    if pts_ms is None:
        if time.last_pts_ms is None and arrival_ms is not None:
            return _answer(time, max(time.last_ms + 1, arrival_ms), None, arrival_ms)
        return _answer(time, _next(time), None, arrival_ms, strays=time.strays + 1)
    if time.last_pts_ms is None or time.origin_ms is None:
        return _answer(time, _next(time), pts_ms, arrival_ms, origin_ms=_next(time) - pts_ms)
    step_ms = pts_ms - time.last_pts_ms
    if step_ms <= -BACK_MS or step_ms > JUMP_MS:
        return _jumped(time, pts_ms, arrival_ms)
    if step_ms <= 0:
        captured_ms = time.last_ms + 1 if time.strays < 2 else _next(time)  # noqa: PLR2004 - two strays are an accident, more are a habit
        return _answer(time, captured_ms, None, arrival_ms, strays=time.strays + 1)
    captured_ms = max(time.last_ms + 1, round(time.origin_ms + pts_ms))
    return _answer(_followed(time, captured_ms, arrival_ms), captured_ms, pts_ms, arrival_ms)


def shifted(time: CaptureTime, by_ms: float) -> CaptureTime:
    """The same memory on a clock that shows `by_ms` more."""
    return msgspec.structs.replace(
        time,
        origin_ms=None if time.origin_ms is None else time.origin_ms + by_ms,
        last_ms=None if time.last_ms is None else round(time.last_ms + by_ms),
        lag_ms=None,
        least_lag_ms=None,
        window_ends_ms=None,
    )


def next_pass(time: CaptureTime) -> CaptureTime:
    """The memory for a file that begins again: its first picture comes one period after the last one."""
    return CaptureTime(nominal_ms=time.nominal_ms, last_ms=time.last_ms)


def _next(time: CaptureTime) -> int:
    return (time.last_ms or 0) + max(1, round(time.nominal_ms))


def _jumped(time: CaptureTime, pts_ms: float, arrival_ms: int | None) -> Stamped:
    """A timestamp far from the one before."""
    assert time.last_ms is not None
    assert time.origin_ms is not None
    told_ms = time.origin_ms + pts_ms
    ahead = told_ms > time.last_ms
    if arrival_ms is None or time.last_arrival_ms is None:  # a file: a hole in a recording is true time
        kept = ahead and told_ms - time.last_ms <= HOLE_MS
        captured_ms = round(told_ms) if kept else _next(time)
    else:  # a stream: time went on for the sender as it did for us
        waited_ms = time.last_ms + max(1, arrival_ms - time.last_arrival_ms)
        kept = ahead and abs(told_ms - waited_ms) <= JUMP_MS
        captured_ms = round(told_ms) if kept else waited_ms
    answer = _answer(time, captured_ms, pts_ms, arrival_ms, origin_ms=time.origin_ms if kept else captured_ms - pts_ms)
    return msgspec.structs.replace(answer, fresh=True, adrift=not kept)


def _followed(time: CaptureTime, captured_ms: int, arrival_ms: int | None) -> CaptureTime:
    """Follow the slow drift of the sender's crystal: the least lag of each window against that of the first."""
    if arrival_ms is None or time.origin_ms is None:
        return time
    lag = float(arrival_ms - captured_ms)
    if time.window_ends_ms is None or time.least_lag_ms is None:
        return msgspec.structs.replace(time, least_lag_ms=lag, window_ends_ms=captured_ms + DRIFT_WINDOW_MS)
    least = min(lag, time.least_lag_ms)
    if captured_ms < time.window_ends_ms:
        return msgspec.structs.replace(time, least_lag_ms=least)
    base = least if time.lag_ms is None else time.lag_ms
    most = DRIFT_WINDOW_MS * DRIFT_SHARE
    return msgspec.structs.replace(
        time,
        lag_ms=base,
        origin_ms=time.origin_ms + min(most, max(-most, least - base)),
        least_lag_ms=None,
        window_ends_ms=None,
    )


def _answer(
    time: CaptureTime,
    captured_ms: int,
    pts_ms: float | None,
    arrival_ms: int | None,
    *,
    origin_ms: float | None = None,
    strays: int = 0,
) -> Stamped:
    return Stamped(
        msgspec.structs.replace(
            time,
            origin_ms=time.origin_ms if origin_ms is None else origin_ms,
            last_pts_ms=time.last_pts_ms if pts_ms is None else pts_ms,
            last_ms=captured_ms,
            last_arrival_ms=arrival_ms,
            strays=strays,
        ),
        captured_ms,
    )
