"""The perception network: images, a rig, ego motion and the past to scene tokens, batched and with gradients.

Two halves can be called alone. `SceneModel.features` is the backbone (a frozen one's output can be cached by training);
`SceneModel.frame_tokens` and `SceneModel.scene` are what learns on top of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vadv2_perception.backbone import feature_channels, make_backbone, set_training
from vadv2_perception.configuration import EncoderModelConfig
from vadv2_perception.ego_tokens import EgoTokens
from vadv2_perception.image_tokens import HistoryFusion, Neck, RayEncoding
from vadv2_perception.past_reading import PastFrames
from vadv2_perception.rays import token_intrinsics
from vadv2_perception.scene_queries import QueryAnswers, SceneQueries


@dataclass
class RigTensors:
    """The cameras of a batch.

    Attributes:
        k: (B, cameras, 3, 3) intrinsics of the network's images, px.
        t_base_camera: (B, cameras, 4, 4), moved to the anchor's stamp where a camera exposed at another time.
        valid: (B, cameras) 1 where there is a picture, else 0.
    """

    k: Tensor
    t_base_camera: Tensor
    valid: Tensor


@dataclass
class EncoderOutput:
    """Everything the network says of a frame.

    Attributes:
        tokens: (B, cameras, h, w, c), history fused in, zero for a camera that is not valid.
        queries: (B, Q, d), objects, map, scene.
        aux: (B, 4, d) ego tokens.
        answers: After every layer of the queries; the last is the result, the others are for deep supervision.
        lamps: (B, cameras, h, w, 6) logits of `SignalState` at each token, 0 for no lamp.
    """

    tokens: Tensor
    queries: Tensor
    aux: Tensor
    answers: list[QueryAnswers]
    lamps: Tensor


class SceneModel(nn.Module):
    """Backbone, neck, history and scene queries.

    Args:
        config: The network's facts.
        backbone_weights: Directory or hub name for AutoBackbone; empty for none.
        pretrained: Take a package's ImageNet weights (EfficientNet-Lite0).
    """

    novelty_mean: Tensor
    novelty_precision: Tensor
    novelty_threshold: Tensor

    def __init__(self, config: EncoderModelConfig, backbone_weights: str = "", pretrained: bool = False) -> None:
        super().__init__()
        self.config = config
        self.backbone = make_backbone(config.backbone, backbone_weights, pretrained)
        maps = feature_channels(self.backbone, config)
        self.ray_encoding = RayEncoding(config.token_channels, config.grid)
        self.neck = Neck(maps, config.token_channels, config.grid)
        self.history = HistoryFusion(config.token_channels, config.memory_channels, config.grid)
        self.ego = EgoTokens(config.query_channels, config.aux_dropout)
        self.queries = SceneQueries(config)
        self.feature_shapes = maps
        self.register_buffer("novelty_mean", torch.zeros(maps[-1][0]))
        self.register_buffer("novelty_precision", torch.zeros(maps[-1][0], maps[-1][0]))
        self.register_buffer("novelty_threshold", torch.zeros(()))
        set_training(self.backbone, config)

    def train(self, mode: bool = True) -> SceneModel:
        """Training mode for all but the backbone's normalisation: a small batch would spoil its ImageNet statistics."""
        super().train(mode)
        for module in self.backbone.modules():
            if self.config.backbone_training == "frozen" or isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The named parameters that learn, under the config's backbone_training."""
        return ((name, p) for name, p in self.named_parameters() if p.requires_grad)

    def features(self, images: Tensor) -> list[Tensor]:
        """The first half: images (N, 3, H, W) in 0 .. 255 to the backbone's feature maps, finest first."""
        maps: list[Tensor] = self.backbone(images)
        return maps

    def rays(self, rig: RigTensors) -> Tensor:
        """Ray encodings (B, cameras, h, w, c) of a rig."""
        encoding: Tensor = self.ray_encoding(token_intrinsics(rig.k, self.config.token_stride), rig.t_base_camera)
        return encoding

    def frame_tokens(self, features: Sequence[Tensor], rays: Tensor) -> Tensor:
        """One frame's own tokens, without the past.

        Args:
            features: Maps (B * cameras, c, rows, columns) from `features`.
            rays: (B, cameras, h, w, c) from `rays`.

        Returns:
            (B, cameras, h, w, c).
        """
        tokens: Tensor = self.neck(features, rays.flatten(0, 1))
        return tokens.reshape(rays.shape)

    def remembered(self, tokens: Tensor) -> Tensor:
        """A frame's own tokens (B, cameras, h, w, c) as later frames want them: (B, cameras, m, h, w)."""
        return self.history.remembered(tokens)

    def scene(
        self, tokens: Tensor, rays: Tensor, rig: RigTensors, past: PastFrames | None, aux: Tensor, aux_valid: Tensor
    ) -> EncoderOutput:
        """The second half: a frame's own tokens and the past to everything perception says.

        Args:
            tokens: (B, cameras, h, w, c) from `frame_tokens`.
            rays: (B, cameras, h, w, c) from `rays`.
            rig: The cameras.
            past: Earlier frames; None for a frame without a past.
            aux: (B, 4) ego quantities, SI units (`ego_tokens.AUX_QUANTITIES`).
            aux_valid: (B, 4) 1 where known, else 0.
        """
        k = token_intrinsics(rig.k, self.config.token_stride)
        if past is not None:
            tokens = self.history(tokens, past.tokens, past.motion, past.age, past.valid, k, rig.t_base_camera)
        tokens = tokens * rig.valid[..., None, None, None]
        ego = self.ego(aux, aux_valid)
        queries, answers, lamps = self.queries(tokens, rays, ego, k, rig.t_base_camera, rig.valid, past)
        return EncoderOutput(tokens, queries, ego, answers, lamps)

    def forward(
        self, images: Tensor, rig: RigTensors, past: PastFrames | None, aux: Tensor, aux_valid: Tensor
    ) -> tuple[EncoderOutput, Tensor]:
        """Both halves.

        Args:
            images: (B, cameras, 3, H, W) in 0 .. 255.
            rig: The cameras.
            past: Earlier frames or None.
            aux: (B, 4) ego quantities.
            aux_valid: (B, 4).

        Returns:
            The output, and what is to be remembered of this frame for later ones.
        """
        rays = self.rays(rig)
        own = self.frame_tokens(self.features(images.flatten(0, 1)), rays)
        return self.scene(own, rays, rig, past, aux, aux_valid), self.remembered(own)
