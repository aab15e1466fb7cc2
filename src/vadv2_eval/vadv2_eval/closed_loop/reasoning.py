"""A driven reasoning held against the Scene, the expert and what was then driven."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadv2_core.decision import Decision
from vadv2_core.errors import InputError
from vadv2_core.geometry import Array, Pose2
from vadv2_core.language.statements import IntentionStatement
from vadv2_core.meta_action import HORIZON, MetaAction, driven_action
from vadv2_core.reasoning import Reasoning
from vadv2_core.scene import RoadMap, Scene
from vadv2_core.stamps import NANOSECONDS, Stamp, seconds_between
from vadv2_core.taxonomy import EdgeCaseFlag
from vadv2_eval.reasoning.actions import argued_action
from vadv2_eval.reasoning.records import NOBODY, ReasoningRecord
from vadv2_eval.reasoning.road_action import LOOK_AHEAD, action_on_road

FUTURE_SCENES = round(10 * LOOK_AHEAD) + 1
"""Scenes, 0.1 s apart, of which the first is the moment itself: as far as a path is looked at."""
SHORTEST_FUTURE = round(10 * HORIZON) + 1
"""Of them, without which nothing is said of what was driven."""


def judged_reasoning(
    reasoning: Reasoning,
    future: Sequence[Scene],
    road: RoadMap,
    decision: Decision | None,
    drive: str,
    time: float,
    visible: tuple[frozenset[str], frozenset[str]] | None = None,
) -> ReasoningRecord:
    """One record.

    Args:
        reasoning: What was said of the first scene.
        future: That scene and what followed, 0.1 s apart; `FUTURE_SCENES` where the drive goes on for so long.
        road: The map.
        decision: The expert's at that scene; None without one.
        drive: Name of the drive.
        time: Seconds since its start.
        visible: Ids of the agents and of the signals that the cameras see; None for everything in sight.
    """
    from vadv2_sim.narrator import SceneFacts, Visibility, edge_cases

    facts = SceneFacts(future[0], road, None if visible is None else Visibility(*visible))
    kinds, unread, intentions = _statements(reasoning, facts, decision)
    made, right = (sum(counts[i] for counts in kinds.values()) for i in (0, 1))
    argued = argued_action(reasoning.trace)
    return ReasoningRecord(
        round(time, 2),
        drive,
        (reasoning.longitudinal.name, reasoning.lateral.name, reasoning.cause.name),
        (decision.longitudinal.name, decision.lateral.name, decision.cause.name) if decision else (),
        _driven(future, road),
        tuple(a.name for a in argued) if argued else (),
        {flag.name: round(float(reasoning.flag_probabilities[flag]), 6) for flag in EdgeCaseFlag},
        {flag.name: bool(true) for flag, true in zip(EdgeCaseFlag, edge_cases(facts), strict=True)},
        (made, right),
        unread,
        intentions,
        reasoning.truncated,
        round(reasoning.inference_time, 4),
        kinds,
    )


def _statements(
    reasoning: Reasoning, facts: Any, decision: Decision | None
) -> tuple[dict[str, tuple[int, int]], int, tuple[tuple[str, str], ...]]:
    """Statements made and true by kind, sentences not read, and stated intentions beside the true ones."""
    from vadv2_core.language.sentences import parse_text
    from vadv2_sim.narrator import check_facts

    statements, unread = parse_text(f"{reasoning.scene_description} {reasoning.trace}")
    kinds: dict[str, tuple[int, int]] = {}
    intentions = []
    for statement in statements:
        try:
            true = check_facts(statement, facts, decision)
        except InputError:
            continue  # a statement about what to do, and no expert to hold it against
        kind = type(statement).__name__.removesuffix("Statement").lower()
        made, right = kinds.get(kind, (0, 0))
        kinds[kind] = (made + 1, right + true)
        if isinstance(statement, IntentionStatement):
            there = [s.agent for s in facts.agents if s.agent.cls is statement.cls and statement.zone in s.zones]
            meant = statement.intention if true else there[0].intention if there else None
            intentions.append((statement.intention.name, meant.name if meant is not None else NOBODY))
    return kinds, len(unread), tuple(intentions)


def _driven(future: Sequence[Scene], road: RoadMap) -> tuple[str, ...]:
    """What was driven over the next 3 s; empty where the drive ended before, or went where no lane is."""
    if len(future) < SHORTEST_FUTURE:
        return ()
    poses = np.array([(s.ego.pose.x, s.ego.pose.y, s.ego.pose.yaw) for s in future])
    times = np.array([seconds_between(future[0].stamp, s.stamp) for s in future])
    return _named(action_on_road(road, times, poses, np.array([s.ego.speed for s in future])))


def driven_between(
    pose_at: Callable[[NDArray[np.int64]], Array], stamp: Stamp, road: RoadMap | None = None
) -> tuple[str, ...]:
    """Meta-actions driven in the 3 s after a stamp; empty where less is recorded.

    Args:
        pose_at: Gives (k, 4) x, y, yaw, speed at stamps, NaN outside the recording.
        stamp: The moment.
        road: The map, in the poses' frame; None where none is known, and the path's bend must do.
    """
    times = 0.1 * np.arange(FUTURE_SCENES)
    rows = pose_at(stamp + np.round(times * NANOSECONDS).astype(np.int64))
    there = int(np.isfinite(rows).all(axis=1).argmin()) or len(rows)
    if not np.isfinite(rows[0]).all() or there < SHORTEST_FUTURE:
        return ()
    rows = np.asarray(rows[:there])
    if road is not None:
        return _named(action_on_road(road, times[:there], rows[:, :3], rows[:, 3]))
    origin = Pose2(*(float(v) for v in rows[0, :3]))
    poses = np.column_stack([origin.inverse_transform(rows[:, :2]), rows[:, 2] - rows[0, 2]])
    return _named(driven_action(times[:there], poses, rows[:, 3]))


def _named(action: MetaAction) -> tuple[str, ...]:
    # Of a path that is on no lane nobody could state the lateral action.
    return tuple(part.name for part in action) if all(action) else ()
