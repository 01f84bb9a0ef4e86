"""serve on a broker and a history of its own, and readers to ask it."""

import asyncio
import contextlib

import msgspec

from pipeline.adapters.store import open_store
from pipeline.core.model import (
    Boxes,
    Camera,
    Clock,
    Crossing,
    Flow,
    Frame,
    Group,
    Header,
    Line,
    LiveTrack,
    LiveTracks,
    Placement,
    Record,
    Scene,
    Size,
    Way,
)
from pipeline.stages.serve import LiveFeed, LivePictures, ServePolicy, serve
from pipeline.wire.codec import encode_event, encode_flow, encode_json, encode_record, encode_tracks
from pipeline.wire.topics import Sizes, Topics
from tests.fakes.log import Broker
from tests.fakes.meter import Meter
from workers.process import WallClock

SMALL = Sizes(frames=2, shards=2, capture_shards=2)
QUICK = {
    "flush_ms": 5,
    "heartbeat_s": 30.0,
    "housekeeping_s": 0.02,
    "retry_s": 0.01,
    "longest_retry_s": 0.02,
    "picture_wait_s": 1.0,
}
ALL = frozenset({"event", "flow", "tracks"})
PATIENCE_S = 20


def crossing(n, **changes):
    return Crossing(
        **{
            "id": f"log.a.0-{n}-0.main.1",
            "camera": "a",
            "line": "main",
            "direction": Way.TO_RIGHT,
            "label": "car",
            "score": 0.5,
            "captured_ms": 1_000 * n,
            "x": 0.5,
            "y": 0.5,
            "track": f"0-{n}-0",
            "clock": Clock.RTCP,
            "scene_revision": 1,
            "epoch": 0,
        }
        | changes
    )


def window(n, **changes):
    return Flow(
        **{
            "place": "a",
            "kind": "camera",
            "start_ms": 30_000 * n,
            "window_ms": 30_000,
            "coverage": 1.0,
            "lines": [],
            "zones": [],
        }
        | changes
    )


def tracks(n, camera="a"):
    seen = [LiveTrack("0-1-0", "car", 0.1, 0.1, 0.2, 0.2, 0.9)]
    return LiveTracks(camera=camera, epoch=0, seq=n, captured_ms=1_000 * n, tracks=seen)


def camera(name, **changes):
    return Camera(
        **{"id": name, "source": f"rtsp://u:hunter2@host/{name}", "shard": 0, "capture_shard": 0, "revision": 1}
        | changes
    )


SCENE = Scene(drawn_on=Size(640, 352), revision=1, lines=[Line(name="main", start=(0.1, 0.5), end=(0.9, 0.5))])


class Hand:
    """Writes what track, aggregate and `apply` would."""

    def __init__(self, writer):
        self.writer = writer

    async def put(self, topic, partition, key, value, **more):
        return await (await self.writer.send(topic, partition, key=key, value=value, **more))

    async def event(self, event, partition=0):
        encoded = encode_event(event)
        return await self.put("events", partition, encoded.key, encoded.value, headers=encoded.headers)

    async def events(self, *numbers, partition=0):
        for n in numbers:
            await self.event(crossing(n), partition)

    async def flow(self, flow, partition=0):
        encoded = encode_flow(flow)
        return await self.put("flow", partition, encoded.key, encoded.value, headers=encoded.headers)

    async def tracks(self, value, partition=0):
        encoded = encode_tracks(value)
        return await self.put("tracks", partition, encoded.key, encoded.value, headers=encoded.headers)

    async def register(self, topic, key, value):
        return await self.put(topic, 0, key.encode(), None if value is None else encode_json(value))

    async def place(self, camera, partition, revision=1):
        value = Placement(camera=camera, partition=partition, revision=revision)
        return await self.register("placement", camera, value)

    async def shown(self, n, body, *, camera="a", epoch=0, partition=0):
        """What capture writes of one picture; its time is n seconds."""
        header = Header(
            log="log",
            camera=camera,
            shard=0,
            epoch=epoch,
            seq=n,
            captured_ms=1_000 * n,
            clock=Clock.RTCP,
            size=Size(640, 352),
        )
        encoded = encode_record(Record(header, body))
        return await self.put("frames", partition, encoded.key, encoded.value, headers=encoded.headers)

    async def picture(self, n, jpeg=None, **where):
        return await self.shown(n, Frame(jpeg or b"jpeg %d" % n), **where)

    async def boxes(self, n, **where):
        return await self.shown(n, Boxes(x1=[0.1], y1=[0.1], x2=[0.2], y2=[0.2], score=[0.9], label=["car"]), **where)

    async def city(self):
        await self.register("cameras", "a", camera("a"))
        await self.register("cameras", "b", camera("b"))
        await self.register("groups", "g", Group(id="g", members=["a", "b"], revision=1))
        await self.register("scenes", "a", SCENE)


