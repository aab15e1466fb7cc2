"""Every lost point has its cause, with time, place and track."""

from __future__ import annotations

import json

import pytest

from vadv2_eval.pdms.case_file import case_causes, score_file
from vadv2_eval.pdms.case_result import CANDIDATE, case_result, score_case
from vadv2_eval.pdms.scene_case import parse_case

V1 = ("no_at_fault_collisions", "drivable_area_compliance", "time_to_collision_within_bound", "comfort")
V2 = (*V1[:3], "driving_direction_compliance", "traffic_light_compliance", "lane_keeping", "history_comfort")


def test_every_lost_point_has_a_cause_and_no_other(raw_cases):
    for raw in raw_cases:
        scores = score_case(parse_case(raw, "test"))
        causes = case_causes(scores)
        v1, v2 = raw["expected"]["v1"]["candidate"], raw["expected"]["v2"]["raw"]
        named = {c.metric for c in causes["v1"]}
        assert {m for m in V1 if v1[m] < 1.0} == named & set(V1), raw["id"]
        assert {m for m in V2 if v2[m] < 1.0} == {c.metric for c in causes["v2"]} & set(V2), raw["id"]
        for cause in causes["v1"]:
            if cause.metric == "no_at_fault_collisions":
                assert cause.time == pytest.approx(v1["at_fault_collision_step"] * 0.1)
                assert cause.track in {c[0] for c in v1["contacts"]}
                assert cause.collision_type in {c[1] for c in v1["contacts"]}
            if cause.metric == "time_to_collision_within_bound":
                assert cause.time == pytest.approx(v1["ttc_step"] * 0.1)
        for cause in [*causes["v1"], *causes["v2"]]:
            if cause.metric in V2 and cause.metric != "history_comfort":
                ego = scores.v1.batch.centres[CANDIDATE]
                assert min(abs(ego - cause.place).sum(axis=1)) < 40.0


def test_a_file_is_scored_drawn_and_summed_up(raw_cases, tmp_path, capsys):
    source, out = tmp_path / "cases.json", tmp_path / "out.json"
    source.write_text(json.dumps({"format": "pdms-cases-1", "cases": raw_cases[:3]}))
    assert score_file(source, out, tmp_path / "causes.json", tmp_path / "pictures") == 0
    written = json.loads(out.read_text())
    assert written == {"cases": [case_result(parse_case(r, "")) for r in raw_cases[:3]]}
    assert "3 cases scored, 0 left out" in capsys.readouterr().out
    pictures = list((tmp_path / "pictures").glob("*.png"))
    assert pictures and all(p.stat().st_size > 10_000 for p in pictures)
