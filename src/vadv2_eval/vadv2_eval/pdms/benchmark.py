"""How fast PDMS is: seconds for 1, 256 and 4096 proposals of one scene on one core."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from vadv2_core.geometry import Array
from vadv2_eval.pdms.epdms import complete, measure
from vadv2_eval.pdms.scene import EgoStart, MapPolygon, PdmsScene, PoseSequence, SceneCase, ScoringMap, Track
from vadv2_eval.pdms.score import drive, score_batch, score_proposals

COUNTS = (1, 256, 4096)
DENSE_TRACKS = 40


def spread_proposals(base: PoseSequence, count: int, seed: int = 0) -> Array:
    """(count, n, 3) proposals around one: speeds times 0.3 .. 1.3, ends up to some metres to the side."""
    rng = np.random.default_rng(seed)
    poses = np.repeat(base.poses[None], count, axis=0)
    poses[:, :, :2] *= rng.uniform(0.3, 1.3, (count, 1, 1))
    poses[:, :, 1] += rng.normal(0.0, 2.0, (count, 1)) * np.linspace(0.0, 1.0, poses.shape[1])
    poses[0] = base.poses
    return poses


def dense_scene(tracks: int = DENSE_TRACKS, seed: int = 0) -> tuple[PdmsScene, PoseSequence]:
    """A crowded four-lane road with a junction and ``tracks`` objects within reach, and its reference."""
    rng = np.random.default_rng(seed)
    polygons = [
        MapPolygon("road", "ROADBLOCK", _rectangle(-20.0, 90.0, -8.0, 8.0)),
        MapPolygon("crossroad", "INTERSECTION", _rectangle(30.0, 50.0, -20.0, 20.0)),
    ]
    for i, left in enumerate((-7.0, -3.5, 0.0, 3.5)):
        for j, (start, end) in enumerate(((-20.0, 30.0), (30.0, 50.0), (50.0, 90.0))):
            layer = "LANE_CONNECTOR" if j == 1 else "LANE"
            polygons.append(MapPolygon(f"lane_{i}_{j}", layer, _rectangle(start, end, left, left + 3.5)))
    route = frozenset(f"lane_{i}_{j}" for i in (0, 1) for j in range(3))
    centerline = np.column_stack([np.linspace(-20.0, 90.0, 111), np.full(111, -1.75)])
    objects = []
    for i in range(tracks):
        kind = ("vehicle", "vehicle", "pedestrian", "bicycle", "traffic_cone")[i % 5]
        length, width = {"vehicle": (4.6, 1.9), "pedestrian": (0.7, 0.7)}.get(kind, (1.0, 0.6))
        x, y = rng.uniform(7.0, 55.0), rng.uniform(-7.0, 7.0)
        speed = 0.0 if kind == "traffic_cone" else float(rng.uniform(0.0, 8.0))
        heading = float(rng.choice([0.0, np.pi / 2, np.pi]))
        t = np.arange(11) * 0.5
        velocity = speed * np.array([np.cos(heading), np.sin(heading)])
        states = np.column_stack(
            [x + velocity[0] * t, y + velocity[1] * t, np.full(11, heading), np.tile(velocity, (11, 1))]
        )
        objects.append(Track(f"{kind}_{i}", kind, length, width, states))
    ego = EgoStart(np.array([0.0, -1.75, 0.0]), np.array([9.0, 0.0]), np.array([0.2, 0.0]))
    scene = PdmsScene(ego, ScoringMap(tuple(polygons), centerline, route), tuple(objects))
    reference = PoseSequence(0.1, np.column_stack([np.arange(1, 41) * 0.9, np.zeros(40), np.zeros(40)]))
    return scene, reference


def _rectangle(x0: float, x1: float, y0: float, y1: float) -> Array:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def _seconds(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Best CPU seconds of this process and best wall seconds of some work."""
    cpu = wall = np.inf
    for _ in range(repeats):
        began, clock = time.process_time(), time.perf_counter()
        work()
        cpu, wall = min(cpu, time.process_time() - began), min(wall, time.perf_counter() - clock)
    return float(cpu), float(wall)


def _scorings(
    scene: PdmsScene, base: PoseSequence, reference: PoseSequence, repeats: int, counts: Sequence[int]
) -> dict[str, object]:
    figures: dict[str, object] = {}
    walls: dict[str, float] = {}
    for count in counts:
        poses = spread_proposals(base, count)
        work = partial(score_proposals, scene, poses, base.dt, reference)
        figures[f"s_per_{count}"], walls[f"s_per_{count}"] = _seconds(work, repeats)
    return figures | {"wall": walls}


def _both_versions(case: SceneCase, poses: Array) -> None:
    batch = drive(case.scene, [(case.reference.poses[None], case.reference.dt), (poses, case.candidate.dt)])
    score_batch(case.scene, batch)
    complete(measure(case.scene, batch), slice(1, None), 0, case.history, None)


def benchmark(cases: Sequence[SceneCase], repeats: int = 3, counts: Sequence[int] = COUNTS) -> dict[str, object]:
    """Best-of-``repeats`` seconds by number of proposals, scene set-up included, on one core.

    Keys: ``s_per_1``, ``s_per_256``, ``s_per_4096`` of the slowest case (``slowest_case``), the same under ``dense``
    for the crowded scene, and ``both_versions.s_per_4096`` for v1.1 and v2.2 of the slowest case together. They are
    CPU seconds of the one thread that works, which on an idle core are the wall's; ``wall`` has those as they were.
    """
    with threadpool_limits(1):
        return _benchmark(cases, repeats, counts)


def _benchmark(cases: Sequence[SceneCase], repeats: int, counts: Sequence[int]) -> dict[str, object]:
    def once(case: SceneCase) -> float:
        poses = spread_proposals(case.candidate, counts[-1])
        return _seconds(partial(score_proposals, case.scene, poses, case.candidate.dt, case.reference), 1)[0]

    once(cases[0])
    slowest = max(cases, key=once)
    scene, reference = dense_scene()
    poses = spread_proposals(slowest.candidate, counts[-1])
    both, _ = _seconds(partial(_both_versions, slowest, poses), repeats)
    return {
        "clock": "CPU seconds, one thread",
        "slowest_case": slowest.id,
        **_scorings(slowest.scene, slowest.candidate, slowest.reference, repeats, counts),
        "dense": {"tracks": len(scene.tracks), **_scorings(scene, reference, reference, repeats, counts)},
        "both_versions": {f"s_per_{counts[-1]}": both},
    }
