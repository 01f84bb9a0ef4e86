"""Credentials are found in any URL of any text; references to them are not credentials."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.credentials import holds_credentials, is_reference, without_credentials


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("rtsp://u:p@h/1", "rtsp://***@h/1"),
        ("rtsp://u@h/1", "rtsp://***@h/1"),
        ("rtsp://:p@h/1", "rtsp://***@h/1"),
        ("rtsp://u:p@ss@h:554/1", "rtsp://***@h:554/1"),
        ("rtsp://u:p/s@h/1", "rtsp://***@h/1"),
        ("rtsp://u:p?s#x@h/1", "rtsp://***@h/1"),
        ("rtsp://u:12345/@h/1", "rtsp://u:12345/@h/1"),  # could as well be host u, port 12345, path /@h/1
        ("rtsp://h:554/a@2x", "rtsp://h:554/a@2x"),
        ("rtsp://h/a@2x", "rtsp://h/a@2x"),
        ("'rtsp://u:p@h/1': timed out", "'rtsp://***@h/1': timed out"),
        ("a RTSPS://u:p@h and http://v:q@i.", "a RTSPS://***@h and http://***@i."),
        ("postgresql+psycopg://u:p@db/x", "postgresql+psycopg://***@db/x"),
        ("http://h/v?user=a&password=p&size=1", "http://h/v?user=***&password=***&size=1"),
        ("http://h/v?API_KEY=p", "http://h/v?API_KEY=***"),
        ("http://h/v?channel=1&subtype=0", "http://h/v?channel=1&subtype=0"),
        ("mail to someone@example.org", "mail to someone@example.org"),
        ("rtsp://${env:U}:${env:P}@h/1", "rtsp://***@h/1"),
        ("rtsp://[::1]:554/a", "rtsp://[::1]:554/a"),
        ("no url at all: u:p@h", "no url at all: u:p@h"),
    ],
)
def test_credentials_leave_a_text_and_the_rest_stays(text, clean):
    assert without_credentials(text) == clean


SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/?#@\"'<>:"), min_size=1)


@given(SECRET, SECRET, st.text(max_size=20), st.text(max_size=20))
def test_no_password_of_a_well_formed_url_survives_whatever_stands_around_it(user, password, before, after):
    clean = without_credentials(f"{before} rtsp://{user}:Q{password}Q@camera.example/1 {after}")

    assert f"Q{password}Q" not in clean.replace(before, "").replace(after, "")
    assert "camera.example/1" in clean


@given(st.text())
def test_cleaning_twice_is_cleaning_once(text):
    once = without_credentials(text)

    assert without_credentials(once) == once


@pytest.mark.parametrize(
    "text", ["rtsp://u:p@h", "rtsp://u@h", "rtsp://${env:U}:p@h", "rtsp://u:${env:P}@h", "http://h?pwd=x"]
)
def test_credentials_that_are_written_out_are_found(text):
    assert holds_credentials(text)


@pytest.mark.parametrize(
    "text", ["rtsp://h", "rtsp://${env:U}:${file:/x/y}@h", "rtsp://${env:BOTH}@h", "http://h?pwd=${env:P}", "a@b.mp4"]
)
def test_references_and_plain_sources_hold_no_credentials(text):
    assert not holds_credentials(text)


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("${env:A}", True),
        ("${file:/a b}", True),
        ("${env:}", False),
        ("${vault:a}", False),
        ("x${env:A}", False),
        ("", False),
    ],
)
def test_only_a_whole_reference_is_one(text, whole):
    assert is_reference(text) is whole
