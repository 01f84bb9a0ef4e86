import pytest

from pipeline.core.model import Line, Scene, Size
from pipeline.errors import Fatal
from pipeline.evaluate.belonging import (
    differences,
    eventless,
    film_differences,
    merged,
    named,
    only_lines,
    scene_differences,
    sizes,
)
from pipeline.evaluate.run import Run, placed
from tests.evaluate.examples import LINE, TWO_LINES, passage, seen, truth


def told(events, of_truth, *, watched_s=None):
    watched = None if watched_s is None else watched_s * 1000
    run = Run(name="the run", events=tuple(events), watched_ms=watched)
    return differences(run, placed(run, of_truth, tolerance_ms=1000), of_truth, tolerance_ms=1000)


def simulated(source, **more):
    return [seen(1_767_225_600 + 5, file=source, t_seconds=5.0, **more)]


def painted(shows):
    return simulated("road.mp4", shows=shows)


SIMULATED = truth(start_ms=1_767_225_600_000, scenario="junction", seed=3)
FILM = truth(video="videos/road.mp4")


def test_what_belongs_together_differs_in_nothing():
    assert told([seen(5, file="/x/road.mp4", t_seconds=5)], FILM, watched_s=59.9) == []
    assert told(simulated("sim+detections://junction?seed=3&fps=10"), SIMULATED, watched_s=60) == []
    assert told(simulated("sim+detections://junction?recording=/a.traj&seed=4"), SIMULATED) == []
    own = "sim+detections://junction?recording=/a.traj&seed=4&traffic"
    assert told(simulated(f"{own}={SIMULATED.seed}"), SIMULATED) == []
    assert "of seed 99" in told(simulated(f"{own}=99"), SIMULATED)[0]
    assert told([], FILM) == []
    assert told(painted("sim://junction?seed=3&fps=10&light=day&weather=rain"), SIMULATED) == []
    assert told(painted("sim://junction?seed=4"), FILM) == []  # counted by eye


@pytest.mark.parametrize(
    ("events", "of_truth", "watched_s", "words"),
    [
        (simulated("sim+detections://street?seed=3"), SIMULATED, None, ["scenario", "street", "junction"]),
        (simulated("sim+detections://junction?seed=4"), SIMULATED, None, ["seed", "seed 4", "seed 3"]),
        (painted("sim://junction?seed=4&fps=10"), SIMULATED, None, ["seed", "seed 4", "seed 3"]),
        (painted("sim://street?seed=3&fps=10"), SIMULATED, None, ["scenario", "street", "junction"]),
        (simulated("sim+detections://junction"), SIMULATED, None, ["seed", "seed 0", "seed 3"]),
        (simulated("sim+detections://junction?seed=3"), FILM, None, ["video", "scenario"]),
        ([seen(5, file="other.mp4", t_seconds=5)], FILM, None, ["video", "other.mp4", "videos/road.mp4"]),
        (simulated("sim+detections://junction?seed=3", line="gate"), SIMULATED, None, ["lines", "gate", "near"]),
        (simulated("sim+detections://junction?seed=3", y=0.6), SIMULATED, None, ["line near", "0.10 picture heights"]),
        (simulated("sim+detections://junction?seed=3", x=0.97), SIMULATED, None, ["line near", "(0.1, 0.5)"]),
        ([seen(1_767_225_600 + 90)], SIMULATED, None, ["clock", "90.0 s", "60.0 s"]),
        ([seen(3)], SIMULATED, None, ["clock", "1 of 1"]),
        ([seen(1_777_615_200, file="sim://junction?seed=3", t_seconds=3)], SIMULATED, None, ["clock", "1 of 1", "--start"]),
        ([seen(1_777_615_200, file="film.mp4", t_seconds=3)], SIMULATED, None, ["clock", "1 of 1", "--start"]),
        ([seen(5, file="road.mp4", t_seconds=5)], FILM, 30, ["time", "30.0 s", "60.0 s"]),
        ([seen(5, file="road.mp4", t_seconds=5)], FILM, 90, ["time", "90.0 s", "60.0 s"]),
    ],
)  # fmt: skip
def test_what_does_not_belong_together_is_told_by_both_sides(events, of_truth, watched_s, words):
    wrong = "\n".join(told(events, of_truth, watched_s=watched_s))

    assert [word for word in [*words, "the run", "the truth"] if word not in wrong] == []


