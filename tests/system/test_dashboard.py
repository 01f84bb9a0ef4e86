"""The page in a real browser, on a whole gantry: each process its own, on a real Kafka."""

import json
import os
import re
import threading
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from selenium.webdriver.common.by import By

from tests.system.browser import PATIENCE_S, browser, wait_for
from tests.system.installation import PROCESSES, Installation, free_port, until

pytestmark = [pytest.mark.kafka, pytest.mark.footage, pytest.mark.timeout(600)]

LINE = {"from": [0.36, 0.6], "to": [0.97, 0.6], "to_right": "towards <the camera>", "classes": ["car", "bus", "truck"]}
GONE = re.compile(r"/picture\?epoch=\d+&seq=\d+ .* 404 ")
"""A picture that was gone when its boxes came, as on a machine that is far behind: the page asks for the next one."""
SCENES = {"road": {"drawn_on": "640x352", "lines": {"near": LINE}}}


@pytest.fixture(scope="module")
def house(kafka, model, tmp_path_factory):
    """A filmed road, a simulated motorway without pixels and a camera that is not there; all processes run."""
    if not (named := os.environ.get("GANTRY_TEST_DATA")):
        pytest.skip("real footage is asked for: set GANTRY_TEST_DATA to its folder")
    port = free_port()
    running = Installation(
        tmp_path_factory.mktemp("house"), kafka.servers, f"t{uuid.uuid4().hex[:8]}.", model=model,
        cameras={
            "road": {"source": str(Path(named) / "videos" / "suburban_road_640x352.mp4"), "fps": 5, "loop": True},
            "motorway": {"source": "sim+detections://motorway?seed=1&fps=10&noise=none", "loop": True},
            "gone": {"source": "rtsp://127.0.0.1:1/nobody"},
        },
        scenes=SCENES, dashboard={"port": port},
    )  # fmt: skip
    running.page = f"http://localhost:{port}"
    running.prepare()
    _, said = running.gantry("simulate", "scene", "motorway")
    (running.folder / "scene.yaml").write_text(said)
    running.gantry(
        "scenes", "apply", str(running.folder / "scene.yaml"), "--camera", "motorway", "--config", str(running.file)
    )
    running.start(*PROCESSES, "dashboard")

    def counted():
        running.alive()
        try:
            counts = running.get("/api/v1/counts").json()["items"]
            page = httpx.get(f"{running.page}/healthz").json()
        except httpx.HTTPError:
            return False
        return page == {"alive": True} and {c["camera"] for c in counts} == {"road", "motorway"}

    try:
        until(counted, seconds=180, what="both cameras having been counted")
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("downloads")) as window:
        yield window


@pytest.fixture
def page(window, house):
    """The browser, with nothing remembered; afterwards it must not have complained, nor have asked anybody else."""
    window.get(f"{house.page}/healthz")
    window.execute_script("localStorage.clear()")
    window.get_log("browser"), window.get_log("performance")
    yield Page(window, house)
    complaints = [e["message"] for e in window.get_log("browser") if e["level"] == "SEVERE"]
    assert [complaint for complaint in complaints if not GONE.search(complaint)] == []
    assert asked(window) <= {"localhost"}


