"""Camera health on real footage: nothing is found where nothing is wrong, and what is done to it is found in a minute."""

from contextlib import aclosing

import numpy as np
import pytest
import simplejpeg

from pipeline.adapters.video import VideoSource
from pipeline.core.health import HealthMemory, HealthPolicy, judge, measure
from pipeline.core.model import Camera, HealthState

POLICY = HealthPolicy()
FINE_S, MINUTE = 40, 60


def soft(grey):
    """Out of focus."""
    padded = np.cumsum(np.pad(grey.astype(np.float64), ((12, 12), (12, 12)), "edge"), axis=0)
    rows = np.cumsum(padded[24:] - padded[:-24], axis=1)
    return ((rows[:, 24:] - rows[:, :-24]) / 576).astype(np.uint8)


def half(grey):
    out = grey.copy()
    out[:, : grey.shape[1] // 2] = 60
    return out


FAULTS = {
    "shifted": (lambda g: np.roll(g, (g.shape[0] // 25, g.shape[1] // 25), (0, 1)), {HealthState.MOVED}),
    "half covered": (half, {HealthState.OBSTRUCTED}),
    "black": (np.zeros_like, {HealthState.BLINDED}),
    "white": (lambda g: np.full_like(g, 250), {HealthState.BLINDED}),
    "blurred": (soft, {HealthState.BLINDED, HealthState.OBSTRUCTED}),
    "frozen": (None, {HealthState.FROZEN}),
}


CLIPS = (
    "suburban_road_640x352.mp4", "autostrade_a1_fog_352x288.mp4", "autostrade_a12_tunnel_640x360.mp4", "highway_nl_1280x720.mp4",
    "intel_car-detection.mp4", "sideview_640x360.mp4", "tfl/06592_piccadilly_queue.mp4", "tfl/07450_piccadilly-circus_dusk.mp4",
    "tfl/07450_piccadilly-circus_night_rain.mp4", "tfl/09731_a1-barnet_congested.mp4", "tfl/625_201709042122.mp4",
)  # fmt: skip


UNSEEN = {("sideview_640x360.mp4", "blurred")}  # it is out of focus as it is


async def pictures_of(path):
    """The brightness of some pictures a second, as they are sent."""
    camera = Camera(id="c", source=str(path), shard=0, capture_shard=0, revision=0, fps=3, pace="fast")
    async with aclosing(VideoSource(resolve=str).pictures(camera)) as pictures:
        return [simplejpeg.decode_jpeg(p.body.jpeg, colorspace="GRAY")[..., 0] async for p in pictures]


def told(pictures):
    memory, before, changes = HealthMemory(), None, []
    for second, picture in enumerate(pictures):
        aspect = picture.shape[1] / picture.shape[0]
        judged = judge(memory, measure(picture, before), second * 1000, aspect=aspect, policy=POLICY)
        memory, before = judged.memory, picture
        if judged.since_ms is not None:
            changes.append((second, memory.state))
    return changes


@pytest.mark.footage
@pytest.mark.parametrize("clip", CLIPS)
async def test_real_footage_is_well_and_what_is_done_to_it_is_noticed_within_a_minute(footage, clip):
    shown = await pictures_of(footage / "videos" / clip)
    # The clip again and again, a picture a second: three passes before a picture comes again.
    looped = [shown[(3 * n + n // max(1, len(shown) // 3)) % len(shown)] for n in range(FINE_S + MINUTE)]

    assert [state for _, state in told(looped)] == [HealthState.OK]
    for name, (fault, states) in FAULTS.items():
        if (clip, name) in UNSEEN:
            continue
        done = [fault(each) if fault else looped[FINE_S] for each in looped[FINE_S:]]
        changes = told(looped[:FINE_S] + [np.ascontiguousarray(each) for each in done])
        assert [state for _, state in changes][:1] == [HealthState.OK], name
        assert {state for _, state in changes[1:2]} <= states, name
        assert changes[1:], f"{name} was not noticed"
