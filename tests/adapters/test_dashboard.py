"""The page's own rules in a real browser: what is drawn of what serve tells, and how times and numbers are read.

serve is the real one over a broker in memory, so that every picture and every track is the test's own.
"""

import asyncio
import contextlib
import os
import subprocess
import sys

import httpx
import msgspec
import numpy as np
import pytest
import simplejpeg

from pipeline.core.model import FlowCount, LineFlow, Way
from pipeline.ports import TrueCount
from tests.adapters.test_http import running
from tests.stages.serving import SCENE, camera, crossing, tracks, window
from tests.system.browser import browser, wait_for
from tests.system.installation import free_port, until

RED, GREEN, GREY = (220, 30, 30), (30, 160, 30), (120, 120, 120)
NEAR = 40  # of a colour: JPEG is not exact


def jpeg(colour):
    return simplejpeg.encode_jpeg(np.full((352, 640, 3), colour, np.uint8), quality=90)


@pytest.fixture(scope="module")
def window_(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("downloads")) as window:
        yield window


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory):
    """The page as its own process: (its address, the port where it looks for serve)."""
    port, serve = free_port(), free_port()
    file = tmp_path_factory.mktemp("dashboard") / "gantry.yaml"
    file.write_text(f"serve: {{port: {serve}}}\ndashboard: {{port: {port}}}\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GANTRY_")}
    command = [sys.executable, "-m", "workers.gantry", "dashboard", "--config", str(file)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    url = f"http://localhost:{port}"

    def up():
        assert process.poll() is None
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{url}/healthz").is_success

    try:
        until(up, seconds=60, what="the page answering")
        yield url, serve
    finally:
        process.kill()
        process.wait()


class Page:
    """A browser that is asked without holding up the loop that answers it."""

    def __init__(self, window):
        self.window = window

    async def open(self, url):
        await asyncio.to_thread(self.window.get, url)

    async def wait(self, condition):
        return await asyncio.to_thread(wait_for, self.window, condition)

    async def run(self, body):
        """What an asynchronous function of this body gives; the page's modules are `words` and `chart`."""
        script = f"""
            const done = arguments[0];
            (async () => {{
              const words = await import("gantry-page"), chart = await import("gantry-page/flow_chart.js");
              {body}
            }})().then((value) => done([true, value]), (error) => done([false, String(error)]));"""
        well, value = await asyncio.to_thread(self.window.execute_async_script, script)
        assert well, value
        return value

    async def colour(self):
        """Of the canvas, a little inside its lower right corner, where no box is."""
        return await self.run(
            """const canvas = document.querySelector(".scene canvas");
            return [...canvas.getContext("2d").getImageData(canvas.width - 20, canvas.height - 20, 1, 1).data].slice(0, 3);"""
        )

    async def looks(self, colour, seconds=20):
        async with asyncio.timeout(seconds):
            while np.abs(np.subtract(await self.colour(), colour)).max() > NEAR:  # noqa: ASYNC110 - a browser tells nothing
                await asyncio.sleep(0.1)


@pytest.fixture
def page(window_):
    return Page(window_)


@pytest.fixture
async def modules(page, dashboard):
    """A page whose modules can be asked; serve is not there."""
    url, _ = dashboard
    if await asyncio.to_thread(lambda: page.window.current_url) != f"{url}/cameras/a":
        await page.open(f"{url}/cameras/a")
    return page


@pytest.fixture
async def one_camera(tmp_path, page, dashboard):
    """The page of camera a, and the API behind it."""
    url, port = dashboard
    async with running(tmp_path / "h.db", origins=[url], port=port) as api:
        await api.hand.register("cameras", "a", camera("a", time_zone="Europe/Amsterdam"))
        await api.hand.register("scenes", "a", SCENE)
        await api.hand.place("a", 0)
        await api.service.until(lambda: (found := api.service.feed.camera("a")) and found.scene)
        await page.open(f"{url}/cameras/a")
        await page.wait("document.querySelector('.scene') && document.querySelector('.summary h1')")
        yield api
        await page.open("about:blank")


@contextlib.asynccontextmanager
async def telling(api, of):
    """The same tracks again and again: a camera that is never quiet."""

    async def tell():
        while True:
            await api.hand.tracks(of)
            await asyncio.sleep(0.2)

    task = asyncio.ensure_future(tell())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_boxes_are_drawn_on_the_picture_they_were_seen_in_though_a_newer_one_is_there(one_camera, page):
    api = one_camera
    await api.hand.picture(1, jpeg(RED))
    await api.hand.picture(2, jpeg(GREEN))
    for n, colour in ((1, RED), (2, GREEN)):
        async with telling(api, tracks(n)):
            await page.wait(f"document.querySelector('.scene').dataset.shown === '0-{n}'")
            assert await page.wait("document.querySelector('.scene').dataset.boxes") == "1"
            await page.looks(colour)


async def test_without_tracks_the_newest_picture_is_shown_bare_and_said_to_be_unanalysed(one_camera, page):
    api = one_camera
    await api.hand.picture(1, jpeg(RED))
    await api.hand.tracks(tracks(1))
    await page.looks(RED)
    await api.hand.picture(2, jpeg(GREY))

    await page.looks(GREY)
    assert await page.wait("document.querySelector('.scene').dataset.boxes") == "0"
    assert "No picture was analysed for" in await page.wait("document.querySelector('.warning')?.textContent")


async def test_tracks_whose_picture_is_gone_do_not_stop_the_next_ones(one_camera, page):
    api = one_camera
    await api.hand.picture(5, jpeg(RED))
    await api.hand.tracks(tracks(5))
    await page.looks(RED)
    await api.hand.tracks(tracks(4))  # a repeat of what the log does not have
    await api.hand.picture(6, jpeg(GREEN))
    await api.hand.tracks(tracks(6))

    await page.looks(GREEN)


async def test_boxes_that_come_too_late_for_their_pictures_give_way_to_the_newest_picture(one_camera, page):
    api = one_camera
    await api.hand.picture(9, jpeg(RED))
    for n in range(1, 5):
        await api.hand.tracks(tracks(n))
        await asyncio.sleep(0.3)
    async with telling(api, tracks(5)):
        await page.looks(RED)
        assert "Vehicles are seen so late" in await page.wait("document.querySelector('.scene .note')?.textContent")
        assert await page.wait("document.querySelector('.scene').dataset.boxes") == "0"
    assert api.service.meter.counts["requests", "4xx"] < 20, "it does not go on asking for each"


async def test_a_line_without_crossings_counts_0_and_names_are_shown_as_they_are(one_camera, page):
    api = one_camera
    await api.hand.picture(1, jpeg(RED))
    await api.hand.tracks(tracks(1))
    await page.wait("document.querySelector('td.all')?.textContent === '0'")
    await api.hand.event(crossing(2, label="<b>bus"))

    await page.wait("document.querySelector('tr[data-way=to_right] td.all')?.textContent === '1'")
    assert "<b>bus" in await page.wait("document.querySelector('.events li')?.textContent")
    assert "<b>bus" in await page.wait("document.querySelector('thead').textContent")


class Told:
    """`ports.Truths`: what a test says is true."""

    def __init__(self):
        self.items = []

    async def counts(self):
        return self.items


async def test_true_counts_stand_beside_counted_ones_only_where_truth_is_known(tmp_path, page, dashboard):
    url, port = dashboard
    told = Told()
    told.items = [
        TrueCount(camera=name, line="main", direction=way, true=true, counted=counted, until_ms=61_000)
        for name, way, true, counted in (("a", "to_right", 12, 10), ("a", "to_left", 1, 2), ("c", "to_left", 5, 5))
    ]
    async with running(tmp_path / "h.db", origins=[url], port=port, truths=told) as api:
        for name in ("a", "b"):
            await api.hand.register("cameras", name, camera(name))
            await api.hand.register("scenes", name, SCENE)
        await api.service.until(lambda: len(api.service.feed.cameras()) == 2)
        await page.open(f"{url}/cameras/a")
        rows = await page.wait(
            "(r => r.length && r)([...document.querySelectorAll('.truth tr')].map((r) => r.innerText))"
        )
        assert [row.split() for row in rows] == [
            ["line,", "direction", "true", "counted", "off"],
            ["main", "to", "the", "right", "12", "10", "−2"],  # noqa: RUF001 - as people write it
            ["main", "to", "the", "left", "1", "2", "+1"],
            ["all", "13", "12", "−1"],  # noqa: RUF001
        ]
        assert "until 00:01:01" in await page.wait("document.querySelector('.truth h2').innerText")
        told.items = [msgspec.structs.replace(each, true=each.true + 100) for each in told.items]
        await page.wait("document.querySelector('.truth tfoot .true').innerText === '213'")

        await page.open(f"{url}/cameras/b")
        await page.wait("document.querySelector('tr[data-line=main] td.all')")
        assert not await page.run("return document.querySelector('.truth') !== null;")
        await page.open(url)
        await page.wait("document.querySelector('[data-camera=a] .truth')?.innerText === 'counted 12 of 213 true'")
        assert not await page.run("return document.querySelector('[data-camera=b] .truth') !== null;")
        await page.open("about:blank")


@pytest.mark.parametrize(
    ("moment", "zone", "begun"),
    [
        ("2026-11-26T09:30:00.250Z", "Europe/Amsterdam", "2026-11-25T23:00:00.000Z"),
        ("2026-11-25T22:59:59.999Z", "Europe/Amsterdam", "2026-11-24T23:00:00.000Z"),
        ("2026-03-29T12:00:00.000Z", "Europe/Amsterdam", "2026-03-28T23:00:00.000Z"),  # the day has 23 hours
        ("2026-10-25T12:00:00.000Z", "Europe/Amsterdam", "2026-10-24T22:00:00.000Z"),  # and this one 25
        ("2026-10-25T00:30:00.000Z", "Europe/Amsterdam", "2026-10-24T22:00:00.000Z"),
        ("2026-11-26T09:30:00.000Z", "Asia/Kathmandu", "2026-11-25T18:15:00.000Z"),
        ("2026-11-26T00:00:00.000Z", "UTC", "2026-11-26T00:00:00.000Z"),
        ("2026-11-26T05:00:00.000Z", "no/such", "2026-11-26T00:00:00.000Z"),
    ],
)
async def test_a_day_begins_at_midnight_where_the_camera_is(modules, moment, zone, begun):
    assert (
        await modules.run(f"return new Date(words.midnight(Date.parse('{moment}'), '{zone}')).toISOString();") == begun
    )


async def test_minutes_are_made_of_windows_and_what_nobody_saw_is_not_a_zero(modules):
    minute = 60_000

    def told(n, coverage, count):
        lines = [LineFlow(line="main", counts=[FlowCount(direction=Way.TO_RIGHT, label="car", count=count)])]
        return window(n, coverage=coverage, lines=lines)

    flows = [told(0, 1.0, 2), told(1, 0.5, 1), told(4, 1.0, 0), told(5, 1.0, 3)]
    events = [crossing(185, label="bus"), crossing(100)]  # the second lies in a window that is told

    given = msgspec.json.encode({"flows": flows, "events": events}).decode()
    asked = "{line: '', lastMs: %d, many: 5, live: %s}"
    body = f"const {{flows, events}} = {given}; return chart.minutesOf(flows, events, {asked});"

    live = await modules.run(body % (4 * minute + 10_000, "true"))
    assert [(m["startMs"] // minute, m["coverage"], m["counts"]) for m in live] == [
        (0, 0.75, {"car": 3}),
        (1, 0, {}),
        (2, 1, {"car": 3}),
        (3, pytest.approx(35 / 60), {"bus": 1}),  # only so far back can a window still be on its way
        (4, 1, {}),
    ]
    silent = await modules.run(body % (4 * minute + 10_000, "false"))
    assert [m["coverage"] for m in silent] == [0.75, 0, 1, 0, 0]
