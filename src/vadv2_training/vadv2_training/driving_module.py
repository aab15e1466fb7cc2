"""Perception after its backbone and the planner as one module over cached frames, with their losses.

A batch is windows of frames in a row. Every frame is encoded once; a frame's past is the frames before it in its
window, so the first ones learn to do without. Gradients flow through the past.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vadv2_core.vehicle import VehicleConfig
from vadv2_perception.model import EncoderOutput, RigTensors, SceneModel
from vadv2_perception.past_reading import PastFrames
from vadv2_perception.rays import token_intrinsics
from vadv2_planner.batch import PlannerBatch
from vadv2_planner.networks import PlannerNetwork
from vadv2_training.frame_store import FEATURE_NAMES, FrameStore
from vadv2_training.liveliness import lively_windows
from vadv2_training.losses import PlannerTargets, PlanningLossConfig, QueryLossConfig, planning_losses, query_losses

SCENE_KEYS = (*FEATURE_NAMES, "k", "t_base_camera", "camera_valid", "pose", "aux", "stamps")
"""Arrays of a frame store that perception needs."""
PLAN_KEYS = (
    "ego",
    "velocity",
    "acceleration",
    "action",
    "distance",
    "text",
    "route",
    "route_valid",
    "future",
    "future_known",
)
"""Arrays that the planner needs."""
PLANNER_TARGET_KEYS = (
    "future",
    "future_known",
    "others",
    "others_known",
    "map_points",
    "map_class",
    "map_known",
    "scene_signal",
    "scene_stop",
)
"""Fields of `PlannerTargets`, in order."""
QUERY_KEYS = (
    "object_known",
    "object_class",
    "object_box",
    "object_velocity",
    "object_intention",
    "map_signal",
    "map_relevant",
    "scene_signal",
    "scene_stop",
    "scene_lead",
    "scene_lane",
    "scene_lane_known",
    "scene_flags",
    "scene_weather",
    "lamps",
)
"""Truth of the scene queries, besides what the planner's targets hold already."""
TRAINING_KEYS = tuple(dict.fromkeys((*SCENE_KEYS, *PLAN_KEYS, *PLANNER_TARGET_KEYS, *QUERY_KEYS)))
"""Everything that `DrivingModule` reads of a frame store."""


@dataclass(frozen=True, slots=True)
class SeenFrames:
    """What perception said of every frame of a batch; the batch axis is windows times frames.

    Attributes:
        output: Of the scene model.
        rig: The cameras of each frame.
        k: (B, cameras, 3, 3) at token resolution.
    """

    output: EncoderOutput
    rig: RigTensors
    k: Tensor