def test_a_size_of_another_shape_is_told():
    assert sizes(Size(1280, 720), "road.mp4", FILM) == []
    assert sizes(Size(640, 480), "road.mp4", FILM) == [
        "size: road.mp4 is of 640x480 pictures, the truth of 640x360, another shape"
    ]


@pytest.mark.parametrize(
    ("size", "seconds", "of_truth", "told"),
    [
        (Size(640, 360), 61.5, FILM, None),
        (Size(640, 368), None, FILM, "size"),
        (Size(640, 360), None, FILM, None),
        (Size(1280, 720), 60.0, FILM, "size: the film is of 1280x720 pictures, the truth of 640x360"),
        (Size(640, 360), 90.0, FILM, "time: the film is 90.0 s long, the truth 60.0 s"),
        (
            Size(640, 360),
            60.0,
            SIMULATED,
            "video: the film does not say that it was painted, the truth is of simulated",
        ),
    ],
)
def test_a_film_is_held_against_the_truth(size, seconds, of_truth, told):
    wrong = film_differences(size, seconds, "the film", of_truth)

    assert wrong == [] if told is None else [text.startswith(told) for text in wrong] == [True]


@pytest.mark.parametrize(
    ("shows", "seconds", "told"),
    [
        ("sim://junction?seed=3&fps=10", 60.0, None),
        ("sim://junction?seed=3&fps=10", 20.0, "time: the film is 20.0 s long, the truth 60.0 s"),
        ("sim://junction?seed=4&fps=10", 60.0, "seed: the film is of seed 4, the truth of seed 3"),
        ("sim://street?seed=3&fps=10", 60.0, "scenario: the film is of street, the truth of scenario junction"),
    ],
)
def test_a_painted_film_is_held_against_simulated_truth(shows, seconds, told):
    wrong = film_differences(Size(640, 360), seconds, "the film", SIMULATED, shows=shows)

    assert wrong == ([] if told is None else [told])


def test_a_run_of_which_no_event_takes_part_is_noted():
    event = seen(5, file="road.mp4", t_seconds=5)
    none, one = Run(name="the run", events=()), Run(name="the run", events=(event,))

    assert eventless(one, placed(one, FILM), FILM) == []
    assert eventless(none, placed(none, FILM), FILM) == [
        "the run holds no event: nothing ties it to the truth; it is scored as zero counted"
    ]
    assert "1 events, but none of this film" in eventless(one, placed(none, FILM), FILM)[0]


def line(start, end, name="near"):
    return Scene(drawn_on=Size(640, 360), lines=[Line(name=name, start=start, end=end)])


@pytest.mark.parametrize(
    ("scene", "words"),
    [
        (line((0.1, 0.5), (0.9, 0.5)), None),
        (line((0.105, 0.5), (0.9, 0.495)), None),
        (line((0.9, 0.5), (0.1, 0.5)), "runs the other way round, so its directions are swapped"),
        (line((0.1, 0.6), (0.9, 0.6)), "lies elsewhere"),
        (line((0.1, 0.5), (0.9, 0.5), "gate"), "has gate, the truth has near"),
    ],
)
def test_a_scene_is_held_against_the_truth(scene, words):
    wrong = scene_differences(scene, "scene.yaml", FILM)

    assert wrong == [] if words is None else [words in text for text in wrong] == [True]


def test_a_nameless_line_takes_the_run_s_name():
    of_truth = truth(passage(1), nameless=True)

    assert named(of_truth, []) == of_truth
    given = named(of_truth, ["gate"])
    assert (list(given.lines), [p.line for p in given.passages]) == (["gate"], ["gate"])
    with pytest.raises(Fatal, match="the run has far, gate: say which by --line"):
        named(of_truth, ["gate", "far"])
    assert named(truth(passage(1)), ["gate"]) == truth(passage(1)), "it has a name"


def test_some_lines_can_be_looked_at_alone():
    both = truth(passage(1), passage(2, line="far"), lines=TWO_LINES)

    assert only_lines(both, ["near"]) == truth(passage(1))


def test_counts_of_several_lines_of_one_film_are_one_truth():
    one = truth(passage(1), name="one", video="a/road.mp4")
    two = truth(passage(2, line="far"), name="two", video="road.mp4", lines={"far": TWO_LINES["far"]})

    both = merged([one, two])
    assert (both.name, both.lines, both.passages) == ("one, two", TWO_LINES, one.passages + two.passages)
    with pytest.raises(Fatal, match="two of them have one line"):
        merged([one, one])
    with pytest.raises(Fatal, match="not of one film"):
        merged([one, truth(video="b.mp4", lines={"far": LINE["near"]})])
