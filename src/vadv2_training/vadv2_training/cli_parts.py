"""The commands below `./vadv2 train`, and what they share with it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from vadv2_training.recipe import Progress, Recipe

_SHOWN = ("total", "waypoints", "objects", "scene", "language")


@contextmanager
def progress_bars(logs: Path | None = None) -> Iterator[Progress]:
    """A bar a step with its losses and the time left; losses go to TensorBoard logs below a folder too."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description:9}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    writers: dict[str, Any] = {}
    with Bars(*columns, TextColumn("{task.fields[losses]}")) as bars, ExitStack() as open_:
        tasks: dict[str, Any] = {}

        def progress(step: str, done: int, total: int, losses: dict[str, float]) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total, losses="")
            said = "  ".join(f"{k} {v:.3g}" for k, v in losses.items() if k in _SHOWN)
            bars.update(tasks[step], completed=done, losses=said)
            if logs is None or not losses or (done % 10 and done not in (1, total)):
                return
            if step not in writers:
                from torch.utils.tensorboard import SummaryWriter

                writers[step] = SummaryWriter(str(logs / step))
                open_.callback(writers[step].close)
            for name, value in losses.items():
                writers[step].add_scalar(name, value, done)

        yield progress


def one_process_until(step: str, recipe: Recipe, out: Path) -> None:
    """Refuse several processes (`torchrun`) where data is still to be made, which they would make twice.

    Raises:
        InputError: saying which step one process has to finish first.
    """
    from vadv2_core.errors import InputError
    from vadv2_training.recipe import STEPS, Journal

    if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
        return
    journal = Journal(out / "journal.json", recipe)
    for name in STEPS[: STEPS.index(step) + 1]:
        if not journal.done(name):
            raise InputError(
                f"step {name!r} is not done", str(out), f"`./vadv2 train --until {step}` by one process first"
            )


