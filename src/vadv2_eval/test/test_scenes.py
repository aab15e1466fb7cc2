"""Held-out scenes: which are chosen, what is kept of them, how they are compared, and one whole small run."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from vadv2_core.ego import EgoState
from vadv2_core.errors import InputError
from vadv2_core.geometry import Pose2
from vadv2_core.tokens import SceneAhead, SceneMap, SceneObjects, SceneTokens
from vadv2_eval.open_loop.conventions import raster_hits
from vadv2_eval.open_loop.grid import Raster
from vadv2_eval.open_loop.npz_file import score_npz
from vadv2_eval.open_loop.table import convention_rows
from vadv2_eval.reasoning.records import ReasoningRecord
from vadv2_eval.scenes.choice import RATIO, Candidate, choose
from vadv2_eval.scenes.run import ScenesPlan, evaluate_scenes, expert_agreement, others
from vadv2_eval.scenes.seen import StackOrder, planner_name
from vadv2_eval.scenes.spoken import comparison, sampled
from vadv2_eval.scenes.summary import paired, planner_summary, reasoning_differences
from vadv2_eval.scenes.token_file import load_tokens, save_tokens
from vadv2_eval.scenes_cli import markdown


def candidates(hard: int, easy: int) -> list[Candidate]:
    rows = [Candidate(f"d{i % 7}", i, 0.9, 0.1) for i in range(hard)]
    return rows + [Candidate(f"d{i % 7}", 1000 + i, 0.9, 0.88) for i in range(easy)]


def test_the_experts_own_agreement_is_the_bound_of_everybodys():
    stop, keep = ("STOP", "STRAIGHT", "RED_LIGHT"), ("KEEP", "STRAIGHT", "FREE_ROAD")
    records = [
        ReasoningRecord(0.0, "d", keep, true=stop, driven=("STOP", "STRAIGHT")),
        ReasoningRecord(1.0, "d", keep, true=keep, driven=("KEEP", "LEFT_TURN")),
        ReasoningRecord(2.0, "d", keep, true=keep),  # the drive ended before
    ]
    found = expert_agreement(records)
    assert found is not None and (found["mean"], found["count"]) == (0.5, 2)
    assert expert_agreement(records[2:]) is None


def test_enough_hard_scenes_are_chosen_and_no_more_than_needed():
    chosen = choose(candidates(300, 700), 200)
    expert, cv = (np.mean([getattr(c, k) for c in chosen]) for k in ("expert", "constant_velocity"))
    assert len(chosen) == 200 and cv <= 0.6 * expert and cv > (RATIO - 0.03) * expert
    assert chosen == choose(list(reversed(candidates(300, 700))), 200), "whatever the order they were found in"
    assert chosen != choose(candidates(300, 700), 200, seed=1)


def test_too_few_hard_scenes_make_a_smaller_set_not_an_easier_one():
    chosen = choose(candidates(30, 970), 200)
    assert sum(c.hard for c in chosen) == 30 and 50 < len(chosen) < 100
    assert np.mean([c.constant_velocity for c in chosen]) <= 0.6 * np.mean([c.expert for c in chosen])
    with pytest.raises(InputError, match="fails nowhere"):
        choose(candidates(0, 10), 5)


def test_where_most_are_hard_they_are_drawn_as_they_come():
    chosen = choose(candidates(900, 100), 100)
    assert len(chosen) == 100 and 85 <= sum(c.hard for c in chosen) <= 95


def test_shuffled_reasoning_never_comes_from_the_same_drive():
    chosen = {f"d{k}": list(range(k, k + n)) for k, n in enumerate((5, 3, 4, 1))}
    given = others(chosen)
    assert all(place[0] != log for log, places in given.items() for place in places)
    used = [place for places in given.values() for place in places]
    assert len(set(used)) == len(used) == 13, "each scene's reasoning is used once"
    assert given == others(chosen) and given != others(chosen, seed=1)
    with pytest.raises(InputError, match="only one drive"):
        others({"a": [1, 2]})


def tokens() -> SceneTokens:
    rng = np.random.default_rng(0)
    objects = SceneObjects(
        np.array([1, 2], np.int32), np.array([0.9, 0.4], np.float32), rng.normal(size=(2, 5)).astype(np.float32),
        rng.normal(size=(2, 2)).astype(np.float32), np.array([0, 3], np.int32), np.ones(2, np.float32),
    )  # fmt: skip
    elements = SceneMap(
        np.array([1], np.int32), np.ones(1, np.float32), rng.normal(size=(1, 4, 2)).astype(np.float32),
        np.array([2], np.int32), np.ones(1, np.float32), np.ones(1, np.float32),
    )  # fmt: skip
    eye = np.repeat(np.eye(4)[None], 2, 0)
    return SceneTokens(
        stamp=1_234_567_890_123, tokens=rng.normal(size=(2, 3, 4, 8)).astype(np.float16),
        queries=rng.normal(size=(5, 8)).astype(np.float16), objects=objects, map=elements,
        aux=np.zeros((4, 8), np.float16), ego=EgoState(7, Pose2(1, 2, 0.3), (5.0, 0.0), (0.1, 0.0), 0.0),
        k=eye[:, :3, :3].copy(), t_base_camera=eye, camera_stamps=np.full(2, 7, np.int64),
        t_anchor_camera_time=eye[:, :3, :3].copy(), camera_valid=np.array([True, False]), novelty=0.25,
        encoder_hash="abc", model_id="m",
        ahead=SceneAhead(
            rng.random(6).astype(np.float32), 0.9, 7.5, 0.25, 30.0, 4.5, rng.random(6).astype(np.float32),
            rng.random(10).astype(np.float32),
        ),
    )  # fmt: skip


def test_tokens_come_back_as_they_were(tmp_path):
    made = tokens()
    save_tokens(tmp_path / "t.safetensors", made, (frozenset({"a", "b"}), frozenset()))
    back, visible = load_tokens(tmp_path / "t.safetensors", made.ego)
    assert visible == (frozenset({"a", "b"}), frozenset())

    def leaves(value: SceneTokens) -> list[object]:
        plain = [getattr(value, f.name) for f in fields(value) if f.name not in ("objects", "map", "ahead", "ego")]
        return plain + [getattr(part, f.name) for part in (value.objects, value.map, value.ahead) for f in fields(part)]

    for a, b in zip(leaves(made), leaves(back), strict=True):
        assert np.array_equal(a, b) and getattr(a, "dtype", type(a)) == getattr(b, "dtype", type(b))
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a scene's tokens"):
        load_tokens(tmp_path / "bad.safetensors", made.ego)


@pytest.mark.parametrize(
    ("name", "kept", "says"),
    [("ahead.weather", None, "ahead.weather"), ("ahead.flags", None, "ahead.flags"), ("ahead.flags", 9, "size 9")],
)
def test_tokens_that_say_less_than_today_are_refused_in_one_line(name, kept, says, tmp_path):
    """Files written before weather and flags were told, or with fewer flags, are not read as if nothing was said."""
    path, made = tmp_path / "t.safetensors", tokens()
    save_tokens(path, made, (frozenset(), frozenset()))
    with safe_open(path, framework="numpy") as file:
        head = file.metadata()
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    whole = arrays.pop(name)
    if kept is not None:
        arrays[name] = whole[:kept]
    path.write_bytes(save(arrays, metadata=head))
    with pytest.raises(InputError, match=f"not a scene's tokens: .*{says}.*a new --out") as refused:
        load_tokens(path, made.ego)
    assert "\n" not in str(refused.value)


def test_differences_are_paired_and_say_how_sure_they_are():
    rng = np.random.default_rng(0)
    own = rng.uniform(0.0, 1.0, 200)
    groups = [f"d{i // 10}" for i in range(200)]
    better = paired(own - 0.05, own, groups)
    assert better["mean"] == pytest.approx(0.05) and better["low"] > 0.0 and better["better"] == 200
    assert better["wilcoxon_p"] < 1e-6
    same = paired(own, own, groups)
    assert same["mean"] == 0.0 and same["wilcoxon_p"] is None and same["better"] == same["worse"] == 0
    found = reasoning_differences({"on": own, "off": own - 0.05}, groups)
    assert set(found) == {"on minus off"} and found["on minus off"]["mean"] == pytest.approx(0.05)
    assert reasoning_differences({"off": own}, groups) == {}


def test_open_loop_over_scenes_is_open_loop_over_samples():
    samples, result = score_npz(Path(__file__).parent / "data" / "open_loop_public.npz", None)
    whole = samples.fut_valid
    stp3 = raster_hits(samples, Raster.STP3)
    per_sample = {k: v[whole] for k, v in result.items() if k.startswith("exp_")}
    per_sample |= {"stp3_gt_box": stp3.gt_box[whole], "stp3_pred_box": stp3.pred_box[whole]}
    n = int(whole.sum())
    summary = planner_summary(np.full((n, 2), 0.5), ("score", "other"), per_sample, ["d"] * n)
    ours = summary["open_loop"]["conventions"]
    for mine, theirs in zip(ours[1:], convention_rows(samples, result)[1:], strict=True):  # UniAD counts all samples
        assert mine["l2"] == pytest.approx(theirs.l2) and mine["raw_hits"] == theirs.raw_hits
        assert mine["box_collisions"] == pytest.approx(theirs.box_collisions)
    assert "not nuScenes" in summary["open_loop"]["of"] and summary["pdms"]["mean"] == 0.5


def test_a_stack_is_marked_by_its_weights(tmp_path):
    for stage in ("perception", "planner"):
        (tmp_path / "m" / stage).mkdir(parents=True)
        (tmp_path / "m" / stage / "config.json").write_text('{"config": {"planner": "regression"}}')
    order = StackOrder(str(tmp_path / "m"))
    before = {s: order.mark(s) for s in ("perception", "planner", "vlm")}
    assert planner_name(tmp_path / "m" / "planner") == "regression" and planner_name(None) == "truncated_diffusion"
    (tmp_path / "m" / "planner" / "model.safetensors").write_bytes(b"w")
    assert order.mark("perception") == before["perception"] and order.mark("planner") != before["planner"]
    with pytest.raises(InputError, match="is no model"):
        StackOrder(str(tmp_path / "none")).mark("planner")


def test_the_page_shows_what_was_said_beside_what_is_true():
    row = {
        "index": 3, "command": "turn left", "grounded": False,
        "record": {"said": ["STOP", "STRAIGHT", "RED_LIGHT"], "true": ["KEEP", "STRAIGHT", "CLEAR"], "unread": 1,
                   "flags": {"CUT_IN": 0.7, "ACCIDENT": 0.1}, "flag_truths": {"CUT_IN": False, "ACCIDENT": True},
                   "statements": [4, 3]},
        "said": {"scene": "a", "intent": "b", "trace": "c"}, "true": {"scene": "d", "intent": "e", "trace": "f"},
    }  # fmt: skip
    table = {r[0]: r[1:] for r in comparison(row)}
    assert table["edge cases"] == ["CUT_IN 0.70", "ACCIDENT"] and table["decision"][1].endswith("(hidden)")
    assert table["intent"] == ["b", "e"] and table["statements true"][0].startswith("3 of 4")
    rows = [("log", {"index": k}) for k in range(50)]
    assert len(sampled(rows, 20)) == 20 and sampled(rows, 20) == sampled(rows, 20)


@pytest.mark.long
def test_a_small_run_is_whole_goes_on_and_repeats(tmp_path):
    stack = StackOrder(models=str(tmp_path / "none"))
    plan = ScenesPlan(tmp_path / "out", stack, count=10, hours=0.06, words=2)
    first = evaluate_scenes(plan)
    rules = {"expert", "constant_velocity", "ego_status_extrapolation", "rule_planner"}
    assert first["scenes"] >= 2 and set(first["planners"]) == rules | {"on", "off", "shuffled", "true"}
    assert first["constant_velocity_of_expert"] <= 0.6 and first["spoken"] >= 2
    assert (tmp_path / "out" / "said.html").stat().st_size > 10_000
    assert "held-out scenes" in markdown(first)
    tokens_there = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "tokens").rglob("*.safetensors")}
    (tmp_path / "out" / "plans.jsonl").unlink()
    again = evaluate_scenes(plan)
    assert again == first, "plans made again are the same plans"
    assert tokens_there == {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "tokens").rglob("*.safetensors")}
