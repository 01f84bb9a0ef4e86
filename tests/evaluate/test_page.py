import re
from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.model import Size, Way
from pipeline.evaluate.classes import pools
from pipeline.evaluate.evaluation import evaluate
from pipeline.evaluate.matching import Verdict
from pipeline.evaluate.page import Still, page, worth_a_picture
from pipeline.evaluate.timeline import timeline
from tests.evaluate.examples import LINE, passage, passages, run, truth

HOSTILE = '<script>alert("1")</script>&'
VOID = {"meta", "image", "line", "circle", "path", "br"}


class Checked(HTMLParser):
    """Notes what the page loads, and tags that do not close."""

    def __init__(self, text):
        super().__init__()
        self.open, self.loads, self.tags = [], [], []
        self.feed(text)
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [v for k, v in attrs if k in {"href", "src", "srcset", "xlink:href", "action"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [v for k, v in attrs if k in {"href", "src", "srcset", "xlink:href", "action"}]

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag


def bad_day(**more):
    ours = [passage(1), passage(10), passage(20), passage(30)]
    theirs = [passage(1), passage(1.4), passage(20, Way.TO_LEFT), passage(40), passage(30)]
    return evaluate(run(*theirs, **more), truth(*ours), pools=pools("each"))


def still(outcome):
    return Still(outcome=outcome, jpeg=b"\xff\xd8 jpeg", size=Size(640, 360), t_ms=outcome.t_ms)


def test_the_page_loads_nothing_and_its_tags_close():
    got = bad_day()
    text = page(got, lines=LINE, stills=[still(o) for o in worth_a_picture(got)])
    checked = Checked(text)

    assert checked.loads == ["data:image/jpeg;base64,/9gganBlZw=="] * 5
    assert "script" not in checked.tags
    assert not re.search(r"url\(|@import|https?:", text)


def test_the_page_shows_a_picture_of_everything_that_went_wrong_with_its_line():
    got = bad_day()
    text = page(got, lines=LINE, stills=[still(o) for o in worth_a_picture(got)])

    assert [o.verdict for o in worth_a_picture(got)] == [
        Verdict.DOUBLED, Verdict.MISSED, Verdict.WRONG_WAY, Verdict.MISSED, Verdict.EXTRA,
    ]  # fmt: skip
    assert text.count("M64.0 180.0L576.0 180.0") == 10, "the line, on a darker one"
    assert "Counted twice" in text
    assert "counted out of nothing: car, near to_right, 40.00 s" in text


def test_the_arrow_points_where_the_vehicle_went():
    """The line runs from left to right, so its right hand is down."""
    got = bad_day()
    by_way = {o.where.direction: page(got, lines=LINE, stills=[still(o)]) for o in worth_a_picture(got)}

    for way, down in ((Way.TO_RIGHT, True), (Way.TO_LEFT, False)):
        tip = re.search(r"M320\.0 180\.0L320\.0 ([0-9.]+)", by_way[way])
        assert (float(tip[1]) > 180) == down


def test_what_strangers_wrote_is_text():
    got = evaluate(
        run(passage(1, label=HOSTILE, user=HOSTILE), name=HOSTILE),
        truth(passage(9), name=HOSTILE),
        pools=pools("each"),
        notes=[HOSTILE],
    )
    text = page(got, lines=LINE, stills=[still(o) for o in worth_a_picture(got)], untold=HOSTILE)

    assert "<script" not in text
    assert Checked(text).loads


@settings(max_examples=40)
@given(passages(optional=True), passages(), st.sampled_from([1.0, 60.0, 95.0, 4000.0, 200_000.0]))
def test_every_outcome_has_its_mark_inside_the_picture(ours, theirs, seconds):
    got = evaluate(run(*theirs), truth(*ours, duration_s=seconds), pools=pools("each"))
    drawn = timeline(got.outcomes, duration_ms=got.duration_ms)
    height = float(re.search(r'viewBox="0 0 1040 ([0-9.]+)"', drawn)[1])

    assert drawn.count("<title>") == len(got.outcomes)
    assert height < 2000
    for x, y in re.findall(r'cx="([-0-9.]+)" cy="([-0-9.]+)"', drawn):
        assert 40 < float(x) < 1040
        assert 0 < float(y) < height


def test_rows_of_a_long_timeline_in_which_nothing_happened_are_left_out():
    got = evaluate(run(passage(200)), truth(passage(1), passage(200), duration_s=300), pools=pools("each"))
    drawn = timeline(got.outcomes, duration_ms=got.duration_ms)

    assert re.findall(r">(\d:00)<", drawn) == ["0:00", "1:00", "3:00", "4:00"]


def test_a_clean_run_has_no_pictures_to_show():
    got = evaluate(run(passage(1)), truth(passage(1)), pools=pools("each"))

    assert worth_a_picture(got) == ()
    assert "in pictures" not in page(got, lines=LINE)
    assert "Nothing went wrong." in page(got, lines=LINE, untold="Nothing went wrong.")
