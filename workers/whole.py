"""Files that are whole or not there."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pipeline.errors import Fatal


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


def write_there(file: Path, data: bytes) -> None:
    """Write a file that a user named whole, its folder too, or leave what is there. Raises Fatal."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, data)
    except OSError as exc:
        raise Fatal(f"{file}: cannot write there: {exc.strerror or exc}") from exc
