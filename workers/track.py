"""The process `track`: detections in; tracks, events and flow out."""

import asyncio
import uuid

from pipeline.config import Settings
from pipeline.core.warm_up import warm_up
from pipeline.stages.track import TrackPolicy, track
from workers.connection import joining
from workers.process import Process, run
from workers.saying import COMPILING


def main(settings: Settings) -> int:
    """Run until a signal says stop; the exit code."""
    return run("track", _track, settings)


async def _track(process: Process) -> None:
    wanted = process.settings.track
    kafka = await process.kafka()
    await asyncio.to_thread(warm_up, lambda: process.log.info(COMPILING))
    process.at_work = True
    async with kafka.writer() as writer, kafka.logs() as logs:
        await track(
            join=joining(kafka, "detections", "track", wanted.instance),
            writer=writer,
            logs=logs,
            meter=process.meter,
            clock=process.clock,
            policy=TrackPolicy(
                scene=wanted.beliefs, snapshot_ms=wanted.snapshot_ms, snapshot_records=wanted.snapshot_records
            ),
            run=uuid.uuid4().hex[:12],
            stop=process.stop,
        )
