"""The tracker is compiled for the machine it runs on; who waits for it is told why."""

import threading
from collections.abc import Callable

from pipeline.core.warm_up import warm_up

_AT_ONCE_S = 3.0
"""What was compiled before is there within that."""


def ready_to_track(say: Callable[[str], None]) -> None:
    """Return when all that tracking needs is compiled: soon where that was done before, else after some ten seconds.

    Args:
        say: is given one line, from another thread, where it takes long.
    """
    late = threading.Timer(_AT_ONCE_S, say, ["compiling the tracker for this machine; the next start need not"])
    late.start()
    try:
        warm_up()
    finally:
        late.cancel()
