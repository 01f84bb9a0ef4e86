"""The truth page in a real browser: what a person clicks and types is what the file says."""

import json

import av
import cv2
import numpy as np
import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from pipeline.core.model import Way
from pipeline.evaluate.hand_count import read_hand_count
from tests.system.browser import browser, downloaded, wait_for
from workers import gantry

WIDTH, HEIGHT, FPS, SECONDS = 320, 180, 25, 8
SCENE = """\
drawn_on: 320x180
lines:
  gate: {from: [0.1, 0.5], to: [0.9, 0.5], to_right: "south <script>", to_left: north}
  side: {from: [0.5, 0.9], to: [0.5, 0.1]}
"""
SPEED = 60  # pixels a second
LENGTH = 20
DOWN_S, UP_S, ACROSS_S = 1.5, 4.0, 6.5
"""When the lower edges of three boxes are on the middle row: one drives down, one up, one down again."""


def film(path):
    """Three white boxes on a grey road, a quarter, a half and three quarters along the line."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        for n in range(FPS * SECONDS):
            t = n / FPS
            image = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
            for x, way, at in ((96, 1, DOWN_S), (160, -1, UP_S), (224, 1, ACROSS_S)):
                edge = round(HEIGHT / 2 + way * SPEED * (t - at))
                image[max(0, edge - LENGTH) : max(0, edge), x - 16 : x + 16] = 255
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = n
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The page, made as a person makes it."""
    folder = tmp_path_factory.mktemp("truth")
    (folder / "scene.yaml").write_text(SCENE)
    video = film(folder / "three boxes.avi")
    words = ["truth", "new", str(video), "--scene", str(folder / "scene.yaml"), "--out", str(folder / "out"), "--quiet"]
    assert gantry._guarded(lambda: gantry.cli.main(words, prog_name="gantry", standalone_mode=False)) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    downloads = tmp_path_factory.mktemp("downloads")
    with browser(downloads) as window:
        window.downloads = downloads
        yield window


@pytest.fixture
def page(window, made):
    """The page as it is opened for the first time."""
    window.get((made / "index.html").as_uri())
    window.execute_script("localStorage.clear()")
    page = Page(window)
    page.reload()
    yield page
    assert [entry["message"] for entry in window.get_log("browser")] == [], "the browser has nothing to complain of"


class Page:
    """What a person sees and does."""

    def __init__(self, window):
        self.window = window

    def reload(self):
        self.window.refresh()
        wait_for(self.window, "strip.image(strip.line.tiles[0]) && strip.image(strip.line.overview) && !waiting")

    def get(self, name):
        return self.window.find_element(By.ID, name)

    def streaks(self):
        """The white blobs of the slit-scan as it is seen, from left to right: (left, right, middle) in its pixels."""
        wait_for(self.window, "!waiting")
        png = np.frombuffer(self.get("scan").screenshot_as_png, np.uint8)
        seen = cv2.imdecode(png, cv2.IMREAD_GRAYSCALE)
        seen[:80] = seen[:, :60] = seen[:, -10:] = 0  # axis and flags, the words beside, what lies after the end
        _, _, stats, _ = cv2.connectedComponentsWithStats((seen > 150).astype(np.uint8))
        blobs = [(x, x + w, y + h / 2) for x, y, w, h, area in stats[1:] if area > 200]
        return sorted(blobs)

    def scan(self, x, y):
        """A pointer at a place of the slit-scan."""
        canvas = self.get("scan")
        return ActionChains(self.window, duration=50).move_to_element_with_offset(
            canvas, round(x - canvas.size["width"] / 2), round(y - canvas.size["height"] / 2)
        )

    def click(self, x, y):
        self.scan(x, y).click().perform()

    def keys(self, *keys):
        ActionChains(self.window).send_keys(*keys).perform()

    def control(self, key):
        ActionChains(self.window).key_down(Keys.CONTROL).send_keys(key).key_up(Keys.CONTROL).perform()

    def rows(self):
        """The list of marks: (seconds, direction, class, uncertain, note)."""
        return [
            (float(t), way, kind, optional, note)
            for t, way, kind, optional, note in self.window.execute_script(
                "return [...document.querySelectorAll('#marks tr')].map((row) => ['t', 'direction', 'class', 'optional', 'note']"
                ".map((name) => row.querySelector(`[name=${name}]`)).map((i) => (i.type === 'checkbox' ? i.checked : i.value)))"
            )
        ]

    def said(self):
        return self.get("said").text

    def saved(self, line="gate"):
        self.keys("s")
        return json.loads(downloaded(self.window.downloads, f"three boxes.{line}.json"))


