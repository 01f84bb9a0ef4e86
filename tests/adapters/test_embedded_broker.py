"""The embedded broker, used by the very clients that use a real one."""

import asyncio
import subprocess
import sys

import pytest

from pipeline.adapters import embedded_broker
from pipeline.adapters.embedded_broker import EmbeddedBroker
from pipeline.adapters.kafka import Kafka
from pipeline.errors import Fatal, Retry
from pipeline.wire.topics import Topics


@pytest.fixture
def topics():
    return Topics("demo.")


@pytest.fixture
def broker(topics):
    with EmbeddedBroker({topics.name(spec.name): spec.partitions for spec in topics.specs.values()}) as started:
        yield started


@pytest.fixture
def kafka(broker, topics):
    return Kafka(servers=broker.servers, topics=topics, client_id="embedded-test")


async def test_every_topic_is_there_with_all_its_partitions(kafka, topics):
    async with kafka.logs() as logs:
        for name, spec in topics.specs.items():
            assert len(await logs.ends(name)) == spec.partitions, name


async def test_nothing_is_left_to_be_made_but_the_logs_id(kafka):
    made = await kafka.topics_create()

    assert [line.split()[:2] for line in made] == [["log", "id"]]
    assert await kafka.topics_create() == []
    assert await kafka.log_id() == made[0].split()[-1]


async def test_records_come_back_in_order_from_their_partition(kafka):
    async with kafka.writer() as writer, kafka.logs() as logs:
        for n in range(50):
            await (await writer.send("frames", 23, key=b"camera", value=b"%d" % n, headers=[("kind", b"frame")]))
        found = await logs.read_all("frames", 23)

    assert [message.value for message in found] == [b"%d" % n for n in range(50)]
    assert {message.key for message in found} == {b"camera"}
    assert found[0].headers[0] == ("kind", b"frame")


async def test_a_member_goes_on_where_its_group_committed(kafka):
    async def nothing(_partitions):
        pass

    async with kafka.writer() as writer:
        for n in range(4):
            await (await writer.send("detections", 3, key=b"c", value=b"%d" % n))
    seen = []
    for take in (2, 2):
        async with (
            kafka.group("detections", "track", instance=None, on_assigned=nothing, on_revoked=nothing) as member,
            asyncio.timeout(60),
        ):
            got = []
            while len(got) < take:
                for batch in await member.fetch(take - len(got), 500):
                    got += [(batch.partition, message) for message in batch.messages]
            await member.commit({partition: message.offset + 1 for partition, message in got})
            seen += [message.value for _, message in got]
            await member.leave()

    assert seen == [b"0", b"1", b"2", b"3"]


async def test_what_does_not_fit_is_dropped_from_the_beginning(kafka):
    async with kafka.writer() as writer, kafka.logs() as logs:
        for n in range(12):
            await (await writer.send("frames", 0, key=b"c", value=bytes(1024 * 1024), headers=[("n", b"%d" % n)]))
        kept = await logs.read_all("frames", 0)

    assert 3 <= len(kept) <= 8
    assert list(kept[-1].headers) == [("n", b"11")]


async def test_it_ends_with_its_context(topics):
    with EmbeddedBroker({"demo.epochs": 1}) as broker:
        servers = broker.servers
    with pytest.raises(Retry):
        async with Kafka(servers=servers, topics=topics, client_id="late").writer():
            pass


def test_a_process_that_is_killed_takes_it_along():
    code = (
        "import time\nfrom pipeline.adapters.embedded_broker import EmbeddedBroker\n"
        "with EmbeddedBroker({'t': 1}) as broker:\n    print(broker.servers[0], flush=True)\n    time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        host, port = child.stdout.readline().strip().rsplit(":", 1)
        child.kill()
    with pytest.raises(OSError, match="Connect"):
        asyncio.run(asyncio.wait_for(asyncio.open_connection(host, int(port)), 5))


def test_without_the_library_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(embedded_broker.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(Fatal, match="pip install confluent-kafka"):
        EmbeddedBroker({})
