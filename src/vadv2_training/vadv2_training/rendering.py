"""Drives to cached frames: pictures rendered from states, seen once by the frozen backbone, and thrown away.

Every drive is rendered as another car on another day: rig a little off its mounting, brightness, noise, weather, mostly
between other houses and trees, and in part beside the line that the expert drove (recovery). All of it is a function of
the drive's name and the variant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadv2_core.camera import CameraModel, CameraRig
from vadv2_core.config import parameter, validate
from vadv2_core.decision import Decision
from vadv2_core.geometry import Array
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.taxonomy import EdgeCaseFlag, Weather
from vadv2_core.vehicle import VehicleConfig
from vadv2_sim.renderer.config import RendererConfig
from vadv2_sim.renderer.renderer import Renderer
from vadv2_training.driving_frames import Offset, frame_arrays, times_of
from vadv2_training.frame_store import FEATURE_NAMES, quantised, write_shard
from vadv2_training.scene_targets import Visibility, scene_targets

Backbone = Callable[[NDArray[np.uint8]], list[NDArray[np.float32]]]
"""Images (cameras, H, W, 3) uint8 to feature maps (cameras, c, h, w), finest first."""


@dataclass(frozen=True, slots=True)
class VariationConfig:
    """How much a rendered drive differs from the recorded one."""

    frame_rate: float = parameter(2.0, "Frames kept a second of a drive.", unit="Hz", minimum=0.5, maximum=10.0)
    rig_rotation: float = parameter(
        0.015, "Standard deviation of each camera's mounting.", unit="rad", minimum=0.0, maximum=0.2
    )
    rig_shift: float = parameter(0.04, "Standard deviation of each camera's place.", unit="m", minimum=0.0, maximum=0.5)
    rig_focal: float = parameter(0.03, "Standard deviation of the focal lengths, as a share.", minimum=0.0, maximum=0.3)
    offset_share: float = parameter(0.4, "Share of drives rendered beside the driven line.", minimum=0.0, maximum=1.0)
    offset_lateral: float = parameter(0.7, "Standard deviation of that offset.", unit="m", minimum=0.0, maximum=2.0)
    offset_yaw: float = parameter(0.06, "Standard deviation of its turn.", unit="rad", minimum=0.0, maximum=0.5)
    weather_share: float = parameter(
        0.35, "Share of clear drives that are given another weather.", minimum=0.0, maximum=1.0
    )
    dressing_share: float = parameter(
        0.75, "Share of drives rendered between other houses and trees than the town's own.", minimum=0.0, maximum=1.0
    )
    max_noise: float = parameter(12.0, "Largest pixel noise, levels of 255.", minimum=0.0, maximum=60.0)

    def __post_init__(self) -> None:
        validate(self, "variation")


@dataclass(frozen=True, slots=True)
class Drive:
    """One recorded drive, ready to be rendered.

    Attributes:
        name: Unique; seeds the variation.
        scenes: At 10 Hz.
        decisions: The expert's at each scene; None where not recorded.
        road_map: Of its town.
        flags: Edge cases that hold at a scene and can be seen, given what is visible.
        texts: What the narrator says of a scene, JSON-plain, given what is visible.
        lesson: What the expert would have driven from a frame on, where another drove (`expert_plans.expert_future`).
    """

    name: str
    scenes: Sequence[Scene]
    decisions: Sequence[Decision | None]
    road_map: RoadMap
    flags: Callable[[Scene, Visibility], frozenset[EdgeCaseFlag]]
    texts: Callable[[Scene, Decision | None, Visibility], Any]
    lesson: Callable[[int], tuple[Array, Array] | None] = lambda index: None


def seed_of(name: str, variant: int) -> int:
    """The seed of a drive's variation: a hash, so that it is the same in every process."""
    return int.from_bytes(hashlib.sha256(f"{name}/{variant}".encode()).digest()[:8], "little")


def varied_rig(rig: CameraRig, config: VariationConfig, rng: np.random.Generator) -> CameraRig:
    """The rig as it is mounted on another car: every camera turned, moved and refocused a little."""
    from scipy.spatial.transform import Rotation

    cameras: list[CameraModel] = []
    for camera in rig.cameras:
        t = camera.t_base_camera.copy()
        t[:3, :3] = t[:3, :3] @ Rotation.from_rotvec(rng.normal(0.0, config.rig_rotation, 3)).as_matrix()
        t[:3, 3] += rng.normal(0.0, config.rig_shift, 3)
        k = camera.k.copy()
        k[[0, 1], [0, 1]] *= 1.0 + np.clip(rng.normal(0.0, config.rig_focal), -0.2, 0.2)
        cameras.append(replace(camera, k=k, t_base_camera=t))
    return CameraRig(tuple(cameras))


def varied_weather(scenes: Sequence[Scene], config: VariationConfig, rng: np.random.Generator) -> tuple[Weather, float]:
    """The weather of a drive: its own where it has one, else mostly clear day."""
    first = scenes[0]
    if first.weather is not Weather.DAY or rng.random() >= config.weather_share:
        return first.weather, first.weather_intensity
    choices = [w for w in Weather if w is not Weather.DAY]
    return choices[int(rng.integers(len(choices)))], float(rng.uniform(0.3, 1.0))


