"""The held-out scenes from recording to scores.

Every step is kept, so that a stopped run goes on and a changed planner asks for nothing but its own plans.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vadv2_core.errors import InputError
from vadv2_core.files import read_json, write_json_atomic
from vadv2_core.scene_log import scene_logs
from vadv2_core.taxonomy import LateralAction
from vadv2_eval.intervals import rate_interval
from vadv2_eval.jobs import Job, ResultStore, run_jobs
from vadv2_eval.reasoning.records import ReasoningRecord, record_from_json
from vadv2_eval.reasoning.summary import reasoning_summary, reasoning_table
from vadv2_eval.scenes.choice import EXPERT_AT_LEAST, Candidate, choose
from vadv2_eval.scenes.plans import ACTION_RULE, REASONINGS
from vadv2_eval.scenes.seen import StackOrder, planner_name
from vadv2_eval.scenes.spoken import sampled, write_page
from vadv2_eval.scenes.summary import clustered_mean, paired, planner_summary, reasoning_differences
from vadv2_planner.config import PlannerConfig

RECORDING_SEED = 90
"""Far from the seeds of training's recordings and of the evaluated drives."""
ESTIMATED_SPACING = 2.5
"""Seconds of recording a chosen scene: what `hours` is by default."""
PAGE_SCENES = 20
JOBS = "vadv2_eval.scenes"


@dataclass(frozen=True, slots=True)
class ScenesPlan:
    """What to score.

    Attributes:
        out: Folder of everything: ``logs``, ``scenes.json``, ``tokens``, ``embeddings``, stores, page.
        stack: The model and its settings.
        count: Scenes.
        hours: Of recording; 0 for what ``count`` needs.
        reasonings: Kinds of reasoning (`REASONINGS`); empty for none.
        peers: Directories of other planners on the same tokens.
        words: Scenes that are spoken of; 0 for none.
        towns: Held-out towns.
        workers: Processes.
    """

    out: Path
    stack: StackOrder
    count: int = 1000
    hours: float = 0.0
    reasonings: tuple[str, ...] = REASONINGS
    peers: tuple[str, ...] = ()
    words: int = 300
    towns: tuple[str, ...] = ()
    workers: int = 1


@dataclass(slots=True)
class _Run:
    """One evaluation under way: the chosen scenes by log, and where things are kept."""

    plan: ScenesPlan
    chosen: dict[str, list[int]]
    marks: dict[str, str]
    pdms: dict[str, Any] = field(default_factory=dict)

    def job(self, name: str, store: str, keys: Callable[[str], str], arguments: Callable[[str], dict[str, Any]]) -> Any:
        """Run one function over all logs; its results by log."""
        kept = ResultStore(self.plan.out / f"{store}.jsonl")
        jobs = [Job(keys(log), {"log": log, "indices": self.chosen[log], **arguments(log)}) for log in self.chosen]
        return _results(name, jobs, kept, self.plan.workers, store, list(self.chosen))


def _results(
    name: str, jobs: Sequence[Job], store: ResultStore, workers: int, label: str, logs: Sequence[str]
) -> dict[str, Any]:
    run_jobs(f"{JOBS}.{name}", jobs, store, workers=workers, label=label)
    found = {}
    for log, job in zip(logs, jobs, strict=True):
        row = store.rows[job.key]
        if "error" in row:
            raise InputError(row["error"], log, "a scene that can be scored")
        found[log] = row["result"]
    return found


def evaluate_scenes(plan: ScenesPlan) -> dict[str, Any]:
    """Record, choose, encode, plan, score and speak; all results with intervals.

    Raises:
        InputError: for an unknown kind of reasoning, a model that does not load, or a folder of another recording.
    """
    unknown = [r for r in plan.reasonings if r not in REASONINGS]
    if unknown:
        raise InputError(f"reasoning {unknown[0]!r} is unknown", "--reasoning", "one of " + ", ".join(REASONINGS))
    chosen = chosen_scenes(plan)
    by_log: dict[str, list[int]] = {}
    for candidate in chosen:
        by_log.setdefault(candidate.log, []).append(candidate.index)
    stack = plan.stack
    run = _Run(plan, by_log, {stage: stack.mark(stage) for stage in ("perception", "vlm", "planner")})
    _encode(run)
    _embed(run)
    plans = _plans(run)
    result = _scores(run, plans, chosen)
    if plan.words:
        result |= _speak(run, plans.get("on"))
    return result


