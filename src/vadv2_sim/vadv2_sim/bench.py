"""Speed and memory of the simulator; every figure is measured in a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from vadv2_core.drive import VehicleCommand

_GO = VehicleCommand(0, 0, 0.0, 0.0, 0.0, 5.0)


def measure(town: str, quick: bool = False) -> dict[str, float]:
    """The benchmark's figures.

    Returns:
        ``steps_per_s_traffic`` (world and Scene, no cameras), ``steps_per_s_six_cameras``, ``record_one_hour_s`` (two
        workers, from a shorter recording), ``peak_rss_mb`` (of the process with six cameras), ``reset_s``. A machine
        that does other work as well makes the wall clock say little: ``traffic_cpu_ms`` and ``six_cameras_cpu_ms`` are
        the median processor time of a step and of six pictures, ``record_one_hour_cpu_s`` that of an hour's recording.
    """
    share = 0.1 if quick else 1.0
    traffic = _apart(_traffic, town, int(3000 * share))
    cameras = _apart(_cameras, town, int(300 * share))
    hour = _apart(_recording, town, 0.2 * share)
    return {**traffic, **cameras, **hour}


def _apart(work: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    # Not a pool: its workers are daemons, and the recording starts processes of its own.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, work, arguments))
    process.start()
    theirs.close()
    try:
        numbers: dict[str, float] = ours.recv()
    except EOFError:
        numbers = {}
    process.join()
    return numbers


def _answer(pipe: Any, work: Callable[..., dict[str, float]], arguments: tuple[Any, ...]) -> None:
    pipe.send(work(*arguments))


def _traffic(town: str, steps: int) -> dict[str, float]:
    from vadv2_sim.lane_follower import LaneFollower
    from vadv2_sim.plan_tracker import PlanTracker
    from vadv2_sim.world import World

    begin = time.perf_counter()
    world = World(town, "free", 1)
    scene = world.reset()
    reset = time.perf_counter() - begin
    driver, tracker = LaneFollower(world.road), PlanTracker(world.config.vehicle)
    spent, costs = 0.0, []
    for k in range(steps):
        if world.finished:
            scene = world.reset()
        if k % 10 == 0:
            tracker.take(driver.plan(scene))
        command = tracker.command(scene.ego)
        begin, cost = time.perf_counter(), time.process_time()
        scene = world.step(command)
        spent += time.perf_counter() - begin
        costs.append(time.process_time() - cost)
    return {"steps_per_s_traffic": steps / spent, "traffic_cpu_ms": 1e3 * median(costs), "reset_s": reset}


def _cameras(town: str, steps: int) -> dict[str, float]:
    from vadv2_sim.renderer import Renderer
    from vadv2_sim.rig_files import default_rig
    from vadv2_sim.world import World

    world = World(town, "free", 1)
    scene = world.reset()
    renderer = Renderer(world.road, default_rig())
    renderer.render(scene)
    costs = []
    begin = time.perf_counter()
    for _ in range(steps):
        scene = world.step(_GO)
        cost = time.process_time()
        renderer.render(scene)
        costs.append(time.process_time() - cost)
    spent = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    return {"steps_per_s_six_cameras": steps / spent, "six_cameras_cpu_ms": 1e3 * median(costs), "peak_rss_mb": peak}


def _recording(town: str, hours: float) -> dict[str, float]:
    from vadv2_sim.record import record

    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        driven = sum(o.seconds for o in record(Path(folder), [town], hours, workers=2))
        wall = time.perf_counter() - begin
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(u.ru_utime + u.ru_stime for u in used)
    share = 3600.0 / driven
    return {"record_one_hour_s": wall * share, "record_one_hour_cpu_s": cpu * share, "recorded_s": driven}
