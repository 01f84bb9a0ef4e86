"""The only door to numba: functions that are made machine code before they run.

What is done for every vehicle and every pair of a vehicle and a box is scalar arithmetic over some twenty of them; so
few that numpy takes longer to begin than to work. numba is imported, and a function compiled, when it is called for
the first time: that takes seconds, and most processes never track. What was compiled is kept on disk (see numba's
NUMBA_CACHE_DIR), where there is a place to write to, and room; else each process compiles anew.

The order of operations is that of Python, without `fastmath`: the same input gives the same output bit for bit.
"""

from collections.abc import Callable
from functools import cached_property, update_wrapper
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Compiled(Generic[P, R]):
    """A function that is compiled when it is first called, once for each choice of types.

    py_func: the same in Python, for who wants to step through it.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        self.py_func = function
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The function's own contract."""
        try:
            answer: R = self.dispatcher(*args, **kwargs)
        except Exception as exc:
            if self.dispatcher.overloads and not isinstance(exc, OSError):
                raise  # it ran, and this is its own
            # The cache is damaged, or the place for it is full: compile without one, and whatever is called, too.
            for each in _EVERY:
                each.dispatcher = each._without_cache()  # noqa: SLF001 - our own
            answer = self.dispatcher(*args, **kwargs)
        return answer

    @cached_property
    def dispatcher(self) -> Any:
        """What numba made of it."""
        try:
            return _njit(cache=True)(self.py_func)
        except RuntimeError:  # there is no place where a cache may be written
            return self._without_cache()

    def _without_cache(self) -> Any:
        return _njit(cache=False)(self.py_func)

    @property
    def anew(self) -> bool:
        """Whether this process had to compile it, for it was in no cache."""
        return bool(self.dispatcher.stats.cache_misses)

    @property
    def _numba_type_(self) -> Any:
        """What numba asks for when one compiled function calls another."""
        return self.dispatcher._numba_type_


def _njit(*, cache: bool) -> Callable[[Callable[..., Any]], Any]:
    from numba import njit  # noqa: PLC0415 - takes a second, which only who tracks should wait

    how: Any = njit(cache=cache, error_model="numpy")  # a division by zero is infinite or no number
    return how  # type: ignore[no-any-return]


_EVERY: list[Compiled[..., Any]] = []


def compiled(function: Callable[P, R]) -> Compiled[P, R]:
    """Have a function compiled.

    It takes and gives numbers, arrays and tuples of them; what it computes from elsewhere are other compiled functions
    and constants of its own file: numba's cache is out of date when that file was changed, and knows of no other.
    """
    made = Compiled(function)
    _EVERY.append(made)
    return made
