"""What every backend promises, as `ports.Model` says it."""

import asyncio
import subprocess
import sys

import pytest

from pipeline.adapters.yolo import ROAD_USERS, load_model
from pipeline.adapters.yolo.folder import sha256
from pipeline.core.model import Detections
from pipeline.errors import Fatal
from pipeline.ports import BadPicture
from tests.fakes.weights import LABELS, picture

pytestmark = pytest.mark.torch

SHAPES = [(640, 352), (352, 288), (640, 480), (480, 640), (100, 100), (64, 640), (1280, 720), (800, 600)]


def near(one: Detections, other: Detections) -> bool:
    """Whether two answers are the same but for the last bits of a sum."""
    columns = ("x1", "y1", "x2", "y2", "score")
    return one.label == other.label and all(
        getattr(one, c) == pytest.approx(getattr(other, c), abs=2e-3) for c in columns
    )


async def test_every_picture_is_answered_in_its_place(model):
    jpegs = [picture(n, *SHAPES[n % len(SHAPES)]) for n in range(11)]

    together = await model.detect(jpegs)
    alone = [(await model.detect([jpeg]))[0] for jpeg in jpegs]

    assert all(len(answer) > 0 for answer in alone)
    assert len({tuple(answer.x1) for answer in alone}) == len(jpegs)
    assert [near(a, b) for a, b in zip(together, alone, strict=True)] == [True] * len(jpegs)


async def test_no_pictures_have_no_answers(model):
    assert await model.detect([]) == []


async def test_bad_pictures_are_answered_as_such_and_the_others_all_the_same(model):
    good = [picture(1), picture(2), picture(3)]
    bad = [b"", b"\x89PNG\r\n\x1a\n" + good[0][8:], good[0][: len(good[0]) // 2], b"not a picture at all"]

    answers = await model.detect([bad[0], good[0], bad[1], good[1], bad[2], good[2], bad[3]])
    alone = await model.detect(good)

    assert [isinstance(answer, BadPicture) for answer in answers] == [True, False] * 3 + [True]
    assert all(answer.reason for answer in answers[::2])
    assert [near(a, b) for a, b in zip(answers[1::2], alone, strict=True)] == [True] * 3


async def test_only_bad_pictures_are_all_answered(model):
    assert [type(answer) for answer in await model.detect([b"", b"x"])] == [BadPicture, BadPicture]


async def test_calls_may_overlap_and_each_is_answered_in_its_own_order(model):
    calls = [[picture(10 * call + n, *SHAPES[(call + n) % 4]) for n in range(3)] for call in range(4)]

    overlapping = await asyncio.gather(*(model.detect(jpegs) for jpegs in calls))
    one_by_one = [await model.detect(jpegs) for jpegs in calls]

    for got, wanted in zip(overlapping, one_by_one, strict=True):
        assert [near(a, b) for a, b in zip(got, wanted, strict=True)] == [True] * 3


async def test_the_event_loop_is_free_while_the_model_works(model):
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await model.detect([picture(n) for n in range(4)])
    ticking.cancel()

    assert ticks > 10


async def test_boxes_lie_in_the_picture_are_rounded_and_sorted_by_falling_score(model):
    for answer in await model.detect([picture(n, *SHAPES[n]) for n in range(len(SHAPES))]):
        assert answer.score == sorted(answer.score, reverse=True)
        for x1, y1, x2, y2 in zip(answer.x1, answer.y1, answer.x2, answer.y2, strict=True):
            assert 0 <= x1 < x2 <= 1
            assert 0 <= y1 < y2 <= 1
            assert [round(v, 5) for v in (x1, y1, x2, y2)] == [x1, y1, x2, y2]
        assert [round(s, 4) for s in answer.score] == answer.score


async def test_only_road_users_are_kept_by_default(model):
    labels = {label for answer in await model.detect([picture(n) for n in range(8)]) for label in answer.label}

    assert labels <= set(ROAD_USERS)
    assert len(labels) > 1


async def test_answers_name_the_model_and_its_digest(model, tiny):
    assert model.name == f"tiny@{sha256(tiny)[:12]}"
    assert (await model.detect([picture(0)]))[0].model == model.name


async def test_a_closed_model_says_so(model):
    model.close()

    with pytest.raises(Fatal, match="closed"):
        await model.detect([picture(0)])


async def test_more_shapes_than_are_kept_compiled_are_all_answered(tiny_folder):
    model = load_model(tiny_folder, precision="f32")
    shapes = [(640, 32 * n) for n in range(4, 16)]

    first = await model.detect([picture(3, *shape) for shape in shapes])
    again = await model.detect([picture(3, *shape) for shape in shapes])
    model.close()

    assert len({answer.x1[0] for answer in first}) > len(shapes) // 2
    assert first == again


async def test_wanted_classes_replace_the_road_users(tiny_folder):
    model = load_model(tiny_folder, precision="f32", classes=["airplane"])
    answers = await model.detect([picture(n) for n in range(8)])
    model.close()

    assert {label for answer in answers for label in answer.label} == {"airplane"}


async def test_a_higher_score_keeps_the_surer_boxes_only(tiny_folder):
    low, high = (load_model(tiny_folder, precision="f32", score=score) for score in (0.1, 0.6))
    (some,), (fewer,) = [await model.detect([picture(0)]) for model in (low, high)]
    low.close()
    high.close()

    assert 0 < len(fewer) < len(some)
    assert fewer.score == [score for score in some.score if score > 0.6]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"backend": "onnx"}, "not by 'onnx'"),
        ({"backend": "torch"}, "is an OpenVINO folder"),
        ({"device": "GPU.7"}, "no device 'GPU.7'"),
        ({"precision": "int3"}, "not 'int3'"),
        ({"classes": ["car", "unicorn"]}, f"does not know unicorn; it knows {', '.join(sorted(LABELS))}"),
    ],
)
def test_a_wrong_wish_is_refused_with_what_there_is(tiny_folder, wrong, said):
    with pytest.raises(Fatal, match=said):
        load_model(tiny_folder, **wrong)


def test_a_torch_device_that_is_not_there_is_refused(tiny):
    with pytest.raises(Fatal, match=r"cannot run .*tiny\.pt"):
        load_model(tiny, backend="torch", device="cuda:63")


CLOSED_ELSEWHERE = """
import asyncio, gc, signal, sys, threading
from pathlib import Path
from pipeline.adapters.yolo import load_model
from tests.fakes.weights import picture

held = [load_model(Path(sys.argv[1]), backend="openvino")]
asyncio.run(held[0].detect([picture(1)]))

def close():
    held.pop().close()
    gc.collect()

other = threading.Thread(target=close)
other.start()
other.join()
signal.signal(signal.SIGTERM, lambda *_: print("told"))
signal.raise_signal(signal.SIGTERM)
"""


def test_a_signal_finds_a_process_whose_model_was_closed_by_another_thread(tiny_folder):
    """OpenVINO's CPU plugin takes its signal stack away with it; the next signal would be a SIGSEGV."""
    done = subprocess.run(
        [sys.executable, "-c", CLOSED_ELSEWHERE, str(tiny_folder)], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "told\n"), done.stderr
