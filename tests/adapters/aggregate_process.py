"""The aggregate worker as a process of its own, for tests that kill it: SERVERS PREFIX SHARDS [INSTANCE]."""

import sys

from pipeline.config import Settings
from pipeline.config.settings import AggregateSettings, KafkaSettings, MetricsSettings
from pipeline.wire.topics import Sizes
from workers.aggregate import main

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
