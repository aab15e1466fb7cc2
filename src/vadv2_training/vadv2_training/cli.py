"""Command line of training: `./vadv2 train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vadv2_training.cli_parts import ablate, correct, curves, recorded, release

STAGES = {1: "correct", 2: "language", 3: "joint"}
"""Last step of a recipe's each stage."""


def register(app: typer.Typer) -> None:
    """Add training's commands to the `vadv2` command line."""
    group = typer.Typer(invoke_without_command=True)
    group.callback()(train)
    group.command("recorded")(recorded)
    group.command("correct")(correct)
    group.command("ablate")(ablate)
    group.command("curves")(curves)
    group.command("release")(release)
    app.add_typer(group, name="train")


def train(
    context: typer.Context,
    recipe: Annotated[
        str, typer.Option(help="tiny-cpu or tiny-gpu; names sizes, hours of data and steps.")
    ] = "tiny-cpu",
    out: Annotated[
        Path, typer.Option(help="Folder for data, runs and the model; one that was begun is gone on with.")
    ] = Path("out/train"),
    until: Annotated[
        str,
        typer.Option(
            help="Last step: record, cache, driving, perception, planning, correct, perceive, language, embed, joint."
        ),
    ] = "joint",
    stage: Annotated[int, typer.Option(help="1, 2 or 3: up to its end; 0 for --until.", min=0, max=3)] = 0,
    vlm: Annotated[
        str, typer.Option(help="Stage 2: a big language model (directory or hub name) that gets an adapter (LoRA).")
    ] = "",
    lora_rank: Annotated[int, typer.Option(help="Rank of that adapter.", min=1)] = 8,
    bags: Annotated[
        list[Path] | None, typer.Option(help="Fit --model to a vehicle's own bag instead; repeatable.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="With --bags: the model to begin with.")] = None,
    rig: Annotated[
        Path | None, typer.Option(help="With --bags: rig file; without, CameraInfo and /tf_static of the bag.")
    ] = None,
    from_: Annotated[
        str, typer.Option("--from", help="Go on with a model's weights: a directory (perception, planner, vlm).")
    ] = "",
    hours: Annotated[float, typer.Option(help="Hours of expert driving; 0 for the recipe's own.", min=0.0)] = 0.0,
    driving_steps: Annotated[int, typer.Option(help="Steps of stage 1; 0 for the recipe's own.", min=0)] = 0,
    perception_steps: Annotated[int, typer.Option(help="Steps of perception alone; 0: the recipe's own.", min=0)] = 0,
    planning_steps: Annotated[int, typer.Option(help="Steps of the planner alone; 0 for the recipe's own.", min=0)] = 0,
    language_steps: Annotated[int, typer.Option(help="Steps of stage 2; 0 for the recipe's own.", min=0)] = 0,
    joint_steps: Annotated[int, typer.Option(help="Steps of stage 3; 0 for the recipe's own.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Processes that record and render; 0 for the recipe's own.", min=0)] = 0,
    seed: Annotated[int, typer.Option(help="Of drives, weights and order; 0 for the recipe's own.", min=0)] = 0,
) -> None:
    """Make a model from nothing: record the expert, render and encode, train the three stages.

    Kill it at any moment; the same command goes on. Losses are logged for TensorBoard below OUT/tensorboard. The model
    is in OUT/model and drives with `./vadv2 drive --driver model --model OUT/model`.

    With --bags a model that is there is fitted to your own drives: odometry is the truth, the rig is the bag's.

    Example: ./vadv2 train --recipe tiny-cpu --out out/train

    Example: ./vadv2 train --from models/tiny --perception-steps 2000 --out out/further

    Example: ./vadv2 train --stage 2 --vlm Qwen/Qwen3-VL-2B-Instruct --recipe tiny-gpu --out out/base

    Example: ./vadv2 train --bags drives/monday.mcap --model models/tiny --out out/own --driving-steps 500
    """
    if context.invoked_subcommand is not None:
        return
    from dataclasses import replace

    from vadv2_core.errors import InputError
    from vadv2_training.cli_parts import fit_bags, one_process_until, progress_bars

    if bags:
        fit_bags(bags, model, out, rig, driving_steps, seed)
        return
    from vadv2_training.make_model import make_model, model_parts
    from vadv2_training.recipe import RECIPES, STEPS

    if recipe not in RECIPES:
        raise InputError(f"unknown recipe {recipe!r}", "train", "one of " + ", ".join(RECIPES))
    if until not in STEPS:
        raise InputError(f"unknown step {until!r}", "train", "one of " + ", ".join(STEPS))
    if vlm and stage != 2:
        raise InputError("--vlm without --stage 2", "train", "stage 2, whose model it is")
    if from_:
        model_parts(Path(from_))
    chosen = RECIPES[recipe]
    for name, steps in (
        ("driving", driving_steps),
        ("perception", perception_steps),
        ("planning", planning_steps),
        ("language", language_steps),
        ("joint", joint_steps),
    ):
        if steps:
            own = getattr(chosen, name)
            warmup = min(own.warmup_steps, max(steps // 10, 1))
            chosen = replace(chosen, **{name: replace(own, steps=steps, warmup_steps=warmup)})
    chosen = replace(
        chosen,
        hours=hours or chosen.hours,
        workers=workers or chosen.workers,
        seed=seed or chosen.seed,
        start=from_,
    )
    one_process_until("cache", chosen, out)
    with progress_bars(out / "tensorboard") as progress:
        if vlm:
            from vadv2_training.adapter_stage import AdapterConfig, make_adapter

            made = make_adapter(chosen, out, AdapterConfig(vlm, lora_rank, 2 * lora_rank), progress)
        else:
            made = make_model(chosen, out, progress, until=STAGES.get(stage, until))
    typer.echo(f"model: {made}")
