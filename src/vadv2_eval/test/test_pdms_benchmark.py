"""The benchmark measures what it says, and a batch is far cheaper than its proposals one by one."""

from __future__ import annotations

import numpy as np

from vadv2_eval.pdms.benchmark import benchmark, dense_scene, spread_proposals
from vadv2_eval.pdms.scene_case import parse_case
from vadv2_eval.pdms.score import score_proposals


def test_the_figures_of_the_benchmark(raw_cases):
    result = benchmark([parse_case(raw_cases[i], "test") for i in (0, 30)], repeats=1, counts=(1, 64, 400))
    assert result["slowest_case"] in ("pub_000", "pub_030") and result["dense"]["tracks"] == 40
    for part in (result, result["dense"]):
        assert 0.0 < part["s_per_1"] < part["s_per_64"] < part["s_per_400"]
        assert part["s_per_400"] < 0.4 * 400 * part["s_per_1"]
    assert result["both_versions"]["s_per_400"] > 0.0


def test_the_dense_scene_is_dense():
    scene, reference = dense_scene()
    scores = score_proposals(scene, spread_proposals(reference, 200), reference.dt, reference)
    touched = np.unique(scores.contacts.overlaps.track)
    assert len(scene.tracks) == 40 and len(touched) > 15
    assert len(set(scores.contacts.kind.tolist())) >= 2
