"""Our boxes are those of Ultralytics' `predict`, on real footage, at equal input shape.

Asked in both directions: at least 99 % of the boxes of score 0.3 or more have a partner of their class on the other
side with an IoU of at least 0.98 and a score within 0.01. So nothing is missing and nothing extra.
"""

import functools

import av
import cv2
import numpy as np
import pytest
import simplejpeg

from pipeline.adapters.yolo import ROAD_USERS, export, load_model
from pipeline.adapters.yolo.torch import ultralytics

pytestmark = [pytest.mark.footage, pytest.mark.torch]

SURE, SHARE, IOU, SCORE = 0.3, 0.99, 0.98, 0.01
FRAMES = {"at capture's width": 200, "at the camera's own size": 56}


def frames(clip, wanted):
    """So many frames, evenly over the clip, as (height, width, 3) blue-green-red."""
    with av.open(str(clip)) as container:
        every = max((container.streams.video[0].frames or 300) // (wanted + 1), 1)
        for number, frame in enumerate(container.decode(video=0)):
            if number % every == 0 and wanted:
                wanted -= 1
                yield frame.to_ndarray(format="bgr24")


def as_capture_sends(pixels):
    height, width = pixels.shape[:2]
    if width <= 640:
        return pixels
    return cv2.resize(pixels, (640, round(height * 640 / width)), interpolation=cv2.INTER_AREA)


@functools.cache
def pictures(footage, how):
    """JPEGs from all clips in turn: scaled down to 640 px as capture does, or only those that are larger, unscaled."""
    clips = sorted((footage / "videos").rglob("*.mp4"))
    if how == "at the camera's own size":
        clips = [clip for clip in clips if next(frames(clip, 1)).shape[1] > 640]
    made = []
    for number, clip in enumerate(clips):
        share = FRAMES[how] * (number + 1) // len(clips) - FRAMES[how] * number // len(clips)
        for pixels in frames(clip, share):
            sent = pixels if how == "at the camera's own size" else as_capture_sends(pixels)
            made.append(simplejpeg.encode_jpeg(np.ascontiguousarray(sent), quality=85, colorspace="BGR"))
    return made


@functools.cache
def predicted(footage, how):
    """What Ultralytics sees: for each picture rows of (x1, y1, x2, y2 in px, score, label)."""
    network = ultralytics().YOLO(str(footage / "weights" / "yolov8n.pt"))
    answers = []
    for jpeg in pictures(footage, how):
        pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        (found,) = network.predict(pixels, conf=0.1, iou=0.7, imgsz=640, device="cpu", verbose=False)
        rows = zip(found.boxes.xyxy.tolist(), found.boxes.conf.tolist(), found.boxes.cls.tolist(), strict=True)
        answers.append([(*box, score, network.names[int(label)]) for box, score, label in rows])
    return [[row for row in answer if row[5] in ROAD_USERS] for answer in answers]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder made from some weights, made once."""
    return functools.cache(lambda weights: export(weights, tmp_path_factory.mktemp("real") / weights.stem))


def overlap(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(width, 0) * max(height, 0)
    return both / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - both)


def partnered(rows, others):
    """Of the sure rows: how many there are, and how many have a partner of their own among the others."""
    free, found = list(others), 0
    sure = [row for row in rows if row[4] >= SURE]
    for row in sure:
        fits = [o for o in free if o[5] == row[5] and abs(o[4] - row[4]) <= SCORE and overlap(row, o) >= IOU]
        if fits:
            free.remove(max(fits, key=lambda o, row=row: overlap(row, o)))
            found += 1
    return len(sure), found


@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", FRAMES)
@pytest.mark.parametrize("backend", ["openvino", "torch"])
async def test_boxes_are_those_of_ultralytics_predict(footage, exported, backend, how):
    weights = footage / "weights" / "yolov8n.pt"
    path = exported(weights) if backend == "openvino" else weights
    model = load_model(path, backend=backend, device="cpu", precision="f32")
    jpegs, wanted = pictures(footage, how), predicted(footage, how)
    seen = [answer for n in range(0, len(jpegs), 8) for answer in await model.detect(jpegs[n : n + 8])]
    model.close()

    theirs, ours = np.zeros(2, int), np.zeros(2, int)
    for jpeg, answer, rows in zip(jpegs, seen, wanted, strict=True):
        height, width = simplejpeg.decode_jpeg_header(jpeg)[:2]
        corners = np.array([answer.x1, answer.y1, answer.x2, answer.y2]).T * [width, height, width, height]
        mine = [(*box, s, name) for box, s, name in zip(corners.tolist(), answer.score, answer.label, strict=True)]
        theirs += partnered(rows, mine)
        ours += partnered(mine, rows)

    assert len(jpegs) == FRAMES[how]
    assert theirs[0] > 2 * len(jpegs)  # enough boxes to speak of a percentage
    assert theirs[1] >= SHARE * theirs[0]
    assert ours[1] >= SHARE * ours[0]
