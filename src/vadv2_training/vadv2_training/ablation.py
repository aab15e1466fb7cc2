"""What each part of the planner is worth: one is changed, the planner alone trained again, the same scenes scored.

Perception is frozen and its answers are shared by all rows; order of samples, noise, steps and seed are the same in
each. Reasoning is left out in all of them (its worth is measured on the whole model, `vadv2 eval scenes`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vadv2_core.config import parameter, to_mapping, validate
from vadv2_core.errors import InputError
from vadv2_core.files import read_json, write_bytes_atomic, write_json_atomic
from vadv2_core.vehicle import VehicleConfig
from vadv2_perception.checkpoints import load_encoder
from vadv2_planner.anchors import AnchorSet
from vadv2_planner.registry import Belongings, load_network, make_network, save_planner
from vadv2_training.frame_store import FrameStore
from vadv2_training.losses import PlanningLossConfig
from vadv2_training.losses.planning import TERMS
from vadv2_training.optimization import OptimizationConfig
from vadv2_training.planner_task import PlannerModule, PlannerTask, SeenStore, perceive_frames
from vadv2_training.reading import teach_reading
from vadv2_training.trainer import train


@dataclass(frozen=True, slots=True)
class AblationRow:
    """One planner of the table.

    Attributes:
        name: Unique.
        says: What is changed, in words.
        planner: Network.
        model: Changed fields of the planner's `ModelConfig`.
        losses: Changed fields of `PlanningLossConfig`.
        past: Whether perception sees the frames before.
        steps: Denoising passes when it plans; 0 for the planner's own.
        route: Whether it is given the route when it plans.
        trained_as: Row whose weights it uses; its own where empty.
    """

    name: str
    says: str
    planner: str = "truncated_diffusion"
    model: dict[str, Any] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    past: bool = True
    steps: int = 0
    route: bool = True
    trained_as: str = ""


BASE = "base"
ROWS: tuple[AblationRow, ...] = (
    AblationRow(BASE, "as shipped, 2 denoising steps"),
    *(AblationRow(f"steps_{n}", f"{n} denoising steps", steps=n, trained_as=BASE) for n in (1, 4, 10)),
    AblationRow("vanilla", "vanilla diffusion, 100 steps from pure noise", planner="vanilla_diffusion"),
    AblationRow("history_1", "one frame instead of four", past=False),
    *(
        AblationRow(f"no_{term}", f"without the {term} loss", losses={term: 0.0})
        for term in TERMS
        if term not in ("alignment", "risks")
    ),
    # Without its loss the judge would lower scores by what it was born with: it goes too.
    AblationRow("no_risks", "without the risks loss and their judge", model={"judged": False}, losses={"risks": 0.0}),
    AblationRow("no_queries", "without scene queries", model={"reads_queries": False}),
    AblationRow("no_images", "without image tokens", model={"reads_images": False}),
    AblationRow("no_ego", "without ego state", model={"reads_ego": False}),
    AblationRow("no_route", "without the route", model={"route_dropout": 1.0}, route=False),
    AblationRow("route_hidden", "trained with the route, driven without", route=False, trained_as=BASE),
    AblationRow("ego_status", "ego status and command only", planner="ego_status"),
    AblationRow("regression", "regression instead of diffusion", planner="regression"),
)
"""The table, the yardstick first."""


@dataclass(frozen=True, slots=True)
class AblationConfig:
    """How every row is trained."""

    steps: int = parameter(1500, "Optimiser steps of a row.", minimum=1, maximum=10_000_000)
    batch_size: int = parameter(16, "Frames a step.", minimum=1, maximum=65536)
    learning_rate: float = parameter(6e-4, "Peak learning rate.", minimum=1e-8, maximum=1.0)
    frames: int = parameter(3000, "Frames that perception is asked about.", minimum=1, maximum=100_000_000)
    seed: int = parameter(1, "Of weights and order, the same in every row.", minimum=0, maximum=2**31 - 1)

    def __post_init__(self) -> None:
        validate(self, "ablation")

    def optimization(self) -> OptimizationConfig:
        """The training of a row."""
        return OptimizationConfig(
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            warmup_steps=min(100, max(self.steps // 10, 1)),
            seed=self.seed,
        )


Progress = Callable[[str, str, int, int], None]
"""Told of row, what is done (see, train, score), how far, of how much."""
Scorer = Callable[[AblationRow, Path], dict[str, Any]]
"""Scores of a row's planner (its directory): ``pdms`` with ``mean``, ``low``, ``high``, and ``sub_scores``."""


def chosen_rows(names: Sequence[str]) -> list[AblationRow]:
    """Rows by name, all for none; the yardstick and those whose weights another one uses come along.

    Raises:
        InputError: for an unknown name.
    """
    known = {row.name: row for row in ROWS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"row {unknown[0]!r} is unknown", "--row", "one of " + ", ".join(known))
    if not names:
        return list(ROWS)
    wanted = {BASE, *names} | {known[n].trained_as for n in names} - {""}
    return [row for row in ROWS if row.name in wanted]


