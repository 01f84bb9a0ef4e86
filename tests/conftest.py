"""What tests share: a real broker, topics of one's own, real footage."""

import atexit
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from deploy.kafka.kafka import INSTALL, LocalKafka
from pipeline.adapters.kafka import Kafka
from pipeline.wire.topics import Sizes, Topics

pytest_plugins = ["tests.skips"]

# A deadline would be a promise about this machine's speed.
settings.register_profile("gantry", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gantry")

SMALL = Sizes(frames=6, shards=3, capture_shards=4)


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in the same hook
def pytest_collection_modifyitems(items):
    """A file's tests stay together, for they share what is slow to make; whole installations run one after another."""
    for item in items:
        file = item.path.relative_to(item.config.rootpath)
        item.add_marker(pytest.mark.xdist_group("system" if "system" in file.parts else str(file)))


@dataclass
class RealKafka:
    """A real broker. `local` is None when GANTRY_TEST_KAFKA named it, so it is not ours to stop."""

    servers: list[str]
    local: LocalKafka | None = field(default=None)


@pytest.fixture(scope="session")
def kafka() -> Iterator[RealKafka]:
    """One real broker for all tests of this run: GANTRY_TEST_KAFKA (host:port), or one on the local JVM."""
    if named := os.environ.get("GANTRY_TEST_KAFKA"):
        yield RealKafka(named.split(","))
        return
    broker = local_broker("the tests")
    try:
        yield RealKafka(broker.servers, broker)
    finally:
        broker.kill()
        shutil.rmtree(broker.data, ignore_errors=True)


@pytest.fixture
def own_kafka() -> Iterator[LocalKafka]:
    """A real broker for one test, which may stop, kill or pause it."""
    broker = local_broker("a test that stops its broker")
    try:
        yield broker
    finally:
        broker.kill()
        shutil.rmtree(broker.data, ignore_errors=True)


def local_broker(why: str) -> LocalKafka:
    """A started broker with a data folder of its own; the caller kills it."""
    missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{why} need {' and '.join(missing)}: {INSTALL} (or name a broker by GANTRY_TEST_KAFKA)")
    broker = LocalKafka(Path(tempfile.mkdtemp(prefix="gantry-kafka-")))
    atexit.register(broker.kill)  # also when the run is broken off
    broker.start()
    return broker


@pytest.fixture
async def topics(kafka: RealKafka) -> Topics:
    """Topics of this test alone, made on the real broker, with few partitions."""
    made = Topics(f"t{uuid.uuid4().hex[:8]}.", SMALL)
    await Kafka(servers=kafka.servers, topics=made, client_id="tests").topics_create()
    return made


@pytest.fixture
def footage() -> Path:
    """The folder of real footage."""
    if not (named := os.environ.get("GANTRY_TEST_DATA")):
        pytest.skip("real footage is asked for: set GANTRY_TEST_DATA to its folder")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"GANTRY_TEST_DATA names {folder}, which is not a folder")
    return folder
