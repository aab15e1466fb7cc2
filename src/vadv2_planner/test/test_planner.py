from dataclasses import replace

import numpy as np
import pytest
import torch

from vadv2_core.command import Route
from vadv2_core.errors import InputError
from vadv2_core.geometry import wrap_angle
from vadv2_core.reasoning import ReasoningEmbedding
from vadv2_core.taxonomy import DrivingAction
from vadv2_planner import PLANNERS, PlannerConfig, make_planner
from vadv2_planner.backends import MAX_PASSES, graph_key
from vadv2_planner.batch import make_batch
from vadv2_planner.command_reader import CommandReader
from vadv2_planner.proposer import NetworkProposer
from vadv2_planner.registry import Belongings, load_network, make_network, save_planner

QUICK = tuple(p for p in PLANNERS if p not in ("vanilla_diffusion", "minimal"))


def embedding(stamp, model_id="vlm", length=256):
    return ReasoningEmbedding(stamp, np.random.default_rng(0).normal(size=length).astype(np.float32), model_id)


@pytest.mark.parametrize("name", QUICK)
def test_every_planner_answers_with_the_same_contract(name, tokens, command):
    planner = make_planner(None, PlannerConfig(planner=name))
    out = planner.plan(tokens, tokens.ego, command, None, None, "because")
    assert out.stamp == tokens.stamp
    assert out.origin_pose == tokens.ego.pose
    assert out.points.shape[1:] == (80, 6)
    assert len(out.points) == len(out.confidences)
    assert np.isfinite(out.points).all()
    assert ((out.confidences >= 0) & (out.confidences <= 1)).all()
    assert out.rationale == "because"
    np.testing.assert_allclose(out.points[:, :, 0], np.tile(np.arange(1, 81) / 10, (len(out.points), 1)))
    step = np.diff(out.points[:, :, 1:3], axis=1)
    speed = np.hypot(step[..., 0], step[..., 1]) / 0.1
    moving = (speed > 2.0) & (np.abs(np.diff(out.points[..., 5], axis=1)) < 1.0)
    assert np.abs(speed - 0.5 * (out.points[:, 1:, 4] + out.points[:, :-1, 4]))[moving].max(initial=0) < 0.3
    bearing = np.arctan2(step[..., 1], step[..., 0])
    gentle = moving & (np.abs(np.diff(out.points[..., 3], axis=1)) < 0.1)
    assert (
        np.abs(wrap_angle(bearing - 0.5 * (out.points[:, 1:, 3] + out.points[:, :-1, 3])))[gentle].max(initial=0) < 0.1
    )


def test_the_default_is_twenty_by_eighty_and_says_that_it_is_untrained(tokens, command):
    out = make_planner(None, PlannerConfig()).plan(tokens, tokens.ego, command, None, None)
    assert out.points.shape == (20, 80, 6)
    assert out.model_id.endswith("-untrained")
    assert "untrained planner" in out.degraded
    assert "no reasoning" in out.degraded
    assert (out.sampler, out.steps) == ("as_intended", 2)


def test_a_plan_depends_on_the_frame_and_the_seed_alone(frame, command):
    a, b = make_planner(None, PlannerConfig()), make_planner(None, PlannerConfig())
    f, g = frame(seed=0), replace(frame(seed=0), stamp=frame().stamp + 100_000_000)
    b.plan(g, g.ego, command, None, None)
    b.reset()
    one, two = (p.plan(f, f.ego, command, None, None) for p in (a, b))
    np.testing.assert_array_equal(one.points, two.points)
    later = a.plan(g, g.ego, command, None, None)
    assert np.abs(later.points - one.points).max() > 1e-3
    reseeded = make_planner(None, PlannerConfig(seed=1)).plan(f, f.ego, command, None, None)
    assert np.abs(reseeded.points - one.points).max() > 1e-3


@pytest.mark.parametrize("horizon", [2.0, 3.5, 8.0])
def test_any_horizon(horizon, tokens, command):
    out = make_planner(None, PlannerConfig(horizon=horizon)).plan(tokens, tokens.ego, command, None, None)
    assert out.points.shape == (20, round(horizon * 10), 6)


