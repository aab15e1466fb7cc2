"""The checklist of what is easily got wrong or faked in a truncated-diffusion planner."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
import torch

from vadv2_core.taxonomy import DrivingAction
from vadv2_planner.anchors import load_anchors
from vadv2_planner.batch import PlannerBatch, make_batch
from vadv2_planner.bench import denoiser
from vadv2_planner.config import ModelConfig
from vadv2_planner.layers import DecoderLayer, sinusoid, time_features
from vadv2_planner.noise import NoiseSchedule, truncated_plan
from vadv2_planner.reading import lift, read_maps
from vadv2_planner.registry import make_network


@pytest.fixture(scope="module")
def network():
    return make_network("truncated_diffusion")


@pytest.fixture
def batch(tokens, command):
    return make_batch(tokens, tokens.ego, command, None, None, 0.0, 256)


def noise(seed=0, b=1, modes=20):
    return torch.randn(b, modes, 16, 2, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def said(network, batch, drawn=None, sampler="as_intended", steps=2):
    return network.eval().propose(batch, noise() if drawn is None else drawn, network.plan_of(sampler, steps))


def test_output_is_a_function_of_the_generator(network, batch):
    a, b, c = said(network, batch), said(network, batch), said(network, batch, noise(1))
    assert torch.equal(a.waypoints, b.waypoints)
    assert (a.waypoints - c.waypoints).abs().amax() > 1e-3
    assert (a.logits - c.logits).abs().amax() > 1e-6


def test_permuting_anchors_permutes_futures(batch):
    anchors = load_anchors()
    order = torch.randperm(20, generator=torch.Generator().manual_seed(3))
    straight = make_network("truncated_diffusion", anchors=anchors)
    mixed = make_network("truncated_diffusion", anchors=replace(anchors, anchors=anchors.anchors[order.numpy()]))
    a, b = said(straight, batch), said(mixed, batch, noise()[:, order])
    assert torch.allclose(a.waypoints[:, order], b.waypoints, atol=1e-4)
    assert torch.allclose(a.logits[:, order], b.logits, atol=1e-5)


def touched_cells(network, batch, drawn):
    """(cameras, h, w) bool: token cells that any layer of any pass reads, by the gradient of what it reads."""
    points, hooks = [], []
    for layer in network.reader.denoiser.layers:
        hooks.append(layer.reading.register_forward_hook(lambda module, inputs, output: points.append(inputs[1])))
    said(network, batch, drawn)
    for hook in hooks:
        hook.remove()
    assert len(points) == 4
    tokens = torch.ones_like(batch.tokens).requires_grad_(True)
    for where in points:
        lifted = lift(where, torch.tensor(network.config.sample_heights))
        read_maps(lifted, tokens, batch.projection, batch.camera_valid).sum().backward()
    return tokens.grad[0].abs().sum(-1) > 0


def test_output_changes_with_pictures_where_waypoints_project_and_not_far_from_it(network, batch):
    seen = touched_cells(network, batch, noise())
    assert 0.02 < seen.float().mean() < 0.7
    base = said(network, batch)
    at, away = batch.tokens.clone(), batch.tokens.clone()
    at[0][seen] += 1.0
    # More than two cells from any cell that is read.
    near = torch.nn.functional.max_pool2d(seen.float()[:, None], 5, 1, 2)[:, 0] > 0
    assert (~near).any()
    away[0][~near] += 1e6
    changed = said(network, replace(batch, tokens=at))
    assert (base.waypoints - changed.waypoints).abs().amax() > 1e-3
    assert (base.logits - changed.logits).abs().amax() > 1e-4
    unchanged = said(network, replace(batch, tokens=away))
    assert torch.equal(base.waypoints, unchanged.waypoints)


def test_cells_that_are_read_lie_where_the_noisy_anchors_project(network, batch):
    torch.manual_seed(0)
    seen = touched_cells(network, batch, torch.zeros(1, 20, 16, 2))
    anchors = network.anchors
    hit = torch.zeros_like(seen)
    for z in network.config.sample_heights:
        points = torch.cat([anchors.reshape(-1, 2), torch.full((320, 1), z), torch.ones(320, 1)], -1)
        uvw = torch.einsum("nij,pj->npi", batch.projection[0], points)
        u, v = uvw[..., 0] / uvw[..., 2], uvw[..., 1] / uvw[..., 2]
        ok = (uvw[..., 2] > 0.1) & (u >= 0) & (u <= 29) & (v >= 0) & (v <= 13)
        for camera in range(6):
            hit[camera, v[camera][ok[camera]].round().long(), u[camera][ok[camera]].round().long()] = True
    # Half a metre of an untrained network's regression moves later passes by a cell or two.
    grown = torch.nn.functional.max_pool2d(hit.float()[:, None], 7, 1, 3)[:, 0] > 0
    assert (seen & hit).sum() > 0.9 * hit.sum()
    assert not (seen & ~grown).any()


def test_the_timestep_is_read(network, batch):
    memory = network.reader.remember(batch)
    points = network.anchors[None]
    with torch.no_grad():
        a, b = (
            network.reader.denoiser.predict(points, torch.tensor([t]), memory, network.unit, points, None)[-1]
            for t in (0.0, 10.0)
        )
    assert (a.waypoints - b.waypoints).abs().amax() > 1e-4
    assert (a.logits - b.logits).abs().amax() > 1e-5


def test_each_pass_is_made(network, batch, monkeypatch):
    made = []
    original = type(network)._pass

    def counted(self, sample, t, *rest):
        made.append((float(t[0]), sample.clone()))
        return original(self, sample, t, *rest)

    monkeypatch.setattr(type(network), "_pass", counted)
    said(network, batch, sampler="as_released")
    assert [t for t, _ in made] == [10.0, 0.0]
    schedule = NoiseSchedule()
    clean = network.normalise(network.anchors)[None]
    assert torch.allclose(made[0][1], schedule.add_noise(clean, noise(), 8), atol=1e-6)
    # The second pass of the released sampler has moved by five per cent only.
    assert (made[1][1] - 0.94749 * made[0][1]).abs().max() < 0.06
    made.clear()
    said(network, batch, sampler="as_intended", steps=3)
    assert len(made) == 3
    assert torch.allclose(made[0][1], schedule.add_noise(clean, noise(), int(made[0][0])), atol=1e-6)


def test_samplers_and_steps_give_other_futures(network, batch):
    a, b, c = (
        said(network, batch, None, s, n) for s, n in (("as_intended", 2), ("as_released", 2), ("as_intended", 1))
    )
    assert (a.waypoints - b.waypoints).abs().amax() > 1e-3
    assert (a.waypoints - c.waypoints).abs().amax() > 1e-3


def test_output_is_what_the_last_layer_regresses_not_the_samplers_state(network, batch):
    plan = truncated_plan("as_intended", 1)
    out = said(network, batch, steps=1)
    sample = NoiseSchedule().add_noise(network.normalise(network.anchors)[None], noise(), plan.start)
    with torch.no_grad():
        points = network.denormalise(sample.clamp(-1, 1))
        base, identity = network._anchored()
        last = network.reader.denoiser.predict(
            points, torch.zeros(1), network.reader.remember(batch), network.unit, base, identity
        )[-1]
    assert torch.allclose(out.waypoints, last.waypoints, atol=1e-5)
    # Further out than the box of the data is allowed to be said: nothing clips what is regressed.
    assert not torch.allclose(out.waypoints, network.denormalise(network.normalise(out.waypoints).clamp(-0.5, 0.5)))


def test_training_noises_anchors_one_t_a_sample_below_fifty(network, batch, monkeypatch):
    seen = []
    original = NoiseSchedule.add_noise_batch

    def spied(self, clean, drawn, t):
        seen.append((clean.clone(), drawn.clone(), t.clone()))
        return original(self, clean, drawn, t)

    monkeypatch.setattr(NoiseSchedule, "add_noise_batch", spied)
    many = PlannerBatch.stack([batch] * 64)
    with torch.no_grad():
        network.eval()(many, torch.Generator().manual_seed(0))
    clean, drawn, t = seen[0]
    assert torch.allclose(clean[5], network.normalise(network.anchors), atol=1e-6)
    assert t.shape == (64,)
    assert 0 <= t.min() < 10
    assert 40 < t.max() < 50
    assert len(torch.unique(drawn)) > 0.99 * drawn.numel()


@pytest.mark.parametrize("unroll", [0.0, 1.0])
def test_training_passes_go_on_from_the_samplers_own_steps(batch, monkeypatch, unroll):
    network = make_network("truncated_diffusion", ModelConfig(unroll=unroll))
    made = []
    original = type(network)._pass

    def counted(self, sample, t, *rest):
        said = original(self, sample, t, *rest)
        made.append((sample.detach(), t, said[-1].waypoints))
        return said

    monkeypatch.setattr(type(network), "_pass", counted)
    network.eval()(batch, torch.Generator().manual_seed(0))
    if unroll == 0.0:
        assert len(made) == 1
        return
    (sample, t, said), (after, lower, supervised) = made
    assert not said.requires_grad
    assert supervised.requires_grad
    assert 0 <= lower <= t
    wanted = network.schedule.step(network.normalise(said), int(t), sample, int(lower))
    assert torch.allclose(after, wanted, atol=1e-4)


def test_confidences_cannot_see_the_recorded_future(network):
    assert list(inspect.signature(type(network).forward).parameters) == ["self", "batch", "generator"]
    assert list(inspect.signature(type(network).propose).parameters) == ["self", "batch", "noise", "plan"]
    assert not any("future" in f or "target" in f for f in PlannerBatch.__dataclass_fields__)


def test_a_fast_mode_is_not_squashed_by_the_normalisation(network):
    normal = network.normalise(network.anchors)
    assert normal.abs().max() < 1.0
    assert network.anchors[:, -1, 0].max() > 150.0
    assert (network.denormalise(normal) - network.anchors).abs().max() < 1e-3
    # Asymmetric data has an asymmetric box.
    assert not torch.allclose(network.offset[:, 0], torch.zeros(16))


def test_sinusoid_reads_metres_with_y_before_x():
    features = sinusoid(torch.tensor([[[0.25, 0.0]]]))[0]
    assert features[1] == pytest.approx(1.0)  # cos of y = 0
    assert features[32] == pytest.approx(1.0, abs=1e-6)  # sin(2 pi * 0.25) of x
    assert features.shape == (64,)


def test_time_features_are_all_sines_then_all_cosines():
    features = time_features(torch.tensor([10.0]), 256)[0]
    assert features[0] == pytest.approx(np.sin(10.0), abs=1e-5)
    assert features[128] == pytest.approx(np.cos(10.0), abs=1e-5)
    assert features[127] == pytest.approx(np.sin(10.0 / 10000.0), abs=1e-6)


def test_layers_share_no_weights_and_the_second_gets_detached_points(network, batch):
    first, second = network.reader.denoiser.layers
    assert not {p.data_ptr() for p in first.parameters()} & {p.data_ptr() for p in second.parameters()}
    network.zero_grad(set_to_none=True)
    out = network.eval()(batch, torch.Generator().manual_seed(0))
    out[1].waypoints.sum().backward()
    assert all(p.grad is None for p in first.regress.parameters())
    assert any(p.grad is not None for p in second.regress.parameters())
    network.zero_grad(set_to_none=True)


def test_released_residual_is_on_the_layers_noisy_points(batch):
    network = make_network("truncated_diffusion", ModelConfig(residual="points"))
    with torch.no_grad():
        for layer in network.reader.denoiser.layers:
            layer.regress[-1].weight.zero_()
    out = said(network, batch, steps=1)
    sample = NoiseSchedule().add_noise(network.normalise(network.anchors)[None], noise(), 0)
    assert torch.allclose(out.waypoints, network.denormalise(sample.clamp(-1, 1)), atol=1e-3)


def test_feed_forward_has_no_residual():
    layer = DecoderLayer(
        channels=4, width=16, query_width=8, heads=2, ffn=32, knots=16, heights=(0.0,), dropout=0.0, judges=False
    ).eval()
    with torch.no_grad():
        for p in layer.ffn.parameters():
            p.zero_()
    from vadv2_planner.layers import Maps

    maps = Maps(torch.randn(1, 1, 4, 4, 4), torch.eye(3, 4).reshape(1, 1, 3, 4), torch.ones(1, 1))
    memory = layer.remember(torch.randn(1, 3, 8), torch.randn(1, 5, 16), torch.ones(1, 5))
    x = torch.randn(1, 2, 16)
    out = layer(x, torch.zeros(1, 2, 16, 2), torch.zeros(1, 16), maps, memory)
    assert torch.allclose(out.features[0, 0], out.features[0, 1], atol=1e-6)


def test_null_reasoning_equals_no_vlm_and_a_reasoning_changes_the_plan(network, tokens, command):
    nothing = make_batch(tokens, tokens.ego, command, None, None, 0.0, 256)
    rng = np.random.default_rng(0)
    thought = make_batch(tokens, tokens.ego, command, None, rng.normal(size=256), 0.2, 256)
    distrusted = replace(thought, reasoning_valid=torch.zeros(1, 1))
    old = replace(thought, reasoning_age=torch.full((1, 1), 2.5))
    a, b, c, d = (said(network, x).logits for x in (nothing, distrusted, thought, old))
    assert torch.equal(a, b)
    assert (a - c).abs().max() > 1e-6
    assert (c - d).abs().max() > 1e-7


@pytest.mark.parametrize("what", ["action", "text", "distance", "ego", "aux", "queries", "route"])
def test_every_input_changes_the_plan(network, tokens, command, what):
    batch = make_batch(tokens, tokens.ego, command, None, None, 0.0, 256)
    changes = {
        "action": {"action": torch.tensor([int(DrivingAction.LEFT)])},
        "text": {"text": batch.text.roll(1, -1)},
        "distance": {"distance": batch.distance + 1.0},
        "ego": {"ego": batch.ego + 0.5},
        "aux": {"aux": batch.aux + 0.5},
        "queries": {"queries": batch.queries.roll(1, -1)},
        "route": {"route": torch.rand_like(batch.route), "route_valid": torch.ones(1, 1)},
    }[what]
    a, b = said(network, batch), said(network, replace(batch, **changes))
    assert (a.logits - b.logits).abs().max() > 1e-7
    assert (a.waypoints - b.waypoints).abs().max() > 1e-6


@pytest.mark.parametrize(
    ("switch", "field"), [("reads_images", "tokens"), ("reads_queries", "queries"), ("reads_ego", "ego")]
)
def test_a_block_that_is_switched_off_is_not_read(batch, switch, field):
    network = make_network("truncated_diffusion", ModelConfig(**{switch: False}))
    other = replace(batch, **{field: getattr(batch, field) + 1.0})
    assert torch.equal(said(network, batch).waypoints, said(network, other).waypoints)


def test_a_batch_is_its_samples(network, frame, command):
    frames = [frame(seed=i, speed=4.0 * i) for i in range(3)]
    batches = [make_batch(f, f.ego, command, None, None, 0.0, 256) for f in frames]
    whole = said(network, PlannerBatch.stack(batches), noise(2, 3))
    for i, one in enumerate(batches):
        alone = said(network, one, noise(2, 3)[i : i + 1])
        assert torch.allclose(whole.waypoints[i], alone.waypoints[0], atol=1e-4)
        assert torch.allclose(whole.logits[i], alone.logits[0], atol=1e-5)


@pytest.mark.parametrize("shape", [(6, 14, 30, 64), (1, 64, 48, 48), (64, 48, 48)])
def test_bench_denoiser_reads_tokens_or_a_birds_eye_map(shape):
    rng = np.random.default_rng(0)
    anchors = np.cumsum(rng.uniform(0.5, 3.0, (20, 8, 2)), 1) * [1.0, 0.2]
    features, queries = rng.normal(size=shape), rng.normal(size=(31, 64))
    run = denoiser(features, queries, anchors, 2)
    waypoints, logits = run()
    assert waypoints.shape == (20, 8, 2)
    assert logits.shape == (20,)
    np.testing.assert_array_equal(waypoints, run()[0])
    other = denoiser(features + rng.normal(size=shape), queries, anchors, 2)()[0]
    assert np.abs(other - waypoints).max() > 1e-4