def test_what_is_marked_is_what_the_file_says(page):
    """Each box where the moment belongs: driving down where its streak begins, driving up where it ends."""
    first, second, third = page.streaks()
    page.click(first[0], first[2])
    page.click(second[1], second[2])
    page.keys("-", "t")
    page.click(third[0], third[2])
    page.keys("+", "y", "u", "n")
    page.keys("hidden by the mast", Keys.ENTER)

    data = page.saved()

    one, two = data["crossings"]
    (open_,) = data["optional_crossings"]
    assert one == {"t_seconds": pytest.approx(DOWN_S, abs=0.1), "direction": "+", "class": "car"}
    assert two == {"t_seconds": pytest.approx(UP_S, abs=0.1), "direction": "-", "class": "truck"}
    assert open_ == {
        "t_seconds": pytest.approx(ACROSS_S, abs=0.1), "direction": "+", "class": "bicycle", "note": "hidden by the mast",
    }  # fmt: skip
    assert data["totals"] == {"+": 1, "-": 1, "all": 2}
    assert {k: data[k] for k in ("video", "fps", "frames", "size", "name", "line", "match_tolerance_s")} == {
        "video": "three boxes.avi", "fps": 25, "frames": 200, "size": [320, 180], "name": "gate",
        "line": [[0.1, 0.5], [0.9, 0.5]], "match_tolerance_s": 1,
    }  # fmt: skip
    truth = read_hand_count(json.dumps(data), "gate.json")
    assert [(p.line, p.direction, p.label, p.optional) for p in truth.passages] == [
        ("gate", Way.TO_RIGHT, "car", False),
        ("gate", Way.TO_LEFT, "truck", False),
        ("gate", Way.TO_RIGHT, "bicycle", True),
    ]


def test_a_mistake_is_undone_done_again_and_deleted(page):
    first, second, _ = page.streaks()
    page.click(first[0], first[2])
    page.click(second[0] + 40, 120)
    page.control("z")
    assert len(page.rows()) == 1
    page.control("y")
    assert len(page.rows()) == 2
    page.keys(Keys.ESCAPE, ".", ".")
    page.keys(Keys.DELETE)
    assert [row[0] for row in page.rows()] == [pytest.approx(DOWN_S, abs=0.1)]
    page.get("undo").click()
    page.get("undo").click()
    page.get("undo").click()
    assert page.rows() == []
    assert not page.get("undo").is_enabled()


def test_marks_outlive_a_reload_and_are_saved_as_before(page):
    first, second, _ = page.streaks()
    page.click(first[0], first[2])
    page.click(second[1], second[2])
    page.keys("-", "b")
    assert "not saved" in page.get("saved").text
    rows, before = page.rows(), page.saved()
    page.reload()

    assert page.rows() == rows
    assert page.saved() == before


def test_a_mark_is_moved_by_dragging_its_flag_by_keys_and_by_its_number(page):
    first, *_ = page.streaks()
    page.click(first[0] + 60, 200)
    wrong = page.rows()[0][0]
    flag = wait_for(page.window, "!waiting && strip.flags[0].box")
    x, y = flag[0] + 20, flag[1] + 8
    page.scan(x, y).click_and_hold().move_by_offset(-30, 0).move_by_offset(-31, 0).release().perform()
    # The mouse held the flag 20 pixels beside the mark: the mark lies where it was let go.
    assert page.rows()[0][0] == pytest.approx(DOWN_S + 20 / page.window.execute_script("return strip.scale"), abs=0.1)
    assert page.rows()[0][0] < wrong
    dragged = page.rows()[0][0]
    page.keys("]")
    assert page.rows()[0][0] == pytest.approx(dragged + 1 / FPS, abs=0.002)
    page.keys("[", "[")
    assert page.rows()[0][0] == pytest.approx(dragged - 1 / FPS, abs=0.002)
    number = page.window.find_element(By.CSS_SELECTOR, "#marks [name=t]")
    number.clear()
    number.send_keys("1.48", Keys.ENTER)
    assert page.rows()[0][0] == 1.48
    page.control("z")
    assert page.rows()[0][0] == pytest.approx(dragged - 1 / FPS, abs=0.002)


