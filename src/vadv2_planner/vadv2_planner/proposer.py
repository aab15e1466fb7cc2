"""A network as a proposer: frame to batch, seeded noise, a backend, waypoints to motion."""

from __future__ import annotations

import numpy as np
import torch

from vadv2_core.command import DrivingCommand
from vadv2_core.errors import InputError
from vadv2_core.taxonomy import DrivingAction
from vadv2_core.tokens import SceneTokens
from vadv2_planner.backends import make_runner
from vadv2_planner.batch import PlannerBatch, make_batch
from vadv2_planner.command_reader import CommandReader
from vadv2_planner.config import PlannerConfig
from vadv2_planner.diffusion import TruncatedDiffusion
from vadv2_planner.motion import positions_from_waypoints, present_motion
from vadv2_planner.networks import PlannerNetwork
from vadv2_planner.planner import Observation, Proposal, Proposer
from vadv2_planner.text import command_ids


def check_channels(tokens: SceneTokens, network: PlannerNetwork) -> None:
    """Hold a frame's tokens to the channels a network was made for.

    Raises:
        InputError: naming the tensor.
    """
    config = network.config
    for name, value, wanted in (
        ("tokens", tokens.tokens, config.token_channels),
        ("queries", tokens.queries, config.query_channels),
        ("aux", tokens.aux, config.aux_channels),
    ):
        if value.shape[-1] != wanted:
            raise InputError(f"{name} have {value.shape[-1]} channels", "planner", f"{wanted}")


class NetworkProposer(Proposer):
    """Runs a `PlannerNetwork` on single frames."""

    def __init__(
        self,
        network: PlannerNetwork,
        config: PlannerConfig,
        *,
        model_id: str,
        encoder_hash: str = "",
        reasoning_model: str = "",
    ) -> None:
        self.network = network.eval()
        self.model_id = model_id
        self.encoder_hash = encoder_hash
        self.reasoning_model = reasoning_model
        self.needs_pictures = network.needs_pictures
        self.reasoning_channels = network.config.reasoning_channels if network.reads_reasoning else 0
        self.steps = config.steps or network.default_steps
        diffuses = network.noise_shape[0] > 0
        self.sampler = config.sampler if isinstance(network, TruncatedDiffusion) else config.planner
        self._plan = network.plan_of(config.sampler, self.steps)
        if not diffuses:
            self.steps = 1
        self._runner = make_runner(network, self._plan, config)
        untrained = model_id.endswith("-untrained")
        readers = [] if untrained else [part for part in network.modules() if isinstance(part, CommandReader)]
        self._reader = readers[0] if readers else None
        self._read = ("", int(DrivingAction.UNKNOWN))

    def batch(self, seen: Observation) -> PlannerBatch:
        """The observation as a batch of one."""
        if seen.tokens is not None:
            check_channels(seen.tokens, self.network)
        return make_batch(
            seen.tokens if self.needs_pictures else None,
            seen.ego,
            seen.command,
            seen.route,
            seen.embedding,
            seen.embedding_age,
            self.network.config.reasoning_channels,
        )

    def told_to_stop(self, command: DrivingCommand) -> bool:
        """Whether a command asks to stop: by its action; where that is UNKNOWN, by what its words most likely ask."""
        if command.action is not DrivingAction.UNKNOWN or self._reader is None or not command.text.strip():
            return super().told_to_stop(command)
        if command.text != self._read[0]:
            # A command is said once and holds for many frames.
            asked = int(self._reader.read(command_ids(command.text)).argmax())
            self._read = (command.text, asked)
        return self._read[1] == int(DrivingAction.STOP)

    def propose(self, seen: Observation, seed: int) -> Proposal:
        """See `Proposer.propose`."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn((1, *self.network.noise_shape), generator=generator)
        waypoints, logits = self._runner.run(self.batch(seen), noise)
        velocity, acceleration = present_motion(seen.ego)
        positions = positions_from_waypoints(waypoints[0].astype(np.float64), velocity, acceleration)
        if waypoints.shape[1] == 1 and not self.network.scores:
            return Proposal(positions, np.ones(1))
        if self.sampler == "vanilla_diffusion":
            shares = np.exp(logits[0] - logits[0].max())
            return Proposal(positions, (shares / shares.sum()).astype(np.float64))
        return Proposal(positions, 1.0 / (1.0 + np.exp(-logits[0].astype(np.float64))))
