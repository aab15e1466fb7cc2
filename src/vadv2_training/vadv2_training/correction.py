"""Closed-loop correction: the model drives the training towns, the expert says at every frame what it would have done.

After imitation a model has only seen the states an expert gets into. Here it gets into its own; where it fails or
drifts the expert takes the wheel, brings it back and gives it back. What is left behind is a recording like any other,
with the expert's plans beside each log (`vadv2_training.expert_plans`).
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from vadv2_core.config import parameter, to_mapping, validate
from vadv2_core.errors import InputError
from vadv2_core.files import read_json, sha256_of, whole_lines, write_json_atomic
from vadv2_core.road_map_file import save_road_map
from vadv2_sim.record import DriveOrder, plan_recording
from vadv2_sim.road_map import town_map
from vadv2_sim.town import load_town
from vadv2_training.drives import HELD_OUT_TOWNS

OUTCOMES_FILE, ORDER_FILE = "drives.jsonl", "recording.json"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CorrectionConfig:
    """How a model is watched while it drives."""

    seconds: float = parameter(40.0, "Longest drive.", unit="s", minimum=2.0, maximum=600.0)
    cpu_seconds: float = parameter(150.0, "CPU time after which a drive ends.", unit="s", minimum=5.0, maximum=36000.0)
    plan_every: int = parameter(2, "Steps of 0.1 s between two frames the model sees.", minimum=1, maximum=5)
    disagreement: float = parameter(
        1.5, "Plans further than this from the expert's within 2 s are a finding.", unit="m", minimum=0.1, maximum=20.0
    )
    drift: float = parameter(
        1.4, "Further than this beside the way, with the expert wanting back, is a drift.", unit="m", minimum=0.3,
        maximum=10.0,
    )  # fmt: skip
    stuck: float = parameter(
        5.0, "Standing so long while the expert would drive is stuck.", unit="s", minimum=1.0, maximum=60.0
    )
    takeover: float = parameter(
        3.0, "Shortest time the expert keeps the wheel; three times this is the longest.", unit="s", minimum=0.5,
        maximum=30.0,
    )  # fmt: skip

    def __post_init__(self) -> None:
        validate(self, "correction")


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a model went wrong.

    Attributes:
        time: Since the drive began, s.
        kind: collision, red_light, stop_sign, off_road, wrong_way, drift, stuck, withheld or disagreement.
        detail: In words.
    """

    time: float
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a corrected drive.

    Attributes:
        order: Which drive.
        seconds: Driven, s.
        reason: Why it ended: goal, time, collision, stuck, cpu; ``no_place`` where the town has none;
            ``crashed`` where the process died.
        findings: Where the model went wrong, in order.
        model_share: Share of frames at which the model had the wheel.
        disagreement: Mean over the model's plans of their largest distance from the expert's within 2 s, m; None
            where the model made none.
        cpu_seconds: What it cost.
        log: Path of the log below the recording's folder; empty where none is worth keeping.
    """

    order: DriveOrder
    seconds: float
    reason: str
    findings: tuple[Finding, ...] = ()
    model_share: float = 0.0
    disagreement: float | None = None
    cpu_seconds: float = 0.0
    log: str = ""


Progress = Callable[[int, int, Outcome], None]


def weights_hash(model: Path | None) -> str:
    """One hash of a model directory's weights; ``untrained`` for none."""
    if model is None:
        return "untrained"
    found = sorted(model.glob("*/model.safetensors"))
    if not found:
        raise InputError("holds no weights", str(model), "a model directory: perception/ planner/ and perhaps vlm/")
    return "+".join(sha256_of(path)[:16] for path in found)


