import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.adapters.yolo.pictures import Letterbox, decode
from pipeline.core.model import Size
from pipeline.ports import BadPicture
from tests.fakes.weights import picture

SIDES = st.integers(1, 2000)


@pytest.mark.parametrize(
    ("size", "shape", "left", "top"),
    [
        (Size(640, 352), (352, 640), 0, 0),  # nothing to do
        (Size(1280, 720), (384, 640), 0, 12),  # halved, then padded at top and bottom
        (Size(640, 360), (384, 640), 0, 12),
        (Size(352, 288), (544, 640), 0, 10),  # scaled up
        (Size(720, 1280), (640, 384), 12, 0),
        (Size(3000, 1), (32, 640), 0, 15),  # one pixel stays one pixel
    ],
)
def test_the_input_is_the_smallest_that_fits(size, shape, left, top):
    letterbox = Letterbox.of(size)

    assert (letterbox.shape, letterbox.left, letterbox.top) == (shape, left, top)


@given(SIDES, SIDES)
def test_an_input_is_made_of_whole_strides_and_at_most_a_stride_larger_than_the_picture_in_it(width, height):
    letterbox = Letterbox.of(Size(width, height))

    assert max(letterbox.shape) == 640
    assert all(side % 32 == 0 for side in letterbox.shape)
    assert 0 <= letterbox.shape[0] - letterbox.inner.height < 32
    assert 0 <= letterbox.shape[1] - letterbox.inner.width < 32


@pytest.mark.torch
@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.sampled_from([320, 640]), st.sampled_from([32, 64]))
def test_pixels_equal_those_of_ultralytics(width, height, longest, stride):
    pytest.importorskip("ultralytics")
    from ultralytics.data.augment import LetterBox  # noqa: PLC0415 - only with the extra torch

    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), dtype=np.uint8)

    ours = Letterbox.of(Size(width, height), longest=longest, stride=stride).fit(pixels)
    theirs = LetterBox((longest, longest), auto=True, stride=stride)(image=pixels)

    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("subsampling", ["444", "422", "420"])
def test_a_jpeg_has_the_pixels_that_opencv_reads(subsampling):
    pixels = decode(picture(1))
    jpeg = simplejpeg.encode_jpeg(pixels, quality=70, colorspace="BGR", colorsubsampling=subsampling)

    assert np.array_equal(decode(jpeg), cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))


def test_a_grey_jpeg_has_three_equal_channels():
    grey = np.arange(64 * 48, dtype=np.uint8).reshape(48, 64, 1)
    pixels = decode(simplejpeg.encode_jpeg(grey, colorspace="GRAY"))

    assert pixels.shape == (48, 64, 3)
    assert np.array_equal(pixels[..., 0], pixels[..., 2])


def test_a_picture_that_claims_to_be_huge_is_refused_before_it_is_decoded():
    jpeg = bytearray(picture(1, 64, 64))
    start = jpeg.index(b"\xff\xc0")  # SOF0: length, precision, height, width
    jpeg[start + 5 : start + 9] = b"\xff\xdc\xff\xdc"

    refused = decode(bytes(jpeg))

    assert isinstance(refused, BadPicture)
    assert "65500x65500 pixels" in refused.reason


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\xff",
        b"\xff\xd8\xff\xd9",
        b"\x00" * 5000,
        cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes(),
        picture(1)[:-2],
        picture(1)[:200],
        picture(1)[: len(picture(1)) // 2],
    ],
    ids=["empty", "one byte", "no picture", "zeros", "PNG", "no end", "header only", "half"],
)
def test_what_is_no_whole_jpeg_is_a_bad_picture_with_a_reason(damaged):
    answer = decode(damaged)

    assert isinstance(answer, BadPicture)
    assert "\n" not in answer.reason
    assert answer.reason.startswith("the picture ")


@settings(deadline=None)
@given(st.data())
def test_a_jpeg_with_any_bytes_changed_is_a_picture_or_a_bad_picture(data):
    jpeg = bytearray(picture(2, 96, 64))
    for place in data.draw(st.lists(st.integers(0, len(jpeg) - 1), max_size=20)):
        jpeg[place] = data.draw(st.integers(0, 255))

    answer = decode(bytes(jpeg), most_pixels=1_000_000)

    assert isinstance(answer, (np.ndarray, BadPicture))