def test_the_chosen_mode_is_the_most_confident_that_is_valid(tokens, command):
    planner = make_planner(None, PlannerConfig())
    out = planner.plan(tokens, tokens.ego, command, None, None)
    planner.reset()
    assert out.chosen is not None
    from vadv2_planner.validator import Validator

    validator = Validator(planner.config.validator, planner.config.vehicle)
    better = np.flatnonzero(out.confidences > out.confidences[out.chosen])
    for mode in better:
        assert not validator.check(out.points[mode], tokens.ego, None, tokens.ego.pose, tokens.stamp)[0]


def test_when_every_mode_is_bad_the_plan_is_withheld_with_its_reason(tokens, command):
    config = PlannerConfig()
    strict = replace(
        config,
        validator=replace(config.validator, follow=False, max_deceleration=0.5, max_acceleration=0.5, max_jerk=0.5),
    )
    out = make_planner(None, strict).plan(tokens, tokens.ego, command, None, None)
    assert out.chosen is None
    assert out.trajectory() is None
    assert "every mode withheld" in out.reason
    assert "allowed" in out.reason


def test_live_parameters_take_effect_and_failures_are_counted(tokens, command):
    planner = make_planner(None, PlannerConfig())
    bounds = replace(planner.config.validator, follow=False, max_speed_deviation=0.1, max_deviation=0.1, max_jerk=0.5)
    planner.configure(replace(planner.config, max_reasoning_age=0.1, validator=bounds))
    out = planner.plan(tokens, tokens.ego, command, None, embedding(tokens.stamp - 500_000_000))
    assert out.chosen is None
    assert any("0.5 s old" in d for d in out.degraded)
    assert sum(planner.withheld.values()) == 20


def test_reasoning_young_old_foreign_or_broken(tokens, command):
    planner = make_planner(None, PlannerConfig())
    plain = planner.plan(tokens, tokens.ego, command, None, None)

    def degraded(reasoning):
        planner.reset()
        out = planner.plan(tokens, tokens.ego, command, None, reasoning)
        same = np.array_equal(out.points, plain.points)
        return out, same, " ".join(out.degraded)

    out, same, words = degraded(embedding(tokens.stamp - 500_000_000))
    assert not same
    assert "reasoning" not in words
    assert out.ages["reasoning"] == pytest.approx(0.5)
    out, same, words = degraded(embedding(tokens.stamp - 4_000_000_000))
    assert same
    assert "4.0 s old" in words
    _, same, words = degraded(embedding(tokens.stamp, length=8))
    assert same
    assert "length" in words
    broken = embedding(tokens.stamp)
    broken.embedding[3] = np.nan
    _, same, words = degraded(broken)
    assert same
    assert "not finite" in words


def test_a_scene_unlike_any_degrades(tokens, command):
    out = make_planner(None, PlannerConfig()).plan(replace(tokens, novelty=1.4), tokens.ego, command, None, None)
    assert any("novelty 1.4" in d for d in out.degraded)


def test_a_camera_without_a_picture_degrades(tokens, command):
    planner = make_planner(None, PlannerConfig())
    assert not any("cameras" in d for d in planner.plan(tokens, tokens.ego, command, None, None).degraded)
    valid = tokens.camera_valid.copy()
    valid[1] = False
    planner.reset()
    out = planner.plan(replace(tokens, camera_valid=valid), tokens.ego, command, None, None)
    assert f"1 of {len(valid)} cameras give no picture" in out.degraded


def test_route_is_read_in_the_ego_frame_and_can_be_switched_off(tokens, command):
    pose = tokens.ego.pose
    points = pose.transform(np.stack([np.linspace(-10, 120, 60), np.zeros(60)], -1))
    route = Route(tokens.stamp, points)
    on, off = make_planner(None, PlannerConfig()), make_planner(None, PlannerConfig(use_route=False))
    none = on.plan(tokens, tokens.ego, command, None, None)
    on.reset()
    assert np.abs(on.plan(tokens, tokens.ego, command, route, None).points - none.points).max() > 1e-4
    np.testing.assert_array_equal(off.plan(tokens, tokens.ego, command, route, None).points, none.points)


