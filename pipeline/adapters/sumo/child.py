"""The process that runs SUMO: libsumo has one simulation per process and may end the process, so it gets its own.

Reads a Job from the file that is its argument, writes "step SECONDS" lines to stdout and a Result to job.out.
"""

import math
import sys
from pathlib import Path
from typing import Any

import libsumo
import msgspec

from pipeline.adapters.sumo.messages import Job, Result, User
from pipeline.adapters.sumo.staging import plays

TELL_S = 1.0


def run(job: Job) -> Result:
    """One simulation from its warm-up to its end."""
    libsumo.start(["sumo", *job.words])
    users: dict[str, User] = {}
    told = -math.inf
    shows = plays(job.plans)
    steps = round((job.warm_up_s + job.duration_s) / job.step_s)
    warm = round(job.warm_up_s / job.step_s)
    for step in range(1, steps + 1):
        libsumo.simulationStep()
        since_s = (step - warm) * job.step_s
        if since_s - told >= TELL_S:
            told = since_s
            print(f"step {since_s:.1f}", flush=True)  # noqa: T201 - the parent reads it
        if step >= warm and (step - warm) % job.every == 0:
            _look(users, (step - warm) // job.every)
        if since_s >= 0:
            for show in shows:
                show.step(since_s)
    libsumo.close()
    return Result(users=list(users.values()), done=[done for show in shows if (done := show.done()) is not None])


def _look(users: dict[str, User], knot: int) -> None:
    for domain, persons in ((libsumo.vehicle, False), (libsumo.person, True)):
        for name in sorted(domain.getIDList()):
            x, y = domain.getPosition(name)
            if not abs(x) < 1e6:  # noqa: PLR2004 - waiting to enter, SUMO puts them at -2^30
                continue
            if name not in users:
                users[name] = _user(domain, name, knot, persons)
            user = users[name]
            if len(user.x_m) != knot - user.first:
                continue  # came back after an absence; its first stay counts
            user.x_m.append(x)
            user.y_m.append(y)
            user.compass_deg.append(domain.getAngle(name))


def _user(domain: Any, name: str, knot: int, person: bool) -> User:
    way = domain.getEdges(name) if person else domain.getRoute(name)
    return User(
        name=name,
        vtype=domain.getTypeID(name),
        vclass="pedestrian" if person else domain.getVehicleClass(name),
        length_m=domain.getLength(name),
        width_m=domain.getWidth(name),
        height_m=domain.getHeight(name),
        start=way[0],
        end=way[-1],
        first=knot,
        x_m=[],
        y_m=[],
        compass_deg=[],
    )


def main() -> None:
    """The process."""
    job = msgspec.msgpack.decode(Path(sys.argv[1]).read_bytes(), type=Job)
    try:
        result = run(job)
    except libsumo.TraCIException as exc:
        sys.exit(f"Error: {' '.join(str(exc).split())}")
    Path(job.out).write_bytes(msgspec.msgpack.encode(result))


if __name__ == "__main__":
    main()
