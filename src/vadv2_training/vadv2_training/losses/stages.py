"""The three training stages as lists of what trains."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

STAGES: dict[int, dict[str, tuple[str, ...]]] = {
    1: {"perception": ("",), "planner": ("",), "vlm": ()},
    2: {
        "perception": (),
        "planner": ("reader.context.vlm_projector", "reader.context.alignment_head", "reader.context.reasoning_age"),
        "vlm": ("lora", "projector"),
    },
    3: {"perception": ("",), "planner": ("",), "vlm": ("lora", "projector")},
}
"""Stage to module to the parts of parameter names that train; ``""`` is all of it that the module lets train.

1: planner and the perception heads that it reads, without reasoning (its null token trains by dropout). 2: the VLM's
LoRA and the parts that carry reasoning into the planner, by the alignment loss. 3: everything together.
"""


def trains(module: nn.Module, parts: Iterable[str]) -> list[str]:
    """Let the parameters whose name holds one of the parts train and freeze the others; the names that train.

    A parameter that was frozen before stays frozen (a frozen backbone is not thawed by a stage).
    """
    wanted = tuple(parts)
    names = []
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and any(part in name for part in wanted))
        if parameter.requires_grad:
            names.append(name)
    return names
