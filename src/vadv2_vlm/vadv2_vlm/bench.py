"""What the reasoner costs: CPU milliseconds of an embedding and of text, parameters, operations, memory."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from vadv2_core.command import DrivingCommand
from vadv2_core.ego import EgoState
from vadv2_core.geometry import Pose2
from vadv2_core.taxonomy import DrivingAction
from vadv2_core.tokens import SceneMap, SceneObjects, SceneTokens
from vadv2_vlm.config import SlotConfig, VlmConfig
from vadv2_vlm.decoding import Budget
from vadv2_vlm.reasoner import Reasoner

TEXT_TOKENS = 60
COMMAND = DrivingCommand(0, "turn left at the next intersection", DrivingAction.LEFT, 30.0)


@dataclass(frozen=True, slots=True)
class VlmMeasure:
    """Medians over runs on one thread.

    Attributes:
        embedding_cpu_ms, embedding_wall_ms: One embedding: slots, projector, prefill.
        text60_cpu_ms, text60_wall_ms: An answer of 60 tokens, its prefill and flags included.
        text60_free_cpu_ms: The same without the grammar, so that every token costs a pass.
        parameters: Of projector and language model, the vision tower that never runs left out.
        embedding_flops: Multiply-adds of an embedding, times two.
        prompt_tokens: Tokens of the prefill.
        peak_rss_mb: Of the process so far.
        precision, model_id: What was measured.
    """

    embedding_cpu_ms: float
    embedding_wall_ms: float
    text60_cpu_ms: float
    text60_wall_ms: float
    text60_free_cpu_ms: float
    parameters: int
    embedding_flops: int
    prompt_tokens: int
    peak_rss_mb: float
    precision: str
    model_id: str

    def as_mapping(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)


def synthetic_tokens(image_channels: int = 64, query_channels: int = 128, seed: int = 0) -> SceneTokens:
    """Seeded scene tokens of the `tiny` encoder's shapes, full of objects; they cost what real ones cost."""
    g = np.random.default_rng(seed)
    n, m = 32, 16
    k = np.broadcast_to(np.eye(3), (6, 3, 3)).copy()
    return SceneTokens(
        stamp=0,
        tokens=g.normal(size=(6, 14, 30, image_channels)).astype(np.float16),
        queries=g.normal(size=(n + m + 1, query_channels)).astype(np.float16),
        objects=SceneObjects(
            g.integers(1, 12, n).astype(np.int32),
            g.uniform(size=n).astype(np.float32),
            (10.0 * g.normal(size=(n, 5))).astype(np.float32),
            (4.0 * g.normal(size=(n, 2))).astype(np.float32),
            g.integers(1, 9, n).astype(np.int32),
            g.uniform(size=n).astype(np.float32),
        ),
        map=SceneMap(
            g.integers(0, 5, m).astype(np.int32),
            g.uniform(size=m).astype(np.float32),
            (10.0 * g.normal(size=(m, 10, 2))).astype(np.float32),
            g.integers(0, 6, m).astype(np.int32),
            g.uniform(size=m).astype(np.float32),
            g.uniform(size=m).astype(np.float32),
        ),
        aux=g.normal(size=(4, query_channels)).astype(np.float16),
        ego=EgoState(0, Pose2(0.0, 0.0, 0.0), (8.0, 0.0), (0.0, 0.0), 0.0, 0.0),
        k=k,
        t_base_camera=np.broadcast_to(np.eye(4), (6, 4, 4)).copy(),
        camera_stamps=np.zeros(6, dtype=np.int64),
        t_anchor_camera_time=k.copy(),
        camera_valid=np.ones(6, dtype=bool),
        novelty=0.0,
        encoder_hash="",
        model_id="synthetic-untrained",
    )


def _median(run: Callable[[], object], runs: int) -> tuple[float, float]:
    cpu, wall = [], []
    for _ in range(runs):
        started = time.process_time(), time.perf_counter()
        run()
        cpu.append(1e3 * (time.process_time() - started[0]))
        wall.append(1e3 * (time.perf_counter() - started[1]))
    return statistics.median(cpu), statistics.median(wall)


