"""Pictures for people who look: read while somebody does, shared, bounded, and never an old one for a new one."""

import asyncio
import contextlib
import uuid
from collections import Counter

import pytest

from pipeline.adapters.kafka import Kafka
from pipeline.errors import Fatal, Retry
from pipeline.ports import NoPicture
from pipeline.stages.serve import LivePictures, ServePolicy
from pipeline.wire.topics import Topics
from tests.fakes.meter import Meter
from tests.stages.serving import PATIENCE_S, QUICK, SMALL, Hand, small_broker
from workers.process import WallClock


class Watched:
    """A log reader that knows which partitions are followed now, and how often any was begun."""

    def __init__(self, logs):
        self.logs, self.open, self.begun = logs, Counter(), Counter()
        self.fails = []

    async def ends(self, topic):
        if self.fails:
            raise self.fails.pop(0)
        return await self.logs.ends(topic)

    async def follow(self, topic, starts=None, *, partitions=None):
        of = (topic, *(partitions or ()))
        self.begun[of] += 1
        self.open[of] += 1
        try:
            async with contextlib.aclosing(self.logs.follow(topic, starts, partitions=partitions)) as messages:
                async for message in messages:
                    yield message
        finally:
            self.open[of] -= 1

    def frames(self):
        return sorted(of[1] for of in +self.open if of[0] == "frames")


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.kafka)])
async def broker(request):
    """An installation of two partitions."""
    if request.param == "fake":
        return small_broker()
    topics = Topics(f"t{uuid.uuid4().hex[:8]}.", SMALL)
    real = Kafka(servers=request.getfixturevalue("kafka").servers, topics=topics, client_id="pictures-test")
    await real.topics_create()
    return real


@pytest.fixture
async def hand(broker):
    async with broker.writer() as writer:
        hand = Hand(writer)
        await hand.place("a", 1)
        await hand.place("b", 1)
        await hand.place("c", 0)
        yield hand


@contextlib.asynccontextmanager
async def looking(broker, **policy):
    async with broker.logs() as logs:
        watched = Watched(logs)
        policy = ServePolicy(**QUICK | {"picture_wait_s": PATIENCE_S} | policy)
        pictures = LivePictures(logs=watched, meter=Meter(), clock=WallClock(), policy=policy)
        pictures.logs = watched
        try:
            yield pictures
        finally:
            await pictures.close()
            assert not +watched.open, "nothing is read any more"


async def until(what):
    async with asyncio.timeout(PATIENCE_S):
        while not what():  # noqa: ASYNC110 - nobody tells when it is so
            await asyncio.sleep(0.01)


async def test_the_newest_picture_that_lies_in_the_log_is_there_at_the_first_look(broker, hand):
    for n in range(5):
        await hand.picture(n, partition=1)

    async with looking(broker) as pictures:
        still = await pictures.picture("a")

    assert (still.header.seq, still.jpeg) == (4, b"jpeg 4")


async def test_a_picture_that_comes_later_is_waited_for_by_its_name(broker, hand):
    await hand.picture(1, partition=1)
    async with looking(broker) as pictures:
        assert (await pictures.picture("a")).header.seq == 1
        coming = asyncio.ensure_future(pictures.picture("a", (0, 3)))
        await hand.picture(2, partition=1)
        await hand.picture(3, partition=1)

        assert (await coming).jpeg == b"jpeg 3"
        assert (await pictures.picture("a", (0, 2))).jpeg == b"jpeg 2"
        assert (await pictures.picture("a")).header.seq == 3


async def test_a_picture_that_never_was_is_told_at_once_when_a_later_one_is_there(broker, hand):
    await hand.picture(2, partition=1)
    async with looking(broker) as pictures:
        assert await pictures.picture("a", (0, 1)) == NoPicture("picture 0-1 of camera 'a' is not kept (any more)")


async def test_a_camera_without_a_picture_is_told_after_a_while(broker, hand):
    await hand.picture(1, camera="b", partition=1)
    async with looking(broker, picture_wait_s=0.3) as pictures:
        assert await pictures.picture("a") == NoPicture("no picture of camera 'a' came within 0.3 s")
        assert await pictures.picture("nobody") == NoPicture("no picture of camera 'nobody' came within 0.3 s")


