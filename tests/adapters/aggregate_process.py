"""The aggregate worker as a process of its own, for tests that kill it: SERVERS PREFIX SHARDS [INSTANCE].

With DAWDLE=1 in its environment it stays three seconds wherever Faust's recovery may give way to others.
"""

import asyncio
import os
import sys

from faust.transport.consumer import Fetcher

from pipeline.adapters.faust_app import _Consumer
from pipeline.config import Settings
from pipeline.config.settings import AggregateSettings, KafkaSettings, MetricsSettings
from pipeline.wire.topics import Sizes
from workers.aggregate import main


def dawdle(kind, name):
    prompt = getattr(kind, name)

    async def late(*args, **kwargs):
        done = await prompt(*args, **kwargs)
        await asyncio.sleep(3)  # longer than a fetch waits for records
        return done

    setattr(kind, name, late)


if os.environ.get("DAWDLE"):
    dawdle(Fetcher, "maybe_start")
    dawdle(_Consumer, "perform_seek")

# The shards are the test's; of the other topics it has as many partitions as tests/conftest.py makes.
servers, prefix, shards, instance = sys.argv[1], sys.argv[2], int(sys.argv[3]), (sys.argv[4:] or [None])[0]
sys.exit(
    main(
        Settings(
            kafka=KafkaSettings(
                servers=servers.split(","), prefix=prefix, sizes=Sizes(frames=6, shards=shards, capture_shards=4)
            ),
            aggregate=AggregateSettings(instance=instance),
            metrics=MetricsSettings(port=None),
        )
    )
)
