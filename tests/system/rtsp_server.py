# ruff: noqa: T201 - it speaks to its parent by printing
"""A real RTSP server for tests: serves H.264 files as they are, without re-encoding.

Run by the system's Python (it has GStreamer's bindings): python3 rtsp_server.py [--user U --password P [--digest]] NAME=FILE...
Prints `ready PORT` once it listens. Every client gets the file from its first frame, paced in real time, and
again and again with rising timestamps. Commands on stdin, one a line: `freeze` (send nothing, keep the
connections), `thaw`, `drop` (hang up on every client). The end of stdin ends the server, so it dies with its parent.
"""

import argparse
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstApp, GstRtsp, GstRtspServer  # noqa: E402, F401 - GstApp gives appsrc its methods

SECOND = 1_000_000_000
LEAD = SECOND  # keeps the decoding times of a file with reordered frames from going below zero
RUNNING = threading.Event()
RUNNING.set()


def read_file(path):
    """Every access unit of the file: (buffer, pts, dts, duration), times from 0, and the length of one pass."""
    pipeline = Gst.parse_launch(
        "filesrc name=file ! qtdemux ! h264parse config-interval=-1"
        " ! video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=out sync=false"
    )
    pipeline.get_by_name("file").set_property("location", path)
    out = pipeline.get_by_name("out")
    pipeline.set_state(Gst.State.PLAYING)
    units = []
    caps = None
    while True:
        sample = out.emit("pull-sample")
        if sample is None:
            break
        caps = sample.get_caps()
        buffer = sample.get_buffer()
        segment = sample.get_segment()
        pts = segment.to_running_time(Gst.Format.TIME, buffer.pts)
        units.append((buffer.extract_dup(0, buffer.get_size()), pts, buffer.duration))
    pipeline.set_state(Gst.State.NULL)
    if not units:
        sys.exit(f"{path}: no H.264 pictures in it")
    start = min(u[1] for u in units)
    order = sorted(u[1] - start for u in units)
    step = (order[-1] - order[0]) // max(1, len(order) - 1)
    return [(data, pts - start) for data, pts, _ in units], order, step, caps


class Pass:
    """Feeds one client's appsrc, pass after pass."""

    def __init__(self, film):
        self.units, self.order, self.step, _ = film
        self.length = self.order[-1] + self.step
        self.index = 0

    def push(self, source, _wanted):
        """GStreamer asks for more: the next access unit, after any freeze."""
        RUNNING.wait()
        turn, at = divmod(self.index, len(self.units))
        data, pts = self.units[at]
        buffer = Gst.Buffer.new_wrapped(data)
        buffer.pts = LEAD + turn * self.length + pts
        buffer.dts = LEAD + turn * self.length + self.order[at] - LEAD // 2
        buffer.duration = self.step
        self.index += 1
        source.emit("push-buffer", buffer)


class Film(GstRtspServer.RTSPMediaFactory):
    """One served file; a client never shares its stream with another."""

    def __init__(self, path):
        super().__init__()
        self.film = read_file(path)
        self.set_shared(False)
        self.set_protocols(GstRtsp.RTSPLowerTrans.TCP | GstRtsp.RTSPLowerTrans.UDP)

    def do_create_element(self, _url):
        """Makes the pipeline of one client."""
        element = Gst.parse_launch(
            "( appsrc name=film format=time is-live=false block=false max-buffers=8"
            " ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
        )
        source = element.get_by_name("film")
        source.set_property("caps", self.film[3])
        feed = Pass(self.film)
        source.connect("need-data", feed.push)
        return element


def protect(server, factory, user, password, digest):
    """Lets only this user in."""
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST if digest else GstRtsp.RTSPAuthMethod.BASIC)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    auth.add_digest(user, password, token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)


def listen_to_parent(server, loop):
    """Obeys stdin; its end is ours."""
    for line in sys.stdin:
        word = line.strip()
        if word == "freeze":
            RUNNING.clear()
        elif word == "thaw":
            RUNNING.set()
        elif word == "drop":
            GLib.idle_add(lambda: server.client_filter(lambda *_: GstRtspServer.RTSPFilterResult.REMOVE) and False)
        print(f"done {word}", flush=True)
    RUNNING.set()
    loop.quit()


def main():
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("films", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--digest", action="store_true", help="ask for digest authentication, as most cameras do")
    parser.add_argument("--port", default="0")
    wish = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(wish.port)
    for film in wish.films:
        name, _, path = film.partition("=")
        factory = Film(path)
        if wish.user:
            protect(server, factory, wish.user, wish.password, wish.digest)
        server.get_mount_points().add_factory(f"/{name}", factory)
    loop = GLib.MainLoop()
    if server.attach(None) == 0:
        sys.exit(f"cannot listen on port {wish.port}")
    threading.Thread(target=listen_to_parent, args=(server, loop), daemon=True).start()
    print(f"ready {server.get_bound_port()}", flush=True)
    loop.run()


if __name__ == "__main__":
    main()
