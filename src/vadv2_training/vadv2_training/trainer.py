"""The loop that fits a module: one process or many, resumable at any step, deterministic in seed and step."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState, PartialState
from torch import Tensor, nn

from vadv2_core.config import to_mapping
from vadv2_core.errors import InputError
from vadv2_training.optimization import OptimizationConfig, WeightAverage, learning_rate_at, make_optimizer
from vadv2_training.run_state import load_run_state, save_run_state


class Task(Protocol):
    """What is fitted to what."""

    module: nn.Module
    """Computes the losses; only its parameters with ``requires_grad`` train."""

    def batch(self, indices: Tensor) -> Any:
        """The samples of these indices, ready for the module."""

    def __len__(self) -> int:
        """Number of samples."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a run came to.

    Attributes:
        steps: Finished steps.
        losses: The last step's losses by name.
        seconds: Wall time of this process's part of the run.
    """

    steps: int
    losses: dict[str, float]
    seconds: float


def sample_indices(step: int, batch_size: int, rank: int, world: int, count: int, seed: int) -> Tensor:
    """Which samples a process sees at a step: an epoch's shuffle is a function of seed and epoch alone."""
    first = (step * world + rank) * batch_size
    picked = []
    for position in range(first, first + batch_size):
        epoch, place = divmod(position, count)
        picked.append((epoch, place))
    shuffles = {
        epoch: torch.randperm(count, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
        for epoch in {e for e, _ in picked}
    }
    return torch.stack([shuffles[epoch][place] for epoch, place in picked])


def train(
    task: Task,
    config: OptimizationConfig,
    directory: Path,
    *,
    facts: Mapping[str, Any] | None = None,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
    stop_after: float | None = None,
) -> TrainingResult:
    """Fit ``task.module`` until ``config.steps``; going on where a run in ``directory`` ended.

    Args:
        task: What to fit; its module's forward takes a batch and returns losses by name, with ``total`` their sum.
        config: How.
        directory: Where the run's state and its TensorBoard log live.
        facts: What must not change between the parts of a run (data set hash, stage).
        on_step: Called with the finished step and its losses, on the main process.
        stop_after: Seconds after which the run is saved and left, to be resumed.

    Raises:
        InputError: for an empty data set, another run's state, or a loss that is not finite.
    """
    if len(task) == 0:
        raise InputError("no samples to train on", str(directory), "at least one")
    # What a stage or a dropped-out input leaves unused has no gradient; other processes must not wait for it.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    # One process may train one stage after another, each in a precision of its own; the state is the process's.
    AcceleratorState._reset_state()
    # Without being told, accelerate takes the processes of a machine without a GPU for strangers, each the main one.
    without = not torch.cuda.is_available()
    accelerator = Accelerator(cpu=without, mixed_precision=config.precision, kwargs_handlers=[unused])
    torch.manual_seed(config.seed)
    module = task.module.to(accelerator.device)
    optimizer = make_optimizer(module.parameters(), config)
    average = WeightAverage(module, config.ema_decay) if config.ema_decay else None
    fixed = {"optimization": to_mapping(config), "world": accelerator.num_processes, **(facts or {})}
    start = load_run_state(directory, module, optimizer, average, fixed)
    wrapped, optimizer = accelerator.prepare(module, optimizer)
    begun, losses, step = time.monotonic(), {}, start
    for step in range(start, config.steps):
        # Noise and dropout of a step depend on the seed, the step and the process only: resuming changes nothing.
        torch.manual_seed((config.seed * 7_919 + step) * 4_099 + accelerator.process_index)
        indices = sample_indices(
            step, config.batch_size, accelerator.process_index, accelerator.num_processes, len(task), config.seed
        )
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, config)
        with accelerator.autocast():
            parts = wrapped(task.batch(indices))
        total = parts["total"]
        if not torch.isfinite(total):
            worst = ", ".join(n for n, v in parts.items() if not torch.isfinite(v))
            raise InputError(f"loss is not finite at step {step}: {worst}", str(directory), "a smaller learning rate")
        accelerator.backward(total)
        accelerator.clip_grad_norm_(wrapped.parameters(), config.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if average is not None:
            average.update(module)
        finished = step + 1
        late = stop_after is not None and time.monotonic() - begun > stop_after
        if accelerator.is_main_process:
            losses = {name: float(value.detach()) for name, value in parts.items()}
            if on_step is not None:
                on_step(finished, losses)
            if finished % config.save_every == 0 or finished == config.steps or late:
                save_run_state(directory, finished, module, optimizer, average, fixed)
        if late:
            break
    finished = step + 1 if start < config.steps else start
    if average is not None and finished == config.steps:
        average.copy_to(module)
    accelerator.wait_for_everyone()
    return TrainingResult(finished, losses, time.monotonic() - begun)


def save_once(write: Callable[[], object]) -> None:
    """Let one process of a run write what all of them hold; the others go on when it is there.

    For a folder of several files, of which two writers would take each other's away.
    """
    state = PartialState()
    if state.is_main_process:
        write()
    state.wait_for_everyone()
