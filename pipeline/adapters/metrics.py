"""prometheus_client behind the `Meter` port, and the page that Prometheus reads.

Every name gets the prefix `gantry_<process>_`. The number of series of one metric is bounded: what comes after
the bound is summed up under the label value `other`, so that hostile or endless label values cost no memory.
"""

import contextlib
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from pipeline.errors import Fatal

log = logging.getLogger("gantry.metrics")

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
"""Seconds: from one step of work (1 ms) to the oldest frame worth a thought (5 minutes)."""

MOST_SERIES = 5_000
"""Of one metric. A city has some thousand cameras, and no metric has more than one label that is a camera."""

LONGEST_LABEL = 100
OTHER = "other"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class PrometheusMeter:
    """The meter of one process.

    Args:
        process: its name, the second part of every metric's name.
        most_series: of one metric; see the module.
    """

    def __init__(self, process: str, *, most_series: int = MOST_SERIES) -> None:
        self._prefix = f"gantry_{process.replace('-', '_')}_"
        self._most = most_series
        self._lock = threading.Lock()
        self._registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._labels: dict[str, tuple[str, ...]] = {}
        self._series: dict[str, set[tuple[str, ...]]] = {}
        self._gauges = _Gauges()
        self._registry.register(self._gauges)
        ProcessCollector(registry=self._registry)  # process_start_time, _cpu, _resident_memory, as everywhere

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to the counter `gantry_<process>_<name>_total`."""
        full = self._prefix + name.removesuffix("_total")
        with self._lock:
            values = self._values(full, labels)
            counter = self._counters.get(full)
            if counter is None:
                counter = Counter(full, _help(name), tuple(labels), registry=self._registry)
                self._counters[full] = counter
        (counter.labels(*values) if values else counter).inc(amount)

    def gauge(self, name: str, value: float | None, **labels: str) -> None:
        """Set `gantry_<process>_<name>`; None takes the sample off the page. One beyond the bound is left out."""
        full = self._prefix + name
        with self._lock:
            values = self._values(full, labels)
            if value is None:
                self._gauges.drop(full, values)
                self._series[full].discard(values)
            elif not values or OTHER not in values:
                self._gauges.put(full, _help(name), tuple(labels), values, value)

    def seconds(self, name: str, value: float, **labels: str) -> None:
        """Note a duration or an age in the histogram `gantry_<process>_<name>_seconds`."""
        full = self._prefix + name.removesuffix("_seconds") + "_seconds"
        with self._lock:
            values = self._values(full, labels)
            histogram = self._histograms.get(full)
            if histogram is None:
                histogram = Histogram(full, _help(name), tuple(labels), registry=self._registry, buckets=BUCKETS)
                self._histograms[full] = histogram
        (histogram.labels(*values) if values else histogram).observe(value)

    def page(self) -> tuple[bytes, str]:
        """The metrics page as bytes, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def _values(self, full: str, labels: Mapping[str, str]) -> tuple[str, ...]:
        """The label values in the order the metric was first used with, bounded in length and number.

        Raises:
            ValueError: a name Prometheus cannot have, or other label names than the first time.
        """
        names = self._labels.get(full)
        if names is None:
            if not _NAME.fullmatch(full):
                raise ValueError(f"a metric's name is lower case letters, digits and _, got {full!r}")
            names = self._labels[full] = tuple(labels)
        if set(names) != set(labels):
            raise ValueError(f"metric {full} has the labels {sorted(names)}, not {sorted(labels)}")
        values = tuple(str(labels[name])[:LONGEST_LABEL] for name in names)
        known = self._series.setdefault(full, set())
        if values not in known:
            if len(known) >= self._most:
                return (OTHER,) * len(values)
            known.add(values)
        return values


class _Gauges(Collector):
    """Gauges whose samples can go away again, also those without labels."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: dict[str, dict[tuple[str, ...], float]] = {}
        self._about: dict[str, tuple[str, tuple[str, ...]]] = {}

    def put(self, name: str, text: str, labels: tuple[str, ...], values: tuple[str, ...], value: float) -> None:
        with self._lock:
            self._about.setdefault(name, (text, labels))
            self._samples.setdefault(name, {})[values] = value

    def drop(self, name: str, values: tuple[str, ...]) -> None:
        with self._lock:
            self._samples.get(name, {}).pop(values, None)

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            samples = {name: dict(values) for name, values in self._samples.items() if values}
        for name, of_name in samples.items():
            text, labels = self._about[name]
            family = GaugeMetricFamily(name, text, labels=labels)
            for values, value in of_name.items():
                family.add_metric(values, value)
            yield family


def _help(name: str) -> str:
    return name.replace("_", " ")


@contextlib.contextmanager
def serve_metrics(
    meter: PrometheusMeter, host: str, port: int, *, ready: Callable[[], bool] = lambda: True
) -> Iterator[int]:
    """Show the meter's page at http://host:port/metrics while the context lasts.

    At /ready it answers 200 when the process is at work and 503 before: the page is up long before a model is warm.

    Args:
        meter: what is shown.
        host, port: where; port 0 takes a free one.
        ready: whether the process is at work; asked by another thread.

    Yields:
        The port.

    Raises:
        Fatal: the address cannot be used.
    """

    class Page(_Page):
        shown = meter
        at_work = staticmethod(ready)

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server_class = type("_Server", (_Server,), {"address_family": family})
    try:
        server = server_class((host, port), Page)
    except (OSError, OverflowError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise Fatal(
            f"the metrics page cannot listen on {host}:{port}: {reason}; choose another metrics.port, or end what uses it"
        ) from exc
    thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="metrics", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a slow reader must not hold up the end of a process
    request_queue_size = 16

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that went away is no news."""
        del request
        log.debug("a reader of the metrics page went away: %s", client_address)


_TEXT = "text/plain; charset=utf-8"


class _Page(BaseHTTPRequestHandler):
    shown: PrometheusMeter
    at_work: Callable[[], bool]
    timeout = 10  # seconds a slow reader may hold a thread
    server_version = "gantry"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            status, (body, kind) = HTTPStatus.OK, self.shown.page()
        elif path == "/ready":
            status, body = (
                (HTTPStatus.OK, b"ready\n") if self.at_work() else (HTTPStatus.SERVICE_UNAVAILABLE, b"not yet\n")
            )
            kind = _TEXT
        else:
            status, body, kind = HTTPStatus.NOT_FOUND, b"only /metrics and /ready are here\n", _TEXT
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: Prometheus reads the page every few seconds."""


__all__ = ["BUCKETS", "MOST_SERIES", "OTHER", "PrometheusMeter", "serve_metrics"]
