"""ONNX files of an encoder in the cache directory, made when first wanted, found again by the weights' hash."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from vadv2_core.files import write_bytes_atomic
from vadv2_perception.checkpoints import LoadedEncoder
from vadv2_perception.halves import IMAGE_OUTPUTS, SCENE_OUTPUTS, ImageHalf, SceneHalf, example_inputs

OPSET = 18
EXPORT_VERSION = 3
"""Raised when the same weights would be written as another graph."""


@dataclass(frozen=True, slots=True)
class ExportedEncoder:
    """The two files every compiled backend reads, TensorRT included.

    Attributes:
        image: The image half for one camera: a camera's activations fit a processor's cache, six cameras' do not.
        scene: The scene half for the whole rig.
    """

    image: Path
    scene: Path


def _onnx(module: nn.Module, inputs: dict[str, Tensor], outputs: tuple[str, ...]) -> bytes:
    buffer: Any = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        # Shapes are constants on purpose: one file is one rig's size.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            buffer,
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            dynamo=False,
        )
    graph = onnx.load_from_string(buffer.getvalue())
    fold_paddings(graph)
    data: bytes = graph.SerializeToString()
    return data


def _value_of(graph: Any, name: str) -> list[int]:
    """The integers that a graph computes from nothing but constants; the exporter writes paddings so."""
    makers = {output: node for node in graph.node for output in node.output}
    wanted, found = [name], []
    while wanted:
        maker = makers.get(wanted.pop())
        if maker is not None and maker not in found:
            found.append(maker)
            wanted.extend(maker.input)
    part = onnx.helper.make_graph(
        [node for node in graph.node if node in found],
        "constant",
        [],
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, None)],
    )
    model = onnx.helper.make_model(part, opset_imports=[onnx.helper.make_opsetid("", OPSET)])
    result: Any = ReferenceEvaluator(model).run(None, {})
    return [int(v) for v in result[0]]


def fold_paddings(model: Any) -> int:
    """Give convolutions the zero padding that stands before them as a node of its own; returns how many.

    Torch has no uneven padding in a convolution, ONNX has; a padding that is not folded copies the whole picture, and
    stands between a quantised convolution and its input.
    """
    graph = model.graph
    pads = {node.output[0]: node for node in graph.node if node.op_type == "Pad"}
    users: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            users[name] = users.get(name, 0) + 1
    folded = 0
    for node in list(graph.node):
        pad = pads.get(node.input[0]) if node.op_type == "Conv" else None
        if pad is None or users[node.input[0]] > 1:
            continue
        amounts = _value_of(graph, pad.input[1])
        own = next((a for a in node.attribute if a.name == "pads"), None)
        if len(amounts) != 8 or any(amounts[i] for i in (0, 1, 4, 5)) or (own is not None and any(own.ints)):
            continue
        if own is not None:
            node.attribute.remove(own)
        node.attribute.append(onnx.helper.make_attribute("pads", [*amounts[2:4], *amounts[6:8]]))
        node.input[0] = pad.input[0]
        graph.node.remove(pad)
        folded += 1
    return folded


def export_encoder(encoder: LoadedEncoder, cameras: int, cache_directory: Path) -> ExportedEncoder:
    """Write both halves as ONNX unless they are there already.

    Args:
        encoder: The network.
        cameras: How many cameras the rig has; image size is the network's own.
        cache_directory: Files go to ``<cache>/perception/<hash>-v<n>/``.
    """
    directory = export_directory(encoder, cache_directory)
    files = ExportedEncoder(directory / "image.onnx", directory / f"scene-{cameras}.onnx")
    if not files.image.is_file():
        image, _ = example_inputs(encoder.model, 1)
        write_bytes_atomic(files.image, _onnx(ImageHalf(encoder.model), image, IMAGE_OUTPUTS))
    if not files.scene.is_file():
        _, scene = example_inputs(encoder.model, cameras)
        write_bytes_atomic(files.scene, _onnx(SceneHalf(encoder.model), scene, SCENE_OUTPUTS))
    return files


def export_directory(encoder: LoadedEncoder, cache_directory: Path) -> Path:
    """Where an encoder's exports lie; another weights' hash is another folder."""
    return cache_directory / "perception" / f"{encoder.encoder_hash[:16]}-v{EXPORT_VERSION}"
