"""The one place where a planner's name becomes a planner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vadv2_core.checkpoint import Checkpoint, load_checkpoint, require_tensors, save_checkpoint
from vadv2_core.config import from_mapping, to_mapping
from vadv2_core.errors import InputError
from vadv2_planner.anchors import AnchorSet, kinematic_trajectories, load_anchors, normalisation
from vadv2_planner.config import ARCHITECTURES, ModelConfig, PlannerConfig
from vadv2_planner.diffusion import TruncatedDiffusion, VanillaDiffusion
from vadv2_planner.kinematic import ConstantVelocity
from vadv2_planner.minimal import Minimal
from vadv2_planner.networks import PlannerNetwork
from vadv2_planner.peers import EgoStatus, Regression, Vocabulary
from vadv2_planner.planner import Planner, Proposer
from vadv2_planner.proposer import NetworkProposer

KIND = "planner"
"""Kind of a planner's checkpoint."""

VOCABULARY_SIZE = 4096
"""Trajectories of the vocabulary planner."""

NetworkMaker = Callable[[ModelConfig, AnchorSet], PlannerNetwork]

NETWORKS: dict[str, NetworkMaker] = {
    "truncated_diffusion": TruncatedDiffusion,
    "vanilla_diffusion": VanillaDiffusion,
    "regression": Regression,
    "vocabulary": Vocabulary,
    "ego_status": EgoStatus,
    "minimal": Minimal,
}
"""Learned planners by name."""

RULES: dict[str, Callable[[], Proposer]] = {"constant_velocity": ConstantVelocity}
"""Planners without weights by name."""

PLANNERS: tuple[str, ...] = (*NETWORKS, *RULES)
"""Every name that ``PlannerConfig.planner`` takes."""


@dataclass(frozen=True, slots=True)
class Belongings:
    """What a checkpoint's planner was trained with; empty strings match anything."""

    encoder_hash: str = ""
    reasoning_model: str = ""


def model_config_of(name: str, architecture: str) -> ModelConfig:
    """The network config of a named planner in a named size."""
    config = ARCHITECTURES[architecture]
    if name == "vocabulary":
        return replace(config, modes=VOCABULARY_SIZE)
    return replace(config, sample_heights=(0.0,)) if name == "minimal" else config


def default_anchors(name: str) -> AnchorSet:
    """The shipped anchors, or a seeded kinematic vocabulary of 4096 trajectories."""
    if name != "vocabulary":
        return load_anchors()
    trajectories = kinematic_trajectories(VOCABULARY_SIZE, seed=1)
    return AnchorSet(trajectories, *normalisation(trajectories), "kinematic vocabulary, seed 1")


def make_network(
    name: str, config: ModelConfig | None = None, anchors: AnchorSet | None = None, seed: int = 0
) -> PlannerNetwork:
    """A network with seeded, untrained weights.

    Args:
        name: One of `NETWORKS`.
        config: Of the network; the tiny size of this planner where left out.
        anchors: Anchors or vocabulary and constants; the shipped ones where left out.
        seed: Of the weights.

    Raises:
        InputError: for an unknown name, or anchors that do not fit the config.
    """
    if name not in NETWORKS:
        raise InputError(f"planner {name!r} has no network", "planner", "one of " + ", ".join(NETWORKS))
    config = model_config_of(name, "tiny") if config is None else config
    anchors = default_anchors(name) if anchors is None else anchors
    if anchors.anchors.shape[1:] != (config.knots, 2) or len(anchors.anchors) != config.modes:
        raise InputError(
            f"anchors have shape {anchors.anchors.shape}",
            "planner",
            f"({config.modes}, {config.knots}, 2) as in its config",
        )
    if config.width % config.heads:
        raise InputError(f"width is {config.width}", "planner model", f"a multiple of heads ({config.heads})")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[name](config, anchors).eval()


def save_planner(
    directory: Path, name: str, network: PlannerNetwork, model_id: str, belongings: Belongings | None = None
) -> Checkpoint:
    """Write a planner's checkpoint: config, anchors, constants and weights."""
    belongings = belongings or Belongings()
    config: dict[str, Any] = {
        "planner": name,
        "model": to_mapping(network.config),
        "encoder_hash": belongings.encoder_hash,
        "reasoning_model": belongings.reasoning_model,
    }
    tensors = {key: value.detach().float().cpu().numpy() for key, value in network.state_dict().items()}
    return save_checkpoint(directory, kind=KIND, model_id=model_id, config=config, tensors=tensors)


def load_network(directory: Path) -> tuple[str, PlannerNetwork, Checkpoint, Belongings]:
    """Read a planner's checkpoint.

    Returns:
        The planner's name, its network, the checkpoint and what it was trained with.

    Raises:
        InputError: for a checkpoint that does not hold to its own words, by the name of what is wrong.
    """
    checkpoint = load_checkpoint(directory, KIND)
    where = str(directory)
    for key in ("planner", "model"):
        if key not in checkpoint.config:
            raise InputError(f"config has no {key!r}", where, "a planner's checkpoint")
    name = checkpoint.config["planner"]
    config = from_mapping(ModelConfig, checkpoint.config["model"], where)
    for key in ("anchors", "offset", "scale"):
        if key not in checkpoint.tensors:
            raise InputError(f"tensor {key!r} is missing", where, "anchors and their constants")
    points, offset, scale = (checkpoint.tensors[k].astype("float64") for k in ("anchors", "offset", "scale"))
    anchors = AnchorSet(points, offset, scale, where)
    network = make_network(name, config, anchors)
    state = network.state_dict()
    require_tensors(checkpoint, {k: tuple(v.shape) for k, v in state.items()}, where)
    network.load_state_dict({k: torch.from_numpy(checkpoint.tensors[k].astype("float32")) for k in state})
    belongings = Belongings(
        str(checkpoint.config.get("encoder_hash", "")), str(checkpoint.config.get("reasoning_model", ""))
    )
    return name, network, checkpoint, belongings


def make_planner(directory: Path | None, config: PlannerConfig) -> Planner:
    """A planner from a checkpoint, or with seeded untrained weights.

    Args:
        directory: Of a planner's checkpoint; None for untrained weights, whose ``model_id`` ends in ``-untrained``.
        config: ``config.planner`` names the planner; a checkpoint must be of that one.

    Raises:
        InputError: for a checkpoint that does not fit.
    """
    torch.set_num_threads(config.threads)
    if config.planner in RULES:
        return Planner(RULES[config.planner](), config)
    if directory is None:
        network = make_network(config.planner, model_config_of(config.planner, config.architecture), seed=config.seed)
        model_id = f"{config.planner}-{config.architecture}-seed{config.seed}-untrained"
        return Planner(NetworkProposer(network, config, model_id=model_id), config)
    name, network, checkpoint, belongings = load_network(directory)
    if name != config.planner:
        raise InputError(f"holds a {name!r} planner", str(directory), f"planner {config.planner!r}")
    proposer = NetworkProposer(
        network,
        config,
        model_id=checkpoint.model_id,
        encoder_hash=belongings.encoder_hash,
        reasoning_model=belongings.reasoning_model,
    )
    return Planner(proposer, config)
