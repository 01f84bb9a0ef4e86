"""What aggregate reads, where its words go, and whom it tells."""

import asyncio

import msgspec
import pytest

from pipeline.core.model import CameraId, DeadLetter, Flow, FlowCount, Group, GroupId, LineFlow, Way
from pipeline.core.rollup import CAMERAS, Member
from pipeline.errors import Fatal, Retry
from pipeline.ports import Message, Step
from pipeline.stages.aggregate import AggregatePolicy, CameraFold, GroupBook, GroupFold, aggregate
from pipeline.wire.codec import decode_flow, encode_flow, encode_json, encode_member
from pipeline.wire.topics import steady_partition
from tests.fakes.log import Broker
from tests.fakes.meter import Meter

T0 = 1_767_225_600_000
SHARDS = 12
SITE = Group(id=GroupId("site"), members=[CameraId("a"), CameraId("b")], revision=4)


def half_minute(n: int, camera: str = "a", *, kind: str = "camera", length: int = 30_000) -> Flow:
    counts = [FlowCount(direction=Way.TO_LEFT, label="car", count=n + 1)]
    return Flow(
        place=camera,
        kind=kind,
        start_ms=T0 + n * length,
        window_ms=length,
        coverage=1.0,
        lines=[LineFlow(line="stop", counts=counts)],
        zones=[],
    )


class Table:
    """A fold with a table, and the log it reads."""

    def __init__(self, fold: CameraFold | GroupFold, partition: int = 5) -> None:
        self.fold, self.partition, self.values, self.offset = fold, partition, {}, 0

    def tell(self, value: bytes | None, headers=()) -> Step:
        message = Message(self.fold.topic, self.partition, self.offset, self.offset, b"k", value, headers)
        self.offset += 1
        step = self.fold.step(message, self.values.get)
        for key, state in step.states.items():
            self.values[key] = state
        return step

    def flow(self, flow: Flow) -> Step:
        encoded = encode_flow(flow)
        return self.tell(encoded.value, encoded.headers)

    def member(self, camera: str) -> Step:
        flow = half_minute(0, camera, length=60_000)
        encoded = encode_member(Member(group=GroupId("site"), group_revision=1, expected=2, flow=flow))
        return self.tell(encoded.value, encoded.headers)


def book_of(*groups: Group) -> GroupBook:
    book = GroupBook()
    for group in groups:
        book.learn(Message("groups", 0, 0, 0, group.id.encode(), encode_json(group), ()))
    return book


def cameras(*groups: Group, meter: Meter | None = None) -> Table:
    return Table(CameraFold(AggregatePolicy(), book_of(*groups), SHARDS, meter or Meter()))


def test_a_minute_goes_to_the_partition_its_half_minutes_came_from():
    table = cameras()
    table.flow(half_minute(0))
    (out,) = table.flow(half_minute(1)).outputs

    assert (out.topic, out.partition, out.key) == ("flow", 5, b"a")
    assert dict(out.headers)["window_ms"] == b"60000"
    assert decode_flow(out.headers, out.value).lines[0].counts[0].count == 3


def test_a_minute_is_told_to_each_group_of_its_camera_and_to_no_other():
    table = cameras(
        SITE,
        Group(id=GroupId("city"), members=[CameraId("a")], revision=1),
        Group(id=GroupId("else"), members=[CameraId("z")], revision=1),
    )
    table.flow(half_minute(0))
    outputs = [out for out in table.flow(half_minute(1)).outputs if out.topic == "aggregate-members"]

    assert {(out.key, out.partition) for out in outputs} == {
        (g, steady_partition(g.decode(), SHARDS)) for g in (b"site", b"city")
    }
    member = next(msgspec.json.decode(out.value, type=Member) for out in outputs if out.key == b"site")
    assert (member.group_revision, member.expected, member.flow.window_ms, member.flow.place) == (4, 2, 60_000, "a")


@pytest.mark.parametrize(
    "ours",
    [
        half_minute(0, kind="group"),
        half_minute(0, length=60_000),
        half_minute(0, length=300_000),
        half_minute(0, length=900_000),
        half_minute(0, "site", kind="group", length=60_000),
    ],
)
def test_its_own_words_in_flow_are_not_its_input(ours):
    meter = Meter()

    assert cameras(SITE, meter=meter).flow(ours) == Step()
    assert not meter.counts


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b"{}", ()),
        (b"\xff", (("kind", b"camera"), ("window_ms", b"30000"))),
        (None, ()),
        (b"", (("kind", b"lorry"),)),
        (b"{}", (("v", None), ("kind", None), ("window_ms", None))),
    ],
)
def test_a_flow_record_that_cannot_be_read_becomes_a_dead_letter_with_its_place(value, headers):
    meter = Meter()
    (out,) = cameras(meter=meter).tell(value, headers).outputs
    letter = msgspec.json.decode(out.value, type=DeadLetter)

    assert (out.topic, out.partition) == ("dead-letters", 0)
    assert (letter.topic, letter.partition, letter.offset, letter.process) == ("flow", 5, 0, "aggregate")
    assert meter.counts["dead_letters", "camera"] == 1


