"""What is played instead of watched, a file or a simulated camera: when it began, and its own speed."""

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipeline.core.model import Camera
from pipeline.errors import Fatal
from pipeline.ports import Clockwork

LATE_S = 5.0  # what is so far behind its own speed is not rushed after it


def started_ms(camera: Camera) -> int | None:
    """When the first frame was captured: a camera's `start` in its time zone; None: nobody said.

    Raises:
        Fatal: start or time zone cannot be understood.
    """
    if camera.start is None:
        return None
    try:
        at = datetime.fromisoformat(camera.start)
        if at.tzinfo is None:
            at = at.replace(tzinfo=ZoneInfo(camera.time_zone))
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise Fatal(
            f"camera {camera.id}: start {camera.start!r} in time zone {camera.time_zone!r} is not understood: "
            "write it like 2026-05-01T07:30:00 and Europe/Amsterdam"
        ) from exc
    return round(at.timestamp() * 1000)


class Pace:
    """Holds pictures back to their own speed."""

    def __init__(self, clock: Clockwork) -> None:
        self._clock = clock
        self._zero: float | None = None  # monotonic time of media time 0

    async def wait_for(self, media_ms: int, *, anew: bool) -> None:
        """Until a picture is due; `anew`: it begins a new count, after a hole."""
        now = self._clock.monotonic()
        due = now if self._zero is None else self._zero + media_ms / 1000
        if self._zero is None or anew or now - due > LATE_S:
            self._zero = now - media_ms / 1000
        elif due > now:
            await self._clock.sleep(due - now)
