"""All reasoning metrics of a set of records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from vadv2_eval.intervals import Estimate, group_interval, rate_interval
from vadv2_eval.reasoning.classes import (
    ClassScore,
    accuracy,
    calibration_error,
    class_scores,
    flag_score,
    macro_f1,
)
from vadv2_eval.reasoning.records import NOBODY, ReasoningRecord

STABILITY_GAP = 1.5
"""s between two reasonings of a drive that still count as neighbours."""


def stability(records: Sequence[ReasoningRecord]) -> tuple[int, int]:
    """Neighbouring pairs that say the same where the truth stayed the same, and how many such pairs there are."""
    by_drive: dict[str, list[ReasoningRecord]] = defaultdict(list)
    for record in sorted(records, key=lambda r: (r.drive, r.time)):
        by_drive[record.drive].append(record)
    same = total = 0
    for rows in by_drive.values():
        for before, after in pairwise(rows):
            if after.time - before.time <= STABILITY_GAP and before.true == after.true:
                total += 1
                same += before.said == after.said
    return same, total


def _rate(hits: int, count: int) -> dict[str, Any] | None:
    found = rate_interval(hits, count)
    return found.to_json() if found else None


def reasoning_summary(records: Sequence[ReasoningRecord]) -> dict[str, Any]:
    """Every metric, with counts and 95 % intervals; None where nothing can be said.

    ``intent``: F1 of meta-actions and cause against the expert. ``intentions``: F1 of the agents' intentions.
    ``flags``: precision, recall, F1 and calibration a flag. ``trace_accuracy``: share of statements that are true of
    the Scene. ``cot_accuracy``: the action a trace argues for is the expert's. ``agreement``: the stated intent is what
    was then driven. ``stability``: neighbouring reasonings say the same while the truth stays the same.
    """
    judged = [r for r in records if r.true]
    intent: dict[str, Any] = {}
    for i, name in enumerate(("longitudinal", "lateral", "cause")):
        said, true = [r.said[i] for r in judged], [r.true[i] for r in judged]
        scores = class_scores(said, true)
        intent[name] = {
            "macro_f1": macro_f1(scores),
            "accuracy": accuracy(said, true),
            "classes": {str(k): v.to_json() for k, v in scores.items()},
        }
    meta_said, meta_true = [r.said[:2] for r in judged], [r.true[:2] for r in judged]
    intent["meta_action_accuracy"] = _rate(sum(a == b for a, b in zip(meta_said, meta_true, strict=True)), len(judged))
    intent["exact_accuracy"] = _rate(sum(r.said == tuple(r.true) for r in judged), len(judged))
    intentions = _intention_scores(records)
    made, right = (sum(r.statements[i] for r in records) for i in (0, 1))
    argued = [r for r in judged if r.argued]
    driven = [r for r in records if r.driven]
    same, neighbours = stability(records)
    return {
        "records": len(records),
        "intent": intent,
        "intentions": {
            "macro_f1": agent_intent_f1(records),
            "pairs": sum(len(r.intentions) for r in records),
            "classes": {str(k): v.to_json() for k, v in intentions.items()},
        },
        "flags": _flags(records),
        "trace_accuracy": _rate(right, made),
        "statements": _statements(records),
        "unread_sentences": sum(r.unread for r in records),
        "cot_accuracy": _rate(sum(r.argued == tuple(r.true[:2]) for r in argued), len(argued)),
        "agreement": _rate(sum(r.said[:2] == tuple(r.driven) for r in driven), len(driven)),
        "longitudinal_agreement": _rate(sum(r.said[0] == r.driven[0] for r in driven), len(driven)),
        "stability": _rate(same, neighbours),
        "truncated": _rate(sum(r.truncated for r in records), len(records)),
        "median_seconds": float(np.median([r.seconds for r in records])) if records else None,
    }


def reasoning_table(records: Sequence[ReasoningRecord]) -> dict[str, Estimate | None]:
    """The reasoning's rows of the table of what a model reached, with 95 % intervals; empty without records.

    ``edge_recall`` and ``edge_precision`` count all flags of all reasonings together, at 0.5. ``intent_f1`` is the mean
    of the macro F1 of longitudinal action, lateral action and cause, over the classes that are true somewhere;
    ``agent_intent_f1`` the macro F1 of stated intentions. Intervals of F1 and of the flags are bootstraps over drives,
    because moments of one drive are alike; the others are Wilson's.
    """
    if not records:
        return {}
    summary = reasoning_summary(records)
    drives = sorted({r.drive for r in records})
    grouped = [[r for r in records if r.drive == drive] for drive in drives]

    def rate(key: str) -> Estimate | None:
        value = summary[key]
        return None if value is None else Estimate(**value)

    return {
        "edge_recall": group_interval(grouped, lambda rows: _edges(rows)[0]),
        "edge_precision": group_interval(grouped, lambda rows: _edges(rows)[1]),
        "intent_f1": group_interval(grouped, intent_f1),
        "agent_intent_f1": group_interval(grouped, agent_intent_f1),
        "trace_accuracy": rate("trace_accuracy"),
        "cot_accuracy": rate("cot_accuracy"),
        "agreement": rate("agreement"),
    }


def intent_f1(records: Sequence[ReasoningRecord]) -> float | None:
    """Mean of the macro F1 of longitudinal action, lateral action and cause; None without an expert's decision."""
    judged = [r for r in records if r.true]
    found = [macro_f1(class_scores([r.said[i] for r in judged], [r.true[i] for r in judged])) for i in range(3)]
    values = [f for f in found if f is not None]
    return float(np.mean(values)) if values else None


def agent_intent_f1(records: Sequence[ReasoningRecord]) -> float | None:
    """Macro F1 of stated against true intentions of agents; None where none was stated of anybody who is there.

    `NOBODY` is no class of the mean: nobody can say it, so its F1 would be 0 whoever spoke. Whoever states an intention
    of nobody pays for it in that intention's precision.
    """
    return macro_f1({name: score for name, score in _intention_scores(records).items() if name != NOBODY})


def _intention_scores(records: Sequence[ReasoningRecord]) -> dict[Hashable, ClassScore]:
    """Every intention that was stated or true, `NOBODY` among them."""
    pairs = [pair for r in records for pair in r.intentions]
    return class_scores([a for a, _ in pairs], [b for _, b in pairs])


def _edges(records: Sequence[ReasoningRecord]) -> tuple[float | None, float | None]:
    """Recall and precision over all flags of all records."""
    pairs = [(r.flags[n], t) for r in records for n, t in r.flag_truths.items() if n in r.flags]
    score = flag_score([p for p, _ in pairs], [t for _, t in pairs])
    return score.recall, score.precision


def _statements(records: Sequence[ReasoningRecord]) -> dict[str, Any]:
    """Share of the statements that are true, by kind."""
    kinds = sorted({kind for r in records for kind in r.kinds})
    counts = {kind: [sum(r.kinds.get(kind, (0, 0))[i] for r in records) for i in (0, 1)] for kind in kinds}
    return {kind: _rate(right, made) for kind, (made, right) in counts.items()}


def _flags(records: Sequence[ReasoningRecord]) -> dict[str, Any]:
    judged = [r for r in records if r.flag_truths]
    names = sorted({name for r in judged for name in r.flag_truths})
    found = {}
    for name in names:
        rows = [r for r in judged if name in r.flags and name in r.flag_truths]
        p, true = [r.flags[name] for r in rows], [r.flag_truths[name] for r in rows]
        score = flag_score(p, true)
        found[name] = score.to_json() | {"calibration_error": calibration_error(p, true), "true": sum(true)}
    return found
