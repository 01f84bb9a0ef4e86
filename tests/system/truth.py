"""Counted by eye: which vehicles cross a clip's line, and when."""

import json
from pathlib import Path

import yaml

SCENES = Path(__file__).parent / "scenes"
TOLERANCE_S = 1.0
WAYS = {"+": "to_right", "-": "to_left"}
CLIPS = {"suburban_road_640x352": "suburban_road", "highway_nl_1280x720": "highway_nl"}


class Clip:
    """One clip with its hand-counted crossings."""

    def __init__(self, footage, name):
        self.name, self.path = name, footage / "videos" / f"{name}.mp4"
        truth = json.loads((footage / "groundtruth" / f"{CLIPS[name]}.json").read_text())
        self.crossings = [(c["t_seconds"], WAYS[c["direction"]]) for c in truth["crossings"]]
        self.seconds = truth["frames"] / truth["fps"]
        self.scene = yaml.safe_load((SCENES / f"{name}.yaml").read_text())


def compare(clip, found):
    """What is wrong with found crossings [(t_seconds, direction)]; empty when they are the truth, none twice."""
    left, extra = list(clip.crossings), []
    for t, way in sorted(found):
        near = [c for c in left if c[1] == way and abs(c[0] - t) <= TOLERANCE_S]
        if near:
            left.remove(min(near, key=lambda c: abs(c[0] - t)))
        else:
            extra.append((t, way))
    return [f"missing {c}" for c in left] + [f"too many {e}" for e in extra]