def measure(directory: Path | None = None, config: VlmConfig | None = None, runs: int = 15) -> VlmMeasure:
    """Measure a reasoner on one thread.

    Args:
        directory: As for `Reasoner`.
        config: As for `Reasoner`.
        runs: Of each measurement; the medians are given.
    """
    config = config or VlmConfig()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        reasoner = Reasoner(directory, config)
        slots = reasoner.slots or SlotConfig()
        tokens = synthetic_tokens(slots.image_channels, slots.query_channels)
        for _ in range(3):
            reasoner.embed(tokens, COMMAND)
        embedding = _median(lambda: reasoner.embed(tokens, COMMAND), runs)
        write_tokens(reasoner, tokens)
        grammar = _median(lambda: write_tokens(reasoner, tokens), max(runs // 3, 3))
        free = _median(lambda: write_tokens(reasoner, tokens, grammar=False), max(runs // 3, 3))
    finally:
        torch.set_num_threads(threads)
    prompt_tokens = reasoner.begin(tokens, COMMAND).position
    parts = (reasoner.language.decoder, reasoner.language.head, *reasoner.own_parts())
    parameters = sum({p.data_ptr(): p.numel() for part in parts for p in part.parameters()}.values())
    return VlmMeasure(
        embedding_cpu_ms=embedding[0],
        embedding_wall_ms=embedding[1],
        text60_cpu_ms=grammar[0],
        text60_wall_ms=grammar[1],
        text60_free_cpu_ms=free[0],
        parameters=parameters,
        embedding_flops=2 * (parameters - reasoner.language.embeddings.weight.numel()) * prompt_tokens,
        prompt_tokens=prompt_tokens,
        peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
        precision=config.precision,
        model_id=reasoner.model_id,
    )


@torch.inference_mode()
def write_tokens(
    reasoner: Reasoner,
    tokens: SceneTokens,
    command: DrivingCommand = COMMAND,
    count: int = TEXT_TOKENS,
    *,
    grammar: bool = True,
) -> None:
    """Say ``count`` tokens, no more and no fewer, whatever the model would like to say; prefill and flags included.

    Args:
        reasoner: Which model.
        tokens: Of the frame.
        command: What is asked.
        count: Tokens.
        grammar: As the reasoner speaks; otherwise one pass a token.
    """
    state = reasoner.begin(tokens, command)
    reasoner.flags(state)
    if grammar:
        budget = Budget(count, None)
        while not budget.over:
            reasoner.decoder.decode(state, budget)
        return
    for _ in range(count):
        reasoner.language.proceed(state, [int(reasoner.language.logits(state.hidden)[0].argmax())])


def base_size(prompt_tokens: int = 160) -> dict[str, int]:
    """Parameters and operations of the reasoner that `base` is meant for: a Qwen3-VL of 2 B, built without weights.

    Args:
        prompt_tokens: Tokens of the prefill behind the token door.

    Returns:
        ``vlm_parameters``, of which ``vlm_parameters_text`` run behind the token door, and ``vlm_embedding_flops``.
    """
    text = {
        "vocab_size": 151_936,
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "tie_word_embeddings": True,
    }
    vision = {
        "depth": 24,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_heads": 16,
        "out_hidden_size": 2048,
        "deepstack_visual_indexes": [5, 11, 17],
    }
    with torch.device("meta"):
        model = Qwen3VLForConditionalGeneration(
            Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True)
        )
    decoder: Any = model.get_decoder()
    running = sum(p.numel() for p in decoder.parameters())
    layers = running - decoder.embed_tokens.weight.numel()
    return {
        "vlm_parameters": sum(p.numel() for p in model.parameters()),
        "vlm_parameters_text": running,
        "vlm_embedding_flops": 2 * layers * prompt_tokens,
    }
