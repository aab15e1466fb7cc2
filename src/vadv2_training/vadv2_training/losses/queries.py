"""Losses of the scene queries: each truth is matched to one query (DETR, Carion et al. 2020), layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from vadv2_core.config import parameter, validate
from vadv2_core.taxonomy import AgentIntention, MapElementClass
from vadv2_perception.scene_queries import NO_MAP_ELEMENT, QueryAnswers

_USUAL_INTENTIONS = (AgentIntention.KEEPS, AgentIntention.STOPS, AgentIntention.PARKED)
"""Seven of eight objects; counted alike, the others are never said."""
_REVERSIBLE = (int(MapElementClass.BOUNDARY), int(MapElementClass.CROSSING))


@dataclass(frozen=True, slots=True)
class QueryLossConfig:
    """Weights of the scene queries' terms."""

    classes: float = parameter(2.0, "Cross-entropy of object and map classes.", minimum=0.0, maximum=100.0)
    nothing: float = parameter(0.1, "Weight of the class 'nothing'.", minimum=0.0, maximum=1.0)
    box: float = parameter(0.25, "L1 of centre (m), size and heading.", minimum=0.0, maximum=100.0)
    velocity: float = parameter(0.2, "L1 of velocity, m/s.", minimum=0.0, maximum=100.0)
    moving: float = parameter(
        0.2, "How much more the velocity of what moves counts, for each m/s.", unit="s/m", minimum=0.0, maximum=10.0
    )
    intention: float = parameter(1.0, "Cross-entropy of intentions.", minimum=0.0, maximum=100.0)
    rare_intention: float = parameter(
        3.0, "How much more an intention to turn, merge, yield or cross counts.", minimum=1.0, maximum=100.0
    )
    line: float = parameter(0.2, "L1 of map points, m.", minimum=0.0, maximum=100.0)
    signal: float = parameter(0.5, "Cross-entropy of signal states, relevance.", minimum=0.0, maximum=100.0)
    scene: float = parameter(1.0, "Answers of the scene query.", minimum=0.0, maximum=100.0)
    next_signal: float = parameter(
        3.0, "Cross-entropy of the next signal's state, among the scene query's answers.", minimum=0.0, maximum=100.0
    )
    lamps: float = parameter(1.0, "Lamp heat-map.", minimum=0.0, maximum=100.0)

    def __post_init__(self) -> None:
        validate(self, "query losses")


