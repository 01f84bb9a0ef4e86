"""The meter and its page."""

import socket
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.adapters.metrics import PrometheusMeter, serve_metrics
from pipeline.errors import Fatal


def samples(meter):
    text = meter.page()[0].decode()
    return {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


@pytest.fixture
def meter():
    return PrometheusMeter("track")


@pytest.mark.parametrize("name", ["frames", "frames_total"])
def test_a_counter_has_the_process_before_and_total_behind_its_name(meter, name):
    meter.count(name, camera="a")
    meter.count(name, 2, camera="a")

    assert samples(meter)["gantry_track_frames_total", (("camera", "a"),)] == 3


def test_a_gauge_set_to_none_leaves_the_page_and_may_come_back(meter):
    meter.gauge("lag", 7, partition="1")
    meter.gauge("lag", 8, partition="2")
    meter.gauge("age", 1)
    meter.gauge("lag", None, partition="1")
    meter.gauge("age", None)
    meter.gauge("never_set", None)

    got = {k: v for k, v in samples(meter).items() if k[0].startswith("gantry")}
    assert got == {("gantry_track_lag", (("partition", "2"),)): 8}

    meter.gauge("age", 0)
    assert samples(meter)["gantry_track_age", ()] == 0


@pytest.mark.parametrize("name", ["latency", "latency_seconds"])
def test_a_histogram_tells_a_millisecond_from_five_minutes(meter, name):
    meter.seconds(name, 0.0009)
    meter.seconds(name, 299)

    got = samples(meter)
    assert got["gantry_track_latency_seconds_bucket", (("le", "0.001"),)] == 1
    assert got["gantry_track_latency_seconds_bucket", (("le", "120.0"),)] == 1
    assert got["gantry_track_latency_seconds_bucket", (("le", "300.0"),)] == 2
    assert got["gantry_track_latency_seconds_count", ()] == 2


def test_label_values_beyond_the_bound_are_summed_up_as_other():
    meter = PrometheusMeter("detect", most_series=3)
    for n in range(10):
        meter.count("bad", reason=f"reason {n}")
        meter.gauge("lag", n, partition=str(n))
        meter.seconds("age", n, camera=str(n))

    got = samples(meter)
    assert got["gantry_detect_bad_total", (("reason", "other"),)] == 7
    assert got["gantry_detect_bad_total", (("reason", "reason 2"),)] == 1
    assert sum(name == "gantry_detect_bad_total" for name, _ in got) == 4
    assert sum(name == "gantry_detect_age_seconds_count" for name, _ in got) == 4
    # A gauge of many things at once would say nothing true: left out.
    assert sum(name == "gantry_detect_lag" for name, _ in got) == 3


def test_a_gauge_that_left_makes_room_for_another():
    meter = PrometheusMeter("detect", most_series=1)
    for n in range(3):
        meter.gauge("lag", n, partition=str(n))
        meter.gauge("lag", None, partition=str(n))
    meter.gauge("lag", 5, partition="9")

    assert samples(meter)["gantry_detect_lag", (("partition", "9"),)] == 5


def test_a_long_or_odd_label_value_does_not_break_the_page(meter):
    meter.count("bad", reason='quote " newline \n backslash \\ ' + "x" * 500)

    [(_, labels)] = [k for k in samples(meter) if k[0] == "gantry_track_bad_total"]
    assert labels[0][1].startswith('quote " newline \n backslash \\ ')
    assert len(labels[0][1]) == 100


def test_the_order_of_labels_does_not_matter_but_their_names_do(meter):
    meter.count("frames", camera="a", reason="b")
    meter.count("frames", reason="b", camera="a")

    assert samples(meter)["gantry_track_frames_total", (("camera", "a"), ("reason", "b"))] == 2
    with pytest.raises(ValueError, match="has the labels"):
        meter.count("frames", camera="a")
    with pytest.raises(ValueError, match="lower case"):
        meter.count("Frames per second")


def test_the_page_tells_start_cpu_and_memory_of_the_process(meter):
    got = {name for name, _ in samples(meter)}

    assert {
        "process_start_time_seconds",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
    } <= got


def test_ready_is_what_the_process_says_at_that_moment(meter):
    at_work = []
    with serve_metrics(meter, "127.0.0.1", 0, ready=lambda: bool(at_work)) as port:
        url = f"http://127.0.0.1:{port}/ready"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url, timeout=10)
        assert refused.value.code == 503
        refused.value.close()
        at_work.append(True)
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert (answer.status, answer.read()) == (200, b"ready\n")


def test_the_page_is_served_until_the_context_ends(meter):
    meter.count("frames")
    with serve_metrics(meter, "127.0.0.1", 0) as port:
        url = f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain")
            assert b"gantry_track_frames_total 1.0" in answer.read()
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{url}/secrets", timeout=10)
        assert refused.value.code == 404
        refused.value.close()
        with urllib.request.urlopen(urllib.request.Request(f"{url}/metrics", method="HEAD"), timeout=10) as answer:
            assert answer.read() == b""
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{url}/metrics", timeout=10)


def test_a_reader_that_says_nothing_does_not_hold_up_the_others_or_the_end(meter):
    with (
        serve_metrics(meter, "127.0.0.1", 0) as port,
        socket.create_connection(("127.0.0.1", port)),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer,
    ):
        assert answer.status == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "no.such.host.invalid"])
def test_an_address_that_cannot_be_used_is_told_in_one_line(meter, host):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        where = serve_metrics(meter, host, port)
        with pytest.raises(Fatal, match=rf"cannot listen on {host}:{port}: .*; choose another") as refused, where:
            pass
    assert "\n" not in str(refused.value)
