"""True beside counted: from the camera's own log and the history."""

import asyncio
import contextlib

import pytest

from pipeline.adapters.store import open_store
from pipeline.core.model import Clock, Detections, Header, Opened, Record, Size, Way
from pipeline.ports import Changes
from pipeline.simulate.journeys import recorded
from pipeline.simulate.scenarios import scenario
from pipeline.simulate.truth import truth
from pipeline.stages.serve import TrueCounts
from pipeline.stages.serve.truth import LATE_MS
from pipeline.wire.codec import encode_record
from tests.stages.serving import crossing, small_broker

START_MS = 1_700_000_000_000
TRUTH = truth(recorded("motorway", 1), scenario("motorway"))
LENGTH_MS = TRUTH.duration_ms


def true_until(t_ms):
    return sum(passage.t_ms < t_ms for passage in TRUTH.passages)


class Log:
    """Writes a camera's log as detect does."""

    def __init__(self, writer, camera="motorway"):
        self.writer, self.camera, self.seq = writer, camera, {}

    async def put(self, epoch, captured_ms, body):
        seq = self.seq[epoch] = self.seq.get(epoch, -1) + 1
        header = Header(
            log="log", camera=self.camera, shard=1, epoch=epoch, seq=seq, captured_ms=captured_ms, clock=Clock.FILE
        )
        record = encode_record(Record(header, body))
        await (await self.writer.send("detections", 1, key=record.key, value=record.value, headers=record.headers))

    async def opened(self, epoch, first_ms):
        body = Opened(source_size=Size(1280, 720), clock=Clock.FILE, fps=10.0, restarts=epoch > 0, first_ms=first_ms)
        await self.put(epoch, first_ms, body)

    async def seen(self, epoch, captured_ms):
        await self.put(epoch, captured_ms, Detections(x1=[], y1=[], x2=[], y2=[], score=[], label=[]))


@pytest.fixture
async def world(tmp_path):
    """(the camera's log, what tells, how to store counted crossings at capture times)."""
    broker = small_broker()
    async with contextlib.AsyncExitStack() as stack:
        writer = await stack.enter_async_context(broker.writer())
        logs = await stack.enter_async_context(broker.logs())
        history = await stack.enter_async_context(open_store(str(tmp_path / "h.db")))
        tells = TrueCounts({"motorway": TRUTH}, logs, history)
        following = asyncio.ensure_future(tells.follow())

        async def counted(*times_ms):
            events = [
                crossing(n, id=f"e{t}", camera="motorway", line="eastbound", direction=Way.TO_LEFT, captured_ms=t)
                for n, t in enumerate(times_ms)
            ]
            await history.write(Changes(log="log", at_ms=START_MS, events=events, flows=[], offsets={}))

        yield Log(writer), tells, counted
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def sums(tells, enough):
    """(true, counted) when `enough` says so of them."""
    async with asyncio.timeout(20):
        while True:
            counts = await tells.counts()
            found = (sum(c.true for c in counts), sum(c.counted for c in counts))
            if enough(*found):
                return found
            await asyncio.sleep(0.02)


async def test_nothing_is_true_before_the_camera_began(world):
    _, tells, counted = world
    await counted(START_MS + 5)

    assert {(c.true, c.counted) for c in await tells.counts()} == {(0, 0)}


async def test_both_sides_are_told_up_to_a_moment_before_the_newest_picture(world):
    log, tells, counted = world
    await log.opened(7, START_MS)
    await log.seen(7, START_MS + 60_000)
    await counted(START_MS + 10, START_MS + 60_000 - LATE_MS - 1, START_MS + 60_000 - LATE_MS + 1)

    assert await sums(tells, lambda true, _: true > 0) == (true_until(60_000 - LATE_MS), 2)


async def test_what_was_counted_before_the_camera_began_is_none_of_it(world):
    log, tells, counted = world
    await log.opened(7, START_MS)
    await log.seen(7, START_MS + 60_000)
    await counted(START_MS - 1, START_MS)

    assert (await sums(tells, lambda true, _: true > 0))[1] == 1


async def test_a_pass_after_the_other_adds_up(world):
    log, tells, counted = world
    await log.opened(1, START_MS)
    await log.seen(1, START_MS + LENGTH_MS - 100)
    await log.opened(2, START_MS + LENGTH_MS)
    await log.seen(2, START_MS + LENGTH_MS + 50_000)
    await counted(START_MS + 10, START_MS + LENGTH_MS + 10)
    wanted = true_until(LENGTH_MS - 100) + true_until(50_000 - LATE_MS)

    assert await sums(tells, lambda true, _: true == wanted) == (wanted, 2)


async def test_an_older_epoch_and_a_repeated_keyframe_change_nothing(world):
    log, tells, _ = world
    await log.opened(7, START_MS)
    await log.seen(7, START_MS + 60_000)
    await log.opened(7, START_MS)
    await log.opened(3, START_MS + 500_000)
    await log.seen(7, START_MS + 61_000)

    wanted = true_until(61_000 - LATE_MS)
    assert (await sums(tells, lambda true, _: true == wanted))[0] == wanted


async def test_every_line_and_direction_of_the_truth_is_told(world):
    _, tells, _ = world
    told = {(c.camera, c.line, c.direction) for c in await tells.counts()}

    assert told == {("motorway", p.line, p.direction) for p in TRUTH.passages}


async def test_without_a_truth_nothing_is_read_and_nothing_told():
    tells = TrueCounts({}, None, None)
    await tells.follow()

    assert await tells.counts() == []