def match(cost: Tensor, known: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hungarian matching of every sample.

    Args:
        cost: (b, queries, truths).
        known: (b, truths) 1 where a truth is there; at most as many as queries.

    Returns:
        Sample, query and truth indices (pairs,) each.
    """
    values = np.nan_to_num(cost.detach().float().cpu().numpy(), nan=1e6, posinf=1e6, neginf=-1e6)
    there = known.cpu().numpy() > 0
    found: list[NDArray[np.int64]] = []
    for i, (costs, mask) in enumerate(zip(values, there, strict=True)):
        columns = np.flatnonzero(mask)
        rows, picked = linear_sum_assignment(costs[:, columns])
        found.append(np.stack([np.full(len(rows), i), rows, columns[picked]]))
    pairs = torch.from_numpy(np.concatenate(found, axis=1).astype(np.int64)).to(cost.device)
    return pairs[0], pairs[1], pairs[2]


def _heading(box: Tensor) -> Tensor:
    return torch.stack([box[..., 2].cos(), box[..., 2].sin()], dim=-1)


def _mean(values: Tensor, count: int) -> Tensor:
    return values.sum() / max(count, 1)


def object_losses(said: QueryAnswers, truth: Mapping[str, Tensor], config: QueryLossConfig) -> Tensor:
    """Class, box, velocity and intention of matched objects; unmatched queries say "nothing" (`AgentClass.UNKNOWN`).

    Cost of a pair: ``-p(class) + 0.1 |centre|_1``.
    """
    classes = truth["object_class"].long()
    probability = said.object_class.softmax(-1).gather(
        2, classes.unsqueeze(1).expand(-1, said.object_class.shape[1], -1)
    )
    apart = (said.object_centre.unsqueeze(2) - truth["object_box"][:, None, :, :2]).abs().sum(-1)
    b, q, t = match(0.1 * apart - probability, truth["object_known"])
    target = torch.zeros(said.object_class.shape[:2], dtype=torch.long, device=classes.device)
    target[b, q] = classes[b, t]
    weight = torch.ones(said.object_class.shape[-1], device=classes.device)
    weight[0] = config.nothing
    loss = config.classes * F.cross_entropy(said.object_class.transpose(1, 2).float(), target, weight=weight)
    n = len(b)
    box = truth["object_box"][b, t]
    shape = (said.object_size[b, q] - box[:, 3:5].clamp(min=0.1).log()).abs().sum(-1)
    turn = (said.object_heading[b, q] - _heading(box)).abs().sum(-1)
    centre = (said.object_centre[b, q] - box[:, :2]).abs().sum(-1)
    loss = loss + config.box * _mean(centre + 4.0 * shape + 4.0 * turn, n)
    driven = truth["object_velocity"][b, t]
    # Most of what there is stands, and where nothing is known the L1's best answer is their median: nothing moves.
    velocity = (said.object_velocity[b, q] - driven).abs().sum(-1) * (1.0 + config.moving * driven.norm(dim=-1))
    loss = loss + config.velocity * _mean(velocity, n)
    intention = truth["object_intention"].long()[b, t]
    counts = weight.new_full((said.object_intention.shape[-1],), config.rare_intention)
    counts[list(_USUAL_INTENTIONS)] = 1.0
    # UNKNOWN is "was not labelled", not an intention.
    counts[AgentIntention.UNKNOWN] = 0.0
    wrong = F.cross_entropy(said.object_intention[b, q].float(), intention, weight=counts, reduction="sum")
    return loss + config.intention * wrong / counts[intention].sum().clamp(min=1.0)


def map_losses(said: QueryAnswers, truth: Mapping[str, Tensor], config: QueryLossConfig) -> Tensor:
    """Class, points, signal state and relevance of matched map elements; unmatched queries say "nothing".

    Cost of a pair: ``-p(class) + 0.1 mean |points|_1``; edges and crossings may run either way.
    """
    classes = truth["map_class"].long()
    probability = said.map_class.softmax(-1).gather(2, classes.unsqueeze(1).expand(-1, said.map_class.shape[1], -1))
    points = truth["map_points"]
    forward = (said.map_points.unsqueeze(2) - points.unsqueeze(1)).abs().sum(-1).mean(-1)
    backward = (said.map_points.unsqueeze(2) - points.flip(2).unsqueeze(1)).abs().sum(-1).mean(-1)
    either = torch.zeros_like(classes, dtype=torch.bool)
    for value in _REVERSIBLE:
        either |= classes == value
    apart = torch.where(either.unsqueeze(1), torch.minimum(forward, backward), forward)
    b, q, t = match(0.1 * apart - probability, truth["map_known"])
    target = torch.full(said.map_class.shape[:2], NO_MAP_ELEMENT, dtype=torch.long, device=classes.device)
    target[b, q] = classes[b, t]
    weight = torch.ones(said.map_class.shape[-1], device=classes.device)
    weight[NO_MAP_ELEMENT] = config.nothing
    loss = config.classes * F.cross_entropy(said.map_class.transpose(1, 2).float(), target, weight=weight)
    n = len(b)
    loss = loss + config.line * _mean(apart[b, q, t], n)
    signal = F.cross_entropy(said.map_signal[b, q].float(), truth["map_signal"].long()[b, t], reduction="sum")
    relevant = F.binary_cross_entropy_with_logits(
        said.map_relevance[b, q].float(), truth["map_relevant"][b, t].float(), reduction="sum"
    )
    return loss + config.signal * (signal + relevant) / max(n, 1)


def scene_losses(said: QueryAnswers, truth: Mapping[str, Tensor], config: QueryLossConfig) -> Tensor:
    """Signal, stop line, lead vehicle, lane, flags and weather, as the scene query says them; distances / 10 m."""
    stop, lead = truth["scene_stop"].float(), truth["scene_lead"].float()
    binary = F.binary_cross_entropy_with_logits
    seen = truth["scene_signal"].long().reshape(-1)
    loss = config.next_signal * F.cross_entropy(said.scene_signal.float(), seen)
    loss = loss + binary(said.scene_stop[:, 0].float(), stop[:, 0])
    loss = loss + ((said.scene_stop[:, 1] - stop[:, 1] / 10.0).abs() * stop[:, 0]).mean()
    loss = loss + binary(said.scene_lead[:, 0].float(), lead[:, 0])
    loss = loss + ((said.scene_lead[:, 1:] - lead[:, 1:] / 10.0).abs().sum(-1) * lead[:, 0]).mean()
    known = truth["scene_lane_known"].float().reshape(-1, 1)
    loss = loss + ((said.scene_lane - truth["scene_lane"].float()).abs() * known).mean()
    flags = truth["scene_flags"].float()
    # Summed, and a flag that holds counts more: most frames have none, and a mean over ten would teach to say none.
    loss = loss + binary(said.scene_flags.float(), flags, pos_weight=flags.new_full((flags.shape[1],), 4.0)).mul(
        0.5 * flags.shape[1]
    )
    return config.scene * (
        loss + F.cross_entropy(said.scene_weather.float(), truth["scene_weather"].long().reshape(-1))
    )


def lamp_loss(lamps: Tensor, truth: Tensor, sharpness: float = 2.0) -> Tensor:
    """Where lamps are and what they show, each per lamp: a frame has one or two in 2520 tokens.

    Where: the focal loss of CenterNet (Zhou et al. 2019, arXiv:1904.07850, eq. 1) on "some lamp" against "none"; next
    to a lamp "none" is not asked for, as a lamp at a token's edge is in both. What: cross-entropy of the state among
    the lamp's tokens alone. Averaged over tokens instead, a red lamp and a green one would differ by a thousandth of
    the loss, and are then never told apart.

    Args:
        lamps: (b, cameras, h, w, 6) logits of `SignalState`, 0 for no lamp.
        truth: (b, cameras, h, w).
        sharpness: Focus on the tokens that are wrong.
    """
    target = truth.long().flatten()
    logits = lamps.flatten(0, 3).float()
    there = target > 0
    # Of a softmax over all classes the odds of "some lamp" are those of the others together.
    some = logits[:, 1:].logsumexp(-1) - logits[:, 0]
    p = some.sigmoid()
    hit = -(1.0 - p).pow(sharpness) * F.logsigmoid(some)
    miss = -p.pow(sharpness) * F.logsigmoid(-some)
    count = there.sum().clamp(min=1)
    beside = F.max_pool2d((truth > 0).float().flatten(0, 1), 3, stride=1, padding=1).flatten() > 0
    where = torch.where(there, hit, torch.where(beside, torch.zeros_like(miss), miss)).sum() / count
    states = F.cross_entropy(logits[:, 1:], (target - 1).clamp(min=0), reduction="none")
    return where + torch.where(there, states, torch.zeros_like(states)).sum() / count


def query_losses(
    answers: list[QueryAnswers], lamps: Tensor, truth: Mapping[str, Tensor], config: QueryLossConfig
) -> dict[str, Tensor]:
    """Terms of all layers, mean over layers, and ``total``.

    Args:
        answers: One a layer.
        lamps: Of `lamp_loss`.
        truth: The arrays of `driving_frames.target_arrays` with a batch axis.
        config: Weights.
    """
    terms = {
        "objects": torch.stack([object_losses(said, truth, config) for said in answers]).mean(),
        "map": torch.stack([map_losses(said, truth, config) for said in answers]).mean(),
        "scene": torch.stack([scene_losses(said, truth, config) for said in answers]).mean(),
        "lamps": config.lamps * lamp_loss(lamps, truth["lamps"]),
    }
    terms["total"] = torch.stack(list(terms.values())).sum()
    return terms
