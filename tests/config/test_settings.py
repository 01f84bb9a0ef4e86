"""What settings say of themselves."""

import pytest

from pipeline.config import DashboardSettings, Mistakes, load


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("127.0.0.1", ["127.0.0.1", "[::1]", "localhost"]),
        ("0.0.0.0", ["127.0.0.1", "[::1]", "localhost"]),
        ("::", ["127.0.0.1", "[::1]", "localhost"]),
        ("192.0.2.7", ["127.0.0.1", "192.0.2.7", "[::1]", "localhost"]),
        ("fd00::7", ["127.0.0.1", "[::1]", "[fd00::7]", "localhost"]),
    ],
)
def test_the_dashboard_is_known_by_the_names_of_this_machine_and_by_its_own(host, names):
    assert DashboardSettings(host=host, port=99).origins() == [f"http://{name}:99" for name in names]


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ('serve: {origins: ["*"]}', "serve.origins[0]: must be http:// or https://, a host and perhaps a port"),
        ("serve: {origins: [https://a.example/]}", "and nothing after it, got 'https://a.example/'"),
        ("serve: {origins: [a.example]}", "serve.origins[0]: must be http:// or https://"),
        ("dashboard: {serve: localhost:8080}", "dashboard.serve: must be an address like http://host:8080"),
        ("dashboard: {serve: 'http://u:hunter2@host'}", "dashboard.serve: must be an address like http://host:8080"),
        ("dashboard: {port: 0}", "dashboard.port: must be a whole number from 1 to 65535, got 0"),
        ("dashboard: {prot: 1}", "dashboard.prot: is no known key (did you mean port?)"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused_without_a_secret(tmp_path, written, says):
    path = tmp_path / "gantry.yaml"
    path.write_text(written)
    with pytest.raises(Mistakes) as caught:
        load(path, {})

    assert says in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_addresses_that_can_be_are_taken(tmp_path):
    path = tmp_path / "gantry.yaml"
    path.write_text(
        "serve: {origins: ['https://traffic.example', 'http://[fd00::1]:8081']}\n"
        "dashboard: {serve: https://traffic.example/api}\n"
    )
    got = load(path, {}).settings

    assert got.serve.origins == ["https://traffic.example", "http://[fd00::1]:8081"]
    assert got.dashboard.serve == "https://traffic.example/api"
