"""The training door, LoRA, checkpoints and constrained decoding."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from vlm_scenes import FOLLOW, LEFT, scene_tokens

from vadv2_core.decision import Decision
from vadv2_core.errors import InputError
from vadv2_core.taxonomy import Cause, LateralAction, LongitudinalAction
from vadv2_vlm.config import SlotConfig, VlmConfig
from vadv2_vlm.constraint import Trie, TrieLogitsProcessor
from vadv2_vlm.language_model import load_language_model
from vadv2_vlm.lora import attach_adapter, has_adapter, load_adapter, merge_adapter, save_adapter
from vadv2_vlm.model import IGNORED, VlmModel, stack_texts
from vadv2_vlm.reasoner import Reasoner
from vadv2_vlm.samples import DECISION_WEIGHT, ReasoningTruth, training_text
from vadv2_vlm.slots import scene_slots, token_batch
from vadv2_vlm.store import load_vlm, save_vlm
from vadv2_vlm.tiny import TinySize, write_tiny

SMALL = TinySize(hidden=64, layers=2, heads=4, key_value_heads=2, intermediate=128, vision_hidden=32, vision_layers=1)
STOP = Decision(LongitudinalAction.STOP, LateralAction.STRAIGHT, Cause.RED_LIGHT)
GO = Decision(LongitudinalAction.ACCELERATE, LateralAction.LEFT_TURN, Cause.GREEN_LIGHT)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "model"
    write_tiny(path, 0, SMALL)
    return path


def make_model(directory, seed=0):
    torch.manual_seed(seed)
    return VlmModel(load_language_model(str(directory)), SlotConfig(width=64))


def truths():
    tokens = [scene_tokens(0), scene_tokens(1)]
    flags = (True, *(False,) * 8, None)
    return tokens, [
        ReasoningTruth(
            LEFT,
            tokens[0].ego,
            STOP,
            flags,
            "Stop and stay in the lane because the light is red.",
            "It is night. A car is 12 m away ahead, standing still.",
            "The light 12 m ahead is red. So we stop and stay in the lane.",
            past=("Slow down and stay in the lane because the light is yellow.",),
        ),
        ReasoningTruth(FOLLOW, tokens[1].ego, GO, (False,) * 10, "Speed up and turn left because the light is green."),
    ]


def batch(model):
    tokens, samples = truths()
    texts = stack_texts([training_text(model.language, model.slots.count, t) for t in samples], 0)
    return token_batch([scene_slots(t, model.slots) for t in tokens]), texts


def test_a_sequence_learns_answers_only_and_knows_its_places(directory):
    model = make_model(directory)
    _, texts = batch(model)
    learned = texts.labels != IGNORED
    said = model.language.tokenizer.decode(texts.labels[0][learned[0]])
    assert said.startswith(" stop, straight\n red light\n Stop and stay in the lane because the light is red.\n It is")
    assert model.language.tokenizer.convert_ids_to_tokens(int(texts.ids[0, texts.reason[0]])) == "<reason>"
    assert int((texts.ids[0] == model.language.image_token_id).sum()) == model.slots.count
    assert {model.language.tokenizer.decode([int(i)]) for i in texts.ids[0, texts.flags[0]]} == {"?"}
    assert "earlier: Slow down" in model.language.tokenizer.decode(texts.ids[0])
    assert not (learned & (texts.mask == 0)).any()


def test_text_model_and_own_parts_train_and_the_vision_tower_does_not(directory):
    model = make_model(directory)
    sum(model(*batch(model)).losses.values()).backward()
    for name, parameter in model.named_parameters():
        sees = ".visual." not in name
        assert parameter.requires_grad == sees, name
        assert (parameter.grad is not None) == sees, name
    attach_adapter(model.language.model)
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert all("lora_" in n or not n.startswith("language_model.") for n in trained)
    assert any("projector" in n for n in trained)


def test_padding_changes_no_loss(directory):
    model = make_model(directory).eval()
    tokens, samples = truths()
    with torch.no_grad():
        text = training_text(model.language, model.slots.count, samples[1])
        alone = model(token_batch([scene_slots(tokens[1], model.slots)]), text)
        padded_tokens, padded = batch(model)
        both = model(padded_tokens, padded)
        short = model.embed(padded_tokens, padded)
    torch.testing.assert_close(both.embedding[1], alone.embedding[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(both.embedding, short, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(both.flag_logits[1], alone.flag_logits[0], atol=1e-5, rtol=1e-4)


def test_the_words_of_a_rare_cause_count_more_and_nothing_else_does(directory):
    model = make_model(directory)
    truth = ReasoningTruth(LEFT, truths()[0][0].ego, STOP, (False,) * 10)
    usual, rare = (training_text(model.language, model.slots.count, truth, rarity=r).weights[0] for r in (1.0, 3.0))
    more = rare != usual
    assert more.any() and torch.equal(rare[more], 3.0 * usual[more])
    assert usual[more].unique().tolist() == [DECISION_WEIGHT]
    assert int((usual == DECISION_WEIGHT).sum()) > int(more.sum()), "those of the action stay"


def test_training_and_the_road_see_the_same_numbers(directory):
    """Embedding and flags of the batched module equal those of the core."""
    reasoner = Reasoner(directory, VlmConfig(max_tokens=8, precision="float32"))
    tokens, _ = truths()
    told = reasoner.embed(tokens[0], LEFT)
    embedding = told.embedding
    assert told.decision.shape == (0,), "heads that nobody trained decide nothing"
    model = reasoner._model
    truth = ReasoningTruth(LEFT, tokens[0].ego, STOP, (False,) * 10)
    with torch.no_grad():
        text = training_text(model.language, model.slots.count, truth)
        out = model(token_batch([scene_slots(tokens[0], model.slots)]), text)
    np.testing.assert_allclose(out.embedding[0].numpy(), embedding, atol=1e-4)
    flags = reasoner.reason(tokens[0], LEFT).flag_probabilities
    np.testing.assert_allclose(out.flag_logits[0].sigmoid().numpy(), flags, atol=1e-4)


def test_words_on_quantised_weights_stay_near_and_embeddings_exact(directory):
    exact, quick = (Reasoner(directory, VlmConfig(precision=p)) for p in ("float32", "int8"))
    for seed in range(3):
        tokens = scene_tokens(seed)
        np.testing.assert_array_equal(quick.embed(tokens, LEFT).embedding, exact.embed(tokens, LEFT).embedding)
        flags = [r.reason(tokens, LEFT).flag_probabilities for r in (exact, quick)]
        assert 0.0 < np.abs(flags[0] - flags[1]).max() < 0.05


def test_it_learns_two_scenes_and_says_them(directory, tmp_path):
    model = make_model(directory)
    frames, samples = truths()
    samples = [replace(t, scene="", trace="") for t in samples]
    texts = stack_texts([training_text(model.language, model.slots.count, t) for t in samples], 0)
    tokens = token_batch([scene_slots(t, model.slots) for t in frames])
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(120):
        losses = model(tokens, texts).losses
        optimiser.zero_grad()
        sum(losses.values()).backward()
        optimiser.step()
    assert {name: float(loss.detach()) < 0.1 for name, loss in losses.items()} == {
        "language": True,
        "flags": True,
        "action": True,
    }
    save_vlm(tmp_path / "vlm", model, "vlm-two-scenes", "seeded")
    reasoner = Reasoner(tmp_path / "vlm", VlmConfig())
    for frame, truth in zip(frames, samples, strict=True):
        blank = reasoner.reason(frame, truth.command, seconds=0.0)
        said = reasoner.reason(frame, truth.command, [replace(blank, intent=i) for i in truth.past])
        assert said.model_id == "vlm-two-scenes"
        assert (said.longitudinal, said.lateral, said.cause) == (
            truth.decision.longitudinal,
            truth.decision.lateral,
            truth.decision.cause,
        )
        assert said.longitudinal_confidence > 0.8
        decision = reasoner.embed(frame, truth.command).decision
        assert decision.argmax() == truth.decision.longitudinal and decision.sum() == pytest.approx(1.0)
        assert said.intent == truth.intent
        assert (said.flag_probabilities[0] > 0.5) == truth.flags[0]
    with pytest.raises(InputError, match="encoder"):
        reasoner.embed(replace(frames[0], encoder_hash="other"), LEFT)


def test_a_checkpoint_is_refused_by_name_when_it_is_not_whole(directory, tmp_path):
    model = make_model(directory)
    where = tmp_path / "vlm"
    save_vlm(where, model, "vlm-x", "")
    assert load_vlm(where).model_id == "vlm-x"
    weights = where / "language_model" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(InputError, match=r"language_model/model.safetensors.*altered|altered.*SHA"):
        load_vlm(where)
    config = json.loads((where / "config.json").read_text())
    config["config"]["taxonomy_version"] = 99
    (where / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="taxonomy version 99"):
        load_vlm(where)


def randomise_adapter(model):
    torch.manual_seed(5)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.05)


def logits(language, text="command: turn left and stop"):
    with torch.no_grad():
        return language.model(input_ids=torch.tensor([language.encode(text)])).logits


def test_an_adapter_saves_loads_and_merges_exactly(directory, tmp_path):
    language = load_language_model(str(directory))
    plain = logits(language)
    trainable = attach_adapter(language.model, rank=8)
    assert trainable == sum(p.numel() for n, p in language.model.named_parameters() if "lora_" in n)
    assert all(p.requires_grad == ("lora_" in n) for n, p in language.model.named_parameters())
    assert not any("lora_" in n and "visual" in n for n, _ in language.model.named_parameters())
    torch.testing.assert_close(logits(language), plain, atol=0.0, rtol=0.0)
    randomise_adapter(language.model)
    adapted = logits(language)
    assert (adapted - plain).abs().max() > 1e-3
    save_adapter(language.model, tmp_path / "adapter")

    other = load_language_model(str(directory))
    load_adapter(other.model, tmp_path / "adapter")
    torch.testing.assert_close(logits(other), adapted, atol=0.0, rtol=0.0)
    merge_adapter(other.model)
    assert not has_adapter(other.model)
    torch.testing.assert_close(logits(other), adapted, atol=1e-5, rtol=1e-5)
    with pytest.raises(InputError, match="already"):
        attach_adapter(language.model)


def test_an_adapter_travels_in_a_checkpoint_and_not_in_the_base(directory, tmp_path):
    model = make_model(directory)
    attach_adapter(model.language.model)
    randomise_adapter(model.language.model)
    before = logits(model.language)
    save_vlm(tmp_path / "vlm", model, "vlm-lora", "")
    assert (tmp_path / "vlm" / "adapter" / "adapter_model.safetensors").is_file()
    loaded = load_vlm(tmp_path / "vlm").model
    torch.testing.assert_close(logits(loaded.language), before, atol=2e-3, rtol=2e-3)
    base = load_language_model(str(tmp_path / "vlm" / "language_model"))
    torch.testing.assert_close(logits(base), logits(load_language_model(str(directory))), atol=2e-3, rtol=2e-3)


def test_an_adapter_of_another_model_is_refused(directory, tmp_path):
    language = load_language_model(str(directory))
    attach_adapter(language.model, rank=4)
    save_adapter(language.model, tmp_path / "adapter")
    write_tiny(tmp_path / "other", 0, TinySize(hidden=32, layers=1, heads=2, key_value_heads=1, intermediate=64))
    other = load_language_model(str(tmp_path / "other"))
    with pytest.raises(InputError, match="adapter"):
        load_adapter(other.model, tmp_path / "adapter")
    with pytest.raises(InputError, match="adapter_config"):
        load_adapter(other.model, tmp_path / "nowhere")


def test_a_closed_list_lets_only_its_phrases_through():
    trie = Trie({(1, 2, 9): "a b", (1, 9): "a", (3, 9): "c"})
    assert trie.allowed(()) == (1, 3)
    assert trie.allowed((1,)) == (2, 9)
    assert trie.allowed((1, 9)) == ()
    assert trie.value((1, 9)) == "a"
    assert trie.value((2,)) is None
    processor = TrieLogitsProcessor(trie, prompt_length=1, end=0)
    scores = torch.zeros(2, 10)
    out = processor(torch.tensor([[7, 1], [7, 5]]), scores)
    assert out[0].isfinite().nonzero().flatten().tolist() == [2, 9]
    assert out[1].isfinite().nonzero().flatten().tolist() == [0]
    with pytest.raises(InputError, match="beginning"):
        Trie({(1,): "a", (1, 2): "b"})