def test_a_plan_does_not_depend_on_where_in_the_world_it_is(tokens, command):
    from vadv2_core.geometry import Pose2

    moved = replace(tokens, ego=replace(tokens.ego, pose=Pose2(-5.0, 7.0, 2.0)))
    a = make_planner(None, PlannerConfig()).plan(tokens, tokens.ego, command, None, None)
    b = make_planner(None, PlannerConfig()).plan(moved, moved.ego, command, None, None)
    np.testing.assert_array_equal(a.points, b.points)


def test_bad_input_is_refused_in_one_line(tokens, command):
    planner = make_planner(None, PlannerConfig())
    with pytest.raises(InputError, match="no scene tokens"):
        planner.plan(None, tokens.ego, command, None, None)
    with pytest.raises(InputError, match="not finite"):
        planner.plan(tokens, replace(tokens.ego, velocity=(float("nan"), 0.0)), command, None, None)
    with pytest.raises(InputError, match="channels"):
        planner.plan(replace(tokens, tokens=tokens.tokens[..., :32]), tokens.ego, command, None, None)
    with pytest.raises(InputError, match="planner"):
        PlannerConfig(planner="oracle")
    with pytest.raises(InputError, match="horizon"):
        PlannerConfig(horizon=9.0)


@pytest.mark.parametrize("name", ["truncated_diffusion", "regression", "vocabulary", "ego_status"])
def test_checkpoint_round_trip_is_exact(name, tmp_path, tokens, command):
    network = make_network(name, seed=5)
    save_planner(tmp_path, name, network, "trial-1", Belongings("e" * 64, "vlm-1"))
    loaded = make_planner(tmp_path, PlannerConfig(planner=name))
    assert loaded.model_id == "trial-1"
    name_again, again, _, belongings = load_network(tmp_path)
    assert name_again == name
    assert belongings == Belongings("e" * 64, "vlm-1")
    for key, value in network.state_dict().items():
        assert np.array_equal(value.numpy(), again.state_dict()[key].numpy()), key
    out = loaded.plan(tokens, tokens.ego, command, None, None)
    assert "untrained planner" not in out.degraded


def test_a_checkpoint_refuses_what_it_was_not_trained_with(tmp_path, tokens, command):
    save_planner(
        tmp_path, "truncated_diffusion", make_network("truncated_diffusion"), "trial", Belongings("other", "vlm-1")
    )
    planner = make_planner(tmp_path, PlannerConfig())
    with pytest.raises(InputError, match="trained with"):
        planner.plan(tokens, tokens.ego, command, None, None)
    ours = replace(tokens, encoder_hash="other")
    out = planner.plan(ours, tokens.ego, command, None, embedding(tokens.stamp, "vlm-2"))
    assert any("vlm-2" in d for d in out.degraded)
    with pytest.raises(InputError, match="regression"):
        make_planner(tmp_path, PlannerConfig(planner="regression"))


def test_a_checkpoint_names_the_missing_tensor(tmp_path):
    from vadv2_core.checkpoint import load_checkpoint, save_checkpoint

    save_planner(tmp_path, "ego_status", make_network("ego_status"), "trial")
    checkpoint = load_checkpoint(tmp_path, "planner")
    tensors = dict(checkpoint.tensors)
    del tensors["out.bias"]
    save_checkpoint(tmp_path, kind="planner", model_id="trial", config=checkpoint.config, tensors=tensors)
    with pytest.raises(InputError, match=r"out\.bias"):
        make_planner(tmp_path, PlannerConfig(planner="ego_status"))


EXPORTED = ("truncated_diffusion", "minimal", "regression", "vocabulary", "ego_status")


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        (EXPORTED[0], "openvino"),
        *(
            pytest.param(name, backend, marks=pytest.mark.long)
            for name in EXPORTED
            for backend in ("onnxruntime", "openvino")
            if (name, backend) != (EXPORTED[0], "openvino")
        ),
    ],
)
def test_backends_agree(name, backend, tmp_path, tokens, command):
    eager = PlannerConfig(planner=name, backend="torch")
    reference = make_planner(None, eager).plan(tokens, tokens.ego, command, None, None)
    config = PlannerConfig(planner=name, backend=backend, cache_directory=str(tmp_path))
    out = make_planner(None, config).plan(tokens, tokens.ego, command, None, None)
    assert np.abs(out.points - reference.points).max() < 2e-3
    assert np.abs(out.confidences - reference.confidences).max() < 1e-4
    assert out.chosen == reference.chosen


