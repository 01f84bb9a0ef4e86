"""One YAML installation file + the environment -> frozen settings and wishes for the registry."""

from pipeline.config.installation import Installation, load, load_scene
from pipeline.config.reading import Mistake, Mistakes
from pipeline.config.settings import (
    AggregateSettings,
    CaptureSettings,
    DashboardSettings,
    DetectSettings,
    KafkaSettings,
    MetricsSettings,
    ServeSettings,
    Settings,
    TrackSettings,
)
from pipeline.config.writing import installation_yaml, scene_yaml

__all__ = [
    "AggregateSettings",
    "CaptureSettings",
    "DashboardSettings",
    "DetectSettings",
    "Installation",
    "KafkaSettings",
    "MetricsSettings",
    "Mistake",
    "Mistakes",
    "ServeSettings",
    "Settings",
    "TrackSettings",
    "installation_yaml",
    "load",
    "load_scene",
    "scene_yaml",
]
