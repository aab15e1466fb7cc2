"""The tiny reasoner: an ordinary transformers directory, two verbs, bounds, and what it is conditioned on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from vlm_scenes import FOLLOW, LEFT, scene_tokens

from vadv2_core.command import Route
from vadv2_core.errors import InputError
from vadv2_core.taxonomy import Cause, LateralAction, LongitudinalAction
from vadv2_vlm.config import VlmConfig
from vadv2_vlm.processors import load_processor
from vadv2_vlm.reasoner import Reasoner
from vadv2_vlm.tiny import untrained_directory


@pytest.fixture(scope="module")
def reasoner(cache):
    return Reasoner(None, VlmConfig(cache=str(cache), max_tokens=48))


def test_the_tiny_directory_loads_by_the_auto_classes_offline(cache):
    from transformers import AutoModelForImageTextToText, Qwen3VLForConditionalGeneration

    directory = untrained_directory(cache, 0)
    processor = load_processor(str(directory), local=True)
    model = AutoModelForImageTextToText.from_pretrained(directory, local_files_only=True, dtype=torch.float32)
    assert isinstance(model, Qwen3VLForConditionalGeneration)
    images = [np.full((64, 96, 3), 40 * i, dtype=np.uint8) for i in range(6)]
    content = [{"type": "image"} for _ in images] + [{"type": "text", "text": "command: turn left"}]
    chat = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(images=images, text=[chat], return_tensors="pt")
    out = model.generate(**inputs, max_new_tokens=4, do_sample=False)
    assert out.shape[1] - inputs["input_ids"].shape[1] in range(1, 5)
    assert sum(f.stat().st_size for f in directory.iterdir()) < 24e6


def test_the_embedding_is_normalised_deterministic_and_stamped(reasoner):
    tokens = scene_tokens()
    first, again = reasoner.embed(tokens, LEFT), reasoner.embed(tokens, LEFT)
    assert first.stamp == tokens.stamp
    assert first.model_id.endswith("-untrained")
    assert first.embedding.shape == (reasoner.embedding_size,)
    assert np.sqrt((first.embedding**2).mean()) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_array_equal(first.embedding, again.embedding)


def test_the_route_is_heard(reasoner):
    tokens = scene_tokens()
    x, y = tokens.ego.pose.x, tokens.ego.pose.y
    bend = Route(0, np.array([[x, y], [x + 10.0, y], [x + 10.0, y + 50.0]]))
    straight = Route(0, np.array([[x, y], [x + 60.0, y]]))
    none, bent, on = (reasoner.embed(tokens, LEFT, route).embedding for route in (None, bend, straight))
    for one, other in ((none, bent), (none, on), (bent, on)):
        assert np.abs(one - other).max() > 1e-4


@pytest.mark.parametrize("change", ["objects", "map", "queries", "images", "speed", "command"])
def test_the_embedding_sees_every_input(reasoner, change):
    tokens, command = scene_tokens(), LEFT
    before = reasoner.embed(tokens, command).embedding
    if change == "objects":
        tokens = replace(tokens, objects=replace(tokens.objects, boxes=tokens.objects.boxes + 9.0))
    elif change == "map":
        tokens = replace(tokens, map=replace(tokens.map, signal_states=(tokens.map.signal_states + 1) % 6))
    elif change == "queries":
        tokens = replace(tokens, queries=-tokens.queries)
    elif change == "images":
        tokens = replace(tokens, tokens=tokens.tokens + np.float16(1.0))
    elif change == "speed":
        tokens = replace(tokens, ego=replace(tokens.ego, velocity=(1.0, 0.0)))
    else:
        command = FOLLOW
    assert np.abs(reasoner.embed(tokens, command).embedding - before).max() > 1e-4


def test_a_reasoning_is_in_the_taxonomy_and_goes_on_from_the_embedding_prefill(reasoner):
    said = reasoner.reason(scene_tokens(), LEFT)
    assert said.stamp == 1_000
    assert said.longitudinal in LongitudinalAction
    assert said.longitudinal is not LongitudinalAction.UNKNOWN
    assert said.lateral is not LateralAction.UNKNOWN
    assert said.cause is not Cause.UNKNOWN
    assert 1 / 4 <= said.longitudinal_confidence <= 1.0
    assert said.flag_probabilities.shape == (10,)
    assert ((said.flag_probabilities > 0.0) & (said.flag_probabilities < 1.0)).all()
    again = reasoner.reason(scene_tokens(), LEFT)
    assert replace(said, inference_time=0.0, flag_probabilities=None) == replace(
        again, inference_time=0.0, flag_probabilities=None
    )


def test_past_intents_condition_the_answer_and_are_bounded(cache):
    reasoner = Reasoner(None, VlmConfig(cache=str(cache), max_tokens=8, past_traces=1))
    tokens = scene_tokens()
    alone = reasoner.reason(tokens, LEFT)
    past = [replace(alone, intent="Stop and stay in the lane because the light is red.")]
    with_past = reasoner.reason(tokens, LEFT, past)
    assert np.abs(with_past.flag_probabilities - alone.flag_probabilities).max() > 1e-6
    older = [replace(alone, intent="Speed up and turn left because we were told to."), *past]
    np.testing.assert_array_equal(reasoner.reason(tokens, LEFT, older).flag_probabilities, with_past.flag_probabilities)


def test_bounds_on_tokens_and_time_mark_the_answer_truncated(cache):
    tokens = scene_tokens()
    short = Reasoner(None, VlmConfig(cache=str(cache), max_tokens=8))
    assert short.reason(tokens, LEFT).truncated
    late = short.reason(tokens, LEFT, seconds=0.0)
    assert late.truncated
    assert late.longitudinal is LongitudinalAction.UNKNOWN
    assert late.flag_probabilities.shape == (10,)


def test_tokens_of_other_channels_are_refused(reasoner):
    reasoner.embed(scene_tokens(), LEFT)
    with pytest.raises(InputError, match="channels"):
        reasoner.embed(scene_tokens(query_channels=96), LEFT)


def test_no_objects_and_no_map_is_a_scene_too(reasoner):
    assert np.isfinite(reasoner.embed(scene_tokens(objects=0, elements=0), LEFT).embedding).all()


def test_a_directory_that_is_no_model_is_named(tmp_path):
    with pytest.raises(InputError, match=str(tmp_path)):
        Reasoner(tmp_path, VlmConfig())
    with pytest.raises(InputError, match="no such directory"):
        Reasoner(tmp_path / "nowhere", VlmConfig())


def test_a_name_that_the_hub_cannot_give_is_one_line_and_soon(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"^some/model: .*does not answer"):
        Reasoner(None, VlmConfig(language_model="some/model"))


def test_a_model_that_the_hub_does_not_have(monkeypatch):
    import http.server
    import threading

    from huggingface_hub import constants

    class Nothing(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(404)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Nothing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    try:
        with pytest.raises(InputError, match="no such model on the hub"):
            Reasoner(None, VlmConfig(language_model="some/model"))
    finally:
        server.shutdown()
        server.server_close()