def chosen_scenes(plan: ScenesPlan) -> list[Candidate]:
    """The scenes of a folder: those chosen before, or recorded and chosen now."""
    file = plan.out / "scenes.json"
    if file.exists():
        kept = read_json(file)
        if kept["count"] != plan.count:
            raise InputError(f"holds {kept['count']} scenes", str(plan.out), f"--count {kept['count']}, or a new --out")
        return [Candidate(**c) for c in kept["scenes"]]
    _record(plan)
    logs = [str(p) for p in scene_logs(plan.out / "logs")]
    jobs = [Job(log, {"log": log}) for log in logs]
    store = ResultStore(plan.out / "candidates.jsonl")
    found = _results("choice:score_candidates", jobs, store, plan.workers, "candidates", logs)
    candidates = [Candidate(log, *row) for log, result in found.items() for row in result["rows"]]
    chosen = choose(candidates, plan.count)
    told = {
        "count": plan.count,
        "candidates": len(candidates),
        "expert_below": sum(c.expert < EXPERT_AT_LEAST for c in candidates),
        "hard": sum(c.hard for c in chosen),
    }
    write_json_atomic(file, told | {"scenes": [asdict(c) for c in chosen]})
    return chosen


def _record(plan: ScenesPlan) -> None:
    from tqdm import tqdm

    from vadv2_sim.record import record
    from vadv2_sim.town import HELD_OUT_TOWNS

    hours = plan.hours or plan.count * ESTIMATED_SPACING / 3600.0
    with tqdm(total=round(3600 * hours), desc="record", unit="s", disable=None) as bar:
        for outcome in record(
            plan.out / "logs", plan.towns or HELD_OUT_TOWNS, hours, seed=RECORDING_SEED, workers=plan.workers
        ):
            bar.update(round(outcome.seconds))


def _tokens(run: _Run) -> Path:
    past = "" if run.plan.stack.past else "-present"
    return run.plan.out / "tokens" / f"{run.marks['perception']}{past}"


def _encode(run: _Run) -> None:
    folder, stack = _tokens(run), asdict(run.plan.stack)
    run.job(
        "seen:encode_scenes", "encoded", lambda log: f"{log}#{folder.name}",
        lambda _: {"folder": str(folder), "stack": stack},
    )  # fmt: skip


def _embeddings(run: _Run) -> Path:
    return run.plan.out / "embeddings" / f"{_tokens(run).name}-{run.marks['vlm']}"


def _embed(run: _Run) -> None:
    if not set(run.plan.reasonings) - {"off"}:
        return
    folder, stack = _embeddings(run), asdict(run.plan.stack)
    run.job(
        "seen:embed_scenes", "embedded", lambda log: f"{log}#{folder.name}",
        lambda _: {"tokens": str(_tokens(run)), "folder": str(folder), "stack": stack},
    )  # fmt: skip


def others(chosen: Mapping[str, Sequence[int]], seed: int = 0) -> dict[str, list[tuple[str, int]]]:
    """For each scene the log and row of a scene of another drive, each used once where that can be."""
    places = [(log, row) for log, indices in chosen.items() for row in range(len(indices))]
    if len(chosen) < 2:
        raise InputError("only one drive", "shuffled reasoning", "scenes of several drives")
    drawn = list(places)
    random.Random(seed).shuffle(drawn)
    for k, (mine, given) in enumerate(zip(places, drawn, strict=True)):
        if mine[0] == given[0]:
            free = (j for j in range(len(places)) if drawn[j][0] != mine[0] and places[j][0] != given[0])
            j = next(free, None)
            if j is not None:
                drawn[k], drawn[j] = drawn[j], drawn[k]
    found: dict[str, list[tuple[str, int]]] = {log: [] for log in chosen}
    for (log, _), given in zip(places, drawn, strict=True):
        found[log].append(given)
    return found


def _plans(run: _Run) -> dict[str, list[Any]]:
    """Results of `plans` by name of the plan, a list over logs of (log, result)."""
    rules = run.job("plans:plan_rules", "rules", lambda log: log, lambda _: {})
    by_name: dict[str, list[Any]] = {name: list(rules.items()) for name in next(iter(rules.values()))["pdms"]}
    stack = run.plan.stack
    kinds = run.plan.reasonings or ("off",)
    other = others(run.chosen) if "shuffled" in kinds else {log: [] for log in run.chosen}
    ours = _networks(run, stack, dict(zip(kinds, kinds, strict=True)), other)
    by_name |= {kind: list(ours.items()) for kind in kinds}
    for peer in run.plan.peers:
        name = f"peer {planner_name(Path(peer))} {Path(peer).parent.name}"
        found = _networks(run, replace(stack, planner=peer), {name: "off"}, other)
        by_name[name] = list(found.items())
    return by_name


def _networks(run: _Run, stack: StackOrder, kinds: dict[str, str], other: dict[str, list[tuple[str, int]]]) -> Any:
    tokens, embeddings = _tokens(run), _embeddings(run)
    mark = f"{_planning_mark(run, stack)}-{'+'.join(kinds)}"
    return run.job(
        "plans:plan_scenes", "plans", lambda log: f"{log}#{mark}",
        lambda log: {
            "tokens": str(tokens), "embeddings": str(embeddings), "stack": asdict(stack), "plans": kinds,
            "other": other[log],
        },
    )  # fmt: skip