@pytest.mark.parametrize("version", [b"2", b"", None])
def test_a_part_of_a_version_that_is_not_known_becomes_a_dead_letter_and_is_not_added_up(version):
    part, whole = cameras(), Table(GroupFold(AggregatePolicy(), Meter()))
    encoded = (
        encode_flow(half_minute(0)),
        encode_member(Member(group=GroupId("site"), group_revision=1, expected=1, flow=half_minute(0, length=60_000))),
    )
    for table, out in zip((part, whole), encoded, strict=True):
        (letter,) = table.tell(out.value, [(k, version if k == "v" else v) for k, v in out.headers]).outputs

        assert "upgrade it first" in msgspec.json.decode(letter.value, type=DeadLetter).reason
        assert table.values == {}


def test_late_revised_and_repeated_parts_are_counted():
    meter = Meter()
    table = cameras(meter=meter)
    for flow in (
        half_minute(0),
        half_minute(1),
        half_minute(1),
        msgspec.structs.replace(half_minute(5), start_ms=T0 + 30_000, revision=1),
        half_minute(900),
        half_minute(2),
    ):
        table.flow(flow)

    assert (meter.counts["repeats"], meter.counts["revisions"], meter.counts["late"]) == (1, 1, 1)


def test_a_group_speaks_where_its_members_were_told():
    table = Table(GroupFold(AggregatePolicy(), Meter()), partition=7)
    said = []
    for camera in "ab":
        said += table.member(camera).outputs

    assert [(out.topic, out.partition, out.key, decode_flow(out.headers, out.value).members) for out in said] == [
        ("flow", 7, b"site", 2)
    ]
    assert sorted(table.values) == ["site", f"site/{T0}"]


def test_values_of_two_writers_merge_key_by_key():
    one, other = (Table(GroupFold(AggregatePolicy(), Meter())) for _ in range(2))
    for table, told in ((one, "a"), (other, "ab")):
        for camera in told:
            table.member(camera)

    for key in one.values:
        assert one.fold.merge(key, other.values[key], one.values[key]) == other.values[key]


def test_a_saved_value_that_cannot_be_read_stops_everything():
    table = cameras()
    table.values["a"] = b"from the future"

    with pytest.raises(Fatal, match="saved roll-up"):
        table.flow(half_minute(0))


def test_a_group_that_cannot_be_read_leaves_what_was_known(caplog):
    book = book_of(SITE)
    book.learn(Message("groups", 0, 1, 0, b"site", b"{", ()))
    assert [group.id for group in book.of(CameraId("a"))] == ["site"]
    assert "apply the group again" in caplog.text

    book.learn(Message("groups", 0, 2, 0, b"site", None, ()))
    assert book.of(CameraId("a")) == []


def test_windows_that_do_not_fit_each_other_are_refused():
    with pytest.raises(ValueError, match="divide the longest"):
        AggregatePolicy.of([60_000, 90_000], 30_000)
    with pytest.raises(ValueError, match="at least one window"):
        AggregatePolicy.of([], 30_000)
    with pytest.raises(ValueError, match="cameras say"):
        AggregatePolicy(cameras=msgspec.structs.replace(CAMERAS, windows_ms=(300_000,)))
    assert AggregatePolicy.of([3_600_000, 60_000], 30_000).cameras.keep_ms >= 3_600_000


class Runner:
    """Notes what it was given; ends at `stop`, or as it is told."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.folds, self.began = error, (), asyncio.Event()

    async def run(self, folds, stop):
        self.folds = folds
        self.began.set()
        if self.error:
            raise self.error
        await stop.wait()


async def run_on(broker: Broker, runner: Runner, stop: asyncio.Event) -> None:
    async with broker.logs() as logs:
        await aggregate(runner=runner, logs=logs, shards=SHARDS, policy=AggregatePolicy(), meter=Meter(), stop=stop)


async def test_no_record_is_read_before_all_groups_are_known():
    broker, runner, stop = Broker(), Runner(), asyncio.Event()
    async with broker.writer() as writer:
        for n in range(50):
            group = Group(id=GroupId(f"g{n}"), members=[CameraId("a")], revision=1)
            await (await writer.send("groups", 0, key=group.id.encode(), value=encode_json(group)))
    running = asyncio.create_task(run_on(broker, runner, stop))
    await asyncio.wait_for(runner.began.wait(), 5)

    table = Table(runner.folds[0])
    table.flow(half_minute(0))
    assert len(table.flow(half_minute(1)).outputs) == 51
    stop.set()
    await asyncio.wait_for(running, 5)


async def test_it_stops_when_told_even_before_it_began():
    stop = asyncio.Event()
    stop.set()
    await asyncio.wait_for(run_on(Broker(), Runner(), stop), 5)


async def test_what_ends_the_runner_ends_the_stage():
    with pytest.raises(Retry, match="stood still"):
        await asyncio.wait_for(run_on(Broker(), Runner(Retry("it stood still")), asyncio.Event()), 5)
