"""Image backbones by name: EfficientNet-Lite0 here, the others by transformers' AutoBackbone."""

from __future__ import annotations

import importlib
from typing import Any, cast

import torch
from torch import Tensor, nn

from vadv2_core.errors import InputError
from vadv2_perception.configuration import EncoderModelConfig
from vadv2_perception.efficientnet_lite import EfficientNetLite0, load_packaged

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


def _transformers() -> Any:
    return importlib.import_module("transformers")


def _auto_config(name: str) -> Any:
    """The transformers configuration of a backbone by its name here: sizes of the papers' tables."""
    transformers = _transformers()

    pyramid = {"out_features": ["stage2", "stage3", "stage4"]}
    if name in ("resnet18", "resnet34"):
        depths = [2, 2, 2, 2] if name == "resnet18" else [3, 4, 6, 3]
        return transformers.ResNetConfig(depths=depths, hidden_sizes=[64, 128, 256, 512], layer_type="basic", **pyramid)
    if name == "resnet50":
        return transformers.ResNetConfig(**pyramid)
    if name == "pp_lcnet":
        return transformers.PPLCNetConfig(out_features=["stage3", "stage4", "stage5"])
    # ViT-B/16 in the form AutoBackbone takes; DINOv2's blocks are ViT's with layer scale.
    return transformers.Dinov2Config(patch_size=16, image_size=224, out_features=["stage4", "stage8", "stage12"])


def _loaded(source: str, out_features: list[str]) -> Any:
    """A pretrained backbone, by AutoBackbone's parts: its own from_pretrained asks the hub even for a directory."""
    transformers = _transformers()
    mapping = importlib.import_module("transformers.models.auto.modeling_auto").MODEL_FOR_BACKBONE_MAPPING
    try:
        config = transformers.AutoConfig.from_pretrained(source, out_features=out_features)
        return mapping[type(config)].from_pretrained(source, config=config, use_safetensors=True)
    except (OSError, ValueError, KeyError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(said, source, "a directory or hub name of a backbone that AutoBackbone knows") from None


class AutoPyramid(nn.Module):
    """A transformers backbone as a pyramid of three feature maps, on images in 0 .. 255.

    Args:
        name: One of the backbone names of `EncoderModelConfig`.
        source: Directory or hub name to load weights from; empty for seeded ones.
    """

    def __init__(self, name: str, source: str = "") -> None:
        super().__init__()
        config = _auto_config(name)
        self.net: Any = (
            _loaded(source, config.out_features) if source else _transformers().AutoBackbone.from_config(config)
        )
        self.channels: tuple[int, ...] = tuple(self.net.channels)
        mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
        self.register_buffer("mean", mean.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", std.view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (N, 3, H, W) in 0 .. 255 to three feature maps (N, c, h, w), finest first."""
        mean, std = cast(Tensor, self.mean), cast(Tensor, self.std)
        return list(self.net((images - mean) / std).feature_maps)

    def early(self) -> list[nn.Module]:
        """What "late" training leaves as it is: the embedding (and, of a pyramid, the stages up to stride 8)."""
        stages = getattr(getattr(self.net, "encoder", None), "stages", None)
        embedder = getattr(self.net, "embedder", None) or getattr(self.net, "embeddings", None)
        modules = [embedder] if embedder is not None else []
        return modules + (list(stages[:2]) if stages is not None else [])


Backbone = EfficientNetLite0 | AutoPyramid


def make_backbone(name: str, source: str = "", pretrained: bool = False) -> Backbone:
    """A backbone by name.

    Args:
        name: One of the backbone names of `EncoderModelConfig`.
        source: Directory or hub name of weights for AutoBackbone.
        pretrained: Take the ImageNet weights that a package ships, where there are (EfficientNet-Lite0).
    """
    if name != "efficientnet_lite0":
        return AutoPyramid(name, source)
    if source:
        raise InputError(
            f"backbone_weights is {source!r}", "efficientnet_lite0", "empty: its weights come from its package"
        )
    model = EfficientNetLite0()
    if pretrained:
        load_packaged(model)
    return model


def set_training(backbone: Backbone, config: EncoderModelConfig) -> None:
    """Mark what of a backbone learns: nothing, what comes after stride 8, or all."""
    backbone.requires_grad_(config.backbone_training != "frozen")
    if config.backbone_training == "late":
        for module in backbone.early():
            module.requires_grad_(False)


def feature_channels(backbone: Backbone, config: EncoderModelConfig) -> list[tuple[int, int, int]]:
    """(channels, rows, columns) of every feature map for the config's image size, found by asking the network."""
    with torch.no_grad():
        was = backbone.training
        maps = backbone.eval()(torch.zeros(1, 3, config.image_height, config.image_width))
        backbone.train(was)
    return [tuple(f.shape[1:]) for f in maps]
