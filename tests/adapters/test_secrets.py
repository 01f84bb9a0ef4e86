"""References become secrets, and secrets become *** again."""

import pytest

from pipeline.adapters import secrets
from pipeline.adapters.secrets import redact, remember, resolve
from pipeline.errors import Fatal


@pytest.fixture(autouse=True)
def nothing_given_out(monkeypatch):
    monkeypatch.setattr(secrets, "_given_out", set())


def test_references_to_the_environment_and_to_files_are_looked_up(monkeypatch, tmp_path):
    monkeypatch.setenv("CAM_USER", "admin")
    (tmp_path / "pw").write_text("hunter2\n")

    assert resolve(f"rtsp://${{env:CAM_USER}}:${{file:{tmp_path}/pw}}@h/1") == "rtsp://admin:hunter2@h/1"
    assert resolve("rtsp://h/1") == "rtsp://h/1"


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("rtsp://u:${env:PW}@h/1", "rtsp://u:p%40s%2Fs%20%25@h/1"),
        ("rtsp://${env:PW}:x@h/1", "rtsp://p%40s%2Fs%20%25:x@h/1"),
        ("http://h/v?pwd=${env:PW}&a=1", "http://h/v?pwd=p%40s%2Fs%20%25&a=1"),
        ("http://h/${env:PW}", "http://h/p@s/s %"),
        ("${env:PW}", "p@s/s %"),
    ],
)
def test_a_password_with_any_character_fits_where_it_is_put(monkeypatch, text, made):
    monkeypatch.setenv("PW", "p@s/s %")

    assert resolve(text) == made


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("${env:GANTRY_NOT_SET}", "the environment variable GANTRY_NOT_SET is not set"),
        ("${env:GANTRY_EMPTY}", r"\$\{env:GANTRY_EMPTY\} is empty"),
        ("${file:/nowhere/pw}", r"the secret file /nowhere/pw cannot be read \(No such file or directory\)"),
        ("${file:/}", "the secret file / cannot be read"),
        ("${vault:x}", "is no reference to a secret"),
        ("${env:}", "is no reference to a secret"),
        ("${}", "is no reference to a secret"),
    ],
)
def test_a_secret_that_cannot_be_found_is_named_and_a_person_must_mend_it(monkeypatch, reference, said):
    monkeypatch.setenv("GANTRY_EMPTY", "")

    with pytest.raises(Fatal, match=said):
        resolve(f"rtsp://u:{reference}@h/1")


def test_a_secret_file_that_is_no_text_is_named_without_its_content(tmp_path):
    (tmp_path / "pw").write_bytes(b"hunter2\xff")

    with pytest.raises(Fatal, match="it is not text") as caught:
        resolve(f"${{file:{tmp_path}/pw}}")
    assert "hunter2" not in str(caught.value)


def test_what_was_given_out_is_redacted_also_without_a_url_around_it(monkeypatch):
    monkeypatch.setenv("PW", "hunter/2 é")
    resolve("rtsp://admin:${env:PW}@h/1")

    assert redact("401 for 'hunter/2 é' (hunter%2F2%20%C3%A9)") == "401 for '***' (***)"
    assert redact("rtsp://admin:hunter/2 é@h/1") == "rtsp://***@h/1"


def test_a_user_name_is_not_blanked_out_everywhere(monkeypatch):
    monkeypatch.setenv("CAM_USER", "north")
    monkeypatch.setenv("PW", "hunter2")
    resolve("rtsp://${env:CAM_USER}:${env:PW}@h/1")

    assert redact("camera north is live") == "camera north is live"


def test_of_a_whole_url_given_as_a_secret_only_the_password_is_blanked_out():
    remember("rtsp://admin:hunter2@h/1")

    assert redact("admin at h said: hunter2 is wrong") == "admin at h said: *** is wrong"


def test_a_secret_too_short_to_hide_anything_leaves_texts_readable():
    remember("a")

    assert redact("a camera") == "a camera"
