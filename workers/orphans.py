"""A process that `gantry up` started never outlives it, however `gantry up` ended.

The supervisor holds the writing end of a pipe and never writes. Its end, even by SIGKILL, closes the pipe; a thread
of the process reads that and stops the process: first gently, then with everything it started.
"""

import os
import signal
import threading
import time
from contextlib import suppress

VARIABLE = "GANTRY_SUPERVISOR_FD"
GRACE_S = 10.0


def end_with_supervisor(grace_s: float = GRACE_S) -> None:
    """Watch the supervisor, if there is one. Call it first thing in a process."""
    number = os.environ.pop(VARIABLE, "")
    if not number.isdigit():
        return
    with suppress(OSError):
        os.set_inheritable(int(number), False)
        threading.Thread(target=_watch, args=(int(number), grace_s), name="supervisor", daemon=True).start()


def _watch(pipe: int, grace_s: float) -> None:
    with suppress(OSError):
        while os.read(pipe, 1):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_s)
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