def test_one_who_has_no_mouse_can_count(page):
    """Frames by arrows, marks by Enter: exactly the frame's own time."""
    page.keys(*[Keys.ARROW_RIGHT] * 12, Keys.ENTER, "p")
    ActionChains(page.window).key_down(Keys.SHIFT).send_keys(Keys.ARROW_RIGHT).key_up(Keys.SHIFT).perform()
    page.keys(Keys.ENTER, "-")

    assert [row[:3] for row in page.rows()] == [(0.48, "+", "person"), (1.48, "-", "person")]


def test_each_line_has_its_own_marks_and_file(page):
    page.click(400, 150)
    page.get("line").send_keys("side")
    assert page.rows() == []
    page.keys(Keys.ESCAPE)
    page.click(500, 150)
    page.click(600, 150)
    page.keys("-")
    side = page.saved("side")
    page.get("line").send_keys("gate")
    page.keys(Keys.ESCAPE)

    assert (side["name"], side["line"], side["totals"]) == (
        "side",
        [[0.5, 0.9], [0.5, 0.1]],
        {"+": 1, "-": 1, "all": 2},
    )
    assert page.saved()["totals"]["all"] == 1


def test_a_file_is_taken_up_again_with_all_it_says(page, tmp_path):
    first, *_ = page.streaks()
    page.click(first[0], first[2])
    data = page.saved() | {"difficulty": "easy", "uncertainty": "none"}
    data["crossings"].append({"t_seconds": 3.21, "direction": "-", "class": "tram", "t_center_seconds": 3.3})
    (tmp_path / "old.json").write_text(json.dumps(data))
    page.click(700, 150)

    page.get("file").send_keys(str(tmp_path / "old.json"))
    wait_for(page.window, "document.getElementById('said').textContent.includes('loaded')")

    assert "2 marks loaded from old.json in the place of 2; undo brings them back" in page.said()
    assert page.saved() == data | {"totals": {"+": 1, "-": 1, "all": 2}}
    page.keys(Keys.END, ",", "]")
    assert page.saved()["crossings"][1] == {"t_seconds": 3.24, "direction": "-", "class": "tram"}, (
        "its centre's time is no more known"
    )
    page.control("z")
    page.control("z")
    assert [row[2] for row in page.rows()] == ["car", "car"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("marks", "old.json cannot be loaded: it is no JSON."),
        ("[]", "it is no file of marks (it has no line)"),
        ('{"line": [[0, 0], [1, 1]], "crossings": []}', "it was counted on another line than this scene's"),
        ('{"line": [[0.1, 0.5], [0.9, 0.5]], "frames": 7, "video": "b.mp4"}', "a film of 7 frames (b.mp4), this one has 200"),
        ('{"line": [[0.1, 0.5], [0.9, 0.5]], "frames": 200}', "it is no file of marks (it has no crossings)"),
        (
            '{"line": [[0.1, 0.5], [0.9, 0.5]], "frames": 200, "crossings": [{"t_seconds": 99}]}',
            "crossings[0]: 99 s lies outside this film, which ends at 7.96 s",
        ),
    ],
)  # fmt: skip
def test_a_file_that_does_not_belong_here_changes_nothing(page, tmp_path, text, told):
    page.click(400, 150)
    rows = page.rows()
    (tmp_path / "old.json").write_text(text)
    page.get("file").send_keys(str(tmp_path / "old.json"))
    wait_for(page.window, "document.getElementById('said').textContent.includes('cannot be loaded')")

    assert told in page.said()
    assert page.rows() == rows


def test_the_picture_beside_is_of_the_moment_under_the_mouse(page):
    first, *_ = page.streaks()
    page.scan(first[0], first[2]).perform()
    wait_for(page.window, "!waiting && look.picture.complete")
    index = int(page.get("picture").get_attribute("src").rpartition("/")[2].removesuffix(".jpg"))

    assert index / 5 == pytest.approx(DOWN_S, abs=0.15)


