"""What a detector would make of a view: YOLOv8n's mistakes, fitted on real footage (docs/noise.md).

model      the numbers, and how they are scaled;  yolov8n.json: those that were fitted
memory     numbers that stay alike for a while, as a detector's mistakes do
detector   a view becomes detections
ghosts     boxes where nobody is
"""

from pipeline.simulate.noise.detector import Noise
from pipeline.simulate.noise.model import LEVELS, NoiseModel, noise_model

__all__ = ["LEVELS", "Noise", "NoiseModel", "noise_model"]
