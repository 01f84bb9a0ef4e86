"""`gantry simulate scene`: the lines and zones of a scenario, for the registry."""

import pytest
from click.testing import CliRunner

from pipeline.config import load_scene
from pipeline.errors import Fatal
from pipeline.simulate.scenario import scene_of
from pipeline.simulate.scenarios import SCENARIOS
from workers.simulate import simulate


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_printed_scene_is_read_back_as_the_scenarios_own(name, tmp_path):
    said = CliRunner().invoke(simulate, ["scene", name], catch_exceptions=False)
    (tmp_path / "scene.yaml").write_text(said.output)
    own, read = scene_of(SCENARIOS[name]), load_scene(tmp_path / "scene.yaml")

    assert said.exit_code == 0
    assert (read.drawn_on, read.lines, read.zones) == (own.drawn_on, own.lines, own.zones)


def test_the_scene_of_an_unknown_scenario_is_refused_with_the_nearest_name():
    with pytest.raises(Fatal, match="did you mean junction"):
        CliRunner().invoke(simulate, ["scene", "junctoin"], catch_exceptions=False)
