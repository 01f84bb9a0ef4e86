"""The process `aggregate`: 30-second flow in; longer windows of cameras and groups out."""

import os

from pipeline.adapters.faust_app import FaustRunner
from pipeline.config import Settings
from pipeline.errors import Fatal
from pipeline.stages.aggregate import AggregatePolicy, aggregate
from workers.connection import security
from workers.process import Process, run


def main(settings: Settings) -> int:
    """Run until a signal says stop; the exit code."""
    return run("aggregate", _aggregate, settings)


async def _aggregate(process: Process) -> None:
    wanted, broker = process.settings.aggregate, process.settings.kafka
    try:
        policy = AggregatePolicy.of([window * 1000 for window in wanted.windows_s], int(wanted.grace_s * 1000))
    except ValueError as exc:
        raise Fatal(f"aggregate.windows_s {wanted.windows_s} cannot work: {exc}") from exc
    kafka = await process.kafka()
    process.at_work = True
    runner = FaustRunner(
        servers=broker.servers,
        topics=kafka.topics,
        group="aggregate",
        meter=process.meter,
        instance=wanted.instance or os.environ.get("GANTRY_INSTANCE"),
        security=security(broker),
    )
    async with kafka.logs() as logs:
        await aggregate(
            runner=runner,
            logs=logs,
            shards=kafka.topics.sizes.shards,
            policy=policy,
            meter=process.meter,
            stop=process.stop,
        )