def test_an_export_is_named_by_all_that_it_was_made_from(tokens, command):
    network = make_network("truncated_diffusion")
    blind = make_network("truncated_diffusion", replace(network.config, reads_images=False))
    batch = make_batch(tokens, tokens.ego, command, None, None, 0.0, 256)
    two, three = (network.plan_of("as_intended", n) for n in (2, 3))
    assert graph_key(network, two, batch) == graph_key(make_network("truncated_diffusion"), two, batch)
    keys = {graph_key(network, two, batch), graph_key(network, three, batch), graph_key(blind, two, batch)}
    assert len(keys) == 3, "the same weights, but other passes, or switched off"


def test_too_many_passes_for_one_graph_run_in_torch(tmp_path, tokens, command, caplog):
    config = PlannerConfig(steps=MAX_PASSES + 1, cache_directory=str(tmp_path))
    out = make_planner(None, config).plan(tokens, tokens.ego, command, None, None)
    assert out.steps == MAX_PASSES + 1 and not list(tmp_path.iterdir())
    assert [r.message for r in caplog.records] == ["torch runs the planner: 11 passes are too many for one graph"]


@pytest.mark.long
@pytest.mark.parametrize("name", ["truncated_diffusion", "minimal"])
def test_the_network_compiles_as_one_graph(name, tokens, command):
    import torch

    from vadv2_planner.backends import FIELDS, Graph
    from vadv2_planner.batch import make_batch

    network = make_network(name)
    graph = Graph(network, network.plan_of("as_intended", 2)).eval()
    batch = make_batch(tokens, tokens.ego, command, None, None, 0.0, 256)
    inputs = (*(getattr(batch, f) for f in FIELDS), torch.randn(1, *network.noise_shape))
    with torch.no_grad():
        wanted = graph(*inputs)
        got = torch.compile(graph, backend="aot_eager", fullgraph=True, dynamic=False)(*inputs)
    assert torch.allclose(wanted[0], got[0], atol=1e-3)
    assert torch.allclose(wanted[1], got[1], atol=1e-4)


@pytest.mark.long
def test_vanilla_diffusion_answers(tokens, command):
    planner = make_planner(None, PlannerConfig(planner="vanilla_diffusion"))
    out = planner.plan(tokens, tokens.ego, command, None, None)
    assert out.steps == 100
    assert out.points.shape == (20, 80, 6)
    assert out.confidences.sum() == pytest.approx(1.0, abs=1e-5)


def test_a_stop_is_read_from_the_action_or_from_words_alone(command):
    config = PlannerConfig()
    proposer = NetworkProposer(make_network("truncated_diffusion"), config, model_id="taught")
    reader = next(m for m in proposer.network.modules() if isinstance(m, CommandReader))
    with torch.no_grad():
        reader.answer.weight.zero_()
        reader.answer.bias.copy_(torch.eye(len(DrivingAction))[DrivingAction.STOP])
    assert proposer.told_to_stop(replace(command, text="halt here", action=DrivingAction.UNKNOWN))
    assert not proposer.told_to_stop(replace(command, text=" ", action=DrivingAction.UNKNOWN))
    assert not proposer.told_to_stop(replace(command, text="halt here", action=DrivingAction.LEFT))
    assert proposer.told_to_stop(replace(command, text="", action=DrivingAction.STOP))
    with torch.no_grad():
        reader.answer.bias.copy_(torch.eye(len(DrivingAction))[DrivingAction.LEFT])
    assert not proposer.told_to_stop(replace(command, text="to the left", action=DrivingAction.UNKNOWN))
    nobody = make_planner(None, config).proposer
    assert not nobody.told_to_stop(replace(command, text="halt here", action=DrivingAction.UNKNOWN)), "never taught"
