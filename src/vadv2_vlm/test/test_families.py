"""Qwen3-VL, Qwen2.5-VL and LLaVA through the same code, from tiny configurations; both doors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import (
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from vlm_scenes import LEFT, scene_tokens

from vadv2_core.camera import SURROUND_CAMERAS, CameraFrame, CameraModel, CameraRig
from vadv2_vlm.config import VlmConfig
from vadv2_vlm.processors import optional_video
from vadv2_vlm.reasoner import Reasoner
from vadv2_vlm.tiny import CHAT_TEMPLATE, TinySize, make_tokenizer, write_tiny

SMALL = TinySize(hidden=64, layers=2, heads=4, key_value_heads=2, intermediate=96, vision_hidden=32, vision_layers=1)


def write_qwen25(directory):
    tokenizer = make_tokenizer(1536)
    token = tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
        },
        vision_config={
            "depth": 1,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 64,
            "fullatt_block_indexes": [0],
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Qwen2_5_VLForConditionalGeneration(config).save_pretrained(directory)
    images = Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 56 * 112}, patch_size=14)
    with optional_video():
        Qwen2_5_VLProcessor(image_processor=images, tokenizer=tokenizer, chat_template=CHAT_TEMPLATE).save_pretrained(
            directory
        )
    (directory / "README.md").write_text("---\nlicense: other\nlicense_name: research-only\n---\n")


def write_llava(directory):
    tokenizer = make_tokenizer(1536)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    config = LlavaConfig(
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
        },
        vision_config={
            "model_type": "clip_vision_model",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 56,
            "patch_size": 14,
            "projection_dim": 32,
        },
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlavaForConditionalGeneration(config).save_pretrained(directory)
    images = CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    template = CHAT_TEMPLATE.replace("<|vision_start|><|image_pad|><|vision_end|>", "<image>")
    LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        chat_template=template,
        num_additional_image_tokens=1,
    ).save_pretrained(directory)
    (directory / "LICENSE").write_text("LLAMA 2 COMMUNITY LICENSE AGREEMENT\n")


FAMILIES = {
    "qwen3_vl": lambda d: write_tiny(d, 0, SMALL),
    "qwen2_5_vl": write_qwen25,
    "llava": write_llava,
}
LICENCES = {"qwen3_vl": "apache-2.0", "qwen2_5_vl": "research-only", "llava": "LLAMA 2 COMMUNITY LICENSE AGREEMENT"}


@pytest.fixture(scope="module", params=list(FAMILIES))
def family(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp(request.param) / request.param
    directory.mkdir()
    FAMILIES[request.param](directory)
    return request.param, directory


def frame(shade=0):
    k = np.array([[60.0, 0.0, 47.5], [0.0, 60.0, 31.5], [0.0, 0.0, 1.0]])
    rig = CameraRig(tuple(CameraModel(name, 96, 64, k, np.eye(4)) for name in SURROUND_CAMERAS))
    g = np.random.default_rng(3)
    images = tuple(g.integers(0, 200, (64, 96, 3), dtype=np.uint8) + np.uint8(shade) for _ in rig.cameras)
    return CameraFrame(5, rig, images, np.full(6, 5, dtype=np.int64), np.ones(6, dtype=bool))


def test_both_doors_of_every_family(family):
    name, directory = family
    reasoner = Reasoner(directory, VlmConfig(max_tokens=10))
    assert reasoner.licence == LICENCES[name]
    assert reasoner.model_id.endswith("-untrained")
    tokens = scene_tokens()
    by_tokens = reasoner.embed(tokens, LEFT).embedding
    said = reasoner.reason(tokens, LEFT)
    by_pixels = reasoner.embed_frame(frame(), tokens.ego, LEFT).embedding
    seen = reasoner.reason_frame(frame(), tokens.ego, LEFT)
    assert by_tokens.shape == by_pixels.shape == (64,)
    assert said.longitudinal and seen.longitudinal
    assert seen.stamp == 5
    assert np.abs(reasoner.embed_frame(frame(50), tokens.ego, LEFT).embedding - by_pixels).max() > 1e-4
    # One door leaves nothing behind for the other.
    np.testing.assert_array_equal(reasoner.embed(tokens, LEFT).embedding, by_tokens)


def test_a_continued_sequence_equals_one_pass(family):
    """The cache is exact: the logits after appended tokens are those of the whole sequence through the model itself."""
    _, directory = family
    reasoner = Reasoner(directory, VlmConfig(precision="float32"))
    language = reasoner.language
    first, second = language.encode("command: turn left"), language.encode(" and stop")
    with torch.inference_mode():
        state = language.begin(language.words(first))
        language.proceed(state, second[:1])
        language.proceed(state, second[1:])
        whole = language.model(input_ids=torch.tensor([first + second])).logits[0, -1]
        torch.testing.assert_close(language.logits(state.hidden)[0], whole, atol=1e-4, rtol=1e-4)


def test_pixels_go_on_as_generate_does(family):
    """Greedy tokens after an image prompt are those of transformers' own generate()."""
    _, directory = family
    language = Reasoner(directory, VlmConfig(precision="float32")).language
    chat = language.prompt_text("command: turn left", 6)
    from PIL import Image

    inputs = language.processor(images=[Image.fromarray(i) for i in frame().images], text=[chat], return_tensors="pt")
    with torch.inference_mode():
        state = language.begin_pixels(dict(inputs))
        mine = []
        for _ in range(6):
            mine.append(int(language.logits(state.hidden)[0].argmax()))
            language.proceed(state, mine[-1:])
        theirs = language.model.generate(
            **inputs, max_new_tokens=6, min_new_tokens=6, do_sample=False, pad_token_id=0, eos_token_id=-1
        )
    assert mine == theirs[0, inputs["input_ids"].shape[1] :].tolist()