def varied_offset(config: VariationConfig, rng: np.random.Generator) -> Offset:
    """Where the ego stands beside its line, for a whole drive, so that its history is consistent."""
    if rng.random() >= config.offset_share:
        return Offset()
    lateral = float(np.clip(rng.normal(0.0, config.offset_lateral), -1.6, 1.6))
    return Offset(lateral, float(np.clip(rng.normal(0.0, config.offset_yaw), -0.2, 0.2)))


def render_drive(
    drive: Drive,
    directory: Path,
    rig: CameraRig,
    grid: tuple[int, int],
    backbone: Backbone,
    vehicle: VehicleConfig,
    config: VariationConfig,
    variant: int = 0,
) -> str:
    """Render a drive into a shard, unless it is there already; returns the shard's name.

    Args:
        drive: What was recorded.
        directory: Of the store.
        rig: The nominal rig at network size.
        grid: Rows and columns of a camera's tokens.
        backbone: The frozen half of the encoder.
        vehicle: The ego's sizes.
        config: How much to vary.
        variant: Another number is another rendering of the same drive.
    """
    name = f"{drive.name}-v{variant}"
    if (directory / f"{name}.safetensors").exists():
        return name
    rng = np.random.default_rng(seed_of(drive.name, variant))
    mounted = varied_rig(rig, config, rng)
    weather, intensity = varied_weather(drive.scenes, config, rng)
    offset = varied_offset(config, rng)
    appearance = RendererConfig(
        noise=float(rng.uniform(0.0, config.max_noise)) if rng.random() < 0.6 else 0.0,
        exposure=float(rng.uniform(0.75, 1.3)),
        exposure_jitter=float(rng.uniform(0.0, 0.12)),
        blur=float(rng.uniform(0.0, 0.9)) if rng.random() < 0.3 else 0.0,
        dressing=int(rng.integers(1, 2**31)) if rng.random() < config.dressing_share else 0,
    )
    renderer = Renderer(drive.road_map, mounted, appearance, vehicle)
    try:
        rows, texts, maps = _frames(
            drive, renderer, mounted, grid, backbone, vehicle, config, weather, intensity, offset
        )
    finally:
        renderer.close()
    arrays: dict[str, NDArray[Any]] = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
    for index, key in enumerate(FEATURE_NAMES):
        arrays[key], arrays[f"{key}_scale"] = quantised(np.stack([frame[index] for frame in maps]))
    arrays["k"] = np.repeat(np.stack([c.k for c in mounted.cameras])[None], len(rows), 0).astype(np.float32)
    arrays["t_base_camera"] = np.repeat(
        np.stack([c.t_base_camera for c in mounted.cameras])[None], len(rows), 0
    ).astype(np.float32)
    facts = {
        "drive": drive.name,
        "town": drive.road_map.name,
        "variant": variant,
        "weather": int(weather),
        "lateral": offset.lateral,
        "yaw": offset.yaw,
    }
    write_shard(directory, name, arrays, facts, texts)
    return name


def _frames(
    drive: Drive,
    renderer: Renderer,
    rig: CameraRig,
    grid: tuple[int, int],
    backbone: Backbone,
    vehicle: VehicleConfig,
    config: VariationConfig,
    weather: Weather,
    intensity: float,
    offset: Offset,
) -> tuple[list[dict[str, NDArray[Any]]], list[Any], list[list[NDArray[np.float32]]]]:
    times = times_of(drive.scenes)
    rows, texts, maps = [], [], []
    next_time = 0.0
    for index, recorded in enumerate(drive.scenes):
        if times[index] < next_time - 1e-6:
            continue
        next_time += 1.0 / config.frame_rate
        scene = replace(recorded, weather=weather, weather_intensity=intensity)
        rendered = renderer.render(scene, ground_truth=True, offset=offset.pose)
        assert rendered.truth is not None
        visible = Visibility(rendered.truth.visible_agents(), rendered.truth.visible_signals())
        there = replace(scene, ego=replace(scene.ego, pose=scene.ego.pose.compose(offset.pose)))
        flags = drive.flags(there, visible)
        targets = scene_targets(there, drive.road_map, visible, flags, rig, grid, vehicle)
        decision = drive.decisions[index]
        row = frame_arrays(drive.scenes, times, index, offset, targets, decision, drive.lesson(index))
        row["camera_valid"] = rendered.frame.valid.astype(np.float32)
        rows.append(row)
        texts.append(drive.texts(there, decision, visible))
        maps.append(backbone(np.stack(rendered.frame.images)))
    return rows, texts, maps


def openvino_backbone(model: Any, cameras: int, height: int, width: int) -> Backbone:
    """The backbone of a scene model, compiled by OpenVINO for one thread in bfloat16 where the processor has it.

    Args:
        model: `vadv2_perception.model.SceneModel`.
        cameras: Images a call.
        height: Of the images, px.
        width: Likewise.
    """
    import openvino as ov
    import torch

    class Features(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(self.model.features(images.permute(0, 3, 1, 2).float()))

    example = torch.zeros(cameras, height, width, 3, dtype=torch.uint8)
    with torch.no_grad():
        converted = ov.convert_model(Features().eval(), example_input=example, input=[example.shape])
    options = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False, "PERFORMANCE_HINT": "LATENCY"}
    compiled = ov.Core().compile_model(converted, "CPU", options)

    def run(images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        result = compiled(np.ascontiguousarray(images))
        return [np.array(result[i], dtype=np.float32) for i in range(len(FEATURE_NAMES))]

    return run
