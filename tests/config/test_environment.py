"""GANTRY_<SECTION>_<KEY> wins over the file, and its mistakes are told like the file's."""

import pytest

from pipeline.config import Mistakes, Settings, load
from pipeline.config.environment import variables


def refused(environ, path=None):
    with pytest.raises(Mistakes) as caught:
        load(path, environ)
    return [str(m) for m in caught.value.mistakes]


def test_a_variable_wins_over_the_file(tmp_path):
    path = tmp_path / "gantry.yaml"
    path.write_text("kafka: {servers: [a:1], prefix: x.}\ndetect: {batch: 2, score: 0.3}\n")

    got = load(path, {"GANTRY_KAFKA_SERVERS": "b:2, c:3", "GANTRY_DETECT_BATCH": "5"}).settings

    assert got.kafka.servers == ["b:2", "c:3"]
    assert got.kafka.prefix == "x."
    assert (got.detect.batch, got.detect.score) == (5, 0.3)


@pytest.mark.parametrize(
    ("name", "text", "path", "value"),
    [
        ("GANTRY_KAFKA_SIZES_FRAMES", "96", "kafka.sizes.frames", 96),
        ("GANTRY_KAFKA_USERNAME", "1234", "kafka.prefix", "traffic."),  # text stays text, see below
        ("GANTRY_AGGREGATE_WINDOWS_S", "60,120", "aggregate.windows_s", [60, 120]),
        ("GANTRY_CAPTURE_STALL_S", "2.5", "capture.stall_s", 2.5),
        ("GANTRY_METRICS_PORT", "9100", "metrics.port", 9100),
        ("GANTRY_METRICS_PORT", "", "metrics.port", None),
        ("GANTRY_DETECT_ORDINAL", "0", "detect.ordinal", 0),
        ("GANTRY_DETECT_DEVICE", "0", "detect.device", "0"),
        ("GANTRY_SERVE_DATABASE", "true", "serve.database", "true"),
        ("GANTRY_TRACK_BELIEFS_TRACKING_LOST_MS", "900", "track.beliefs.tracking.lost_ms", 900),
    ],
)
def test_a_variable_is_read_as_its_setting_is_typed(name, text, path, value):
    environ = {name: text}
    if name == "GANTRY_KAFKA_USERNAME":
        environ |= {
            "GANTRY_KAFKA_SECURITY": "sasl_ssl",
            "GANTRY_KAFKA_SASL_MECHANISM": "PLAIN",
            "GANTRY_KAFKA_PASSWORD": "x",
        }
    got = load(None, environ).settings
    if name == "GANTRY_KAFKA_USERNAME":
        assert got.kafka.username == "1234"
    for step in path.split("."):
        got = getattr(got, step)

    assert got == value
    assert type(got) is type(value)


def test_every_variable_leads_to_a_setting():
    for name, path in variables().items():
        value = Settings()
        for step in path:
            value = getattr(value, step)
        assert name == "GANTRY_" + "_".join(path).upper()


def test_no_two_settings_share_a_variable():
    assert len(variables()) == len({tuple(path) for path in variables().values()})


def test_mistakes_of_the_environment_are_reported_together_with_the_files(tmp_path):
    path = tmp_path / "gantry.yaml"
    path.write_text("serve: {port: web}\n")

    assert refused({"GANTRY_DETECT_BACH": "3", "GANTRY_DETECT_SCORE": "high", "GANTRY_TRACK_X": "1"}, path) == [
        f"{path}:1: serve.port: must be a whole number from 1 to 65535, got 'web'",
        "environment: GANTRY_DETECT_BACH: is no known setting (did you mean GANTRY_DETECT_BATCH?)",
        "environment: GANTRY_DETECT_SCORE: must be a number from 0 to 1, got 'high'",
        "environment: GANTRY_TRACK_X: is no known setting",
    ]


def test_variables_of_no_section_are_none_of_our_business():
    assert load(None, {"GANTRY_DEBUG": "1", "GANTRY_TEST_KAFKA": "x", "PATH": "/bin"}).settings == Settings()


def test_what_kubernetes_puts_into_a_pod_beside_a_service_is_no_setting():
    links = {
        "GANTRY_SERVE_PORT": "tcp://10.0.0.1:8080",
        "GANTRY_SERVE_SERVICE_HOST": "10.0.0.1",
        "GANTRY_SERVE_SERVICE_PORT": "8080",
        "GANTRY_SERVE_SERVICE_PORT_HTTP": "8080",
        "GANTRY_SERVE_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "GANTRY_SERVE_PORT_8080_TCP_ADDR": "10.0.0.1",
        "GANTRY_KAFKA_PORT": "tcp://10.0.0.2:9092",
    }

    assert load(None, links).settings == Settings()
    assert load(None, links | {"GANTRY_SERVE_PORT": "8081"}).settings.serve.port == 8081


def test_a_password_in_a_variable_stays_there_and_settings_only_refer_to_it():
    environ = {
        "GANTRY_KAFKA_SECURITY": "sasl_ssl",
        "GANTRY_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "GANTRY_KAFKA_USERNAME": "gantry",
        "GANTRY_KAFKA_PASSWORD": "hunter2",
    }

    got = load(None, environ).settings.kafka

    assert got.password == "${env:GANTRY_KAFKA_PASSWORD}"
    other = load(None, environ | {"GANTRY_KAFKA_PASSWORD": "${file:/run/secrets/kafka}"}).settings.kafka
    assert other.password == "${file:/run/secrets/kafka}"


def test_settings_that_contradict_each_other_across_file_and_environment_are_found(tmp_path):
    path = tmp_path / "gantry.yaml"
    path.write_text("kafka: {prefix: a.}\n")

    assert refused({"GANTRY_KAFKA_SECURITY": "sasl_ssl"}, path) == [
        f"{path}:1: kafka.password: is missing; security sasl_ssl needs it",
        f"{path}:1: kafka.sasl_mechanism: is missing; security sasl_ssl needs it",
        f"{path}:1: kafka.username: is missing; security sasl_ssl needs it",
    ]