def correct(
    model: Path | None,
    recording: Path,
    towns: Sequence[str],
    drives: int,
    seed: int,
    workers: int = 1,
    progress: Progress | None = None,
    config: CorrectionConfig | None = None,
    scenarios: Sequence[str] = (),
    rig: Path = Path("config/rig/surround6.yaml"),
) -> Iterator[Outcome]:
    """Let a model drive, and record what the expert would have done at each of its states.

    Which drives are driven depends on the arguments alone; a killed run goes on with the next drive.

    Args:
        model: Model directory; None for untrained weights.
        recording: Folder to leave logs, maps and plans in; `vadv2_training.cache.fill` reads it.
        towns: Training towns, in turn.
        drives: How many.
        seed: Of the drives; choose another one than the imitation recording's, so that they are other drives.
        workers: Processes.
        progress: Told of every drive: done, of how many, its outcome.
        config: How it is watched.
        scenarios: Only these; empty for the recording's mix.
        rig: The cameras it drives with.

    Yields:
        Outcomes in the order of the drives; those of an earlier run first.

    Raises:
        InputError: for a held-out town, a folder of another correction, or a model that does not load.
    """
    config = config or CorrectionConfig()
    held = next((t for t in towns if Path(t).name in HELD_OUT_TOWNS), None)
    if held is not None:
        raise InputError(f"town {held!r} is held out for tests", "correction", "training towns")
    _prepare(model, recording, towns, drives, seed, config, scenarios)
    orders = list(islice(plan_recording([str(t) for t in towns], scenarios, seed, "correction"), drives))
    earlier = _earlier(recording)
    missing = [order for order in orders if order.file not in earlier]
    fresh = _driven(model, recording, missing, workers, config, rig)
    for done, order in enumerate(orders, start=1):
        if order.file in earlier:
            outcome = earlier[order.file]
        else:
            outcome = next(fresh)
            with (recording / OUTCOMES_FILE).open("a") as out:
                out.write(json.dumps(asdict(outcome)) + "\n")
        if progress is not None:
            progress(done, len(orders), outcome)
        yield outcome


def _prepare(
    model: Path | None,
    recording: Path,
    towns: Sequence[str],
    drives: int,
    seed: int,
    config: CorrectionConfig,
    scenarios: Sequence[str],
) -> None:
    loaded = [load_town(town) for town in dict.fromkeys(towns)]
    told = {
        "version": 1,
        "driver": "correction",
        "weights": weights_hash(model),
        "towns": [str(t) for t in towns],
        "scenarios": list(scenarios),
        "seed": seed,
        "config": to_mapping(config),
    }
    path = recording / ORDER_FILE
    if path.exists() and read_json(path) != told:
        what = "holds a correction made with another model or other arguments"
        raise InputError(what, str(recording), "the same ones, or a new folder")
    write_json_atomic(path, told)
    for town in loaded:
        target = recording / "maps" / f"{town.net_hash[:16]}.map.zst"
        if not target.exists():
            save_road_map(target, town_map(town).road)


_WORKER: dict[str, Any] = {}


def _begin(model: Path | None, rig: Path, config: CorrectionConfig) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _WORKER.update(model=model, rig=rig, config=config, pupil=None)


def _work(job: tuple[DriveOrder, str]) -> Outcome:
    from vadv2_training.corrected_drive import Pupil, corrected_drive

    order, folder = job
    if _WORKER["pupil"] is None:
        _WORKER["pupil"] = Pupil(_WORKER["model"], _WORKER["rig"])
    return corrected_drive(order, Path(folder), _WORKER["pupil"], _WORKER["config"])


def _driven(
    model: Path | None,
    recording: Path,
    orders: Sequence[DriveOrder],
    workers: int,
    config: CorrectionConfig,
    rig: Path,
) -> Iterator[Outcome]:
    jobs = [(order, str(recording)) for order in orders]
    if not jobs:
        return
    context = multiprocessing.get_context("spawn")
    # SUMO may take a process with it: a pool that waits for the dead one would wait for ever.
    with ProcessPool(
        max(workers, 1), max_tasks=20, initializer=_begin, initargs=(model, rig, config), context=context
    ) as pool:
        futures = [pool.schedule(_work, args=(job,)) for job in jobs]
        yield from (_result(order, future) for order, future in zip(orders, futures, strict=True))


def _result(order: DriveOrder, future: ProcessFuture[Outcome]) -> Outcome:
    """What came of a drive; one whose process died has no log, and is not driven again."""
    try:
        outcome: Outcome = future.result()
    except ProcessExpired as error:
        _LOG.warning("%s: the process that drove it died (%s); the drive is left out", order.file, error)
        return Outcome(order, 0.0, "crashed")
    return outcome


def _earlier(recording: Path) -> dict[str, Outcome]:
    """Outcomes that an earlier run wrote down whole."""
    found: dict[str, Outcome] = {}
    for line in whole_lines(recording / OUTCOMES_FILE):
        try:
            values = json.loads(line)
            order = DriveOrder(**values.pop("order"))
            findings = tuple(Finding(**f) for f in values.pop("findings"))
            outcome = Outcome(order, **{**values, "findings": findings})
        except (ValueError, KeyError, TypeError):
            continue  # its drive is made again
        if not outcome.log or (recording / outcome.log).exists():
            found[order.file] = outcome
    return found
