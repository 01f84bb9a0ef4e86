"""Nobody is told that gantry is used."""

import os
import subprocess
import sys

PHONE = """
import os, socket
def refuse(*where, **_):
    print("asked for", where[0], flush=True)
    raise OSError("nobody is there")
socket.getaddrinfo = refuse
from pathlib import Path
import pipeline.adapters.yolo as yolo
model = yolo.load_model(Path(yolo.__file__).parent / "shipped" / "gantry-s")
model.close()
"""


def test_a_model_is_loaded_without_a_word_to_anybody_and_without_a_trace_in_the_users_home(tmp_path):
    here = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    ran = subprocess.run([sys.executable, "-c", PHONE], env=here, capture_output=True, text=True, check=True)

    assert ran.stdout == ""
    assert "telemetry" not in ran.stderr
    assert not (tmp_path / "intel").exists()
