"""How long the network takes: every stage of every size, with and without its neighbours.

Every part runs in a process of its own, on one thread, so that a peak of memory is the part's and no thread pool of
another stage is left waiting. Medians; CPU milliseconds are of the whole process.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import platform
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vadv2_core.errors import InputError
from vadv2_driver.configuration import DriverConfig

OPENMP = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
"""A waiting OpenMP thread must sleep: spinning ones cost a shared machine tens of milliseconds a frame."""

INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8")
SECTIONS = ("tiny", "latency", "encoder", "backbones", "denoiser", "peers", "minimal", "base")
WARM_UP = 20
"""Frames before the clock runs: the history is full then, and nothing is compiled any more."""

TURNS = 3
"""Of the latency section: alone and beside the VLM, in turns."""

Table = dict[str, Any]


def machine() -> Table:
    """Processor, its instruction sets that matter here, and the versions of what computes."""
    import onnxruntime
    import openvino
    import torch

    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    names = [line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "family_model": _cpu_family(info),
        "cores": os.cpu_count(),
        "instructions": [name for name in INSTRUCTIONS if name in info],
        "versions": {
            "torch": torch.__version__,
            "openvino": openvino.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
        "openmp": OPENMP,
    }


def _cpu_family(info: str) -> str:
    found = {}
    for line in info.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("cpu family", "model") and key.strip() not in found:
            found[key.strip()] = value.strip()
    return "/".join(found.values())


def _timed(run: Callable[[int], object], rounds: int, warm_up: int = WARM_UP) -> tuple[list[float], list[float]]:
    """CPU and wall milliseconds of ``run(index)``, one pair a round, after a warm-up."""
    cpu, wall = [], []
    for index in range(warm_up + rounds):
        c, w = time.process_time(), time.perf_counter()
        run(index)
        cpu.append(1e3 * (time.process_time() - c))
        wall.append(1e3 * (time.perf_counter() - w))
    return cpu[warm_up:], wall[warm_up:]


def _medians(prefix: str, times: tuple[list[float], list[float]]) -> Table:
    return {f"{prefix}_cpu_ms": _rounded(np.median(times[0])), f"{prefix}_wall_ms": _rounded(np.median(times[1]))}


def _rounded(value: Any) -> float:
    return round(float(value), 2)


def _memory() -> float:
    """Peak resident memory of this process, MB."""
    return _rounded(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _config(model: str, **perception: Any) -> DriverConfig:
    config = DriverConfig(model=model).for_model()
    return replace(config, perception=replace(config.perception, threads=1, **perception))


class _ImageToTrajectory:
    """Encoder and planner of a size, frame by frame, with the time of each."""

    def __init__(self, config: DriverConfig) -> None:
        from vadv2_driver.bench_frames import BenchFrames
        from vadv2_perception import SceneEncoder
        from vadv2_planner import make_planner

        self.encoder = SceneEncoder(config.directory("perception"), config.perception)
        self.planner = make_planner(config.directory("planner"), config.planner)
        self.frames = BenchFrames()
        self.encoder_cpu: list[float] = []
        self.planner_cpu: list[float] = []
        self.tokens: Any = None

    def __call__(self, index: int) -> Any:
        from vadv2_driver.bench_frames import COMMAND, ROUTE

        frame, ego = self.frames[index]
        began = time.process_time()
        self.tokens = self.encoder.encode(frame, ego)
        between = time.process_time()
        plan = self.planner.plan(self.tokens, ego, COMMAND, ROUTE, None)
        self.encoder_cpu.append(1e3 * (between - began))
        self.planner_cpu.append(1e3 * (time.process_time() - between))
        return plan


def _tiny(rounds: int) -> Table:
    """The default size: image to trajectory, one embedding, sixty tokens of text."""
    from vadv2_driver.bench_frames import COMMAND
    from vadv2_vlm.bench import write_tokens
    from vadv2_vlm.reasoner import Reasoner

    config = _config("tiny")
    chain = _ImageToTrajectory(config)
    table = _medians("image_to_trajectory", _timed(chain, rounds))
    table["encoder_cpu_ms"] = _rounded(np.median(chain.encoder_cpu[WARM_UP:]))
    table["planner_cpu_ms"] = _rounded(np.median(chain.planner_cpu[WARM_UP:]))
    table["memory_mb_encoder_and_planner"] = _memory()
    tokens = chain.tokens
    vlm = Reasoner(config.directory("vlm"), config.vlm)
    few = max(5, rounds // 4)
    table |= _medians("embedding", _timed(lambda _: vlm.embed(tokens, COMMAND), few, 3))
    table |= _medians("text60", _timed(lambda _: write_tokens(vlm, tokens, COMMAND, 60), max(3, rounds // 10), 1))
    table["memory_mb_with_vlm"] = _memory()
    table["model_ids"] = [chain.encoder.model_id, chain.planner.model_id, vlm.model_id]
    table["parameters_encoder"] = chain.encoder.parameters
    for steps in (1, 2):
        other = _ImageToTrajectory(replace(config, planner=replace(config.planner, steps=steps)))
        cpu = np.median(_timed(other, rounds)[0])
        table[f"image_to_trajectory_cpu_ms_steps_{steps}"] = _rounded(cpu)
    return table


def _encoder(rounds: int) -> Table:
    """The tiny encoder alone on every backend and precision that this machine has."""
    from vadv2_driver.bench_frames import BenchFrames
    from vadv2_perception import SceneEncoder

    frames = BenchFrames()
    choices = [
        ("openvino", "bfloat16"),
        ("openvino", "int8"),
        ("openvino", "float32"),
        ("onnxruntime", "float32"),
        ("onnxruntime", "int8"),
        ("torch", "float32"),
    ]
    table: Table = {}
    for backend, precision in choices:
        config = _config("tiny", backend=backend, precision=precision)
        try:
            encoder = SceneEncoder(config.directory("perception"), config.perception)
            times = _timed(lambda i, e=encoder: e.encode(*frames[i]), max(5, rounds // 2), 5)  # type: ignore[misc]
        except InputError as error:
            table[f"{backend}_{precision}"] = str(error)
            continue
        table[f"{backend}_{precision}_cpu_ms"] = _rounded(np.median(times[0]))
    return table


def _backbones(rounds: int) -> Table:
    """The image half with every backbone: parameters and time for the rig, in the precision the machine is best at."""
    import torch

    from vadv2_perception.checkpoints import LoadedEncoder
    from vadv2_perception.configuration import BACKBONES, EncoderModelConfig, PerceptionConfig
    from vadv2_perception.halves import example_inputs
    from vadv2_perception.model import SceneModel
    from vadv2_perception.networks import make_networks

    table: Table = {}
    cameras = 6
    for name in BACKBONES:
        torch.manual_seed(0)
        model = SceneModel(EncoderModelConfig(backbone=name)).eval()
        inputs = {key: value.numpy() for key, value in example_inputs(model, cameras)[0].items()}
        config = PerceptionConfig(cache_directory=str(Path(".vadv2") / "bench"))
        image, _ = make_networks(LoadedEncoder(model, name, hashlib.sha256(name.encode()).hexdigest()), cameras, config)
        count = max(3, rounds // 8) if name == "vit_b" else max(5, rounds // 3)
        cpu, _ = _timed(lambda _, run=image, given=inputs: run(given), count, 2)  # type: ignore[misc]
        table[name] = {
            "image_half_cpu_ms": _rounded(np.median(cpu)),
            "backbone_parameters": sum(p.numel() for p in model.backbone.parameters()),
        }
    return table


def _denoiser(rounds: int) -> Table:
    """The planner's decoder alone, on the size that DiffusionDrive's head has."""
    from vadv2_planner.bench import denoiser_table

    table: Table = dict(denoiser_table("torch", rounds=rounds))
    # A graph unrolls its steps: a hundred of them take minutes to compile, and nobody drives with them.
    return table | {f"openvino_{k}": v for k, v in denoiser_table("openvino", (1, 2), rounds).items()}


def _peers(rounds: int) -> Table:
    """Image to trajectory of every planner behind the same encoder."""
    from vadv2_planner.registry import PLANNERS

    table: Table = {}
    for name in PLANNERS:
        if name == "minimal":
            continue  # Has an encoder of its own; see the section.
        config = _config("tiny")
        config = replace(config, planner=replace(config.planner, planner=name))
        if name != "truncated_diffusion":
            config = replace(config, models="models-without-checkpoints")
        chain = _ImageToTrajectory(config)
        count = 3 if name == "vanilla_diffusion" else max(5, rounds // 2)
        total = np.median(_timed(chain, count, 5)[0])
        table[name] = {
            "image_to_trajectory_cpu_ms": _rounded(total),
            "planner_cpu_ms": _rounded(np.median(chain.planner_cpu[5:])),
        }
    return table


def _size(model: str, rounds: int) -> Table:
    """Another size: parameters, FLOPs of one frame, time and memory."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    config = _config(model)
    chain = _ImageToTrajectory(config)
    table = _medians("image_to_trajectory", _timed(chain, max(3, rounds // 8), 3))
    table["encoder_cpu_ms"] = _rounded(np.median(chain.encoder_cpu[3:]))
    table["memory_mb"] = _memory()
    network = getattr(chain.planner.proposer, "network", None)
    planner_parameters = sum(p.numel() for p in network.parameters()) if network is not None else 0
    table["parameters_encoder"], table["parameters_planner"] = chain.encoder.parameters, planner_parameters
    table["parameters"] = chain.encoder.parameters + planner_parameters
    plain = replace(config, perception=replace(config.perception, backend="torch", precision="float32"))
    counted = _ImageToTrajectory(replace(plain, planner=replace(plain.planner, backend="torch")))
    network = getattr(counted.planner.proposer, "network", None)
    if network is not None:
        network.requires_grad_(False)  # The counter's hooks take a parameter for a graph that is not there.
    counted(0)
    with FlopCounterMode(display=False) as counter:
        counted(1)
    table["flops"] = int(counter.get_total_flops())
    if torch.cuda.is_available():
        table["cuda_frames_per_second_bfloat16"] = _cuda_rate(config, rounds)
    return table


def _base_vlm() -> Table:
    """Parameters and FLOPs of the reasoner of `base`, built without weights."""
    from vadv2_vlm.bench import base_size

    return dict(base_size())


def _cuda_rate(config: DriverConfig, rounds: int) -> float:
    """Frames a second, image to trajectory, bfloat16, on the first CUDA device."""
    perception = replace(config.perception, backend="torch", device="cuda", precision="bfloat16")
    planner = replace(config.planner, backend="torch", device="cuda")
    _, wall = _timed(_ImageToTrajectory(replace(config, perception=perception, planner=planner)), max(50, rounds))
    return _rounded(1e3 / np.median(wall))


def _reason_for_ever(working: Any, ready: Any) -> None:
    """The VLM's process: words, one answer after another, while told to work; behind the others, as in its node."""
    from vadv2_driver.bench_frames import COMMAND, BenchFrames
    from vadv2_perception import SceneEncoder
    from vadv2_vlm.priority import step_back
    from vadv2_vlm.reasoner import Reasoner

    config = _config("tiny")
    tokens = SceneEncoder(config.directory("perception"), config.perception).encode(*BenchFrames()[0])
    vlm = Reasoner(config.directory("vlm"), config.vlm)
    vlm.reason(tokens, COMMAND)
    step_back()
    ready.set()
    while working.wait():
        vlm.reason(tokens, COMMAND)


def _paced(chain: _ImageToTrajectory, seconds: float, rate: float = 10.0) -> tuple[list[float], list[float]]:
    """CPU and wall milliseconds of every frame at a fixed rate; a late frame is not made up for."""
    cpu, wall = [], []
    following = time.perf_counter()
    for index in range(round(seconds * rate)):
        following = max(following + 1.0 / rate, time.perf_counter())
        time.sleep(max(0.0, following - time.perf_counter()))
        c, w = time.process_time(), time.perf_counter()
        chain(index)
        cpu.append(1e3 * (time.process_time() - c))
        wall.append(1e3 * (time.perf_counter() - w))
    return cpu, wall


def _latency(seconds: float) -> Table:
    """Image to trajectory at 10 Hz, alone and with the VLM's process reasoning all the time, in turns.

    The percentiles are medians over the turns: the 99th of one turn is what two frames had the bad luck of.
    """
    chain = _ImageToTrajectory(_config("tiny"))
    context = multiprocessing.get_context("spawn")
    working, ready = context.Event(), context.Event()
    process = context.Process(target=_reason_for_ever, args=(working, ready), daemon=True)
    process.start()
    _timed(chain, 1)
    if not ready.wait(300.0):
        raise InputError("the VLM's process did not begin", "bench section 'latency'", "its own message above")
    turns: dict[str, list[float]] = {}
    for _ in range(TURNS):
        for name in ("without", "with"):
            (working.set if name == "with" else working.clear)()
            cpu, wall = _paced(chain, seconds)
            for key, values, share in (("ms", wall, 50), ("ms", wall, 99), ("cpu_ms", cpu, 99)):
                turns.setdefault(f"p{share}_{name}_vlm_{key}", []).append(float(np.percentile(values, share)))
    process.terminate()
    process.join(30.0)
    return {key: _rounded(np.median(values)) for key, values in turns.items()}


_RUNS: dict[str, Callable[[int, float], Table]] = {
    "tiny": lambda rounds, _: _tiny(rounds),
    "latency": lambda _, seconds: _latency(seconds),
    "encoder": lambda rounds, _: _encoder(rounds),
    "backbones": lambda rounds, _: _backbones(rounds),
    "denoiser": lambda rounds, _: _denoiser(rounds),
    "peers": lambda rounds, _: _peers(rounds),
    "minimal": lambda rounds, _: _size("minimal", rounds),
    "base": lambda rounds, _: _size("base", rounds) | _base_vlm(),
}


def _section(name: str, rounds: int, seconds: float, answer: Any) -> None:
    import torch

    torch.set_num_threads(1)
    answer.send(_RUNS[name](rounds, seconds))


@contextmanager
def _environment() -> Iterator[None]:
    """`OPENMP` for the processes that are started within."""
    before = {key: os.environ.get(key) for key in OPENMP}
    os.environ.update(OPENMP)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def bench_model(
    sections: tuple[str, ...] = SECTIONS,
    rounds: int = 40,
    seconds: float = 20.0,
    tell: Callable[[str], None] = lambda _: None,
    done: Callable[[str, Table], None] = lambda _, __: None,
    known: Table | None = None,
) -> Table:
    """Measure.

    Args:
        sections: Some of `SECTIONS`.
        rounds: Frames that a median is taken over.
        seconds: How long each half of a turn of the latency section drives at 10 Hz.
        tell: Called with a section's name when it begins.
        done: Called with a section's key and the table so far when it ends, so that nothing is lost when it is cut off.
        known: Earlier sections, which are kept.

    Returns:
        A table by section, the machine, and its load when each section began. ``latency`` is part of ``tiny``.

    Raises:
        InputError: for an unknown section.
    """
    unknown = [s for s in sections if s not in SECTIONS]
    if unknown:
        raise InputError(f"no section {unknown[0]!r}", "bench model", "some of " + ", ".join(SECTIONS))
    table: Table = (known or {}) | {"machine": machine()}
    context = multiprocessing.get_context("spawn")
    with _environment():
        for name in sections:
            tell(name)
            loads = {**table.get("load_before", {}), name: round(os.getloadavg()[0], 2)}
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_section, args=(name, rounds, seconds, sender))
            process.start()
            sender.close()
            try:
                answer = receiver.recv()
            except EOFError:
                raise InputError(
                    "ended without an answer", f"bench section {name!r}", "its own message above"
                ) from None
            finally:
                process.join()
            key = "tiny" if name == "latency" else name
            table |= {key: table.get(key, {}) | answer, "load_before": loads}
            done(key, table)
    return table
