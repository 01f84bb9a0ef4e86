"""Keeps the processes of one machine running: starts, restarts, stops; one log for all of them.

A process that ended is started again after a wait that doubles, up to a cap. A wait begins anew at its shortest
after a process lived a while. One that says again and again that a person must mend its configuration (exit code
78) stops everything: nothing here could ever work.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import msgspec

from pipeline.errors import Fatal
from workers.orphans import VARIABLE
from workers.process import MEND

LONGEST_LINE = 8192


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """One process to keep running."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = {}  # besides our own


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How a supervisor waits."""

    first_s: float = 1.0  # before the first restart
    most_s: float = 30.0  # before any
    calm_s: float = 60.0  # a process that lived so long begins with the shortest wait again
    mends: int = 5  # ends with exit code 78 in a row that stop everything
    grace_s: float = 10.0  # between asking a process to stop and killing it


class Supervisor:
    """Runs programs until it is told to stop, or until one of them can never work.

    Args:
        programs: in the order in which they are started, and stopped.
        say: gets every line of the common log, with the name of the process before it.
        patience: waits and limits.
    """

    def __init__(
        self, programs: Sequence[Program], say: Callable[[str], None], patience: Patience | None = None
    ) -> None:
        self.programs, self.patience = programs, patience or Patience()
        self._say_line = say
        self._width = max([len(program.name) for program in programs] + [len("gantry")])
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._leash: int | None = None

    def say(self, name: str, text: str) -> None:
        """One line of the common log."""
        self._say_line(f"{name:<{self._width}} | {text}")

    def running(self) -> dict[str, int]:
        """Process id by name of what runs now."""
        return {name: process.pid for name, process in self._running.items() if process.returncode is None}

    async def run(self, stop: asyncio.Event) -> None:
        """Run all programs until `stop` is set; then none of them is left.

        Raises:
            Fatal: one program said `mends` times in a row that a person must mend something; has its last line.
        """
        self._leash, held = os.pipe()  # children read the one; the other is ours alone, and is never written
        keepers = [asyncio.create_task(self._keep(program, self._leash)) for program in self.programs]
        asked = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([asked, *keepers], return_when=asyncio.FIRST_COMPLETED)
            self._stopping.set()
            await self._stop_in_order()
            for keeper in keepers:
                await keeper  # raises what ended it
        finally:
            asked.cancel()
            self._stopping.set()
            self.kill()
            await asyncio.gather(*(process.wait() for process in list(self._running.values())))
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            os.close(held)
            os.close(self._leash)

    def kill(self) -> None:
        """End all processes, and whatever they started, at once."""
        for process in self._running.values():
            _kill_group(process.pid)

    async def _stop_in_order(self) -> None:
        for program in self.programs:
            process = self._running.get(program.name)
            if process is None or process.returncode is not None:
                continue
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(self.patience.grace_s):
                    await process.wait()
            except TimeoutError:
                self.say("gantry", f"{program.name} did not stop within {self.patience.grace_s:g} s and is killed")
                _kill_group(process.pid)
                await process.wait()

    async def _keep(self, program: Program, leash: int) -> None:
        """Start a program again and again, until we stop or it can never work."""
        pause, mends = self.patience.first_s, 0
        while not self._stopping.is_set():
            began = time.monotonic()
            code, last = await self._once(program, leash)
            if self._stopping.is_set():
                return
            lived = time.monotonic() - began
            if lived >= self.patience.calm_s:
                pause, mends = self.patience.first_s, 0
            mends = mends + 1 if code == MEND else 0
            if mends >= self.patience.mends:
                raise Fatal(f"{program.name} cannot work, {mends} times in a row: {last}")
            self.say("gantry", f"{program.name} {_ended(code)} after {lived:.0f} s; starts again in {pause:g} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, self.patience.most_s)

    async def _once(self, program: Program, leash: int) -> tuple[int, str]:
        """Run a program to its end; its exit code and its last line."""
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **program.environment, VARIABLE: str(leash)}
        # The pipe is ours, not asyncio's: its wait() waits for the pipe's end too, which a grandchild can hold open.
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                env=environment,
                pass_fds=(leash,),
                start_new_session=True,  # Ctrl-C reaches us alone, and we stop them in order
            )
        except OSError as exc:
            os.close(reading)
            raise Fatal(f"{program.name} cannot be started: {program.command[0]}: {exc.strerror}") from exc
        finally:
            os.close(writing)
        self._running[program.name] = process
        if self._stopping.is_set():  # asked to stop while it was being started
            _kill_group(process.pid)
        copying = asyncio.create_task(self._copy(program.name, reading))
        try:
            code = await process.wait()
            _kill_group(process.pid)  # what it may have left behind
            return code, await copying
        finally:
            copying.cancel()
            if process.returncode is not None:
                self._running.pop(program.name, None)

    async def _copy(self, name: str, pipe: int) -> str:
        """Copy a process's lines into the common log until nobody can write any more; the last line."""
        lines = asyncio.StreamReader()
        transport, _protocol = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(pipe, "rb", buffering=0)
        )
        rest, last = b"", ""
        try:
            while chunk := await lines.read(LONGEST_LINE):
                *whole, rest = (rest + chunk).split(b"\n")
                if len(rest) > LONGEST_LINE:
                    whole, rest = [*whole, rest], b""
                for line in whole:
                    last = self._say_bytes(name, line) or last
        finally:
            transport.close()
        return self._say_bytes(name, rest) or last

    def _say_bytes(self, name: str, line: bytes) -> str:
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            self.say(name, text)
        return text


def own_command(*arguments: str) -> list[str]:
    """The command line that runs `gantry` with these arguments, by this same interpreter and this same code."""
    return [sys.executable, "-m", "workers.gantry", *arguments]


def _ended(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}" if code else "ended although nobody asked it to"


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
