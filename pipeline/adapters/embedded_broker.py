"""A broker in this process's memory, for trying gantry with nothing but the package: librdkafka's mock cluster.

It speaks Kafka's own protocol over loopback, so other processes and other clients use it as any broker. But it keeps
nothing on disk and only about 5 MB of every partition, older records go without a word; it knows no compaction, and it
makes no topics when it is asked over the protocol: they are made here. For a live demonstration with a few cameras, not
for more.

Source:
    librdkafka's rdkafka_mock.h, which comes inside the confluent-kafka wheel.
"""

import ctypes
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.errors import Fatal

_PRODUCER = 0  # RD_KAFKA_PRODUCER
_TEXT = 512
_DESTROY_NOW = 0x8  # RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE


class EmbeddedBroker:
    """One broker, from `with` to its end.

    Args:
        topics: full name -> number of partitions.

    Raises:
        Fatal: confluent-kafka is not installed, or librdkafka cannot make it.
    """

    def __init__(self, topics: Mapping[str, int]) -> None:
        self._topics = dict(topics)
        self._library = _library()
        self._client: int | None = None
        self._cluster: int | None = None

    def __enter__(self) -> Self:
        """Start it, with its topics."""
        library, text = self._library, ctypes.create_string_buffer(_TEXT)
        settings = library.rd_kafka_conf_new()
        library.rd_kafka_conf_set(settings, b"log_level", b"0", text, _TEXT)
        self._client = library.rd_kafka_new(_PRODUCER, settings, text, _TEXT)
        if not self._client:
            raise Fatal(f"the embedded broker cannot be made: {text.value.decode(errors='replace')}")
        self._cluster = library.rd_kafka_mock_cluster_new(self._client, 1)
        if not self._cluster:
            self.close()
            raise Fatal("the embedded broker cannot listen on this machine's loopback address")
        for name, partitions in self._topics.items():
            if code := library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1):
                self.close()
                raise Fatal(f"the embedded broker cannot make topic {name} (librdkafka's error {code})")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it; everything in it is gone."""
        self.close()

    @property
    def servers(self) -> list[str]:
        """host:port, as clients are told."""
        assert self._cluster is not None, "it has not been started"
        return str(self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()).split(",")

    def close(self) -> None:
        """End it, if it runs."""
        cluster, client, self._cluster, self._client = self._cluster, self._client, None, None
        if cluster:
            self._library.rd_kafka_mock_cluster_destroy(cluster)
        if client:
            self._library.rd_kafka_destroy_flags(client, _DESTROY_NOW)


def _library() -> ctypes.CDLL:
    """The wheel's own librdkafka, with the types of what is called. Raises Fatal."""
    found = importlib.util.find_spec("confluent_kafka")
    if found is None or found.origin is None:
        raise Fatal("the embedded broker needs confluent-kafka: pip install confluent-kafka")
    beside = Path(found.origin).parent.parent
    files = sorted(
        [*beside.glob("confluent_kafka.libs/librdkafka*"), *beside.glob("confluent_kafka/.dylibs/librdkafka*")]
    )
    if not files:
        raise Fatal(f"no librdkafka comes with confluent-kafka in {beside}: install its wheel, not its source")
    try:
        library = ctypes.CDLL(str(files[0]))
        pointer, text = ctypes.c_void_p, ctypes.c_char_p
        for name, result, arguments in (
            ("rd_kafka_conf_new", pointer, []),
            ("rd_kafka_conf_set", ctypes.c_int, [pointer, text, text, text, ctypes.c_size_t]),
            ("rd_kafka_new", pointer, [ctypes.c_int, pointer, text, ctypes.c_size_t]),
            ("rd_kafka_destroy_flags", None, [pointer, ctypes.c_int]),
            ("rd_kafka_mock_cluster_new", pointer, [pointer, ctypes.c_int]),
            ("rd_kafka_mock_cluster_destroy", None, [pointer]),
            ("rd_kafka_mock_cluster_bootstraps", text, [pointer]),
            ("rd_kafka_mock_topic_create", ctypes.c_int, [pointer, text, ctypes.c_int, ctypes.c_int]),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as exc:
        raise Fatal(f"{files[0]} cannot be used as an embedded broker: {exc}") from exc
    return library
