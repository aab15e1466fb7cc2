"""Command line of training: `./vadv2 train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add training's commands to the `vadv2` command line."""
    app.command("train")(train)


def train(
    recipe: Annotated[
        str, typer.Option(help="tiny-cpu or tiny-gpu; names sizes, hours of data and steps.")
    ] = "tiny-cpu",
    out: Annotated[
        Path, typer.Option(help="Folder for data, runs and the model; one that was begun is gone on with.")
    ] = Path("out/train"),
    until: Annotated[
        str, typer.Option(help="Last step: record, cache, driving, perceive, language, embed or joint.")
    ] = "joint",
    hours: Annotated[float, typer.Option(help="Hours of expert driving; 0 for the recipe's own.", min=0.0)] = 0.0,
    driving_steps: Annotated[int, typer.Option(help="Steps of stage 1; 0 for the recipe's own.", min=0)] = 0,
    language_steps: Annotated[int, typer.Option(help="Steps of stage 2; 0 for the recipe's own.", min=0)] = 0,
    joint_steps: Annotated[int, typer.Option(help="Steps of stage 3; 0 for the recipe's own.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Processes that record and render; 0 for the recipe's own.", min=0)] = 0,
    seed: Annotated[int, typer.Option(help="Of drives, weights and order; 0 for the recipe's own.", min=0)] = 0,
) -> None:
    """Make a model from nothing: record the expert, render and encode, train the three stages.

    Kill it at any moment; the same command goes on. Losses are logged for TensorBoard below OUT/tensorboard. The model
    is in OUT/model and drives with `./vadv2 drive --driver model --model OUT/model`.

    Example: ./vadv2 train --recipe tiny-cpu --out out/train
    """
    from dataclasses import replace

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from torch.utils.tensorboard import SummaryWriter

    from vadv2_core.errors import InputError
    from vadv2_training.make_model import make_model
    from vadv2_training.recipe import RECIPES, STEPS

    if recipe not in RECIPES:
        raise InputError(f"unknown recipe {recipe!r}", "train", "one of " + ", ".join(RECIPES))
    if until not in STEPS:
        raise InputError(f"unknown step {until!r}", "train", "one of " + ", ".join(STEPS))
    chosen = RECIPES[recipe]
    for name, steps in (("driving", driving_steps), ("language", language_steps), ("joint", joint_steps)):
        if steps:
            stage = getattr(chosen, name)
            warmup = min(stage.warmup_steps, max(steps // 10, 1))
            chosen = replace(chosen, **{name: replace(stage, steps=steps, warmup_steps=warmup)})
    chosen = replace(
        chosen,
        hours=hours or chosen.hours,
        workers=workers or chosen.workers,
        seed=seed or chosen.seed,
    )
    writers: dict[str, SummaryWriter] = {}
    columns = (TextColumn("{task.description:9}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[losses]}")) as bar:
        tasks: dict[str, int] = {}

        def progress(step: str, done: int, total: int, losses: dict[str, float]) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=total, losses="")
            said = "  ".join(
                f"{k} {v:.3g}" for k, v in losses.items() if k in ("total", "waypoints", "scene", "language")
            )
            bar.update(tasks[step], completed=done, losses=said)  # type: ignore[arg-type]
            if losses and done % 10 == 0:
                if step not in writers:
                    writers[step] = SummaryWriter(str(out / "tensorboard" / step))
                for name, value in losses.items():
                    writers[step].add_scalar(name, value, done)

        model = make_model(chosen, out, progress, until=until)
    for writer in writers.values():
        writer.close()
    typer.echo(f"model: {model}")
