"""What runs a network's half: torch, ONNX Runtime or OpenVINO, behind one call on named arrays."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vadv2_core.errors import InputError
from vadv2_perception.checkpoints import LoadedEncoder
from vadv2_perception.configuration import PerceptionConfig
from vadv2_perception.export import export_encoder
from vadv2_perception.halves import IMAGE_OUTPUTS, SCENE_OUTPUTS, ImageHalf, SceneHalf
from vadv2_perception.quantization import int8_file

Arrays = Mapping[str, NDArray[Any]]


class Network(Protocol):
    """One half of the encoder on some backend."""

    def __call__(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Named inputs to named outputs; the outputs may be overwritten by the next call."""


class TorchNetwork:
    """Eager torch; on a CUDA device `torch.compile` with CUDA graphs, because shapes never change."""

    def __init__(self, module: nn.Module, outputs: Sequence[str], device: str, bfloat16: bool) -> None:
        self.outputs, self.device, self.bfloat16 = tuple(outputs), torch.device(device), bfloat16
        module = module.eval().requires_grad_(False).to(self.device)
        cuda = self.device.type == "cuda"
        self.module = torch.compile(module, mode="reduce-overhead", dynamic=False) if cuda else module

    def __call__(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run; see `Network`."""
        tensors = [torch.from_numpy(np.ascontiguousarray(a)).to(self.device) for a in inputs.values()]
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            results = self.module(*tensors)
        return {name: r.float().cpu().numpy() for name, r in zip(self.outputs, results, strict=True)}


class EachCamera:
    """An image half that was exported for one camera, run over all of a rig's that show something.

    A black picture is a camera that is not valid; nothing reads its tokens, so they are left zero and cost nothing.
    """

    def __init__(self, one: Network) -> None:
        self.one = one

    def __call__(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run every camera; see `Network`."""
        whole: dict[str, NDArray[Any]] = {}
        images = inputs["images"]
        seen = [i for i in range(len(images)) if images[i].any()] or [0]
        for i in seen:
            for name, value in self.one({key: array[i : i + 1] for key, array in inputs.items()}).items():
                if name not in whole:
                    whole[name] = np.zeros((len(images), *value.shape[1:]), value.dtype)
                whole[name][i] = value[0]
        return whole


class OnnxRuntimeNetwork:
    """ONNX Runtime on the CPU. Its threads do not spin: a waiting thread's core belongs to the next process."""

    def __init__(self, path: Path, outputs: Sequence[str], threads: int) -> None:
        ort = _module("onnxruntime")
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.outputs = list(outputs)
        self.known = {i.name for i in self.session.get_inputs()}

    def __call__(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run; see `Network`."""
        results = self.session.run(self.outputs, {k: v for k, v in inputs.items() if k in self.known})
        return dict(zip(self.outputs, results, strict=True))


class OpenVinoNetwork:
    """OpenVINO on the CPU. Pinning is off: with it every one-thread process of a machine sits on the same core."""

    def __init__(self, path: Path, outputs: Sequence[str], threads: int, bfloat16: bool) -> None:
        ov = _module("openvino")
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
        }
        self.request = ov.Core().compile_model(str(path), "CPU", options).create_infer_request()
        self.outputs = tuple(outputs)
        self.known = {name for port in self.request.model_inputs for name in port.get_names()}

    def __call__(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run; see `Network`."""
        self.request.infer({k: v for k, v in inputs.items() if k in self.known}, share_inputs=True)
        return {name: self.request.get_tensor(name).data for name in self.outputs}


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError("not installed", f"backend package {name!r}", "it, or another backend") from None


def processor_has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 itself (AVX512-BF16 or AMX); emulated it is slower than float32."""
    flags = Path("/proc/cpuinfo")
    return flags.is_file() and any(f in flags.read_text() for f in ("avx512_bf16", "amx_bf16"))


def make_networks(encoder: LoadedEncoder, cameras: int, config: PerceptionConfig) -> tuple[Network, Network]:
    """Both halves of an encoder on the config's backend.

    Args:
        encoder: The network with its hash.
        cameras: How many cameras the rig has.
        config: Backend, precision, device and threads. The half with the queries always computes in float32.

    Raises:
        InputError: for a precision that the backend does not have, or a backend that is not installed.
    """
    precision, cuda = config.precision, config.device.startswith("cuda")
    if precision == "auto":
        can = (config.backend == "openvino" and processor_has_bfloat16()) or (config.backend == "torch" and cuda)
        precision = "bfloat16" if can else "float32"
    if precision == "bfloat16" and config.backend == "onnxruntime":
        raise InputError("precision is bfloat16", "backend onnxruntime", "float32 or int8")
    if precision == "int8" and config.backend == "torch":
        raise InputError("precision is int8", "backend torch", "float32 or bfloat16")
    bfloat16 = precision == "bfloat16"
    if config.backend == "torch":
        torch.set_num_threads(config.threads)
        return (
            TorchNetwork(ImageHalf(encoder.model), IMAGE_OUTPUTS, config.device, bfloat16),
            TorchNetwork(SceneHalf(encoder.model), SCENE_OUTPUTS, config.device, False),
        )
    cache = Path(config.cache_directory)
    files = export_encoder(encoder, cameras, cache)
    image = int8_file(encoder, cache) if precision == "int8" else files.image
    if config.backend == "onnxruntime":
        return (
            EachCamera(OnnxRuntimeNetwork(image, IMAGE_OUTPUTS, config.threads)),
            OnnxRuntimeNetwork(files.scene, SCENE_OUTPUTS, config.threads),
        )
    # What int8 leaves in floating point (the neck) is better off in bfloat16 too.
    bfloat16 |= precision == "int8" and processor_has_bfloat16()
    return (
        EachCamera(OpenVinoNetwork(image, IMAGE_OUTPUTS, config.threads, bfloat16)),
        OpenVinoNetwork(files.scene, SCENE_OUTPUTS, config.threads, False),
    )