def flat(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Windows and frames as one axis."""
    return {key: value.flatten(0, 1) for key, value in batch.items()}


def past_motion(pose: Tensor, lag: int) -> Tensor:
    """(windows, frames - lag, 4, 4): base_link of a frame to base_link ``lag`` frames earlier.

    Args:
        pose: (windows, frames, 3) float64 or float32 x, y, yaw in odom.
        lag: Frames.
    """
    now, then = pose[:, lag:].double(), pose[:, : pose.shape[1] - lag].double()
    turn = now[..., 2] - then[..., 2]
    d = now[..., :2] - then[..., :2]
    c, s = then[..., 2].cos(), then[..., 2].sin()
    motion = torch.eye(4, dtype=torch.float64, device=pose.device).repeat(*turn.shape, 1, 1)
    motion[..., 0, 0], motion[..., 0, 1] = turn.cos(), -turn.sin()
    motion[..., 1, 0], motion[..., 1, 1] = turn.sin(), turn.cos()
    motion[..., 0, 3] = c * d[..., 0] + s * d[..., 1]
    motion[..., 1, 3] = -s * d[..., 0] + c * d[..., 1]
    return motion.float()


def see(
    model: SceneModel, batch: Mapping[str, Tensor], history_dropout: float = 0.0, feature_jitter: float = 0.0
) -> SeenFrames:
    """Run perception's halves after the backbone over windows of cached frames.

    Args:
        model: Perception; its backbone is not run.
        batch: `SCENE_KEYS`, (windows, frames, ...).
        history_dropout: Probability that a window is seen without a past, frame by frame.
        feature_jitter: Spread of a random gain on every backbone channel of a window, as another exposure, weather or
            texture would give; only while the model trains. Pictures cannot be varied any more once they are cached.
    """
    rows = flat(batch)
    rig = RigTensors(rows["k"], rows["t_base_camera"], rows["camera_valid"])
    device = rows["k"].device.type
    low = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if low else torch.float32
    spread = feature_jitter if model.training else 0.0
    features = [_jittered(batch[name], spread).flatten(0, 2).to(dtype) for name in FEATURE_NAMES]
    # Geometry needs float32: half a pixel at 480 px is beyond bfloat16. The convolutions are what costs.
    with torch.autocast(device, enabled=False):
        rays = model.rays(rig)
    own = model.frame_tokens(features, rays).float()
    with torch.autocast(device, enabled=False):
        return _fused(model, batch, rows, rig, rays, own, history_dropout)


def _jittered(features: Tensor, spread: float) -> Tensor:
    """Maps (windows, frames, cameras, c, h, w) with one gain a window and channel, log-normal."""
    if spread <= 0.0:
        return features
    gain = (spread * torch.randn(features.shape[0], 1, 1, features.shape[3], 1, 1, device=features.device)).exp()
    return features * gain.to(features.dtype)


def _fused(
    model: SceneModel,
    batch: Mapping[str, Tensor],
    rows: Mapping[str, Tensor],
    rig: RigTensors,
    rays: Tensor,
    own: Tensor,
    history_dropout: float,
) -> SeenFrames:
    windows, frames = batch["pose"].shape[:2]
    ages = model.config.history_ages
    past = None
    if ages:
        memory = model.remembered(own).unflatten(0, (windows, frames))
        past = _past(model, batch, memory, history_dropout)
    output = model.scene(own, rays, rig, past, rows["aux"].float(), torch.ones_like(rows["aux"]))
    return SeenFrames(output, rig, token_intrinsics(rows["k"], model.config.token_stride))


def _past(model: SceneModel, batch: Mapping[str, Tensor], memory: Tensor, dropout: float) -> PastFrames:
    windows, frames = memory.shape[:2]
    ages = model.config.history_ages
    spacing = _spacing(batch["stamps"])
    tokens = memory.new_zeros(windows, frames, len(ages), *memory.shape[2:])
    motion = torch.eye(4, device=memory.device).repeat(windows, frames, len(ages), 1, 1)
    valid = memory.new_zeros(windows, frames, len(ages), memory.shape[2])
    age = torch.tensor(ages, device=memory.device).repeat(windows, frames, 1)
    for index, wanted in enumerate(ages):
        # A frame is never its own past, however far apart frames are.
        lag = max(round(wanted / spacing), 1)
        if lag >= frames:
            continue
        tokens[:, lag:, index] = memory[:, : frames - lag]
        motion[:, lag:, index] = past_motion(batch["pose"], lag)
        valid[:, lag:, index] = batch["camera_valid"][:, : frames - lag].to(valid.dtype)
        age[:, lag:, index] = lag * spacing
    if model.training and dropout > 0.0:
        keep = (torch.rand(windows, frames, 1, 1, device=memory.device) >= dropout).to(valid.dtype)
        valid = valid * keep
    return PastFrames(*(value.flatten(0, 1) for value in (tokens, motion, age, valid)))


def _spacing(stamps: Tensor) -> float:
    """Seconds between the frames of the windows; 1 for single frames."""
    if stamps.shape[1] < 2:
        return 1.0
    return float((stamps[:, 1:] - stamps[:, :-1]).double().mean()) * 1e-9


def token_projections(k: Tensor, t_base_camera: Tensor) -> Tensor:
    """(B, cameras, 3, 4) base_link to homogeneous token pixels, of a rig whose cameras expose together.

    Args:
        k: (B, cameras, 3, 3) at token resolution.
        t_base_camera: (B, cameras, 4, 4).
    """
    rotation = t_base_camera[..., :3, :3].transpose(-1, -2)
    shift = -(rotation @ t_base_camera[..., :3, 3:])
    return k @ torch.cat([rotation, shift], dim=-1)


def planner_batch(
    seen: SeenFrames, rows: Mapping[str, Tensor], reasoning: Tensor | None, reasoning_age: Tensor | None, channels: int
) -> PlannerBatch:
    """The planner's inputs.

    Args:
        seen: Of `see`; gradients flow into it.
        rows: `PLAN_KEYS`, flat.
        reasoning: (B, channels) embeddings; None for none.
        reasoning_age: (B, 1) s; needed with a reasoning.
        channels: Length of an embedding.
    """
    output, count = seen.output, rows["ego"].shape[0]
    none = torch.zeros(count, channels, device=rows["ego"].device)
    return PlannerBatch(
        tokens=output.tokens.float(),
        projection=token_projections(seen.k.float(), seen.rig.t_base_camera.float()),
        camera_valid=seen.rig.valid.float(),
        queries=output.queries.float(),
        aux=output.aux.float(),
        ego=rows["ego"],
        velocity=rows["velocity"],
        acceleration=rows["acceleration"],
        action=rows["action"],
        distance=rows["distance"],
        text=rows["text"],
        route=rows["route"],
        route_valid=rows["route_valid"],
        reasoning=none if reasoning is None else reasoning,
        reasoning_valid=torch.full((count, 1), float(reasoning is not None), device=none.device),
        reasoning_age=torch.zeros(count, 1, device=none.device) if reasoning_age is None else reasoning_age,
    )


class DrivingModule(nn.Module):
    """Perception after its backbone and the planner; `forward` gives the losses of a batch of windows.

    Args:
        scene: Perception; its backbone is not run.
        planner: Any learned planner.
        vehicle: The ego's sizes.
        planning: Weights of the planner's terms.
        queries: Weights of the scene queries' terms; None leaves them out.
        history_dropout: Probability that a frame is seen without its past.
    """

    def __init__(
        self,
        scene: SceneModel,
        planner: PlannerNetwork,
        vehicle: VehicleConfig,
        planning: PlanningLossConfig,
        queries: QueryLossConfig | None,
        history_dropout: float = 0.15,
    ) -> None:
        super().__init__()
        self.scene, self.planner = scene, planner
        self.vehicle, self.planning, self.query_config = vehicle, planning, queries
        self.history_dropout = history_dropout

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses by name, ``total`` their sum; keys of the batch are `TRAINING_KEYS`, (windows, frames, ...).

        ``reasoning`` (windows, frames, d) and ``reasoning_age`` (windows, frames, 1) may be in it too.
        """
        seen = see(self.scene, batch, self.history_dropout)
        with torch.autocast(batch["k"].device.type, enabled=False):
            return self._losses(seen, flat(batch))

    def _losses(self, seen: SeenFrames, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        inputs = planner_batch(
            seen, rows, rows.get("reasoning"), rows.get("reasoning_age"), self.planner.config.reasoning_channels
        )
        targets = PlannerTargets(*(rows[name] for name in PLANNER_TARGET_KEYS))
        if self.planner.noises_target:
            predictions = self.planner(inputs, None, targets.waypoints)
        else:
            predictions = self.planner(inputs, None)
        terms = planning_losses(self.planner, predictions, inputs, targets, self.planning, self.vehicle)
        total = terms.pop("total")
        if self.query_config is not None:
            said = query_losses(seen.output.answers, seen.output.lamps, rows, self.query_config)
            total = total + said.pop("total")
            terms |= said
        return {**terms, "total": total}


class PerceptionModule(nn.Module):
    """Perception after its backbone with the losses of its scene queries alone; costs about half of `DrivingModule`.

    Args:
        scene: Perception; its backbone is not run.
        queries: Weights of the scene queries' terms.
        history_dropout: Probability that a frame is seen without its past.
        feature_jitter: See `see`.
    """

    def __init__(
        self,
        scene: SceneModel,
        queries: QueryLossConfig,
        history_dropout: float = 0.15,
        feature_jitter: float = 0.15,
    ) -> None:
        super().__init__()
        self.scene, self.queries = scene, queries
        self.history_dropout, self.feature_jitter = history_dropout, feature_jitter

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses by name, ``total`` their sum; keys of the batch are `TRAINING_KEYS`, (windows, frames, ...)."""
        seen = see(self.scene, batch, self.history_dropout, self.feature_jitter)
        with torch.autocast(batch["k"].device.type, enabled=False):
            return query_losses(seen.output.answers, seen.output.lamps, flat(batch), self.queries)


class DrivingTask:
    """Windows of a frame store as a training task.

    Args:
        module: What is fitted.
        store: Cached frames.
    """

    def __init__(self, module: nn.Module, store: FrameStore) -> None:
        self.module: nn.Module = module
        self.store = store
        self.windows = lively_windows(store)

    def __len__(self) -> int:
        return len(self.windows)

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        """The windows of these indices."""
        windows = [self.windows[int(i)] for i in indices]
        return self.store.batch(windows, TRAINING_KEYS)
