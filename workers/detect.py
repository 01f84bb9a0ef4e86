"""The process `detect`: frames in, detections out."""

import os
import re
from contextlib import closing
from pathlib import Path

from pipeline.adapters.yolo import load_model
from pipeline.config import DetectSettings, Settings
from pipeline.stages.detect import DetectPolicy, detect
from workers.connection import joining
from workers.process import Process, run


def main(settings: Settings) -> int:
    """Run until a signal says stop; the exit code."""
    return run("detect", _detect, settings)


async def _detect(process: Process) -> None:
    wanted = process.settings.detect
    # Loaded and warm before the group is joined: a member that cannot work yet would hold partitions unread.
    model = load_model(
        Path(wanted.model),
        backend=wanted.backend,
        device=wanted.device,
        score=wanted.score,
        iou=wanted.iou,
        precision=None if wanted.precision == "auto" else wanted.precision,
        threads=wanted.threads,
        max_batch=wanted.batch,
    )
    with closing(model):
        kafka = await process.kafka()
        process.at_work = True
        async with kafka.writer() as writer:
            await detect(
                join=joining(kafka, "frames", "detect", _instance(wanted)),
                writer=writer,
                model=model,
                meter=process.meter,
                clock=process.clock,
                policy=DetectPolicy(
                    batch=wanted.batch,
                    batches=wanted.batches,
                    waiting=wanted.waiting,
                    commit_ms=wanted.commit_ms,
                    shards=kafka.topics.sizes.shards,
                ),
                stop=process.stop,
            )


def _instance(wanted: DetectSettings) -> str | None:
    """A name that survives a restart: the ordinal given, or the one a StatefulSet gave this pod.

    Nothing else is safe to make one up from: two living processes of one name would steal each other's partitions.
    """
    if wanted.ordinal is not None:
        return f"detect-{wanted.ordinal}"
    pod = re.search(r"-(\d+)$", os.environ.get("HOSTNAME", ""))
    if pod is not None and "KUBERNETES_SERVICE_HOST" in os.environ:
        return f"detect-{pod[1]}"
    return None