async def test_a_camera_that_shows_boxes_has_no_pixels_until_it_shows_a_picture(broker, hand):
    await hand.boxes(1, partition=1)
    async with looking(broker) as pictures:
        answer = await pictures.picture("a")
        assert isinstance(answer, NoPicture)
        assert "camera 'a' has no pixels" in answer.reason
        assert await pictures.picture("a", (0, 1)) == answer

        await hand.picture(0, epoch=1, partition=1)
        await until(lambda: pictures._looks["a"].newest)
        assert (await pictures.picture("a")).header.order == (1, 0)


async def test_a_record_that_nobody_understands_is_passed_over(broker, hand):
    await hand.put("frames", 1, b"a", b"jpeg", headers=[("v", b"99")])
    await hand.picture(1, partition=1)
    await hand.put("frames", 1, b"a", b"jpeg", headers=[("kind", b"\xff")])

    async with looking(broker) as pictures:
        assert (await pictures.picture("a")).header.seq == 1


async def test_many_who_look_share_one_reader_of_their_partition(broker, hand):
    await hand.picture(1, partition=1)
    await hand.picture(1, camera="b", partition=1)
    async with looking(broker) as pictures:
        stills = await asyncio.gather(*(pictures.picture(camera) for camera in "ab" * 25))

        assert Counter(still.header.camera for still in stills) == {"a": 25, "b": 25}
        assert pictures.logs.begun == {("placement",): 1, ("frames", 1): 1}


async def test_nothing_is_read_before_and_after_somebody_looks(broker, hand):
    await hand.picture(1, partition=1)
    await hand.picture(1, camera="c", partition=0)
    async with looking(broker, look_s=0.3) as pictures:
        assert not pictures.logs.begun
        for _ in range(2):
            await pictures.picture("a")
            await pictures.picture("c")
            assert pictures.logs.frames() == [0, 1]
            while pictures.logs.frames() != [1]:  # c is not asked for any more
                await pictures.picture("a")
                await asyncio.sleep(0.01)
            assert pictures.watched() == ["a"]
            await until(lambda: not +pictures.logs.open)
            assert pictures.watched() == []
            assert (len(pictures._kept), pictures._bytes) == (0, 0)


async def test_what_is_kept_is_bounded_in_bytes_and_the_newest_is_there_all_the_same(broker, hand):
    async with looking(broker, pictures_bytes=2_500) as pictures:
        for n in range(6):
            await hand.picture(n, b"x" * 1_000, partition=1)
        assert (await pictures.picture("a", (0, 5))).header.seq == 5

        assert list(pictures._kept) == [("a", 0, 4), ("a", 0, 5)]
        assert isinstance(await pictures.picture("a", (0, 3)), NoPicture)

        await hand.picture(6, b"x" * 3_000, partition=1)
        await until(lambda: pictures._looks["a"].newest.header.seq == 6)
        assert len((await pictures.picture("a")).jpeg) == 3_000
        assert pictures._bytes == 0


async def test_a_camera_nobody_looks_at_is_not_kept(broker, hand):
    async with looking(broker) as pictures:
        await hand.picture(1, camera="b", partition=1)
        await hand.picture(1, partition=1)
        await pictures.picture("a")

        assert list(pictures._kept) == [("a", 0, 1)]


async def test_a_camera_that_moves_to_another_partition_is_followed_there(broker, hand):
    await hand.picture(1, partition=1)
    async with looking(broker) as pictures:
        assert (await pictures.picture("a")).header.seq == 1
        await hand.place("a", 0, revision=2)
        await hand.picture(0, epoch=1, partition=0)

        assert (await pictures.picture("a", (1, 0))).header.epoch == 1
        assert pictures.logs.frames() == [0]


async def test_a_broker_that_does_not_answer_is_asked_again(broker, hand):
    await hand.picture(1, partition=1)
    async with looking(broker) as pictures:
        pictures.logs.fails = [Retry("away"), Retry("away")]
        assert (await pictures.picture("a")).header.seq == 1
        assert pictures.logs.fails == []


async def test_a_log_that_cannot_be_read_is_told_to_who_waits_and_tried_again_for_who_comes(broker, hand):
    await hand.picture(1, partition=1)
    async with looking(broker) as pictures:
        pictures.logs.fails = [Fatal("there is no topic frames")]
        with pytest.raises(Fatal, match="there is no topic frames"):
            await pictures.picture("a")

        assert (await pictures.picture("a")).header.seq == 1


async def test_a_repeated_record_does_not_put_an_older_picture_in_front(broker, hand):
    for n in (1, 2, 1):
        await hand.picture(n, partition=1)
    async with looking(broker) as pictures:
        assert (await pictures.picture("a")).header.seq == 2
