"""The command line: quick help, clear words, exit codes, no traceback ever."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from pipeline.errors import Fatal
from workers import gantry


def run(*arguments, **environ):
    command = [sys.executable, "-m", "workers.gantry", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | environ, check=False)


def test_help_names_every_command_and_imports_none_of_them():
    code = (
        "import sys; sys.argv = ['gantry', '--help']\n"
        "from workers.gantry import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'aiokafka', 'numpy', 'msgspec', 'rich', 'av', 'torch', 'openvino', 'litestar', 'faust'}\n"
        "print('imported', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    for name in (*gantry.COMMANDS, *gantry.PROCESSES):
        assert f"\n  {name} " in done.stdout
    assert done.stdout.endswith("imported []\n")


def test_version_is_told():
    done = run("--version")

    assert (done.returncode, done.stdout.startswith("gantry ")) == (0, True)


def test_a_wrong_word_is_answered_by_the_nearest_one():
    done = run("camras")

    assert done.returncode == 2
    assert "there is no command 'camras'. Did you mean cameras?" in done.stderr


def test_a_wrong_word_near_to_nothing_is_answered_by_all():
    assert f"There are: {', '.join([*gantry.COMMANDS, *gantry.PROCESSES])}." in run("xyzzy").stderr


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (
            "ultralytics",
            "`gantry models` needs ultralytics, which is not installed: make setup EXTRAS=dev,torch",
        ),
        ("rich", "`gantry models` needs rich, which is not installed: make setup"),
    ],
)
def test_a_missing_library_breaks_its_own_command_only_and_says_what_to_install(monkeypatch, missing, said):
    def broken(module):
        raise ModuleNotFoundError(f"No module named '{missing}'", name=f"{missing}.engine")

    with monkeypatch.context() as patch:
        patch.setattr(gantry.importlib, "import_module", broken)
        done = CliRunner().invoke(gantry.cli, ["models", "list"])
        assert done.exit_code == 1
        assert said in done.output
        assert CliRunner().invoke(gantry.cli, ["--help"]).exit_code == 0
    assert CliRunner().invoke(gantry.cli, ["topics", "--help"]).exit_code == 0


def test_a_library_that_cannot_be_loaded_is_named(monkeypatch):
    def broken(module):
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr(gantry.importlib, "import_module", broken)
    done = CliRunner().invoke(gantry.cli, ["models"])

    assert done.exit_code == 1
    assert "cannot load a library that it needs: libGL.so.1: cannot open shared object file" in done.output


@pytest.mark.parametrize("process", list(gantry.PROCESSES))
def test_a_process_with_a_wrong_file_says_all_of_it_and_exits_78(process, tmp_path):
    path = tmp_path / "gantry.yaml"
    path.write_text("serve: {prot: 1}\ndetect: {batch: 0}\n")

    done = run(process, "--config", str(path))

    assert done.returncode == 78
    assert done.stderr == (
        f"{path}:1: serve.prot: is no known key (did you mean port?)\n"
        f"{path}:2: detect.batch: must be a whole number of at least 1, got 0\n"
    )


def test_a_process_is_given_the_files_settings_and_its_exit_code_is_the_commands(monkeypatch, tmp_path):
    path = tmp_path / "gantry.yaml"
    path.write_text("kafka: {prefix: x.}\n")
    given = []

    class Worker:
        @staticmethod
        def main(settings):
            given.append(settings)
            return 75

    real = gantry.importlib.import_module
    monkeypatch.setattr(
        gantry.importlib, "import_module", lambda name: Worker if name == "workers.capture" else real(name)
    )
    done = CliRunner().invoke(gantry.cli, ["capture", "--config", str(path)])

    assert done.exit_code == 75
    assert given[0].kafka.prefix == "x."


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Fatal("no such camera: x"), 1, "no such camera: x\n"),
        (Fatal("rtsp://u:hunter2@h/1 is away"), 1, "rtsp://***@h/1 is away\n"),
        (ValueError("odd\nrtsp://u:hunter2@h/1"), 1, "unexpected ValueError: odd rtsp://***@h/1 at"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_whatever_happens_is_told_in_one_line_without_a_traceback(capsys, monkeypatch, error, code, said):
    monkeypatch.delenv("GANTRY_DEBUG", raising=False)

    def fails():
        raise error

    assert gantry._guarded(fails) == code
    err = capsys.readouterr().err
    assert err.startswith(said)
    assert err.count("\n") == (1 if said else 0)
    assert "hunter2" not in err


def test_a_traceback_is_shown_when_asked_for_and_redacted(capsys, monkeypatch):
    monkeypatch.setenv("GANTRY_DEBUG", "1")

    def fails():
        raise ValueError("rtsp://u:hunter2@h/1")

    gantry._guarded(fails)
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "hunter2" not in err


def test_a_reader_that_goes_away_is_no_error():
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m workers.gantry --help | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