def asked(window):
    """The machines that were asked for anything."""
    messages = [json.loads(entry["message"])["message"] for entry in window.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return {urlsplit(url).hostname for url in urls if urlsplit(url).scheme in {"http", "https", "ws", "wss"}}


class Page:
    """What a person sees and does."""

    def __init__(self, window, house):
        self.window, self.house = window, house

    def open(self, path):
        self.window.get(self.house.page + path)
        return self

    def wait(self, condition):
        return wait_for(self.window, condition)

    def ask(self, expression, *arguments):
        return self.window.execute_script(f"return {expression}", *arguments)

    def text(self, css):
        return self.ask("document.querySelector(arguments[0]).innerText", css)

    def number(self, css):
        return int(self.text(css).replace(",", ""))

    def moved(self, css):
        """Wait until a number is greater than it is now."""
        before = self.number(css)
        until(lambda: self.number(css) > before, seconds=PATIENCE_S * 2, what=f"{css} rising above {before}")

    def pixels(self, css):
        """What a canvas shows: rows of RGBA."""
        script = """
            const canvas = document.querySelector(arguments[0]);
            const {data, width, height} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return [[...data], width, height];"""
        data, width, height = self.window.execute_script(script, css)
        return np.array(data, np.uint8).reshape(height, width, 4)


class Tracks(threading.Thread):
    """What the stream tells of a camera's tracks: how many, by picture."""

    def __init__(self, house, camera):
        super().__init__(daemon=True)
        self.seen, self.over = {}, threading.Event()
        self.query = {"camera": camera, "kinds": "tracks"}
        self.url = f"http://127.0.0.1:{house.port}/api/v1/stream"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        """End before anybody stops the other end: at the stream's next line, a heartbeat at the latest."""
        self.over.set()
        self.join(PATIENCE_S)
        assert not self.is_alive(), "the stream sent not even a heartbeat"

    def run(self):
        with httpx.stream("GET", self.url, params=self.query, timeout=PATIENCE_S) as answer:
            for line in answer.iter_lines():
                if self.over.is_set():
                    return
                if line.startswith('data: {"camera"'):
                    told = json.loads(line[6:])
                    self.seen[f"{told['epoch']}-{told['seq']}"] = len(told["tracks"])


def test_the_wall_shows_every_camera_its_picture_its_state_and_counts_that_move(page):
    page.open("/")
    page.wait("document.querySelectorAll('.tile').length === 3")
    states = dict(page.ask("[...document.querySelectorAll('.tile')].map((t) => [t.dataset.camera, t.dataset.state])"))

    assert states["road"] == states["motorway"] == "live"
    assert states["gone"] in {"silent", "unknown"}
    assert "no picture yet" in page.text("[data-camera=gone]")
    for camera in ("road", "motorway"):
        tile = f"[data-camera={camera}]"
        first = page.wait(f"document.querySelector('{tile} .scene').dataset.shown")
        page.wait(f"document.querySelector('{tile} .scene').dataset.shown !== '{first}'")
        page.wait(f"Number(document.querySelector('{tile} .scene').dataset.boxes) > 0")
        page.wait(f"/captured [0-9.]+ s ago/.test(document.querySelector('{tile} .age').textContent)")
        assert page.wait(f"Number(document.querySelector('{tile} .rate b').textContent) > 0")
    values = [page.text("[data-camera=motorway] .rate b") for _ in range(60) if not time.sleep(0.5)]
    assert len(set(values)) > 1, "the motorway's crossings of the last minute never changed"


def test_the_picture_is_the_one_that_its_boxes_were_seen_in(page, house):
    """Boxes are drawn over the very picture that detect saw, not over a newer or older one."""
    seen = {}
    with Tracks(house, "road") as told:
        page.open("/cameras/road")
        page.wait("document.querySelector('.scene')?.dataset.shown")
        end = time.monotonic() + 15
        while time.monotonic() < end:
            shown, boxes = page.ask(
                "(({shown, boxes}) => [shown, Number(boxes)])(document.querySelector('.scene').dataset)"
            )
            seen[shown] = boxes
    both = seen.keys() & told.seen.keys()

    assert len(both) > 10
    assert {name: seen[name] for name in both} == {name: told.seen[name] for name in both}


def test_a_filmed_camera_shows_pixels_and_a_simulated_one_boxes_on_a_plain_ground(page):
    page.open("/cameras/road")
    page.wait("document.querySelector('.scene')?.dataset.shown && !document.querySelector('.scene').matches('.bare')")

    def filled():
        return (page.pixels(".scene canvas")[..., 3] == 255).all()

    until(filled, seconds=60, what="the film's pixels all over the canvas")
    filmed = page.pixels(".scene canvas")
    page.open("/cameras/motorway")
    page.wait("Number(document.querySelector('.scene')?.dataset.boxes) > 0")
    page.wait("document.querySelector('.scene').matches('.bare')")
    bare = page.pixels(".scene canvas")

    assert filmed[..., :3].std() > 20
    assert 0 < (bare[..., 3] > 0).mean() < 0.3, "only boxes and trails are painted"


def test_counts_move_are_those_of_the_api_and_stand_at_the_ends_of_the_lines(page, house):
    page.open("/cameras/motorway")
    rows = "tr[data-line=westbound][data-way=to_right] .all b", "tr[data-line=eastbound][data-way=to_left] .all b"
    page.wait(f"document.querySelector('{rows[0]}') && Number(document.querySelector('{rows[0]}').textContent) >= 0")
    for row in rows:
        page.moved(row)

    def same():
        items = house.get("/api/v1/counts", camera="motorway").json()["items"]
        true = {(c["line"], c["direction"]): 0 for c in items}
        for c in items:
            true[c["line"], c["direction"]] += c["count"]
        shown = page.ask(
            "[...document.querySelectorAll('tbody tr')].map((r) => [r.dataset.line, r.dataset.way, r.querySelector('.all').textContent])"
        )
        signs = page.ask(
            "[...document.querySelectorAll('.sign.count')].map((s) => [s.dataset.line, s.dataset.way, s.textContent.trim()])"
        )
        table = {(line, way): int(n.replace(",", "")) for line, way, n in shown}
        return shown == signs and {k: v for k, v in table.items() if v} == true

    until(same, seconds=30, what="table, picture and API agreeing")


def test_events_come_by_themselves_and_are_those_of_the_api(page, house):
    page.open("/cameras/motorway")
    newest = "document.querySelector('.events li')?.dataset.event"
    first = page.wait(newest)
    later = page.wait(f"{newest} !== {json.dumps(first)} && {newest}")

    def known_to_the_api():
        items = house.get("/api/v1/events", camera="motorway", limit=500).json()["items"]
        return next((event for event in items if event["id"] == later), None)

    event = until(known_to_the_api, seconds=10, what="the history having the event that was told live")
    listed = page.ask("[...document.querySelectorAll('.events li')].map((l) => l.dataset.event)")
    assert len(listed) == len(set(listed)) > 1
    told = page.text(f'.events li[data-event="{later}"]')
    words = [event[key] for key in ("class", "line", "zone", "from", "to") if key in event]
    assert words
    assert [word for word in words if word not in told] == []


def test_names_that_people_gave_are_text_and_never_markup(page):
    page.open("/cameras/road")
    page.wait("document.querySelector('tr[data-line=near]')")

    assert "towards <the camera>" in page.text("tr[data-line=near][data-way=to_right]")


def test_minutes_are_drawn_as_bars_by_class(page):
    page.open("/cameras/motorway")

    assert page.wait("document.querySelectorAll('.flow-chart svg path').length > 10")
    assert page.wait("/\\bcar\\b/.test(document.querySelector('.flow-chart').innerText)"), (
        "the legend comes with the first minute"
    )


@pytest.mark.parametrize("name", ["nobody", "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E"])
def test_a_camera_that_is_not_there_is_told_plainly(window, house, name):
    window.get(f"{house.page}/cameras/{name}")
    text = wait_for(window, "document.querySelector('.card.empty')?.textContent")
    window.get_log("browser")  # a browser writes every 404 there

    assert "There is no camera" in text
    assert "see /api/v1/cameras" in text


def test_dark_and_light_are_chosen_and_remembered(page):
    page.open("/")
    ground = "getComputedStyle(document.body).backgroundColor"
    page.wait("document.querySelector('.theme')")
    light = page.ask(ground)
    page.window.find_element(By.CSS_SELECTOR, ".theme").click()
    dark = page.ask(ground)
    page.open("/cameras/road")
    page.wait("document.querySelector('.theme')")

    assert sum(map(int, light[4:-1].split(","))) > 600
    assert sum(map(int, dark[4:-1].split(","))) < 150
    assert page.ask(ground) == dark
    page.window.find_element(By.CSS_SELECTOR, ".theme").click()
    assert page.ask(ground) == light


def test_the_system_decides_until_somebody_chooses(house, tmp_path):
    with browser(tmp_path, dark=True) as window:
        window.get(house.page)
        wait_for(window, "document.querySelector('.theme')")
        assert window.execute_script("return document.documentElement.dataset.theme") == "dark"


@pytest.mark.parametrize("path", ["/", "/cameras/motorway"])
def test_a_narrow_window_needs_no_scrolling_sideways(house, tmp_path, path):
    with browser(tmp_path, size=(380, 800)) as window:
        window.get(house.page + path)
        wait_for(window, "Number(document.querySelector('.scene')?.dataset.boxes) > 0")
        assert window.execute_script("return document.documentElement.scrollWidth") <= 380


def test_a_page_of_a_stranger_cannot_read_the_api(window, house):
    """The dashboard by a name that nobody allowed: what it asks is refused by the browser, and said."""
    window.get(house.page.replace("localhost", "gantry.localhost"))
    trouble = wait_for(window, "document.querySelector('.trouble')?.textContent")
    window.get_log("browser")

    assert "does not let this page read it (serve.origins)" in trouble


def test_a_serve_that_is_killed_is_told_and_the_page_goes_on_by_itself_when_it_is_back(window, house):
    page = Page(window, house).open("/cameras/motorway")
    row = "tr[data-line=westbound][data-way=to_right] .all b"
    page.wait(f"document.querySelector('{row}') && Number(document.querySelector('{row}').textContent) >= 0")
    house.kill("serve")
    assert "The API does not answer" in page.wait("document.querySelector('.trouble')?.textContent")
    assert "No picture was analysed for" in page.wait("document.querySelector('.warning')?.textContent")
    stood = page.number(row)
    house.start("serve")
    page.wait("!document.querySelector('.trouble') && !document.querySelector('.warning')")
    page.wait("Number(document.querySelector('.scene').dataset.boxes) > 0")

    page.moved(row)
    assert page.number(row) > stood


def test_a_camera_that_ends_becomes_silent_and_its_age_grows(window, house):
    page = Page(window, house).open("/cameras/motorway")
    page.wait("Number(document.querySelector('.scene')?.dataset.boxes) > 0")
    house.kill("capture")
    page.wait("document.querySelector('.warning')?.textContent.includes('No picture was analysed for')")
    silent = "document.querySelector('.summary .state').textContent === 'silent'"
    until(
        lambda: page.ask(silent), seconds=4 * PATIENCE_S, what="the end of what was not analysed yet, and then silence"
    )
    assert "What passes now is not known" in page.text(".counts")
    house.start("capture")
    page.wait("!document.querySelector('.warning')")
    window.get_log("browser")


def test_no_process_complained(house):
    for name in ("serve", "dashboard"):
        assert "Traceback" not in house.said(name)
        assert "ERROR" not in house.said(name)
    assert ".nicegui" not in [path.name for path in house.folder.iterdir()]