def _planning_mark(run: _Run, stack: StackOrder) -> str:
    """What a plan of a scene depends on."""
    asked = f"{stack.steps}-{stack.route}-{PlannerConfig().heeding}"
    return f"{_tokens(run).name}-{run.marks['vlm']}-{stack.mark('planner')}-{asked}-{ACTION_RULE}"


def _scores(run: _Run, plans: dict[str, list[Any]], chosen: Sequence[Candidate]) -> dict[str, Any]:
    groups = [log for log, indices in run.chosen.items() for _ in indices]
    summaries, scores = {}, {}
    for name, found in plans.items():
        pdms = np.concatenate([np.asarray(r["pdms"][name], dtype=np.float64) for _, r in found])
        keys = found[0][1]["open_loop"][name]
        open_loop = {k: np.concatenate([np.asarray(r["open_loop"][name][k]) for _, r in found]) for k in keys}
        summaries[name] = planner_summary(pdms, found[0][1]["columns"], open_loop, groups)
        if "withheld" in found[0][1]:
            summaries[name]["withheld"] = sum(r["withheld"][name] for _, r in found)
        scores[name] = pdms[:, 0]
    main = (run.plan.reasonings or ("off",))[0]
    against = {
        f"{main} minus {n}": paired(v, scores[main], groups) for n, v in scores.items() if n not in REASONINGS
    }  # fmt: skip
    share = clustered_mean(scores["constant_velocity"], groups).mean / clustered_mean(scores["expert"], groups).mean
    return {
        "scenes": len(groups),
        "drives": len(run.chosen),
        "hard": sum(c.hard for c in chosen),
        "expert_below": read_json(run.plan.out / "scenes.json")["expert_below"],
        "constant_velocity_of_expert": share,
        "marks": run.marks,
        "stack": asdict(run.plan.stack),
        "pdms": summaries[main]["pdms"]["mean"],
        "planners": summaries,
        "differences": against,
        "reasoning_differences": reasoning_differences({k: v for k, v in scores.items() if k in REASONINGS}, groups),
    }


def _speak(run: _Run, own: list[Any] | None) -> dict[str, Any]:
    """Reason in words on whole drives until ``words`` scenes are spoken of; metrics, and the page."""
    wanted: dict[str, list[int]] = {}
    order = sorted(run.chosen)
    random.Random(1).shuffle(order)
    for log in order:
        if sum(len(v) for v in wanted.values()) >= run.plan.words:
            break
        wanted[log] = run.chosen[log]
    part = _Run(run.plan, wanted, run.marks)
    mark = _planning_mark(run, run.plan.stack)  # The words explain a plan.
    stack = asdict(run.plan.stack)
    found = part.job(
        "spoken:speak_scenes", "spoken", lambda log: f"{log}#{mark}",
        lambda _: {"tokens": str(_tokens(run)), "stack": stack},
    )  # fmt: skip
    rows = [(log, row) for log, result in found.items() for row in result["rows"]]
    write_page(run.plan.out / "said.html", sampled(rows, PAGE_SCENES), Path(run.plan.stack.rig))
    records = [record_from_json(row["record"], "spoken") for _, row in rows]
    table = reasoning_table(records)
    table.pop("agreement", None)  # The expert drove these scenes, not who speaks here; see the plans instead.
    return {
        "spoken": len(rows),
        **{k: v.mean if v else None for k, v in table.items()},
        "estimates": {k: v.to_json() if v else None for k, v in table.items()},
        "stated_and_planned_agree": _agreement(rows, own),
        "expert_agrees_with_itself": expert_agreement(records),
        "reasoning": reasoning_summary(records),
    }


def expert_agreement(records: Sequence[ReasoningRecord]) -> dict[str, Any] | None:
    """Share of the moments at which what the expert then drove is what it had decided: nobody can agree more often."""
    known = [r for r in records if r.driven and r.true]
    found = rate_interval(sum(r.driven == tuple(r.true[:2]) for r in known), len(known))
    return None if found is None else found.to_json()


def _agreement(rows: Sequence[tuple[str, dict[str, Any]]], own: list[Any] | None) -> dict[str, Any] | None:
    """Share of the scenes whose stated longitudinal and lateral action is what the model then plans."""
    if own is None:
        return None
    planned = {(log, i): a for log, r in own for i, a in enumerate(r["actions"]["on"])}
    place: dict[str, int] = {}
    same, groups = [], []
    for log, row in rows:
        k = place[log] = place.get(log, -1) + 1
        if LateralAction.UNKNOWN.name not in planned[log, k]:  # A plan on no lane has no name that could be stated.
            same.append(float(row["record"]["said"][:2] == planned[log, k]))
            groups.append(log)
    return clustered_mean(np.array(same), groups).to_json()
