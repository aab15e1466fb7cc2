"""Timing of the planner's parts on given features."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from vadv2_core.errors import InputError
from vadv2_core.geometry import Array, inverse_transform3
from vadv2_core.route_ahead import ROUTE_DISTANCES, ROUTE_FEATURES
from vadv2_planner.anchors import AnchorSet, normalisation
from vadv2_planner.backends import make_runner
from vadv2_planner.batch import EGO_FEATURES, PlannerBatch
from vadv2_planner.config import ModelConfig, PlannerConfig
from vadv2_planner.registry import make_network
from vadv2_planner.text import TEXT_LENGTH

BEV_HALF_SIDE = 32.0
"""m; a bird's-eye map given to `denoiser` reaches this far each way, rows along x, columns along y."""

Said = tuple[NDArray[np.float32], NDArray[np.float32]]


def surround_projections(cameras: int, h: int, w: int, field_of_view: float = 1.22) -> Array:
    """(cameras, 3, 4) of level cameras 1.5 m high, evenly around the ego, at token resolution."""
    f = 0.5 * w / math.tan(0.5 * field_of_view)
    k = np.array([[f, 0.0, 0.5 * (w - 1)], [0.0, f, 0.35 * h], [0.0, 0.0, 1.0]])
    out = []
    for yaw in 2.0 * np.pi * np.arange(cameras) / cameras:
        c, s = np.cos(yaw), np.sin(yaw)
        pose = np.eye(4)
        pose[:3, :3] = np.array([[s, 0.0, c], [-c, 0.0, s], [0.0, -1.0, 0.0]])
        pose[:3, 3] = [1.3 + 0.8 * c, 0.8 * s, 1.5]
        out.append(k @ inverse_transform3(pose)[:3])
    return np.stack(out)


def bev_projection(h: int, w: int, half_side: float = BEV_HALF_SIDE) -> Array:
    """(1, 3, 4): base_link to cells of a bird's-eye map whose rows follow x and columns follow y, from - to +."""
    return np.array(
        [
            [
                [0.0, 0.5 * w / half_side, 0.0, 0.5 * (w - 1)],
                [0.5 * h / half_side, 0.0, 0.0, 0.5 * (h - 1)],
                [0.0, 0.0, 0.0, 1.0],
            ]
        ]
    )


def _tensor(values: Any) -> torch.Tensor:
    tensor = values.detach().cpu() if isinstance(values, torch.Tensor) else torch.from_numpy(np.asarray(values))
    return tensor.float()


def _maps(features: torch.Tensor, width: int) -> tuple[torch.Tensor, Array, bool]:
    if features.ndim == 4 and features.shape[-1] == width:
        return features, surround_projections(*features.shape[:3]), False
    if features.ndim == 4 and features.shape[0] == 1 and features.shape[1] == width:
        features = features[0]
    if features.ndim == 3 and features.shape[0] == width:
        maps = features.permute(1, 2, 0).unsqueeze(0).contiguous()
        return maps, bev_projection(*maps.shape[1:3]), True
    raise InputError(
        f"features have shape {tuple(features.shape)}",
        "denoiser",
        f"image tokens (cameras, h, w, {width}) or a bird's-eye map ([1,] {width}, h, w)",
    )


