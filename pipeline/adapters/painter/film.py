"""A film of painted pictures, as MP4 with exact times."""

from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av

from pipeline.adapters.painter import Pixels
from pipeline.core.model import Size
from pipeline.errors import Fatal

_TICKS = 1000
"""A second has so many ticks: times of pictures are whole milliseconds."""


def write_film(
    file: Path,
    pictures: Iterable[tuple[int, Pixels]],
    *,
    size: Size,
    fps: float,
    comment: str,
    progress: Callable[[int], None],
) -> int:
    """Write pictures, each at its millisecond, as H.264.

    Args:
        file: made anew; nothing of it stays where writing fails.
        pictures: milliseconds since the start, rising, and pixels.
        size: of all pictures.
        fps: about how many a second, for players.
        comment: what the file says of itself.
        progress: called after every picture with how many there are.

    Returns:
        How many pictures.

    Raises:
        Fatal: the file cannot be written.
    """
    part, count = file.with_name(f".{file.name}.part"), 0
    try:
        with av.open(str(part), "w", format="mp4") as container:
            container.metadata["comment"] = comment
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
            stream.width, stream.height, stream.pix_fmt = size.width, size.height, "yuv420p"
            stream.time_base = stream.codec_context.time_base = Fraction(1, _TICKS)
            stream.options = {"crf": "23", "preset": "veryfast", "bf": "0"}
            for t_ms, pixels in pictures:
                frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
                frame.pts, frame.time_base = t_ms, Fraction(1, _TICKS)
                container.mux(stream.encode(frame))
                count += 1
                progress(count)
            container.mux(stream.encode(None))
        part.replace(file)
    except (OSError, av.error.FFmpegError) as exc:
        raise Fatal(f"{file} cannot be written: {getattr(exc, 'strerror', None) or exc}") from exc
    finally:
        part.unlink(missing_ok=True)
    return count
