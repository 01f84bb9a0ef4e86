"""Numbers of the command line: what is no number is refused, too."""

import math

import click


class Finite(click.FloatRange):
    """A range that keeps out nan, which click's own lets through, and what has no end.

    Args:
        of: what is counted, for the message.
        low, high: the bounds.
        low_open: whether the lower bound itself is out.
    """

    def __init__(self, of: str, low: float, high: float, *, low_open: bool = False) -> None:
        super().__init__(low, high, min_open=low_open)
        self._of = of

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number of {self._of}", param, ctx)
        return number