def denoiser(
    features: ArrayLike | torch.Tensor,
    queries: ArrayLike | torch.Tensor,
    anchors: ArrayLike | torch.Tensor,
    steps: int,
    *,
    layers: int = 2,
    sampler: str = "as_intended",
    backend: str = "torch",
    residual: str = "anchor",
    seed: int = 0,
    threads: int = 1,
    cache_directory: str = ".vadv2",
) -> Callable[..., Said]:
    """The truncated-diffusion planner on given features, as one callable with seeded weights.

    A call does everything that a frame costs after the encoder: what does not depend on the noise once, then ``steps``
    passes of ``layers`` layers.

    Args:
        features: Image tokens (cameras, h, w, d), or a bird's-eye map ([1,] d, h, w) reaching 32 m each way.
        queries: ([1,] q, d) scene queries.
        anchors: (modes, poses, 2) in metres, 0.5 s apart.
        steps: Denoising passes, 1 .. 100.
        layers: Decoder layers.
        sampler: ``as_intended`` or ``as_released``.
        backend: ``torch``, ``onnxruntime`` or ``openvino``.
        residual: As in `ModelConfig`.
        seed: Of the weights and, where a call brings no generator, of the noise.
        threads: Of the network.
        cache_directory: For exported graphs.

    Returns:
        ``run(generator=None, noise=None)`` -> waypoints (modes, poses, 2) in metres and logits (modes,). The noise is
        (modes, poses, 2) standard normal, drawn from a `torch.Generator` where it is not given.

    Raises:
        InputError: for shapes that do not fit each other.
    """
    points = np.asarray(_tensor(anchors), dtype=np.float64)
    if points.ndim != 3 or points.shape[-1] != 2:
        raise InputError(f"anchors have shape {points.shape}", "denoiser", "(modes, poses, 2)")
    q = _tensor(queries)
    q = q.unsqueeze(0) if q.ndim == 2 else q
    width = q.shape[-1]
    maps, projection, bird = _maps(_tensor(features), width)
    heights = (0.0,) if bird else ModelConfig().sample_heights
    config = ModelConfig(
        token_channels=maps.shape[-1],
        query_channels=width,
        aux_channels=width,
        width=width,
        layers=layers,
        ffn=4 * width,
        modes=len(points),
        knots=points.shape[1],
        sample_heights=heights,
        residual=residual,
    )
    network = make_network("truncated_diffusion", config, AnchorSet(points, *normalisation(points), "bench"), seed)
    planner = PlannerConfig(backend=backend, threads=threads, cache_directory=cache_directory)
    torch.set_num_threads(threads)
    runner = make_runner(network, network.plan_of(sampler, steps), planner)
    batch = PlannerBatch(
        tokens=maps.unsqueeze(0),
        projection=torch.from_numpy(projection).float().unsqueeze(0),
        camera_valid=torch.ones(1, len(maps)),
        queries=q,
        aux=torch.zeros(1, 0, width),
        ego=torch.zeros(1, EGO_FEATURES),
        velocity=torch.zeros(1, 2),
        acceleration=torch.zeros(1, 2),
        action=torch.ones(1, dtype=torch.long),
        distance=torch.zeros(1, 1),
        text=torch.zeros(1, TEXT_LENGTH, dtype=torch.long),
        route=torch.zeros(1, len(ROUTE_DISTANCES), ROUTE_FEATURES),
        route_valid=torch.zeros(1, 1),
        reasoning=torch.zeros(1, config.reasoning_channels),
        reasoning_valid=torch.zeros(1, 1),
        reasoning_age=torch.zeros(1, 1),
    )

    def run(generator: torch.Generator | None = None, noise: ArrayLike | torch.Tensor | None = None) -> Said:
        if noise is None:
            generator = generator or torch.Generator().manual_seed(seed)
            drawn = torch.randn((1, *network.noise_shape), generator=generator)
        else:
            drawn = _tensor(noise).reshape(1, *network.noise_shape)
        waypoints, logits = runner.run(batch, drawn)
        return waypoints[0], logits[0]

    return run


def cpu_milliseconds(run: Callable[[], Any], rounds: int = 15, warm_up: int = 3) -> tuple[float, float]:
    """Median CPU and wall milliseconds of a call in this process."""
    for _ in range(warm_up):
        run()
    cpu, wall = [], []
    for _ in range(rounds):
        c, w = time.process_time(), time.perf_counter()
        run()
        cpu.append(time.process_time() - c)
        wall.append(time.perf_counter() - w)
    return 1e3 * float(np.median(cpu)), 1e3 * float(np.median(wall))


def denoiser_table(backend: str = "torch", steps: tuple[int, ...] = (1, 2, 100), rounds: int = 15) -> dict[str, float]:
    """CPU-ms of the denoiser at d = 256, 20 modes x 8 poses, 2 layers, six cameras of 14 x 30 tokens, 49 queries.

    Returns:
        ``{"cpu_ms_1": ..., "wall_ms_1": ..., ...}`` for every number of steps.
    """
    rng = np.random.default_rng(0)
    features = rng.normal(size=(6, 14, 30, 256)).astype(np.float32)
    queries = rng.normal(size=(49, 256)).astype(np.float32)
    anchors = np.cumsum(rng.uniform(0.0, 4.0, (20, 8, 2)) * np.array([1.0, 0.2]), axis=1)
    out: dict[str, float] = {}
    for n in steps:
        cpu, wall = cpu_milliseconds(denoiser(features, queries, anchors, n, backend=backend), rounds if n < 20 else 5)
        out[f"cpu_ms_{n}"], out[f"wall_ms_{n}"] = round(cpu, 2), round(wall, 2)
    return out