def ablate(
    store: FrameStore,
    model: Path,
    out: Path,
    config: AblationConfig,
    scorer: Scorer,
    rows: Sequence[AblationRow] = ROWS,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train and score every row that is not done; all results by row. Kill it at any moment, it goes on.

    Args:
        store: Cached frames of training towns.
        model: Model directory: its perception is used, its planner's anchors and sizes too.
        out: Folder of everything: ``seen``, a folder a row, ``ablation.json``, ``ablation.md``.
        config: How each is trained.
        scorer: See `Scorer`; `scenes_scorer` is the real one.
        rows: Which.
        progress: See `Progress`.

    Raises:
        InputError: for a folder of another ablation, a store without frames or a model that does not load.
    """
    encoder = load_encoder(model / "perception")
    _, shipped, _, _ = load_network(model / "planner")
    facts = {"config": to_mapping(config), "encoder": encoder.encoder_hash, "store": str(store.directory)}
    path = out / "ablation.json"
    results: dict[str, Any] = {}
    if path.exists():
        kept = read_json(path)
        if kept.get("facts") != facts:
            raise InputError("holds an ablation of other settings", str(out), "the same ones, or a new --out")
        results = kept["rows"]
    seen: dict[bool, SeenStore] = {}

    def told(row: str, what: str, done: int, total: int) -> None:
        if progress is not None:
            progress(row, what, done, total)

    def perceived(past: bool) -> SeenStore:
        if past not in seen:
            folder = out / "seen" / f"{encoder.encoder_hash[:12]}-{config.frames}-{'past' if past else 'present'}"
            count = len(store.names)
            seen[past] = perceive_frames(
                encoder.model, store, folder, config.frames, past=past, on_shard=lambda n: told("", "see", n, count)
            )
        return seen[past]

    points, offset, scale = (shipped.get_buffer(n).double().numpy() for n in ("anchors", "offset", "scale"))
    anchors = AnchorSet(points, offset, scale, "of the model")
    for row in rows:
        if row.name in results:
            continue
        directory = out / (row.trained_as or row.name) / "planner"
        begun, cpu = time.monotonic(), time.process_time()
        losses: dict[str, float] = {}
        if not directory.is_dir():
            torch.manual_seed(config.seed)
            network = make_network(row.planner, replace(shipped.config, **row.model), anchors, config.seed)
            teach_reading(network, config.seed)
            network.train()
            module = PlannerModule(network, replace(PlanningLossConfig(), **row.losses), VehicleConfig())
            task = PlannerTask(module, perceived(row.past))
            losses = train(
                task,
                config.optimization(),
                out / row.name / "run",
                facts={"row": row.name, **facts},
                on_step=partial(_trained, told, row.name, config.steps),
            ).losses
            network.eval()
            belongings = Belongings(encoder.encoder_hash)
            save_planner(directory, row.planner, network, f"ablation-{row.name}", belongings)
        told(row.name, "score", 0, 1)
        scored = scorer(row, directory)
        told(row.name, "score", 1, 1)
        spent = {"wall_s": round(time.monotonic() - begun, 1), "cpu_s": round(time.process_time() - cpu, 1)}
        results[row.name] = {"row": asdict(row), "losses": losses, "spent": spent, **scored}
        write_json_atomic(path, {"facts": facts, "rows": results})
        write_bytes_atomic(out / "ablation.md", (ablation_table(results) + "\n").encode())
    return results


def _trained(told: Progress, row: str, total: int, step: int, _: dict[str, float]) -> None:
    told(row, "train", step, total)


def scenes_scorer(model: Path, scenes: Path, workers: int = 1) -> Scorer:
    """Scores over the held-out scenes that `vadv2 eval scenes` chose and keeps, without reasoning.

    Args:
        model: Model directory whose encoder looks.
        scenes: Folder of that command; its recording, choice and tokens are used again.
        workers: Processes.

    Raises:
        InputError: for a folder that holds no chosen scenes.
    """
    chosen = scenes / "scenes.json"
    if not chosen.is_file():
        raise InputError("holds no chosen scenes", str(scenes), "the --out of `./vadv2 eval scenes`")
    count = int(read_json(chosen)["count"])

    def score(row: AblationRow, directory: Path) -> dict[str, Any]:
        from vadv2_eval.scenes.run import ScenesPlan, evaluate_scenes
        from vadv2_eval.scenes.seen import StackOrder

        stack = StackOrder(str(model), past=row.past, planner=str(directory), steps=row.steps, route=row.route)
        found = evaluate_scenes(ScenesPlan(scenes, stack, count, reasonings=("off",), words=0, workers=workers))
        mine = found["planners"]["off"]
        others = {name: found["planners"][name]["pdms"]["mean"] for name in ("expert", "constant_velocity")}
        conventions = mine["open_loop"]["conventions"]
        return {
            "pdms": mine["pdms"],
            "sub_scores": mine["sub_scores"],
            "l2": conventions[0]["l2"],
            "withheld": mine.get("withheld", 0),
            "scenes": found["scenes"],
            "yardsticks": others,
        }

    return score


def ablation_table(results: dict[str, Any]) -> str:
    """The results as Markdown, the first row's score as the yardstick of the differences."""
    parts = list(next(iter(results.values()))["sub_scores"])
    lines = [
        "| row | what is changed | PDMS [95 %] | against base | " + " | ".join(parts) + " | CPU s |",
        "|---|---|---|---|" + "---|" * (len(parts) + 1),
    ]
    base = results.get(BASE, {}).get("pdms", {}).get("mean")
    for name, found in results.items():
        score = found["pdms"]
        against = "" if base is None else f"{score['mean'] - base:+.3f}"
        shown = f"{score['mean']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"
        columns = " | ".join(f"{found['sub_scores'][part]:.3f}" for part in parts)
        lines.append(
            f"| {name} | {found['row']['says']} | {shown} | {against} | {columns} | {found['spent']['cpu_s']:.0f} |"
        )
    return "\n".join(lines)
