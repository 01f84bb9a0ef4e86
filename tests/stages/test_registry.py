"""The registry's keeper on a broker: writes once, refuses what is stale, and lets the first writer win."""

import logging
from functools import partial

import msgspec
import pytest

from pipeline.core.model import Scene, Size
from pipeline.core.registry import (
    Registry,
    WantedCamera,
    WantedGroup,
    Widths,
    plan_cameras,
    plan_groups,
    plan_removal,
    plan_scenes,
)
from pipeline.errors import Fatal, Retry
from pipeline.stages.registry import apply, check_widths, read_registry, write_changes
from pipeline.wire.codec import encode_json
from pipeline.wire.topics import Sizes, Topics
from tests.fakes.log import Broker

WIDTHS = Widths(frames=6, shards=4, capture_shards=3)


@pytest.fixture
def broker():
    return Broker(Topics(sizes=Sizes(frames=6, shards=4, capture_shards=3)))


def cameras(*names, **fields):
    wanted = [WantedCamera(id=name, source=f"rtsp://{name}", **fields) for name in names]
    return partial(plan_cameras, wanted, widths=WIDTHS)


def scene(camera, size):
    return partial(plan_scenes, {camera: Scene(drawn_on=Size(size, size))})


async def applied(broker, plan, meanwhile=None):
    async with broker.logs() as logs, broker.writer() as writer:
        return await apply(plan, logs, Interrupted(writer, meanwhile) if meanwhile else writer)


async def registered(broker):
    async with broker.logs() as logs:
        return await read_registry(logs)


class Interrupted:
    """A writer, before (or after) whose first record somebody else writes theirs."""

    def __init__(self, writer, somebody, *, first=True):
        self.writer, self.somebody, self.first = writer, somebody, first

    async def send(self, *args, **kwargs):
        somebody, self.somebody = self.somebody, None
        if somebody and self.first:
            await somebody()
        sent = await self.writer.send(*args, **kwargs)
        if somebody and not self.first:
            await sent
            await somebody()
        return sent


async def test_what_was_applied_is_registered(broker):
    changes = await applied(broker, cameras("a", "b", fps=5))

    registry = await registered(broker)
    assert {change.key for change in changes} == {"a", "b"}
    assert registry.cameras == {c.key: c.value for c in changes if c.topic == "cameras"}
    assert registry.placements == {c.key: c.value for c in changes if c.topic == "placement"}


async def test_applying_the_same_again_writes_nothing(broker):
    await applied(broker, cameras("a", "b"))
    before = len(broker.records("cameras")), len(broker.records("placement"))

    assert await applied(broker, cameras("a", "b")) == []
    assert (len(broker.records("cameras")), len(broker.records("placement"))) == before


async def test_a_removed_camera_is_gone_and_comes_back_as_a_new_one(broker):
    await applied(broker, cameras("a", "b"))
    await applied(broker, scene("a", 9))
    await applied(broker, partial(plan_groups, [WantedGroup(id="g", members=["a", "b"])]))
    await applied(broker, partial(plan_removal, ["a"]))

    registry = await registered(broker)
    assert (set(registry.cameras), set(registry.placements), registry.scenes) == ({"b"}, {"b"}, {})
    assert registry.groups["g"].members == ["b"]
    await applied(broker, cameras("a"))
    assert (await registered(broker)).cameras["a"].revision == 1


async def test_every_record_lies_in_partition_0_under_its_own_id(broker):
    await applied(broker, cameras("a"))
    await applied(broker, scene("a", 9))

    for topic in ("cameras", "placement", "scenes"):
        assert [(m.partition, m.key) for m in broker.records(topic)] == [(0, b"a")]


async def test_a_plan_made_on_an_old_registry_is_refused_and_nothing_of_it_is_written(broker):
    await applied(broker, cameras("a"))
    old = await registered(broker)
    await applied(broker, cameras("a", fps=5))
    count = len(broker.records("cameras"))

    async with broker.logs() as logs, broker.writer() as writer:
        with pytest.raises(Fatal, match="someone else changed this at the same time: camera a; theirs stands"):
            await write_changes(cameras("a", fps=9)(old), logs, writer)
    assert len(broker.records("cameras")) == count
    assert (await registered(broker)).cameras["a"].fps == 5


async def test_of_two_who_write_at_once_the_first_wins_and_the_second_is_told(broker):
    await applied(broker, cameras("a"))
    await applied(broker, scene("a", 1))

    with pytest.raises(Fatal, match="someone else changed this at the same time: the scene of a; theirs stands"):
        await applied(broker, scene("a", 3), meanwhile=lambda: applied(broker, scene("a", 2)))

    assert (await registered(broker)).scenes["a"].drawn_on == Size(2, 2)