class Reader:
    """One reader of a feed, in a task; it reads only while it is asked to."""

    def __init__(self, feed, *, token=None, cameras=None, kinds=ALL):
        self.messages = feed.listen(
            cameras=frozenset(cameras) if cameras else None, kinds=frozenset(kinds), token=token
        )
        self.token = token
        self.kinds = []
        self.coming = None

    async def next(self):
        coming, self.coming = self.coming or self._ask(), None
        async with asyncio.timeout(PATIENCE_S):
            told = await coming
        self.token = told.token or self.token
        self.kinds.append(told.kind)
        return told

    async def take(self, count):
        return [await self.next() for _ in range(count)]

    async def ids(self, count):
        """The numbers of so many events."""
        return [number_of(await self.next()) for _ in range(count)]

    async def silence(self, seconds=0.05):
        """Fails if anything comes."""
        self.coming = self.coming or self._ask()
        await asyncio.sleep(seconds)
        assert not self.coming.done(), self.coming.result()

    def _ask(self):
        return asyncio.ensure_future(_next(self.messages))

    async def close(self):
        if self.coming is not None:
            self.coming.cancel()
            await asyncio.wait({self.coming})
        await self.messages.aclose()


async def _next(messages):
    return await anext(messages)


def number_of(told):
    assert told.kind == "event", told
    return msgspec.json.decode(told.data)["captured_ms"] // 1000


class JumpingClock(WallClock):
    """Real time for waiting; the hour is what the test says."""

    def __init__(self, now_ms=1_700_000_000_000):
        self.hour_ms = now_ms

    def now_ms(self):
        return self.hour_ms

    def jump(self, seconds):
        self.hour_ms += round(seconds * 1000)


class Service:
    """A running serve."""

    def __init__(self, feed, history, pictures, meter, stop, running):
        self.feed, self.history, self.pictures = feed, history, pictures
        self.meter, self.stop, self.running = meter, stop, running

    async def until(self, what):
        async with asyncio.timeout(PATIENCE_S):
            while not what():
                assert not self.running.done(), self.running.result()
                await asyncio.sleep(0.005)

    async def caught_up(self):
        await self.until(lambda: self.feed.caught_up() == (True, True))

    async def housekept(self):
        """Return when the housekeeping was done once more."""
        before = self.meter.counts["housekeeping"]
        await self.until(lambda: self.meter.counts["housekeeping"] >= before + 2)

    async def stored(self, count):
        await self.until(lambda: self.meter.counts["stored", "events"] >= count)


@contextlib.asynccontextmanager
async def served(broker, path, *, history=None, dead=None, clock=None, meter=None, wait=True, **policy):
    """serve over a broker (fake or real), with its history in a file."""
    meter, clock, stop = meter or Meter(), clock or WallClock(), asyncio.Event()
    policy = ServePolicy(**QUICK | policy)
    async with contextlib.AsyncExitStack() as stack:
        history = history or await stack.enter_async_context(open_store(path))
        logs = await stack.enter_async_context(broker.logs())
        log_id = await broker.log_id()
        shared = {"logs": logs, "log_id": log_id, "meter": meter, "clock": clock, "policy": policy}
        feed = LiveFeed(**shared)
        running = asyncio.ensure_future(serve(feed=feed, history=history, dead=dead, stop=stop, **shared))
        pictures = LivePictures(logs=logs, meter=meter, clock=clock, policy=policy)
        stack.push_async_callback(pictures.close)
        service = Service(feed, history, pictures, meter, stop, running)
        try:
            if wait:
                await service.caught_up()
            yield service
        finally:
            stop.set()
            await asyncio.wait({running})
        running.result()


def small_broker(**more):
    return Broker(Topics("test.", SMALL), **more)
