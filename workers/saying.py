"""How a process speaks: one line a message, never a secret, never a traceback unless GANTRY_DEBUG=1 asks for it."""

import logging
import os
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path
from types import TracebackType

from pipeline.adapters.secrets import redact
from pipeline.errors import GantryError

COMPILING = "compiling the tracker for this machine, which takes some ten seconds"
"""What is said before that, so that nobody sits before a silent screen."""


def debugging() -> bool:
    """Whether a person wants to see tracebacks."""
    return os.environ.get("GANTRY_DEBUG", "") not in {"", "0"}


def told(error: BaseException) -> str:
    """An error in one line: ours by their own words, an unexpected one by its type, text and place."""
    if isinstance(error, GantryError):
        return redact(str(error))
    text = " ".join(str(error).split())
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return redact(f"unexpected {what}{_place(error.__traceback__)} (GANTRY_DEBUG=1 shows more)")


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send every log line of this process to stderr: ours from `level` up, other libraries' warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("gantry").setLevel(logging.DEBUG if debugging() else level)
    logging.captureWarnings(capture=True)
    if not sys.warnoptions and not debugging():
        warnings.simplefilter("ignore")  # a library's deprecations are no user's business
    threading.excepthook = _thread_failed


class OneLine(logging.Formatter):
    """`2026-01-01T00:00:00.000Z INFO detect: owns 12 partitions`, credentials taken out."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message held; a traceback only while debugging."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        text = record.getMessage()
        more = ""
        if record.exc_info and record.exc_info[1] is not None:
            if debugging():
                more = "\n" + redact(self.formatException(record.exc_info))
            else:
                text = f"{text}: {told(record.exc_info[1])}"
        text = redact(" | ".join(line.strip() for line in text.splitlines() if line.strip()))
        name = record.name.removeprefix("gantry.")
        return f"{moment}.{int(record.msecs):03d}Z {record.levelname} {name}: {text}{more}"


def show_traceback(error: BaseException) -> None:
    """Print the traceback, redacted, while debugging."""
    if debugging():
        sys.stderr.write(redact("".join(traceback.format_exception(error))))


def _thread_failed(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        name = args.thread.name if args.thread is not None else "?"
        logging.getLogger("gantry").error("thread %s ended: %s", name, told(args.exc_value))
        show_traceback(args.exc_value)


def _place(trace: TracebackType | None) -> str:
    frames = traceback.extract_tb(trace)
    if not frames:
        return ""
    ours = [f for f in frames if {"pipeline", "workers"} & set(Path(f.filename).parts)] or frames
    where = Path(ours[-1].filename)
    return f" at {where.parent.name}/{where.name}:{ours[-1].lineno}"
