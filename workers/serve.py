"""The process `serve`: the history and the API, from the log."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec

from pipeline.adapters.http import http_app, run_http
from pipeline.adapters.store import open_store
from pipeline.config import ServeSettings, Settings
from pipeline.core.credentials import without_credentials
from pipeline.errors import Fatal
from pipeline.simulate.truth import Truth
from pipeline.simulate.truth_file import read_truth
from pipeline.stages.serve import LiveFeed, LivePictures, ServePolicy, TrueCounts, serve
from workers.process import Process, run


def main(settings: Settings) -> int:
    """Run until a signal says stop; the exit code."""
    return run("serve", _serve, settings)


async def _serve(process: Process) -> None:
    wanted = process.settings.serve
    policy = policy_of(wanted)
    shared: dict[str, Any] = {"meter": process.meter, "clock": process.clock, "policy": policy}
    truths = read_truths(wanted.truth)
    async with AsyncExitStack() as stack:
        # The file first: what is wrong with it is told at once, also while there is no Kafka.
        history = await stack.enter_async_context(open_store(wanted.database))
        kafka = await process.kafka()
        log_id = await kafka.log_id()
        logs = await stack.enter_async_context(kafka.logs())
        writer = await stack.enter_async_context(kafka.writer())
        feed = LiveFeed(logs=logs, log_id=log_id, **shared)
        pictures = LivePictures(logs=logs, **shared)
        stack.push_async_callback(pictures.close)
        true = TrueCounts(truths, logs, history)
        app = http_app(
            feed=feed,
            history=history,
            pictures=pictures,
            truths=true,
            meter=process.meter,
            redact=without_credentials,
            origins=process.settings.dashboard.origins() if wanted.origins is None else wanted.origins,
        )
        ended = asyncio.Event()

        def listening(port: int) -> None:
            process.at_work = True
            process.log.info("answers at http://%s:%d/api/v1", wanted.host, port)

        await _together(
            serve(feed=feed, logs=logs, history=history, dead=writer, log_id=log_id, stop=ended, **shared),
            run_http(app, wanted.host, wanted.port, ended, listening=listening),
            process.stop.wait(),
            ended,
            true.follow() if truths else None,
        )


def policy_of(wanted: ServeSettings) -> ServePolicy:
    """The stage's share of the settings."""
    return ServePolicy(clients=wanted.clients, retention_days=wanted.retention_days)


def with_truths(settings: Settings, told: Sequence[str]) -> Settings:
    """Settings with what `--truth` says: CAMERA=FILE, or FILE alone, whose place is the camera's name. Raises Fatal."""
    truth = dict(settings.serve.truth)
    for each in told:
        camera, separator, file = each.partition("=")
        if not separator:
            camera, file = read_truths({"": each})[""].scenario, each
        truth[camera] = file
    return msgspec.structs.replace(settings, serve=msgspec.structs.replace(settings.serve, truth=truth))


def read_truths(files: dict[str, str]) -> dict[str, Truth]:
    """What is true of which camera. Raises Fatal: files cannot be read, or are no truth; all of them."""
    found, wrong = {}, []
    for camera, file in files.items():
        try:
            found[camera] = read_truth(Path(file).read_bytes(), name=file)
        except OSError as exc:
            wrong.append(f"the truth {file}: {exc.strerror or exc}")
        except Fatal as exc:
            wrong.append(str(exc))
    if wrong:
        raise Fatal("\n".join(dict.fromkeys(wrong)))  # one file may be the truth of several cameras
    return found


async def _together(stage: Any, server: Any, stop: Any, ended: asyncio.Event, beside: Any = None) -> None:
    """Run both until one of them ends or we are told to stop; the others end with it. Raises the first error."""
    work = [asyncio.ensure_future(stage), asyncio.ensure_future(server)]
    following = asyncio.ensure_future(beside) if beside is not None else None
    told = asyncio.ensure_future(stop)
    try:
        await asyncio.wait([*work, told], return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended.set()
        told.cancel()
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        await asyncio.wait(work)
    for task in work:
        task.result()
