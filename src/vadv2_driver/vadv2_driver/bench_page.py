"""The bench's numbers as a page: what ``vadv2 bench model --page`` writes between two marks of a Markdown file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vadv2_core.files import write_between_marks

BEGIN, END = "<!-- bench model -->", "<!-- end -->"

_WORDS = {
    "image_to_trajectory_cpu_ms": "image to trajectory, CPU-ms",
    "image_to_trajectory_wall_ms": "image to trajectory, wall ms",
    "encoder_cpu_ms": "of it the encoder, CPU-ms",
    "planner_cpu_ms": "of it the planner, CPU-ms",
    "image_to_trajectory_cpu_ms_steps_1": "the same with 1 denoising step, CPU-ms",
    "image_to_trajectory_cpu_ms_steps_2": "the same with 2 denoising steps, CPU-ms",
    "embedding_cpu_ms": "reasoning embedding, CPU-ms",
    "embedding_wall_ms": "reasoning embedding, wall ms",
    "text60_cpu_ms": "60 tokens of text, CPU-ms",
    "text60_wall_ms": "60 tokens of text, wall ms",
    "p50_without_vlm_ms": "at 10 Hz, median wall ms",
    "p99_without_vlm_ms": "at 10 Hz, 99th percentile, wall ms",
    "p50_with_vlm_ms": "at 10 Hz beside the VLM's process, median wall ms",
    "p99_with_vlm_ms": "at 10 Hz beside the VLM's process, 99th percentile, wall ms",
    "p99_without_vlm_cpu_ms": "at 10 Hz, 99th percentile, CPU-ms",
    "p99_with_vlm_cpu_ms": "at 10 Hz beside the VLM's process, 99th percentile, CPU-ms",
    "memory_mb": "peak memory, MB",
    "memory_mb_encoder_and_planner": "peak memory of encoder and planner, MB",
    "memory_mb_with_vlm": "peak memory with the VLM in the same process, MB",
    "parameters": "parameters",
    "parameters_encoder": "parameters of the encoder",
    "parameters_planner": "parameters of the planner",
    "flops": "FLOPs of a frame",
    "model_ids": "models",
}
_HEADINGS = {
    "tiny": "The default size, `tiny`",
    "encoder": "The tiny encoder by backend and precision, six 224x480 images to tokens and queries",
    "backbones": "The image half by backbone, six 224x480 images",
    "denoiser": "The denoiser alone: d = 256, 20 modes x 8 poses, 2 layers, six maps of 14 x 30, 49 queries",
    "peers": "Every planner behind the same encoder",
    "minimal": "`minimal`",
    "base": "`base` (encoder and planner; the reasoner is whatever directory it is given)",
}


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    return str(value)


def _rows(values: dict[str, Any]) -> list[str]:
    nested = {key: value for key, value in values.items() if isinstance(value, dict)}
    if nested:
        columns = list(next(iter(nested.values())))
        head = ["", *(_WORDS.get(c, c.replace("_", " ")) for c in columns)]
        lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += [
            "| " + " | ".join([key, *(_cell(row.get(c, "")) for c in columns)]) + " |" for key, row in nested.items()
        ]
        return lines
    lines = ["| | |", "|---|---|"]
    return lines + [f"| {_WORDS.get(k, k.replace('_', ' '))} | {_cell(v)} |" for k, v in values.items()]


def tables(table: dict[str, Any]) -> str:
    """The machine in one paragraph and a Markdown table a section.

    Args:
        table: Of `vadv2_driver.bench.bench_model`.
    """
    machine = table["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    openmp = " ".join(f"{key}={value}" for key, value in machine["openmp"].items())
    lines = [
        f"{machine['processor']} (family/model {machine['family_model']}), {machine['cores']} cores, "
        f"{' '.join(machine['instructions'])}; {versions}; {openmp}. "
        "A loaded machine's caches and clocks are shared: the more load, the more milliseconds, of CPU too.",
    ]
    loads = table["load_before"]
    for name, values in table.items():
        if name not in ("machine", "load_before"):
            load = f"Load when it began: {loads[name]}"
            if name == "tiny" and "latency" in loads:
                load += f"; when the rows at 10 Hz did: {loads['latency']}"
            lines += ["", f"### {_HEADINGS.get(name, name)}", "", f"{load}.", "", *_rows(values)]
    return "\n".join(lines) + "\n"


def write_page(page: Path, table: dict[str, Any]) -> None:
    """Put the tables between the marks of a page.

    Raises:
        InputError: for a page without the marks.
    """
    write_between_marks(page, BEGIN, END, tables(table))
