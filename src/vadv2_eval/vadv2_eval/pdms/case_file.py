"""Scoring a case file: results, causes, pictures and a summary for people."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vadv2_core.errors import EXIT_BAD_INPUT, InputError
from vadv2_core.files import write_json_atomic
from vadv2_eval.pdms.case_result import CANDIDATE, REFERENCE, CaseScores, score_case, v1_result, v2_result
from vadv2_eval.pdms.causes import Cause, causes_v1, causes_v2
from vadv2_eval.pdms.scene_case import parse_case, read_raw_cases

PUBLIC_CASES = Path(__file__).resolve().parents[2] / "test" / "data" / "pdms_public.json.gz"


def case_causes(scores: CaseScores) -> dict[str, list[Cause]]:
    """Why the candidate lost points, by version (v2 before the human filter)."""
    case = scores.case
    return {
        "v1": causes_v1(scores.v1, CANDIDATE, REFERENCE),
        "v2": causes_v2(
            scores.v2, scores.raw, CANDIDATE, case.history, scores.previous, case.previous.gap, reference=REFERENCE
        ),
    }


def _draw(scores: CaseScores, v1: dict[str, Any], v2: dict[str, Any], folder: Path) -> None:
    from vadv2_eval.pdms.picture import draw_proposal

    causes = case_causes(scores)
    for version, found, table, score in (
        ("v1", causes["v1"], scores.v1.tracks, v1["candidate"]["score"]),
        ("v2", causes["v2"], scores.v2.tracks, v2["filtered"]["epdms"]),
    ):
        name = {"v1": "PDMS (NAVSIM v1.1)", "v2": "EPDMS (NAVSIM v2.2, human filter on)"}[version]
        if found:
            draw_proposal(
                folder / f"{scores.case.id}_{version}.png",
                scores.case.scene,
                scores.v1.batch,
                table,
                CANDIDATE,
                found,
                f"{scores.case.id}  {name} = {score:.3f}",
                REFERENCE,
            )


def score_file(path: Path, out: Path | None, causes_out: Path | None = None, pictures: Path | None = None) -> int:
    """Score every case of a file and print a summary; write the results only when all is done.

    Returns:
        0, or `EXIT_BAD_INPUT` where cases were left out (each with one line on standard error).

    Raises:
        InputError: for a file that cannot be read, or one without a single good case.
    """
    results: list[dict[str, Any]] = []
    reasons: list[dict[str, Any]] = []
    left_out: list[InputError] = []
    raw = read_raw_cases(path)
    for i, value in enumerate(tqdm(raw, desc="cases", file=sys.stderr, disable=None, leave=False)):
        try:
            case = parse_case(value, f"{path}: cases[{i}]")
        except InputError as error:
            left_out.append(error)
            continue
        scores = score_case(case)
        v1, v2 = v1_result(scores), v2_result(scores)
        results.append({"id": case.id, "v1": v1, "v2": v2})
        if causes_out is not None:
            found = case_causes(scores)
            reasons.append({"id": case.id, **{v: [c.to_json() for c in cs] for v, cs in found.items()}})
        if pictures is not None:
            _draw(scores, v1, v2, pictures)
    if not results:
        raise left_out[0]
    left = [{"what": e.what, "where": e.where, "expected": e.expected} for e in left_out]
    if out is not None:
        write_json_atomic(out, {"cases": results, **({"left_out": left} if left else {})})
    if causes_out is not None:
        write_json_atomic(causes_out, {"cases": reasons})
    for reason in left_out:
        sys.stderr.write(f"vadv2: left out: {reason}\n")
    _summarise(results, len(left_out))
    return EXIT_BAD_INPUT if left_out else 0


def _summarise(results: list[dict[str, Any]], left_out: int) -> None:
    """Mean scores with their convention on standard output."""
    v1 = [r["v1"]["candidate"] for r in results]
    v2 = [r["v2"]["filtered"] for r in results]
    keys = ("no_at_fault_collisions", "drivable_area_compliance", "ego_progress", "time_to_collision_within_bound")
    print(f"{len(results)} cases scored, {left_out} left out")
    print(f"PDMS  (NAVSIM v1.1, mean of the cases' scores)                  {np.mean([r['score'] for r in v1]):.4f}")
    print(f"EPDMS (NAVSIM v2.2, log replay, human filter on, one stage, EC) {np.mean([r['epdms'] for r in v2]):.4f}")
    for key in (*keys, "comfort"):
        print(f"  v1 {key:32s} {np.mean([r[key] for r in v1]):.4f}")
