"""What runs a planner's network: torch, ONNX Runtime or OpenVINO, one graph from inputs to waypoints.

Exports are written to a cache, named by what they were made from, and made again when anything of it changes.
"""

from __future__ import annotations

import hashlib
import io
import logging
import warnings
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic
from vadv2_planner.batch import PlannerBatch
from vadv2_planner.config import PlannerConfig
from vadv2_planner.networks import PlannerNetwork
from vadv2_planner.noise import SamplerPlan

OPSET = 18
EXPORT_VERSION = 2
"""Raised when the same weights would be written as another graph."""
MAX_PASSES = 10
"""A graph unrolls its passes; one with more takes longer to compile than it ever saves."""
FIELDS = tuple(f.name for f in fields(PlannerBatch))
"""Inputs of an exported graph, in order; then ``noise``."""
_LOG = logging.getLogger(__name__)

Arrays = tuple[NDArray[np.float32], NDArray[np.float32]]


class Runner(Protocol):
    """Runs one network under one sampler plan."""

    def run(self, batch: PlannerBatch, noise: Tensor) -> Arrays:
        """Waypoints (b, modes, knots, 2) m and logits (b, modes)."""
        ...


class Graph(nn.Module):
    """A network and its sampler as one function of plain tensors, for export."""

    def __init__(self, network: PlannerNetwork, plan: SamplerPlan) -> None:
        super().__init__()
        self.network, self.plan = network, plan

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """`FIELDS` and noise to waypoints and logits."""
        said = self.network.propose(PlannerBatch(*inputs[:-1]), inputs[-1], self.plan)
        return said.waypoints, said.logits


class TorchRunner:
    """Eager torch; on a CUDA device `torch.compile` with CUDA graphs, because shapes never change."""

    def __init__(self, network: PlannerNetwork, plan: SamplerPlan, device: str) -> None:
        try:
            self._device = torch.device(device)
            graph = Graph(network.to(self._device).eval(), plan).eval()
        except (RuntimeError, AssertionError) as error:
            raise InputError(
                f"device {device!r}: {str(error).splitlines()[0]}", "planner", "cpu or a CUDA device"
            ) from None
        cuda = self._device.type == "cuda"
        self._graph = torch.compile(graph, mode="reduce-overhead", dynamic=False) if cuda else graph

    def run(self, batch: PlannerBatch, noise: Tensor) -> Arrays:
        """See `Runner.run`."""
        inputs = (*(getattr(batch, name) for name in FIELDS), noise)
        with torch.inference_mode():
            waypoints, logits = self._graph(*(tensor.to(self._device) for tensor in inputs))
            return waypoints.float().cpu().numpy(), logits.float().cpu().numpy()


def graph_key(network: PlannerNetwork, plan: SamplerPlan, batch: PlannerBatch) -> str:
    """A name for an export: network, weights, passes, input shapes and library version."""
    made_from = (type(network).__name__, network.config, plan, torch.__version__, EXPORT_VERSION)
    digest = hashlib.sha256(repr(made_from).encode())
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().numpy().tobytes())
    for name in FIELDS:
        digest.update(repr(tuple(getattr(batch, name).shape)).encode())
    return digest.hexdigest()[:16]


def export_onnx(network: PlannerNetwork, plan: SamplerPlan, batch: PlannerBatch, cache: Path) -> Path:
    """Write the ONNX graph of a network for a batch's shapes into the cache; it is reused while nothing changes."""
    path = cache / f"planner-{graph_key(network, plan, batch)}.onnx"
    if path.is_file():
        return path
    inputs = (*(getattr(batch, name) for name in FIELDS), torch.zeros(1, *network.noise_shape))
    graph = Graph(network.cpu().eval(), plan).eval()
    buffer: Any = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        # Shapes are constants on purpose. `torch.export` takes ten times as long, for a graph no faster.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            inputs,
            buffer,
            input_names=[*FIELDS, "noise"],
            output_names=["waypoints", "logits"],
            opset_version=OPSET,
            dynamo=False,
        )
    write_bytes_atomic(path, buffer.getvalue())
    return path


@lru_cache(maxsize=4)
def _compiled(path: Path, threads: int) -> Any:
    """A graph compiled by OpenVINO; planners of one process share it, because a file's name says what is in it."""
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    return openvino.Core().compile_model(str(path), "CPU", settings)


class ExportedRunner:
    """ONNX Runtime or OpenVINO on the exported graph; made at the first frame, whose shapes it then keeps."""

    def __init__(self, network: PlannerNetwork, plan: SamplerPlan, backend: str, threads: int, cache: Path) -> None:
        self._network, self._plan, self._backend, self._threads, self._cache = network, plan, backend, threads, cache
        self._shapes: tuple[tuple[int, ...], ...] = ()

    def run(self, batch: PlannerBatch, noise: Tensor) -> Arrays:
        """See `Runner.run`."""
        feed = {name: getattr(batch, name).numpy() for name in FIELDS} | {"noise": noise.numpy()}
        shapes = tuple(v.shape for v in feed.values())
        if shapes != self._shapes:
            path = export_onnx(self._network, self._plan, batch, self._cache)
            self._open(path)
            self._shapes = shapes
        waypoints, logits = self._infer(feed)
        if not all(np.isfinite(values).all() for values in feed.values()):
            # Compiled kernels swallow a NaN that torch hands on: max(NaN, 0) is 0 to them.
            return np.full_like(waypoints, np.nan), np.full_like(logits, np.nan)
        return waypoints, logits

    def _open(self, path: Path) -> None:
        if self._backend == "onnxruntime":
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = self._threads
            options.inter_op_num_threads = 1
            options.log_severity_level = 3
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            self._inputs = {i.name for i in self._session.get_inputs()}
        else:
            self._request = _compiled(path, self._threads).create_infer_request()
            self._inputs = {name for port in self._request.model_inputs for name in port.get_names()}

    def _infer(self, feed: dict[str, NDArray[np.float32]]) -> Arrays:
        # An input that the network does not read is not in the graph.
        used = {name: value for name, value in feed.items() if name in self._inputs}
        if self._backend == "onnxruntime":
            waypoints, logits = self._session.run(["waypoints", "logits"], used)
        else:
            self._request.infer(used, share_inputs=True)
            # The next call overwrites them.
            waypoints, logits = (self._request.get_tensor(name).data.copy() for name in ("waypoints", "logits"))
        return np.asarray(waypoints), np.asarray(logits)


def make_runner(network: PlannerNetwork, plan: SamplerPlan, config: PlannerConfig) -> Runner:
    """The runner of ``config.backend``; torch, with a line in the log, for a sampler of more than `MAX_PASSES`."""
    if config.backend == "torch":
        return TorchRunner(network, plan, config.device)
    if len(plan.passes) > MAX_PASSES:
        _LOG.warning("torch runs the planner: %d passes are too many for one graph", len(plan.passes))
        return TorchRunner(network, plan, config.device)
    return ExportedRunner(network, plan, config.backend, config.threads, Path(config.cache_directory))