def test_zooming_moves_no_mark(page):
    first, *_ = page.streaks()
    page.click(first[0], first[2])
    page.keys(Keys.ARROW_UP, Keys.ARROW_UP, Keys.ARROW_UP)
    page.keys(Keys.ESCAPE)
    near = min(page.streaks(), key=lambda s: abs(s[0] - page.window.execute_script("return strip.flags[0].x")))
    page.click(near[0], 200)

    one, two = page.rows()
    assert two[0] == pytest.approx(one[0], abs=0.05)


def test_playing_moves_on_and_stops(page):
    page.keys(Keys.SPACE)
    wait_for(page.window, "cursor > 0.3")
    page.keys(Keys.SPACE)
    stopped = page.window.execute_script("return [playing, cursor]")

    assert stopped[0] is None
    assert page.window.execute_script("return cursor") == stopped[1]


def test_nothing_comes_from_anywhere_but_its_folder(page, made):
    page.keys("z", Keys.END, "s")
    downloaded(page.window.downloads, "three boxes.gate.json")
    said = [json.loads(entry["message"])["message"] for entry in page.window.get_log("performance")]
    addresses = {m["params"]["request"]["url"] for m in said if m["method"] == "Network.requestWillBeSent"}

    assert {
        made.as_uri() + "/" + name for name in ("index.html", "pictures/000000.jpg", "strips/gate-0000.jpg")
    } <= addresses
    assert {a for a in addresses if not a.startswith((made.as_uri(), "blob:"))} == set()


def test_everything_that_can_be_used_has_a_name_and_fits_the_window(page):
    """For those who hear the page; and for a window of 1280x800."""
    page.click(400, 150)
    page.window.find_element(By.TAG_NAME, "summary").click()
    used = page.window.find_elements(By.CSS_SELECTOR, "button, select, input, textarea, canvas[tabindex]")
    shown = [one for one in used if one.is_displayed()]
    assert len(shown) > 30
    assert [one.get_attribute("outerHTML") for one in shown if not one.accessible_name] == []
    assert page.window.execute_script(
        "return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    ) == [1280, 800]
    page.keys("?")
    assert page.get("help").is_displayed()
    page.keys(Keys.ESCAPE)
    assert not page.get("help").is_displayed()


def test_plus_is_to_the_right_of_who_walks_the_line(page):
    """gate goes to the right, so + is down; side goes up, so + is to the right."""
    assert [b.text for b in page.get("directions").find_elements(By.TAG_NAME, "button")] == [
        "+ \u2193 south <script>", "\u2212 \u2191 north",
    ]  # fmt: skip
    assert "mark where its streak begins" in page.get("hint").text
    page.keys("-")
    assert "mark where its streak ends" in page.get("hint").text
    page.get("line").send_keys("side")
    assert [b.text for b in page.get("directions").find_elements(By.TAG_NAME, "button")] == [
        "+ \u2192 to the right", "\u2212 \u2190 to the left",
    ]  # fmt: skip
    assert "the middle of its streak" in page.get("hint").text


def test_the_list_changes_marks_too(page):
    page.click(400, 150)
    row = page.window.find_element(By.CSS_SELECTOR, "#marks tr")
    row.find_element(By.NAME, "class").send_keys("truck")
    row.find_element(By.NAME, "direction").send_keys("\u2212")
    row.find_element(By.NAME, "optional").click()
    row.find_element(By.NAME, "note").send_keys("with a trailer", Keys.ENTER)

    assert [r[1:] for r in page.rows()] == [("-", "truck", True, "with a trailer")]
    page.window.find_element(By.CSS_SELECTOR, "#marks button").click()
    assert page.rows() == []


def test_a_second_window_of_the_same_page_shows_what_the_first_one_marked(page, made):
    page.click(400, 150)
    rows, first = page.rows(), page.window.current_window_handle
    page.window.switch_to.new_window("tab")
    page.window.get((made / "index.html").as_uri())
    second = page.window.current_window_handle
    assert page.rows() == rows
    page.window.switch_to.window(first)
    page.keys("b")
    page.window.switch_to.window(second)
    wait_for(page.window, "book.marks[0].class === 'bus'")
    page.window.close()
    page.window.switch_to.window(first)


def test_a_name_is_shown_as_it_is_written(page):
    assert "south <script>" in page.get("directions").text
