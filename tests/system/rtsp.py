"""A real RTSP server (GStreamer, run by the system's Python) for tests."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

SERVER = Path(__file__).with_name("rtsp_server.py")
PYTHON = "/usr/bin/python3"
NEEDS = (
    "apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-{base,good,bad,ugly} gstreamer1.0-libav"
)


class RtspServer:
    """A running server; `url("name")` opens one of its films."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self._process, self.port = process, port

    def url(self, name: str, credentials: str = "") -> str:
        """Where a film is served; credentials are written `user:password`."""
        return f"rtsp://{credentials}{'@' if credentials else ''}127.0.0.1:{self.port}/{name}"

    def freeze(self) -> None:
        """Send nothing more, but keep every connection."""
        self._say("freeze")

    def thaw(self) -> None:
        """Go on where it froze."""
        self._say("thaw")

    def drop(self) -> None:
        """Hang up on every client."""
        self._say("drop")

    def _say(self, word: str) -> None:
        _pipe(self._process.stdin).write(f"{word}\n")
        _pipe(self._process.stdin).flush()
        assert _pipe(self._process.stdout).readline().strip() == f"done {word}"


def why_not() -> str | None:
    """Why no server can run here, in one line with what to install; None if one can."""
    if shutil.which(PYTHON) is None:
        return f"a real RTSP server needs the system's Python ({PYTHON})"
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    if subprocess.run([PYTHON, "-c", probe], capture_output=True, check=False).returncode != 0:
        return f"a real RTSP server needs: {NEEDS}"
    return None


@contextmanager
def serving(
    films: Mapping[str, Path], *, user: str | None = None, password: str | None = None, digest: bool = False
) -> Iterator[RtspServer]:
    """Serve films by name on a free port of this machine; the server ends with this block, or with this process."""
    command = [PYTHON, str(SERVER), *(f"{name}={path}" for name, path in films.items())]
    if user is not None and password is not None:
        command += ["--user", user, "--password", password, *(["--digest"] if digest else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            ready = _pipe(process.stdout).readline().split()
            if ready[:1] != ["ready"]:
                raise RuntimeError(f"the RTSP server did not start: {' '.join(ready) or 'it said nothing'}")
            yield RtspServer(process, int(ready[1]))
        finally:
            _pipe(process.stdin).close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
