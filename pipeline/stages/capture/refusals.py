"""Records that the broker refuses come fifteen a second; what is said of them does not."""


class Refusals:
    """When to speak of refusals: at the first, then now and then, and when they are over.

    They are over when something is taken and nothing was refused for `again_s`: where one picture in ten is too
    large, nobody wants to be told of each end.

    Args:
        again_s: the time between two words about it, by the clock that `now` is read from.
    """

    def __init__(self, again_s: float) -> None:
        self._again_s = again_s
        self._total = self._unsaid = 0
        self._last = self._said = 0.0

    def refused(self, now: float) -> int | None:
        """One more. Returns how many there were since the last word, this one included; None: not to be said yet."""
        begins = self._total == 0
        self._total += 1
        self._unsaid += 1
        self._last = now
        if not begins and now - self._said < self._again_s:
            return None
        self._said = now
        unsaid, self._unsaid = self._unsaid, 0
        return unsaid

    def taken(self, now: float) -> int | None:
        """Something was taken. Returns how many were refused in all, once, when that is over; None: it is not, or never was."""
        return self.end() if self._total and now - self._last >= self._again_s else None

    def end(self) -> int | None:
        """Nothing more comes. Returns how many were refused in all; None: none, or it was over before."""
        total, self._total, self._unsaid = self._total, 0, 0
        return total or None
