"""One process: log, metrics page, signals, exit code. The stage itself is handed in."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any

from pipeline.adapters.kafka import Kafka
from pipeline.adapters.metrics import PrometheusMeter, serve_metrics
from pipeline.config.settings import Settings
from pipeline.errors import Fatal, GantryError, Retry
from workers.connection import connect
from workers.saying import log_to_stderr, show_traceback, told

DONE = 0
UNEXPECTED = 70
AGAIN = 75
MEND = 78
"""Exit codes, by sysexits.h: a fault of ours, worth another try, and a person must mend the configuration."""


class Stopped(Exception):  # noqa: N818 - it is no error
    """The process was told to stop before it could begin."""


class WallClock:
    """The real time, behind the `Clockwork` port."""

    def now_ms(self) -> int:
        """UTC, milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class Process:
    """What a stage's worker is given.

    Attributes:
        name: capture, detect, track, aggregate, serve...
        settings: the whole file; hand the stage only its own policy.
        meter: the process's metrics.
        stop: set by the first SIGTERM or SIGINT; return soon after.
        clock: the real time.
        at_work: whether all that it needs is there; the stage says so, and /ready beside the metrics tells it.
    """

    def __init__(self, name: str, settings: Settings, meter: PrometheusMeter) -> None:
        self.name, self.settings, self.meter = name, settings, meter
        self.stop = asyncio.Event()
        self.clock = WallClock()
        self.at_work = False
        self.log = logging.getLogger(f"gantry.{name}")

    async def kafka(self) -> Kafka:
        """The installation's Kafka, once it answers; says so while it does not.

        Raises:
            Fatal: it will never have us, or a topic has another number of partitions than the settings say.
            Stopped: we were told to stop first; let it pass, `run` knows it.
        """
        kafka = connect(self.settings.kafka, f"gantry-{self.name}")
        while True:
            await kafka.wait_until_reachable(self.log.warning, self.stop)
            if self.stop.is_set():
                raise Stopped
            try:
                wrong = await kafka.topics_misplace()
            except Retry as exc:  # a broker that just came does not know everything yet
                self.log.warning("%s; asks again", exc)
                await self.clock.sleep(1)
                continue
            if wrong:
                raise Fatal("\n".join(wrong))
            return kafka


def run(process: str, main: Callable[[Process], Coroutine[Any, Any, None]], settings: Settings) -> int:
    """Run a process to its end.

    The metrics page is up before `main` begins and until it has ended. The first SIGTERM or SIGINT sets
    `process.stop`; a second one exits at once: nothing here may hang on a graceful end.

    Returns:
        The exit code: 0 done or stopped, 78 a person must mend something (Fatal), 75 trying again may help (any
        other error of ours), 70 a fault of ours. The error is one line on stderr.
    """
    log_to_stderr()
    log = logging.getLogger(f"gantry.{process}")
    try:
        return _run(process, main, settings, log)
    except Stopped:
        return DONE
    except Fatal as exc:
        log.error("%s", told(exc))
        return MEND
    except GantryError as exc:
        log.error("%s", told(exc))
        return AGAIN
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception as exc:  # noqa: BLE001 - the last door: told in one line, then the exit code says it
        log.critical("%s", told(exc))
        show_traceback(exc)
        return UNEXPECTED


def _run(
    name: str, main: Callable[[Process], Coroutine[Any, Any, None]], settings: Settings, log: logging.Logger
) -> int:
    meter = PrometheusMeter(name)
    process, shown = Process(name, settings, meter), settings.metrics
    with ExitStack() as stack:
        if shown.port is not None:
            stack.enter_context(serve_metrics(meter, shown.host, shown.port, ready=lambda: process.at_work))
        asyncio.run(_until_done(process, main, log))
    return DONE


async def _until_done(
    process: Process, main: Callable[[Process], Coroutine[Any, Any, None]], log: logging.Logger
) -> None:
    loop = asyncio.get_running_loop()

    def asked(number: signal.Signals) -> None:
        if process.stop.is_set():
            log.warning("%s again: ends at once", number.name)
            os._exit(128 + number)
        log.info("%s: stops", number.name)
        process.stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked, number)
    log.info("starts")
    await main(process)
    log.info("stopped" if process.stop.is_set() else "is done")