def _fit(filled: Path, model: Path, out: Path, steps: int, words_steps: int, seed: int, perception: bool) -> None:
    from vadv2_training.optimization import OptimizationConfig
    from vadv2_training.recorded.fitting import RecordedFit, fit_recorded

    def optimization(count: int, batch: int, rate: float) -> OptimizationConfig:
        return OptimizationConfig(
            steps=count, batch_size=batch, learning_rate=rate, warmup_steps=min(50, max(count // 10, 1)), seed=seed or 1
        )

    planner = optimization(steps, 4 if perception else 16, 1e-4)
    fit = RecordedFit(planner, optimization(words_steps, 16, 2e-4), perception=perception)
    with progress_bars(out / "tensorboard") as progress:
        made = fit_recorded(filled, model, out, fit, f"{model.name}-{out.name}", progress)
    typer.echo(f"model: {made}")


def _fill(drives: Iterator[Any], store: Path, model: Path, limit: int = 0) -> None:
    """Encode recorded drives by a model's own frozen backbone."""
    from vadv2_core.errors import InputError
    from vadv2_core.vehicle import VehicleConfig
    from vadv2_perception.checkpoints import load_encoder
    from vadv2_training.recorded.drives import write_recorded_drive
    from vadv2_training.rendering import openvino_backbone

    encoder = load_encoder(model / "perception").model
    config, backbones = encoder.config, {}
    done = 0
    with progress_bars() as progress:
        for drive in drives:
            # One compiled backbone for each number of cameras; which it is, the first pictures say.
            def run(images: Any) -> Any:
                if len(images) not in backbones:
                    size = (config.image_height, config.image_width)
                    backbones[len(images)] = openvino_backbone(encoder, len(images), *size)
                return backbones[len(images)](images)

            write_recorded_drive(drive, store, config, run, VehicleConfig())
            done += 1
            progress("encode", done, limit or done, {})
            if done == limit:
                break
    if not done:
        raise InputError("no drive", str(store), "at least one recorded drive")


def fit_bags(bags: Sequence[Path], model: Path | None, out: Path, rig: Path | None, steps: int, seed: int) -> None:
    """`./vadv2 train --bags`: encode a vehicle's own drives and fit a model to them.

    Raises:
        InputError: without a model, or for a bag that cannot be read.
    """
    from vadv2_core.camera import load_rig
    from vadv2_core.errors import InputError
    from vadv2_training.recorded.bags import bag_drive, shard_name

    if model is None:
        raise InputError("no --model", "train --bags", "a model directory to begin with, such as models/tiny")

    def drives() -> Iterator[Any]:
        # The reader is ROS's business and belongs to the package that puts the program together.
        from vadv2_bringup.bag_reader import BagReader

        taken: list[str] = []
        given = load_rig(rig) if rig else None
        for path in bags:
            name = shard_name(path, taken)
            taken.append(name)
            with BagReader(path, rig=given) as bag:
                bag.check()
                yield bag_drive(bag, name, has_command=bool(bag.topics.command))

    _fill(drives(), out / "frames", model, len(bags))
    _fit(out / "frames", model, out, steps or 500, 1, seed, False)


def recorded(
    model: Annotated[Path, typer.Option(help="Model to begin with.")],
    out: Annotated[Path, typer.Option(help="Folder of frames and of the new model; gone on with.")],
    nuscenes: Annotated[Path | None, typer.Option(help="nuScenes' data root.")] = None,
    version: Annotated[str, typer.Option(help="Folder of its tables.")] = "v1.0-trainval",
    drivelm: Annotated[Path | None, typer.Option(help="DriveLM's file, joined to --nuscenes.")] = None,
    bddx: Annotated[Path | None, typer.Option(help="BDD-X-Annotations_v1.csv: words alone.")] = None,
    videos: Annotated[Path | None, typer.Option(help="Folder of BDD-X's videos (<name>.mov).")] = None,
    rig: Annotated[Path, typer.Option(help="Rig file whose first camera stands for BDD-X's.")] = Path(
        "config/rig/surround6.yaml"
    ),
    drives: Annotated[int, typer.Option(help="Drives at most; 0 for all.", min=0)] = 0,
    steps: Annotated[int, typer.Option(help="Optimiser steps of the planner.", min=1)] = 2000,
    words_steps: Annotated[int, typer.Option(help="Optimiser steps of the reasoner.", min=1)] = 1000,
    perception: Annotated[bool, typer.Option(help="Fit perception too (objects); the reasoner is left out.")] = False,
    seed: Annotated[int, typer.Option(help="Of order and noise.", min=0)] = 1,
) -> None:
    """Fit a model to published drives: nuScenes, DriveLM on nuScenes, or BDD-X.

    What a source does not know is asked for by no loss. The data sets are yours to get, under their licences.

    Example: ./vadv2 train recorded --nuscenes data/nuscenes --model models/tiny --out out/nuscenes
    """
    from vadv2_core.camera import load_rig
    from vadv2_core.errors import InputError
    from vadv2_training.recorded.bddx import bddx_drives
    from vadv2_training.recorded.drivelm import drivelm_drives
    from vadv2_training.recorded.nuscenes import NuScenesTables, nuscenes_drive

    if (nuscenes is None) == (bddx is None):
        raise InputError("no source or two", "train recorded", "--nuscenes DIR (and --drivelm FILE) or --bddx FILE")
    if nuscenes is not None:
        tables = NuScenesTables(nuscenes, version)
        source = drivelm_drives(tables, drivelm) if drivelm else (nuscenes_drive(tables, s) for s in tables.scenes)
        count = len(tables.scenes)
    else:
        assert bddx is not None, "one of them is given"
        source, count = bddx_drives(bddx, load_rig(rig), videos), 0
    _fill(iter(source), out / "frames", model, min(drives or count, count) if count else drives)
    _fit(out / "frames", model, out, steps, words_steps, seed, perception)


def correct(
    model: Annotated[Path, typer.Option(help="Model directory that drives.")],
    out: Annotated[Path, typer.Option(help="Folder of the recording; gone on with.")],
    drives: Annotated[int, typer.Option(help="How many.", min=1)] = 40,
    seed: Annotated[int, typer.Option(help="Of the drives; another one than the first recording's.", min=0)] = 1001,
    town: Annotated[list[str] | None, typer.Option(help="Training town; repeatable.")] = None,
    seconds: Annotated[float, typer.Option(help="Longest drive, s.", min=2.0)] = 40.0,
    cpu_seconds: Annotated[float, typer.Option(help="CPU time after which a drive ends, s.", min=5.0)] = 150.0,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
    result: Annotated[Path | None, typer.Option("--json", help="Write outcomes and findings here.")] = None,
) -> None:
    """Closed-loop correction: the model drives training towns, the expert says at every state what it would do.

    Where the model fails or drifts the expert takes the wheel, brings it back and returns it. OUT is then a recording
    like any other, with the expert's plans beside each log.

    Example: ./vadv2 train correct --model out/train/model --out out/train/corrections-1 --drives 40
    """
    from collections import Counter
    from dataclasses import asdict

    from vadv2_core.files import write_json_atomic
    from vadv2_training.correction import CorrectionConfig, Outcome
    from vadv2_training.correction import correct as corrected
    from vadv2_training.recipe import TRAINING_TOWNS

    config = CorrectionConfig(seconds=seconds, cpu_seconds=cpu_seconds)
    outcomes: list[Outcome] = []
    with progress_bars() as progress:
        for outcome in corrected(model, out, town or TRAINING_TOWNS, drives, seed, workers, config=config):
            outcomes.append(outcome)
            progress("correct", len(outcomes), drives, {})
    found = Counter(f.kind for outcome in outcomes for f in outcome.findings)
    driven = [o for o in outcomes if o.seconds > 0]
    apart = [o.disagreement for o in driven if o.disagreement is not None]
    told = {
        "drives": len(driven),
        "seconds": round(sum(o.seconds for o in driven), 1),
        "model_share": round(
            sum(o.seconds * o.model_share for o in driven) / max(sum(o.seconds for o in driven), 0.1), 3
        ),
        "disagreement": round(sum(apart) / len(apart), 3) if apart else None,
        "findings": dict(found.most_common()),
        "cpu_seconds": round(sum(o.cpu_seconds for o in outcomes), 1),
    }
    if result is not None:
        write_json_atomic(result, {**told, "outcomes": [asdict(o) for o in outcomes]})
    typer.echo("\n".join(f"{key:13} {value}" for key, value in told.items()))


def ablate(
    store: Annotated[Path, typer.Option(help="Cached frames of training towns (OUT/frames of a training).")],
    model: Annotated[Path, typer.Option(help="Model directory whose perception is used.")],
    scenes: Annotated[Path, typer.Option(help="Held-out scenes: the --out of `./vadv2 eval scenes`.")],
    out: Annotated[Path, typer.Option(help="Folder of the rows and of the table; gone on with.")],
    row: Annotated[list[str] | None, typer.Option(help="Only this row; repeatable.")] = None,
    steps: Annotated[int, typer.Option(help="Optimiser steps of a row.", min=1)] = 1500,
    frames: Annotated[int, typer.Option(help="Training frames that perception is asked about.", min=1)] = 3000,
    seed: Annotated[int, typer.Option(help="Of weights and order, the same in every row.", min=0)] = 1,
    workers: Annotated[int, typer.Option(help="Processes that score.", min=1)] = 1,
    result: Annotated[Path | None, typer.Option("--json", help="Write the results here too.")] = None,
) -> None:
    """What each part of the planner is worth: one is changed, the planner alone trained again, the scenes scored.

    Rows: denoising steps, vanilla diffusion, history, each loss, queries, images, ego state, route, ego status only,
    regression. OUT/ablation.md and OUT/ablation.json grow row by row.

    Example: ./vadv2 train ablate --store out/train/frames --model models/tiny --scenes out/scenes --out out/ablation
    """
    from vadv2_core.files import write_json_atomic
    from vadv2_training.ablation import AblationConfig, ablation_table, chosen_rows, scenes_scorer
    from vadv2_training.ablation import ablate as run
    from vadv2_training.frame_store import FrameStore

    config = AblationConfig(steps=steps, frames=frames, seed=seed)
    rows, scorer = chosen_rows(row or ()), scenes_scorer(model, scenes, workers)
    with progress_bars() as progress:
        found = run(
            FrameStore(store, 1), model, out, config, scorer, rows,
            lambda name, what, done, total: progress(f"{name} {what}".strip(), done, total, {}),
        )  # fmt: skip
    if result is not None:
        write_json_atomic(result, found)
    typer.echo(ablation_table(found))


def curves(
    run: Annotated[Path, typer.Option(help="Folder of a training (its --out).")],
    out: Annotated[Path, typer.Option(help="Picture to write, PNG.")],
) -> None:
    """Learning curves of every stage as one picture.

    Example: ./vadv2 train curves --run out/train --out docs/learning-curves.png
    """
    from vadv2_training.curves import draw_curves, read_curves

    found = read_curves(run)
    draw_curves(found, out)
    for stage, lines in found.items():
        total = lines[0]
        typer.echo(
            f"{stage}: {int(total.steps[-1])} steps, {total.name} {total.values[0]:.3g} to {total.values[-1]:.3g}"
        )
    typer.echo(str(out))


def release(
    results: Annotated[list[Path], typer.Option(help="What `vadv2 eval … --json` wrote; repeatable, later ones win.")],
    meant_for: Annotated[str, typer.Option(help="The conditions it is meant for, for the card.")],
    limit: Annotated[list[str], typer.Option(help="What it cannot do, for the card; repeatable.")],
    command: Annotated[list[str], typer.Option(help="Command that printed the results; repeatable.")],
    out: Annotated[Path, typer.Option(help="Folder of the training run.")] = Path("out/train"),
    to: Annotated[Path, typer.Option(help="Where it is shipped from.")] = Path("models/tiny"),
) -> None:
    """Ship a trained model: parts, hashes, results and a card; refused below a gate or above 40 MB.

    Example: ./vadv2 train release --results out/cl.json --meant-for "the simulator's towns by day" --limit "no snow"
    --command "./vadv2 eval closed-loop --driver model --model out/train/model --split test --seeds 100"
    """
    from vadv2_core.files import read_json
    from vadv2_training.release import release as ship

    steps = {name: cost for name, cost in read_json(out / "journal.json").items() if "memory_mb" in cost}
    made: dict[str, Any] = {}
    for cost in steps.values():
        made |= {key: value for key, value in cost["facts"].items() if not isinstance(value, dict)}
    facts = {
        "meant_for": meant_for,
        "made": made,
        "command": f"./vadv2 train --recipe tiny-cpu --out {out}",
        "steps": steps,
        "evaluation": command,
        "limits": limit,
    }
    typer.echo(f"released: {ship(out / 'model', to, tuple(results), facts)}")
