"""Files that are whole or not there."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def write_whole(file: Path, data: bytes | Iterable[bytes]) -> int:
    """Write a file, or leave what is there; its size.

    Raises:
        OSError: it cannot be written.
    """
    part = file.with_name(f".{file.name}.part")
    try:
        with part.open("wb") as out:
            out.writelines([data] if isinstance(data, bytes) else data)
            size = out.tell()
        part.replace(file)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    return size
