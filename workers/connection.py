"""Settings -> a Kafka to talk to. Secrets are looked up here and go no further."""

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from pipeline.adapters.kafka import Kafka, Security
from pipeline.adapters.secrets import resolve
from pipeline.config.settings import KafkaSettings
from pipeline.ports import GroupReader, OnAssigned, OnRevoked
from pipeline.wire.topics import Topics


def connect(settings: KafkaSettings, client_id: str) -> Kafka:
    """The installation's Kafka; nothing is sent yet.

    Raises:
        Fatal: a secret is missing, or the security settings contradict each other.
    """
    return Kafka(
        servers=settings.servers,
        topics=Topics(settings.prefix, settings.sizes),
        client_id=client_id,
        security=security(settings),
    )


def security(settings: KafkaSettings) -> Security:
    """The installation's passwords and certificates.

    Raises:
        Fatal: a secret is missing, or the settings contradict each other.
    """
    return Security(
        protocol=settings.security,
        mechanism=settings.sasl_mechanism,
        username=settings.username,
        password=resolve(settings.password) if settings.password is not None else None,
        ca_file=settings.ca_file,
        cert_file=settings.cert_file,
        key_file=settings.key_file,
    )


def joining(
    kafka: Kafka, topic: str, process: str, instance: str | None
) -> Callable[[OnAssigned, OnRevoked], AbstractAsyncContextManager[GroupReader]]:
    """How a stage joins its consumer group: `<prefix><process>` on a topic.

    With an instance name a restart within the session keeps its partitions; without one the process is a new
    member each time. A supervisor gives its processes one by GANTRY_INSTANCE.
    """
    instance = instance or os.environ.get("GANTRY_INSTANCE")

    def join(on_assigned: OnAssigned, on_revoked: OnRevoked) -> AbstractAsyncContextManager[GroupReader]:
        return kafka.group(
            topic,
            f"{kafka.topics.prefix}{process}",
            instance=instance,
            on_assigned=on_assigned,
            on_revoked=on_revoked,
        )

    return join
