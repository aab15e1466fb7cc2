"""The two halves of the network as a backend runs them: one frame, fixed shapes, arrays in and out by name."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from vadv2_perception.ego_tokens import AUX_QUANTITIES
from vadv2_perception.model import RigTensors, SceneModel
from vadv2_perception.past_reading import PastFrames
from vadv2_perception.scene_queries import QueryAnswers

ANSWER_NAMES = tuple(field.name for field in dataclasses.fields(QueryAnswers))
IMAGE_INPUTS = ("images", "rays")
IMAGE_OUTPUTS = ("own_tokens", "memory", "pooled")
SCENE_OUTPUTS = ("tokens", "queries", "aux_tokens", "lamps", *ANSWER_NAMES)
_NOW = ("own_tokens", "rays", "k", "t_base_camera", "camera_valid", "aux", "aux_valid")
_PAST = ("past_tokens", "past_motion", "past_age", "past_valid")


def scene_inputs(model: SceneModel) -> tuple[str, ...]:
    """Names of what the scene half takes, in order; without a history nothing of the past."""
    return _NOW + (_PAST if model.config.history_ages else ())


class ImageHalf(nn.Module):
    """Images (cameras, H, W, 3) uint8 and rays to a frame's own tokens, its memory, and pooled features (novelty)."""

    def __init__(self, model: SceneModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, rays: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(cameras, H, W, 3) and (cameras, h, w, c) to (cameras, h, w, c), (cameras, m, h, w), (cameras, last c)."""
        features = self.model.features(images.permute(0, 3, 1, 2).to(rays.dtype))
        own = self.model.frame_tokens(features, rays[None])[0]
        return own, self.model.remembered(own), features[-1].mean(dim=(2, 3))


class SceneHalf(nn.Module):
    """A frame's own tokens and the past to `SCENE_OUTPUTS`; inputs as `scene_inputs` names them, with a batch axis."""

    def __init__(self, model: SceneModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        own: Tensor,
        rays: Tensor,
        k: Tensor,
        t: Tensor,
        valid: Tensor,
        aux: Tensor,
        aux_valid: Tensor,
        *past: Tensor,
    ) -> tuple[Tensor, ...]:
        """One frame; see `vadv2_perception.model.SceneModel.scene` for the shapes."""
        frames = PastFrames(*past) if past else None
        out = self.model.scene(own, rays, RigTensors(k, t, valid), frames, aux, aux_valid)
        answers = out.answers[-1]
        return (out.tokens, out.queries, out.aux, out.lamps, *(getattr(answers, name) for name in ANSWER_NAMES))


def example_inputs(model: SceneModel, cameras: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs of both halves with the shapes of a rig: what an exporter traces and a bench warms up with."""
    config = model.config
    h, w = config.grid
    tokens = (cameras, h, w, config.token_channels)
    frames = len(config.history_ages)
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    images = torch.randint(
        0, 256, (cameras, config.image_height, config.image_width, 3), generator=generator, dtype=torch.uint8
    )
    half_width = config.image_width / 2
    k = torch.tensor([[half_width, 0, half_width], [0, half_width, config.image_height / 2], [0, 0, 1]])
    pose = torch.tensor([[0.0, 0, 1, 1.5], [-1, 0, 0, 0], [0, -1, 0, 1.6], [0, 0, 0, 1]])
    image = {"images": images, "rays": noise(*tokens)}
    scene = {
        "own_tokens": noise(1, *tokens),
        "rays": noise(1, *tokens),
        "k": k.expand(1, cameras, 3, 3).clone(),
        "t_base_camera": pose.expand(1, cameras, 4, 4).clone(),
        "camera_valid": torch.ones(1, cameras),
        "aux": noise(1, len(AUX_QUANTITIES)),
        "aux_valid": torch.ones(1, len(AUX_QUANTITIES)),
        "past_tokens": noise(1, frames, cameras, config.memory_channels, h, w),
        "past_motion": torch.eye(4).expand(1, frames, 4, 4).clone(),
        "past_age": torch.tensor([config.history_ages]),
        "past_valid": torch.ones(1, frames, cameras),
    }
    return image, {name: scene[name] for name in scene_inputs(model)}
