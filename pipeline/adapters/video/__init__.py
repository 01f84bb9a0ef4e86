"""Cameras by FFmpeg (PyAV): files and RTSP streams, decoded, thinned, scaled once and encoded once.

source  what it says to the stages: one Source for every kind of camera
file    files: a child process decodes them, for they come from strangers
rtsp    streams: a thread each, with time limits on everything
child   the decoding process;  messages: what it says;  pictures: scaling and JPEG
"""

from pipeline.adapters.video.file import Probe, probe
from pipeline.adapters.video.source import VideoSource

__all__ = ["Probe", "VideoSource", "probe"]
