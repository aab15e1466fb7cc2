"""Which moments of a recording are scored: hard enough that driving straight on at the same speed is not good enough.

Only what the expert and constant velocity score at a moment is looked at, never a model.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vadv2_core.errors import InputError
from vadv2_eval.logs.planners import constant_velocity, log_replay
from vadv2_eval.pdms.reference_planner import reference_plan
from vadv2_eval.pdms.score import score_proposals
from vadv2_eval.scenes.recorded import read_drive

EVERY = 10
"""Steps of 0.1 s between two candidates of a drive."""
FIRST = 20
"""Steps of a drive before its first candidate, so that there is a past to see."""
HARD = 0.5
"""A moment is hard where constant velocity gets at most this share of the expert's score."""
EXPERT_AT_LEAST = 0.8
"""Moments at which the recorded driving itself scores less are not used, as in the filter of NAVSIM's splits (Dauner et
al. 2024): the metric's own controller cannot follow there, and nobody could score."""
RATIO = 0.55
"""What constant velocity may get of the expert's mean; the specification asks for at most 0.6."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One moment: log file, index of its scene, and the scores of expert and constant velocity."""

    log: str
    index: int
    expert: float
    constant_velocity: float

    @property
    def hard(self) -> bool:
        """Whether constant velocity fails at it."""
        return self.constant_velocity <= HARD * self.expert


def score_candidates(argument: dict[str, Any]) -> dict[str, Any]:
    """Every candidate of one log; a job of `vadv2_eval.jobs`. A drive in which the expert failed has none."""
    drive = read_drive(Path(argument["log"]))
    log = drive.log
    rows = []
    if not drive.failed:
        last = log.moments(every=1).stop
        for index in range(FIRST, last, EVERY):
            scene = log.pdms_scene(index)
            route = log.scenes[index].route
            reference = reference_plan(scene, limit=route.speed_limit if route else 0.0, vehicle=log.vehicle)
            poses = np.stack([log_replay(log, index).poses, constant_velocity(log, index).poses])
            scores = score_proposals(scene, poses, 0.5, reference, vehicle=log.vehicle).score
            rows.append([index, round(float(scores[1]), 6), round(float(scores[2]), 6)])
    return {"rows": rows}


def choose(candidates: Sequence[Candidate], count: int, seed: int = 0) -> list[Candidate]:
    """At most ``count`` candidates, in the order of the recording.

    Those at which the expert gets less than `EXPERT_AT_LEAST` are left out. Hard and easy ones are drawn by a hash of
    their names, in the share at which constant velocity gets `RATIO` of the expert's mean, or as many hard ones as
    chance gives where it gets less. Fewer than ``count`` where the recording has too few hard ones.

    Raises:
        InputError: for a recording without a hard moment.
    """
    candidates = [c for c in candidates if c.expert >= EXPERT_AT_LEAST]

    def drawn(group: Sequence[Candidate]) -> list[Candidate]:
        return sorted(group, key=lambda c: hashlib.sha256(f"{seed}/{c.log}/{c.index}".encode()).digest())

    hard, easy = (drawn([c for c in candidates if c.hard is kind]) for kind in (True, False))
    if not hard:
        raise InputError("constant velocity fails nowhere", "recording", "scenes that ask for more")
    surplus_hard = float(np.mean([RATIO * c.expert - c.constant_velocity for c in hard]))
    surplus_easy = float(np.mean([RATIO * c.expert - c.constant_velocity for c in easy])) if easy else 0.0
    share = len(hard) / len(candidates)
    if surplus_easy < 0.0:
        share = max(share, -surplus_easy / (surplus_hard - surplus_easy))
    wanted = min(math.ceil(share * count), len(hard))
    chosen = hard[:wanted] + easy[: min(round(wanted * (1.0 - share) / share), count - wanted)]
    return sorted(chosen, key=lambda c: (c.log, c.index))
