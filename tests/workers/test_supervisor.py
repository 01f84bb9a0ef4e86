"""One supervisor: starts, restarts, gives up, and leaves nobody behind."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress

import psutil
import pytest

from pipeline.errors import Fatal
from workers.supervisor import Patience, Program, Supervisor

QUICK = Patience(first_s=0.05, most_s=0.2, calm_s=60, mends=3, grace_s=5)
FOREVER = "import signal, time\nprint('ready', flush=True)\ntime.sleep(600)"


def program(name, code, **environment):
    return Program(name=name, command=[sys.executable, "-c", textwrap.dedent(code)], environment=environment)


class Log:
    """The common log, and a way to wait for a line of it."""

    def __init__(self):
        self.lines, self._news = [], asyncio.Event()

    def __call__(self, line):
        self.lines.append(line)
        self._news.set()

    def count(self, text):
        return sum(text in line for line in self.lines)

    async def until(self, text, times=1):
        async with asyncio.timeout(30):
            while self.count(text) < times:
                self._news.clear()
                await self._news.wait()


@pytest.fixture
def log():
    return Log()


async def running(log, *programs, patience=QUICK):
    supervisor, stop = Supervisor(programs, log, patience), asyncio.Event()
    return supervisor, stop, asyncio.create_task(supervisor.run(stop))


def gone(pid, seconds=20):
    """Whether a process ends by itself; one that was killed needs a moment on a busy machine."""
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def alive(pid):
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


async def test_every_line_comes_with_the_name_of_its_process(log):
    _, stop, run = await running(
        log,
        program(
            "one", "import sys, time; print('out'); sys.stderr.write('err\\n'); sys.stderr.flush(); time.sleep(600)"
        ),
        program(
            "seven",
            "import time; print('x' * 20000); print('héllo\\nno end', end='', flush=True); time.sleep(600)",
        ),
    )
    await log.until("héllo")
    await log.until("err")
    stop.set()
    await run

    assert "one    | out" in log.lines
    assert "one    | err" in log.lines
    assert "seven  | héllo" in log.lines
    assert "seven  | no end" in log.lines
    assert sum(line.count("x") for line in log.lines if line.startswith("seven")) == 20000


async def test_a_process_that_ends_is_started_again_later_and_later(log):
    _, stop, run = await running(log, program("crash", "import sys; sys.exit(7)"))
    await log.until("crash ended with exit code 7", times=4)
    stop.set()
    await run

    waits = [line.rpartition("again in ")[2] for line in log.lines if "starts again" in line]
    assert waits[:4] == ["0.05 s", "0.1 s", "0.2 s", "0.2 s"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
        ("pass", "ended although nobody asked it to"),
        ("raise SystemExit(75)", "ended with exit code 75"),
    ],
)
async def test_how_a_process_ended_is_said_plainly(log, code, said):
    _, stop, run = await running(log, program("it", code))
    await log.until(f"it {said}")
    stop.set()
    await run


async def test_one_crash_does_not_touch_the_others(log):
    supervisor, stop, run = await running(log, program("steady", FOREVER), program("crash", "raise SystemExit(1)"))
    await log.until("steady | ready")
    pid = supervisor.running()["steady"]
    await log.until("crash ended", times=3)

    assert supervisor.running()["steady"] == pid
    stop.set()
    await run


async def test_a_configuration_nobody_mends_stops_everything_with_its_message(log):
    supervisor, _, run = await running(
        log,
        program("steady", FOREVER),
        program("bad", "import sys; sys.stderr.write('topic frames is missing\\n'); sys.exit(78)"),
    )
    await log.until("steady | ready")
    pid = supervisor.running()["steady"]
    with pytest.raises(Fatal, match="bad cannot work, 3 times in a row: topic frames is missing"):
        await run

    assert gone(pid)
    assert log.count("bad    | topic frames is missing") == 3


async def test_a_configuration_that_was_mended_in_between_counts_from_the_start(log, tmp_path):
    tries = tmp_path / "tries"
    code = f"""
        import pathlib, sys
        tries = pathlib.Path({str(tries)!r})
        n = len(tries.read_text()) if tries.exists() else 0
        tries.write_text('x' * (n + 1))
        sys.exit([78, 78, 1][n % 3])
    """
    _, stop, run = await running(log, program("wavers", code))
    await log.until("wavers ended", times=8)
    stop.set()
    await run


async def test_a_command_that_is_not_there_is_told(log):
    supervisor = Supervisor([Program(name="ghost", command=["/nowhere/ghost"])], log, QUICK)

    with pytest.raises(Fatal, match="ghost cannot be started: /nowhere/ghost: No such file or directory"):
        await supervisor.run(asyncio.Event())


async def test_processes_stop_in_order_each_after_the_one_before(log):
    code = """
        import signal, sys, time
        def end(*_):
            time.sleep(0.2); print('ended', flush=True); sys.exit(0)
        signal.signal(signal.SIGTERM, end); print('ready', flush=True); time.sleep(600)
    """
    _, stop, run = await running(log, *(program(name, code) for name in ("a", "b", "c")))
    await log.until("ready", times=3)
    stop.set()
    await run

    assert [line[0] for line in log.lines if "ended" in line] == ["a", "b", "c"]


async def test_one_that_does_not_stop_in_time_is_killed_and_that_is_said(log):
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
    supervisor, stop, run = await running(log, program("deaf", code), patience=Patience(first_s=0.05, grace_s=0.2))
    await log.until("ready")
    pid = supervisor.running()["deaf"]
    stop.set()
    await run

    assert gone(pid)
    assert log.count("deaf did not stop within 0.2 s and is killed") == 1


async def test_what_a_process_left_behind_ends_with_it(log):
    """A grandchild that holds the log open would otherwise keep a dead process unreplaced for ever."""
    code = """
        import subprocess, sys
        child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
        print('grandchild', child.pid, flush=True)
        sys.exit(1)
    """
    _, stop, run = await running(log, program("parent", code))
    await log.until("parent ended with exit code 1", times=2)
    stop.set()
    await run

    left = [int(line.rpartition(" ")[2]) for line in log.lines if "grandchild" in line]
    assert len(left) >= 2
    assert all(gone(pid) for pid in left)


async def test_a_cancelled_supervisor_leaves_nobody_behind(log):
    supervisor, _, run = await running(log, program("steady", FOREVER))
    await log.until("ready")
    pid = supervisor.running()["steady"]
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    assert gone(pid)


SUPERVISED = """
import asyncio, sys, textwrap
from workers.supervisor import Program, Supervisor
child = textwrap.dedent('''
    import os, signal, subprocess, sys, time
    from workers.orphans import end_with_supervisor
    end_with_supervisor(grace_s=1.0)
    if sys.argv[1] == 'deaf':
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    grandchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
    print('pids', os.getpid(), grandchild.pid, flush=True)
    time.sleep(600)
''')
programs = [Program(name='child', command=[sys.executable, '-c', child, sys.argv[1]])]
asyncio.run(Supervisor(programs, lambda line: print(line, flush=True)).run(asyncio.Event()))
"""


@pytest.mark.parametrize("child", ["gentle", "deaf"])
def test_no_child_outlives_a_supervisor_that_was_killed(child):
    with subprocess.Popen([sys.executable, "-c", SUPERVISED, child], stdout=subprocess.PIPE, text=True) as supervisor:
        pids = [int(word) for word in supervisor.stdout.readline().split()[-2:]]
        assert alive(pids[0])
        os.kill(supervisor.pid, signal.SIGKILL)
        supervisor.wait()
        left = [pid for pid in (pids if child == "deaf" else pids[:1]) if not gone(pid)]
        for pid in filter(alive, pids):
            os.kill(pid, signal.SIGKILL)

    assert left == []
