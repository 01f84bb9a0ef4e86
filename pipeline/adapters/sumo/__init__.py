"""SUMO, the simulator of traffic: a scenario and a seed become a recording of journeys.

netconvert makes the network of the scenario's plain XML in a folder of its own; SUMO runs in a child process, since
libsumo has one simulation per process and ends the process when it fails.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import msgspec

import pipeline
from pipeline.adapters.sumo.acting import acted
from pipeline.adapters.sumo.happened import happened
from pipeline.adapters.sumo.messages import Job, Plan, Result, User
from pipeline.adapters.sumo.ways import journey_of
from pipeline.errors import Fatal
from pipeline.simulate.journeys import IncidentKind, Journey, Recording, Staged, read, write
from pipeline.simulate.scenario import Scenario, Traffic, repeated

STEP_MS = 200
"""Between knots, and of SUMO. See docs of `record` for the figures."""

MISSING = "simulating traffic needs SUMO, which is not installed: make setup EXTRAS=dev,simulate"
_KINDS: tuple[str, ...] = get_args(IncidentKind)
_NETCONVERT_S = 60.0
MOST_ERRORS = 3  # of SUMO's, in one message


def require() -> None:
    """Raise Fatal where SUMO is not installed; says what to install."""
    if any(importlib.util.find_spec(name) is None for name in ("sumo", "libsumo")):
        raise Fatal(MISSING)


def record(
    scenario: Scenario,
    seed: int,
    *,
    duration_s: float = 300.0,
    progress: Callable[[float], None] = lambda _done_s: None,
    finer: int = 1,
) -> Recording:
    """Simulate a scenario's traffic; the same for the same scenario, seed and version of SUMO.

    The recording begins after the scenario's warm-up, with traffic on the road, and is to the centimetre what its
    file holds.

    Args:
        duration_s: how long.
        progress: called now and then with the seconds that are done (below 0: the warm-up).
        finer: SUMO makes so many steps per knot.

    Raises:
        Fatal: SUMO is missing, or refuses the scenario; the message holds SUMO's own.
    """
    require()
    plans = [
        Plan(number, plan.kind, plan.at_s, plan.lasts_s, dict(plan.details))
        for number, plan in enumerate(repeated(scenario.traffic.staged(seed), duration_s))
        if plan.at_s < duration_s
    ]
    if unknown := {plan.kind for plan in plans} - set(_KINDS):
        raise Fatal(f"scenario {scenario.name} stages {sorted(unknown)}; known kinds: {', '.join(_KINDS)}")
    with tempfile.TemporaryDirectory(prefix="gantry-sumo-") as name:
        folder = Path(name)
        net = _network(scenario.name, scenario.traffic, folder)
        until_s = scenario.traffic.warm_up_s + duration_s
        (folder / "demand.rou.xml").write_text(scenario.traffic.demand(seed, until_s))
        job = Job(
            words=_words(scenario.traffic, folder, net, seed, STEP_MS / 1000 / finer),
            step_s=STEP_MS / 1000 / finer,
            every=finer,
            warm_up_s=scenario.traffic.warm_up_s,
            duration_s=duration_s,
            plans=plans,
            out=str(folder / "result"),
        )
        result = _ran(scenario.name, job, folder, progress)
    return read(write(_recording(scenario, seed, round(duration_s * 1000), plans, result)))


def _recording(scenario: Scenario, seed: int, duration_ms: int, plans: list[Plan], result: Result) -> Recording:
    ids = {user.name: number for number, user in enumerate(sorted(result.users, key=_age))}
    ways: dict[int, Journey] = {}
    for user in sorted(result.users, key=_age):
        way = journey_of(
            user, ids[user.name], step_ms=STEP_MS, arms=scenario.traffic.arms, area_m=scenario.traffic.area_m
        )
        if way is not None:
            ways[way.id] = way
    staged: list[Staged] = []
    took = {done.number: done.users for done in result.done}
    took |= {plan.number: tuple(str(plan.details["users"]).split()) for plan in plans if "users" in plan.details}
    for plan in plans:
        if "path" in plan.details:
            drawn = acted(plan, len(ids) + plan.number, tuple(ways.values()), step_ms=STEP_MS, duration_ms=duration_ms)
            users: tuple[Journey, ...] = () if drawn is None else (drawn,)
            ways |= {user.id: user for user in users}
        else:
            named = tuple(name for name in took.get(plan.number, ()) if name != "*")
            users = tuple(ways[ids[name]] for name in named if ids.get(name) in ways)
            if len(users) < len(named):
                continue  # it took part outside of the area
        came = happened(plan, users, ways, step_ms=STEP_MS, duration_ms=duration_ms)
        if came is not None:
            staged.append(came)
    return Recording(
        scenario=scenario.name,
        seed=seed,
        step_ms=STEP_MS,
        duration_ms=duration_ms,
        journeys=tuple(ways.values()),
        staged=tuple(sorted(staged, key=lambda one: one.from_ms)),
    )


def _age(user: User) -> tuple[int, str]:
    return user.first, user.name


def _home() -> Path:
    import sumo  # noqa: PLC0415 - the extra may be missing

    return Path(sumo.SUMO_HOME)


def _network(name: str, traffic: Traffic, folder: Path) -> Path:
    """Let netconvert make the network."""
    files = {"nod": traffic.nodes, "edg": traffic.edges, "con": traffic.connections, "add": traffic.signals}
    for kind, text in files.items():
        (folder / f"plain.{kind}.xml").write_text(text)
    net = folder / "net.xml"
    words = ["--node-files", folder / "plain.nod.xml", "--edge-files", folder / "plain.edg.xml"]
    if traffic.connections:
        words += ["--connection-files", folder / "plain.con.xml"]
    command = [
        _home() / "bin" / "netconvert", *words, "--output-file", net, "--xml-validation", "never",
        "--offset.disable-normalization", "true", *traffic.options,
    ]  # fmt: skip
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            [str(word) for word in command],
            check=False,
            capture_output=True,
            text=True,
            timeout=_NETCONVERT_S,
            env=_environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Fatal(f"netconvert does not run: {exc}; install SUMO anew: make setup EXTRAS=dev,simulate") from exc
    if done.returncode != 0 or not net.is_file():
        raise Fatal(f"netconvert refuses the roads of scenario {name}: {_why(done.stderr, done.returncode)}")
    return net


def _words(traffic: Traffic, folder: Path, net: Path, seed: int, step_s: float) -> list[str]:
    extra = ["--additional-files", str(folder / "plain.add.xml")] if traffic.signals else []
    return [
        "--net-file", str(net), "--route-files", str(folder / "demand.rou.xml"), *extra,
        "--step-length", f"{step_s:g}", "--step-method.ballistic", "true", "--seed", str(seed),
        "--time-to-teleport", "-1", "--collision.action", "warn", "--collision.check-junctions", "false",
        "--no-step-log", "true", "--no-warnings", "true", "--duration-log.disable", "true",
        "--xml-validation", "never", "--xml-validation.net", "never", "--xml-validation.routes", "never",
        "--max-depart-delay", "30", *traffic.words,
    ]  # fmt: skip


def _ran(name: str, job: Job, folder: Path, progress: Callable[[float], None]) -> Result:
    """Run the child, whatever becomes of it."""
    order = folder / "job"
    order.write_bytes(msgspec.msgpack.encode(job))
    with (folder / "stderr").open("w") as said, subprocess.Popen(  # noqa: S603 - our own words
        [sys.executable, "-m", "pipeline.adapters.sumo.child", str(order)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, text=True, env=_environment(),
    ) as child:  # fmt: skip
        try:
            assert child.stdout is not None
            for line in child.stdout:
                word, _, rest = line.partition(" ")
                if word == "step":
                    progress(float(rest))
        finally:
            if child.poll() is None:
                try:
                    child.wait(5.0)
                except subprocess.TimeoutExpired:
                    child.kill()
    if child.returncode != 0 or not Path(job.out).is_file():
        why = _why((folder / "stderr").read_text(), child.returncode)
        raise Fatal(f"SUMO cannot simulate scenario {name}: {why}")
    return msgspec.msgpack.decode(Path(job.out).read_bytes(), type=Result)


def _why(said: str, code: int) -> str:
    """The first things SUMO calls errors, else its last line."""
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("Error: ") for line in lines if line.startswith("Error")]
    if errors:
        return "; ".join(list(dict.fromkeys(errors))[:MOST_ERRORS])
    if code < 0:
        return f"it died of signal {-code}" + (f" after: {lines[-1]}" if lines else "")
    return lines[-1] if lines else f"it ended with code {code} and said nothing"


def _environment() -> dict[str, str]:
    """This process's, with SUMO's home and the way to this package."""
    roots = [str(Path(pipeline.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "SUMO_HOME": str(_home()), "PYTHONPATH": os.pathsep.join(root for root in roots if root)}