async def test_the_winner_stands_even_when_compaction_keeps_only_the_last_record(broker):
    await applied(broker, scene("a", 1))
    with pytest.raises(Fatal):
        await applied(broker, scene("a", 3), meanwhile=lambda: applied(broker, scene("a", 2)))

    assert len(broker.records("scenes")) == 4  # 1, theirs, ours, theirs again
    broker.expire("scenes", 0, 3)
    kept = (await registered(broker)).scenes["a"]
    assert (kept.drawn_on, kept.revision) == (Size(2, 2), 2)


async def test_the_first_of_two_writers_is_not_disturbed_by_the_second(broker):
    await applied(broker, scene("a", 1))

    async def second():
        with pytest.raises(Fatal):
            async with broker.logs() as logs, broker.writer() as writer:
                await write_changes(scene("a", 3)(old), logs, writer)

    old = await registered(broker)
    async with broker.logs() as logs, broker.writer() as writer:
        await apply(scene("a", 2), logs, Interrupted(writer, second, first=False))
    assert (await registered(broker)).scenes["a"].drawn_on == Size(2, 2)


async def test_a_change_that_meets_a_removal_loses_and_the_thing_stays_removed(broker):
    await applied(broker, cameras("a"))

    with pytest.raises(Fatal, match="camera a"):
        await applied(broker, cameras("a", fps=3), meanwhile=lambda: applied(broker, partial(plan_removal, ["a"])))

    assert (await registered(broker)).cameras == {}
    assert broker.records("cameras")[-1].value is None


async def test_what_did_not_collide_is_written_all_the_same(broker):
    both = partial(plan_scenes, {"a": Scene(drawn_on=Size(3, 3)), "b": Scene(drawn_on=Size(4, 4))})

    with pytest.raises(Fatal, match="the scene of a;"):
        await applied(broker, both, meanwhile=lambda: applied(broker, scene("a", 2)))

    scenes = (await registered(broker)).scenes
    assert (scenes["a"].drawn_on, scenes["b"].drawn_on) == (Size(2, 2), Size(4, 4))


async def test_two_who_want_the_same_thing_do_not_collide(broker):
    await applied(broker, scene("a", 2), meanwhile=lambda: applied(broker, scene("a", 2)))

    assert (await registered(broker)).scenes["a"].revision == 1


async def test_a_broker_that_forgets_offsets_changes_nothing(broker):
    broker.forgets_offsets = True
    await applied(broker, scene("a", 1))

    with pytest.raises(Fatal):
        await applied(broker, scene("a", 3), meanwhile=lambda: applied(broker, scene("a", 2)))
    assert (await registered(broker)).scenes["a"].drawn_on == Size(2, 2)


async def test_a_record_that_cannot_be_read_is_skipped_with_a_warning(broker, caplog):
    await applied(broker, cameras("a"))
    async with broker.writer() as writer:
        await (await writer.send("cameras", 0, key=b"a", value=b"{"))
        await (await writer.send("cameras", 0, key=b"x", value=b'{"id": 7}'))

    with caplog.at_level(logging.WARNING, "gantry.registry"):
        registry = await registered(broker)
    assert set(registry.cameras) == {"a"}
    assert [r.getMessage().partition(":")[0] for r in caplog.records] == [
        "cameras, offset 1 is skipped",
        "cameras, offset 2 is skipped",
    ]


async def test_a_record_of_an_old_revision_does_not_undo_a_newer_one(broker):
    await applied(broker, cameras("a"))
    first = (await registered(broker)).cameras["a"]
    await applied(broker, cameras("a", fps=5))
    async with broker.writer() as writer:
        await (await writer.send("cameras", 0, key=b"a", value=encode_json(first)))

    assert (await registered(broker)).cameras["a"].fps == 5


async def test_an_empty_registry_is_empty(broker):
    assert await registered(broker) == Registry()


async def test_without_a_broker_nothing_is_written_and_trying_again_may_help(broker):
    async with broker.logs() as logs, broker.writer() as writer:
        broker.away = True
        with pytest.raises(Retry):
            await apply(cameras("a"), logs, writer)


async def test_widths_that_are_not_the_topics_are_refused_with_what_to_write(broker):
    async with broker.logs() as logs:
        await check_widths(logs, WIDTHS)
        for field, said in (
            ("frames", "topic frames has 6 partitions, but the settings say kafka.sizes.frames: 9"),
            ("shards", "topic detections has 4 partitions, but the settings say kafka.sizes.shards: 9"),
            ("capture_shards", "topic capture-shards has 3 partitions"),
        ):
            with pytest.raises(Fatal, match=said):
                await check_widths(logs, msgspec.structs.replace(WIDTHS, **{field: 9}))
