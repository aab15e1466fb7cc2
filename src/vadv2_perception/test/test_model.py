"""The network reads what it says it reads: images, rig, past, ego; and learns where it is told to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from vadv2_core.camera import CameraRig
from vadv2_core.errors import InputError
from vadv2_perception.backbone import feature_channels, make_backbone
from vadv2_perception.configuration import ARCHITECTURES, BACKBONES, EncoderModelConfig
from vadv2_perception.image_tokens import HistoryFusion
from vadv2_perception.model import EncoderOutput, RigTensors, SceneModel
from vadv2_perception.past_reading import PastFrames
from vadv2_perception.rays import ground_points, token_intrinsics, token_rays

Rigs = Callable[..., CameraRig]


def _rig_tensors(rig: CameraRig, batch: int = 1) -> RigTensors:
    k = torch.tensor(np.stack([c.k for c in rig.cameras]), dtype=torch.float32)
    t = torch.tensor(np.stack([c.t_base_camera for c in rig.cameras]), dtype=torch.float32)
    count = len(rig.cameras)
    return RigTensors(k.expand(batch, -1, -1, -1), t.expand(batch, -1, -1, -1), torch.ones(batch, count))


def _model(config: EncoderModelConfig) -> SceneModel:
    torch.manual_seed(0)
    return SceneModel(config).eval()


def _images(batch: int = 1, cameras: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, cameras, 3, 64, 96, generator=torch.Generator().manual_seed(seed)) * 255


def _run(model: SceneModel, rig: RigTensors, past: PastFrames | None = None, seed: int = 0) -> EncoderOutput:
    batch, cameras = rig.valid.shape
    with torch.inference_mode():
        return model(_images(batch, cameras, seed), rig, past, torch.zeros(batch, 4), torch.ones(batch, 4))[0]


def _past(model: SceneModel, rig: RigTensors, seed: int = 1, forward: float = 2.5) -> PastFrames:
    with torch.inference_mode():
        kept = model(_images(1, rig.valid.shape[1], seed), rig, None, torch.zeros(1, 4), torch.ones(1, 4))[1]
    frames = len(model.config.history_ages)
    motion = torch.eye(4).repeat(1, frames, 1, 1)
    motion[0, :, 0, 3] = forward
    ages = torch.tensor([model.config.history_ages])
    valid = torch.ones(1, frames, rig.valid.shape[1])
    return PastFrames(kept[:, None].repeat(1, frames, 1, 1, 1, 1), motion, ages, valid)


def _differs(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).detach().abs().amax())


def test_shapes(small_config: EncoderModelConfig, make_rig: Rigs) -> None:
    out = _run(_model(small_config), _rig_tensors(make_rig(), 2))
    assert out.tokens.shape == (2, 6, 4, 6, 32)
    assert out.queries.shape == (2, 6 + 4 + 1, 32)
    assert out.aux.shape == (2, 4, 32)
    assert out.lamps.shape == (2, 6, 4, 6, 6)
    assert len(out.answers) == small_config.layers
    answers = out.answers[-1]
    assert answers.object_class.shape == (2, 6, 12)
    assert answers.object_intention.shape == (2, 6, 9)
    assert answers.map_points.shape == (2, 4, 4, 2)
    assert answers.map_class.shape == (2, 4, 6)
    assert answers.scene_flags.shape == (2, 10)


def test_another_rig_is_another_input(small_config: EncoderModelConfig, make_rig: Rigs) -> None:
    model = _model(small_config)
    base = _run(model, _rig_tensors(make_rig()))
    for rig in (make_rig(up=2.4), make_rig(turned=0.3)):
        other = _run(model, _rig_tensors(rig))
        assert _differs(other.tokens, base.tokens) > 1e-2
        assert _differs(other.queries, base.queries) > 1e-2


def test_the_order_of_cameras_does_not_matter(small_config: EncoderModelConfig, make_rig: Rigs) -> None:
    model, rig, images = _model(small_config), _rig_tensors(make_rig()), _images()
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    turned = RigTensors(rig.k[:, order], rig.t_base_camera[:, order], rig.valid)
    with torch.inference_mode():
        a = model(images, rig, None, torch.zeros(1, 4), torch.ones(1, 4))[0]
        b = model(images[:, order], turned, None, torch.zeros(1, 4), torch.ones(1, 4))[0]
    torch.testing.assert_close(a.tokens[:, order], b.tokens, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(a.queries, b.queries, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("count", [1, 4, 8])
def test_any_number_of_cameras(small_config: EncoderModelConfig, make_rig: Rigs, count: int) -> None:
    out = _run(_model(small_config), _rig_tensors(make_rig(count)))
    assert out.tokens.shape[1] == count
    assert torch.isfinite(out.queries).all()


def test_a_camera_that_is_not_valid_says_nothing(small_config: EncoderModelConfig, make_rig: Rigs) -> None:
    model, rig = _model(small_config), _rig_tensors(make_rig())
    rig.valid[0, 2] = 0
    images = _images()
    noisy = images.clone()
    noisy[:, 2] = 255 * torch.rand(3, 64, 96)
    with torch.inference_mode():
        a, b = (model(x, rig, None, torch.zeros(1, 4), torch.ones(1, 4))[0] for x in (images, noisy))
    assert not a.tokens[:, 2].any()
    torch.testing.assert_close(a.queries, b.queries)
    assert _differs(a.queries, _run(model, _rig_tensors(make_rig())).queries) > 1e-3


class TestHistory:
    def test_the_past_has_a_say(self, small_config: EncoderModelConfig, make_rig: Rigs) -> None:
        model, rig = _model(small_config), _rig_tensors(make_rig())
        alone = _run(model, rig)
        assert _differs(_run(model, rig, _past(model, rig)).tokens, alone.tokens) > 1e-3

    def test_an_invalid_past_is_no_past(self, small_config: EncoderModelConfig, make_rig: Rigs) -> None:
        model, rig = _model(small_config), _rig_tensors(make_rig())
        past = _past(model, rig)
        past.valid.zero_()
        assert _differs(_run(model, rig, past).tokens, _run(model, rig).tokens) == 0

    def test_time_and_motion_matter(self, small_config: EncoderModelConfig, make_rig: Rigs) -> None:
        model, rig = _model(small_config), _rig_tensors(make_rig())
        past = _past(model, rig)
        base = _run(model, rig, past).tokens
        later = replace(past, age=past.age + 0.3)
        assert _differs(_run(model, rig, later).tokens, base) > 1e-4
        elsewhere = _past(model, rig, forward=0.0)
        assert _differs(_run(model, rig, elsewhere).tokens, base) > 1e-4

    def test_ego_motion_lines_the_ground_up(self, make_rig: Rigs) -> None:
        """Where past tokens hold how far ahead their ground lies, they are read as that far and the way since then."""
        grid, way = (32, 48), 1.5
        fusion, rig = HistoryFusion(4, 4, grid), _rig_tensors(make_rig(1))
        with torch.no_grad():
            for parameter in fusion.parameters():
                parameter.zero_()
            fusion.out.weight[0, 0] = 1.0
        k = token_intrinsics(rig.k, 2)
        ahead = ground_points(*token_rays(k, rig.t_base_camera, grid))[..., 0]
        then = ahead[:, None, :, None].repeat(1, 1, 1, 4, 1, 1)
        motion = torch.eye(4)[None, None].clone()
        motion[..., 0, 3] = way
        one = torch.ones(1, 1)
        fused = fusion(torch.zeros(1, 1, *grid, 4), then, motion, one, one[..., None], k, rig.t_base_camera)[..., 0]
        near = (ahead > 5) & (ahead < 10)
        assert near.sum() > 50
        torch.testing.assert_close(fused[near], ahead[near] + way, atol=0.25, rtol=0)


class TestEgoTokens:
    def test_an_unknown_quantity_is_its_null_token(self, small_config: EncoderModelConfig) -> None:
        ego = _model(small_config).ego
        a = ego(torch.tensor([[5.0, 1.0, 0.1, 0.7]]), torch.tensor([[1.0, 1, 1, 0]]))
        b = ego(torch.tensor([[5.0, 1.0, 0.1, -0.7]]), torch.tensor([[1.0, 1, 1, 0]]))
        torch.testing.assert_close(a, b)
        assert _differs(a, ego(torch.tensor([[6.0, 1.0, 0.1, 0.7]]), torch.tensor([[1.0, 1, 1, 0]]))) > 1e-3

    def test_training_hides_tokens_and_driving_does_not(self, small_config: EncoderModelConfig) -> None:
        ego = _model(small_config).ego
        values, valid = torch.ones(400, 4), torch.ones(400, 4)
        hidden = (ego.train()(values, valid) == ego.null).all(-1).float().mean()
        assert 0.4 < hidden < 0.6
        assert not (ego.eval()(values, valid) == ego.null).all(-1).any()


class TestTraining:
    @pytest.mark.parametrize(
        "mode, late, early", [("frozen", False, False), ("late", True, False), ("full", True, True)]
    )
    def test_what_of_the_backbone_learns(
        self, small_config: EncoderModelConfig, make_rig: Rigs, mode: str, late: bool, early: bool
    ) -> None:
        model = _model(replace(small_config, backbone_training=mode, aux_dropout=0.0)).train()
        rig = _rig_tensors(make_rig())
        out = model(_images(), rig, None, torch.zeros(1, 4), torch.ones(1, 4))[0]
        answers = out.answers[-1]
        sum(v.square().mean() for v in vars(answers).values()).backward()  # type: ignore[union-attr]
        listed = {name for name, _ in model.trainable()}
        moved = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
        assert moved <= listed
        assert ("backbone._blocks.12._project_conv.weight" in moved) is late
        assert ("backbone._conv_stem.weight" in moved) is early
        assert {"neck.lateral.0.weight", "queries.features", "queries.centres", "ego.weight"} <= moved

    def test_normalisation_keeps_its_statistics(self, small_config: EncoderModelConfig) -> None:
        model = _model(replace(small_config, backbone_training="full")).train()
        before = model.backbone._bn0.running_mean.clone()  # type: ignore[union-attr]
        model.features(_images()[0])
        torch.testing.assert_close(model.backbone._bn0.running_mean, before)

    def test_the_halves_are_the_whole(self, small_config: EncoderModelConfig, make_rig: Rigs) -> None:
        model, rig, images = _model(small_config), _rig_tensors(make_rig(), 2), _images(2)
        aux, known = torch.randn(2, 4), torch.ones(2, 4)
        with torch.no_grad():
            whole, kept = model(images, rig, None, aux, known)
            cached = model.features(images.flatten(0, 1))
            own = model.frame_tokens(cached, model.rays(rig))
            parts = model.scene(own, model.rays(rig), rig, None, aux, known)
        torch.testing.assert_close(parts.queries, whole.queries)
        torch.testing.assert_close(model.remembered(own), kept)

    def test_the_queries_learn_where_a_thing_is(self, small_config: EncoderModelConfig, make_rig: Rigs) -> None:
        """A bright patch on the ground of a grey world: its place is learnt in a few steps, and not from nothing."""
        torch.manual_seed(1)
        model, rig = SceneModel(small_config, pretrained=True).train(), _rig_tensors(make_rig(), 24)
        generator = np.random.default_rng(0)
        where = np.stack([generator.uniform(4, 12, 24), generator.uniform(-6, 6, 24), np.zeros(24)], -1)
        images = torch.full((24, 6, 3, 64, 96), 90.0)
        for i, point in enumerate(where):
            for j, camera in enumerate(make_rig().cameras):
                (u, v), depth = camera.project(point)
                if depth > 0.5 and 0 <= u < 96 and 0 <= v < 64:
                    images[i, j, :, max(0, round(v) - 5) : round(v) + 5, max(0, round(u) - 5) : round(u) + 5] = 255.0
        with torch.no_grad():
            features = [f.clone() for f in model.features(images.flatten(0, 1))]
        target = torch.tensor(where[:, :2], dtype=torch.float32)
        optimizer = torch.optim.AdamW([p for _, p in model.trainable()], lr=3e-3)
        errors = []
        for _ in range(60):
            rays = model.rays(rig)
            own = model.frame_tokens(features, rays)
            out = model.scene(own, rays, rig, None, torch.zeros(24, 4), torch.zeros(24, 4))
            loss = sum((a.object_centre[:, 0] - target).abs().mean() for a in out.answers)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[union-attr]
            optimizer.step()
            errors.append(float((out.answers[-1].object_centre[:, 0].detach() - target).abs().mean()))
        spread = float((target - target.median(0).values).abs().mean())
        assert errors[-1] < 0.5 * spread


@pytest.mark.parametrize("name", BACKBONES)
def test_every_backbone_gives_a_pyramid(name: str) -> None:
    torch.manual_seed(0)
    config = EncoderModelConfig(backbone=name, image_width=128, image_height=64)
    backbone = make_backbone(name)
    maps = feature_channels(backbone, config)
    assert len(maps) == 3
    assert all(rows * 2 == columns for _, rows, columns in maps)
    if name != "vit_b":
        assert [64 // rows for _, rows, _ in maps] == [8, 16, 32]
    assert backbone.early() or name == "pp_lcnet"


def test_backbone_weights_of_a_local_directory(tmp_path: Path) -> None:
    torch.manual_seed(5)
    own = transformers.ResNetBackbone(
        transformers.ResNetConfig(
            depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 24, 32], embedding_size=8, layer_type="basic"
        )
    )
    own.save_pretrained(tmp_path)
    backbone = make_backbone("resnet18", str(tmp_path))
    assert [f.shape[1] for f in backbone(torch.zeros(1, 3, 64, 96))] == [16, 24, 32]
    name = "net.embedder.embedder.convolution.weight"
    assert torch.equal(backbone.state_dict()[name], own.state_dict()[name.removeprefix("net.")])
    with pytest.raises(InputError, match="nowhere"):
        make_backbone("resnet18", str(tmp_path / "nowhere"))


def test_architectures_differ_in_their_backbones() -> None:
    assert ARCHITECTURES["tiny"].backbone == "efficientnet_lite0"
    assert ARCHITECTURES["base"].backbone == "resnet50"
    assert ARCHITECTURES["minimal"].backbone == "resnet34"
    assert 3 <= 1 + len(ARCHITECTURES["base"].history_ages) <= 5
