"""The process `capture`: cameras in, frames out."""

from pipeline.adapters.secrets import resolve
from pipeline.adapters.simulated import SimulatedSource
from pipeline.adapters.video import VideoSource
from pipeline.config import Settings
from pipeline.stages.capture import CapturePolicy, capture
from workers.cameras import Cameras
from workers.connection import joining
from workers.process import Process, run


def main(settings: Settings) -> int:
    """Run until a signal says stop; the exit code."""
    return run("capture", _capture, settings)


async def _capture(process: Process) -> None:
    wanted = process.settings.capture
    kafka = await process.kafka()
    process.at_work = True
    filmed = VideoSource(
        resolve=resolve,
        connect_s=wanted.connect_timeout_s,
        stall_s=wanted.stall_s,
        quality=wanted.jpeg_quality,
        clock=process.clock,
    )
    async with kafka.writer() as writer, kafka.logs() as logs:
        await capture(
            source=Cameras(filmed=filmed, simulated=SimulatedSource(process.clock)),
            writer=writer,
            logs=logs,
            join=joining(kafka, "capture-shards", "capture", wanted.instance),
            log_id=await kafka.log_id(),
            policy=CapturePolicy(
                backlog_bytes=wanted.buffer_mib * 1024 * 1024,
                tick_s=wanted.tick_s,
                keyframe_s=wanted.keyframe_s,
                backoff_first_s=wanted.backoff_first_s,
                backoff_most_s=wanted.backoff_most_s,
            ),
            meter=process.meter,
            clock=process.clock,
            stop=process.stop,
        )
