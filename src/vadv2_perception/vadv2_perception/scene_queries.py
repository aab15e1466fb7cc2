"""Scene queries: learned questions that read the image tokens and answer with objects, map elements, the whole scene.

A query reads at its own places in the world, projected into the cameras (as DETR3D, arXiv:2110.06922, and deformable
attention, arXiv:2010.04159), and, in the first layer, over every token with its ray as position (as PETR,
arXiv:2203.05625), where a token that looks like a signal lamp may be preferred. Answers are refined layer by layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vadv2_core.taxonomy import AgentClass, AgentIntention, EdgeCaseFlag, MapElementClass, SignalState, Weather
from vadv2_perception.configuration import EncoderModelConfig
from vadv2_perception.past_reading import PastFrames, PastReading
from vadv2_perception.rays import inside, project, read_tokens

NO_MAP_ELEMENT = len(MapElementClass)
"""Index of "nothing" among the map classes; among the object classes it is `AgentClass.UNKNOWN`."""


@dataclass
class QueryAnswers:
    """What the queries say after one layer; base_link, m, rad, s. Queries in their own fixed order.

    Attributes:
        object_class: (B, n, 12) logits of `AgentClass`; 0 is no object.
        object_centre: (B, n, 2).
        object_heading: (B, n, 2) cosine and sine of the yaw, not normalised.
        object_size: (B, n, 2) logarithm of length and width.
        object_velocity: (B, n, 2) over ground.
        object_intention: (B, n, 9) logits of `AgentIntention`.
        map_class: (B, m, 6) logits of `MapElementClass`; the last is nothing.
        map_points: (B, m, p, 2).
        map_signal: (B, m, 6) logits of `SignalState`.
        map_relevance: (B, m) logit: concerns the ego's path.
        scene_signal: (B, 6) logits of `SignalState` of the next signal on the ego's way; 0 is none.
        scene_stop: (B, 2) logit of a stop line ahead and its distance / 10 m.
        scene_lead: (B, 3) logit of a vehicle ahead in the lane, distance / 10 m, speed / 10 m/s.
        scene_lane: (B, 2) lateral offset (left positive) from the lane's middle and yaw against it.
        scene_flags: (B, 10) logits of `EdgeCaseFlag`.
        scene_weather: (B, 6) logits of `Weather`.
    """

    object_class: Tensor
    object_centre: Tensor
    object_heading: Tensor
    object_size: Tensor
    object_velocity: Tensor
    object_intention: Tensor
    map_class: Tensor
    map_points: Tensor
    map_signal: Tensor
    map_relevance: Tensor
    scene_signal: Tensor
    scene_stop: Tensor
    scene_lead: Tensor
    scene_lane: Tensor
    scene_flags: Tensor
    scene_weather: Tensor


_OBJECT_PARTS = (len(AgentClass), 2, 2, 2, len(AgentIntention))
_MAP_PARTS = (len(MapElementClass) + 1, len(SignalState), 1)
_SCENE_PARTS = (len(SignalState), 2, 3, 2, len(EdgeCaseFlag), len(Weather))


_NO_LAMP = 6.0
"""Logit of "no lamp" before anything is learned."""


def _head(channels: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, channels), nn.GELU(), nn.Linear(channels, outputs))


class PlaceReading(nn.Module):
    """Reads the token maps where a query's places project into the cameras, weighted by the query."""

    def __init__(self, channels: int, query_channels: int, heads: int, points: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid, self.heads, self.points = grid, heads, points
        self.weights = nn.Linear(query_channels, points * heads)
        self.out = nn.Linear(channels, query_channels)

    def forward(self, queries: Tensor, places: Tensor, maps: Tensor, k: Tensor, t: Tensor, valid: Tensor) -> Tensor:
        """Read.

        Args:
            queries: (B, Q, d).
            places: (B, Q, points, 3) base_link.
            maps: (B * cameras, c, h, w) tokens.
            k: (B, cameras, 3, 3) at token resolution.
            t: (B, cameras, 4, 4) T_base_camera.
            valid: (B, cameras) 1 or 0.

        Returns:
            (B, Q, d); zeros where no camera sees any of a query's places (plus the output's bias).
        """
        batch, count, points, _ = places.shape
        cameras = k.shape[1]
        uv, depth = project(places.reshape(batch, count * points, 3), k, t)
        seen = inside(uv, depth, self.grid).to(maps.dtype) * valid[..., None]
        values = read_tokens(maps, uv.reshape(batch * cameras, count, points, 2))
        weights = self.weights(queries).reshape(batch, count, points, self.heads).softmax(dim=2)
        weights = weights.permute(0, 3, 1, 2)[:, :, :, None] * seen.reshape(batch, 1, cameras, count, points).transpose(
            2, 3
        )
        weights = weights.reshape(batch, self.heads, count, cameras * points, 1)
        weights = weights / weights.sum(dim=3, keepdim=True).clamp(min=1e-2)
        values = values.reshape(batch, cameras, self.heads, -1, count, points).permute(0, 2, 4, 3, 1, 5)
        read = values.reshape(batch, self.heads, count, -1, cameras * points) @ weights
        answer: Tensor = self.out(read.transpose(1, 2).reshape(batch, count, -1))
        return answer


class TokenReading(nn.Module):
    """Attention of every query to every token of every camera, with a preference for tokens that look like lamps.

    Multi-head attention whose key and value projections are folded into the few queries and answers, so that the many
    tokens are read as they are.
    """

    def __init__(self, channels: int, query_channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.out = nn.Linear(query_channels, heads * channels), nn.Linear(heads * channels, query_channels)
        # One head starts out looking for lamps: a red light is two pixels wide and would be found late otherwise.
        self.lamp_weight = nn.Parameter(torch.tensor([1.0] + [0.0] * (heads - 1)))

    def forward(self, queries: Tensor, tokens: Tensor, positions: Tensor, lamp: Tensor, hidden: Tensor) -> Tensor:
        """Read.

        Args:
            queries: (B, Q, d).
            tokens: (B, N, c) of all cameras.
            positions: (B, N, c) their ray encodings.
            lamp: (B, N) how much a token looks like a lamp (a logit).
            hidden: (B, N) 0, or a large negative number for a camera that is not valid.

        Returns:
            (B, Q, d).
        """
        batch, count, _ = queries.shape
        total, c = tokens.shape[1:]
        asked = self.query(queries).reshape(batch, count * self.heads, c) * (1.0 / math.sqrt(c))
        scores = (asked @ (tokens + positions).transpose(1, 2)).reshape(batch, count, self.heads, total)
        bias = self.lamp_weight[:, None] * lamp[:, None] + hidden[:, None]
        weights = (scores + bias[:, None]).softmax(dim=-1).reshape(batch, count * self.heads, total)
        answer: Tensor = self.out((weights @ tokens).reshape(batch, count, -1))
        return answer


class QueryLayer(nn.Module):
    """One round: talk to each other and the ego tokens, read the images, think."""

    def __init__(self, config: EncoderModelConfig, first: bool) -> None:
        super().__init__()
        c, d, heads = config.token_channels, config.query_channels, config.heads
        reads_all, frames = first, len(config.history_ages)
        # The first layer does not know yet where its objects are, nor where they head.
        self.past = None if first or not frames else PastReading(config.memory_channels, d, frames, config.grid)
        self.heads = heads
        self.talk_in, self.talk_out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.norm_talk, self.norm_place, self.norm_think = nn.LayerNorm(d), nn.LayerNorm(d), nn.LayerNorm(d)
        self.places = PlaceReading(c, d, heads, config.points, config.grid)
        self.reads_all = reads_all
        if reads_all:
            self.norm_all = nn.LayerNorm(d)
            self.all = TokenReading(c, d, heads)
        self.think = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def talk(self, queries: Tensor, position: Tensor, aux: Tensor) -> Tensor:
        """Self-attention of the queries; the ego tokens are listened to and do not listen."""
        batch, count, d = queries.shape
        q, k, v = self.talk_in(self.norm_talk(torch.cat([queries + position, aux], dim=1))).chunk(3, dim=-1)
        q, k, v = (x.reshape(batch, -1, self.heads, d // self.heads).transpose(1, 2) for x in (q[:, :count], k, v))
        heard = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, count, d)
        answer: Tensor = self.talk_out(heard)
        return answer


class SceneQueries(nn.Module):
    """Objects, map elements and one query of the whole scene, in this order."""

    def __init__(self, config: EncoderModelConfig) -> None:
        super().__init__()
        self.config = config
        d, points = config.query_channels, config.points
        self.features = nn.Parameter(torch.randn(config.queries, d) * 0.1)
        self.centres = nn.Parameter(_spread_centres(config))
        self.lines = nn.Parameter(_spread_lines(config))
        self.gaze = nn.Parameter(_scene_places(points))
        self.around = nn.Parameter(_object_places(points))
        self.around_shift = nn.Linear(d, points * 3)
        self.gaze_shift = nn.Linear(d, points * 3)
        self.position = nn.Sequential(nn.Linear(points * 2, d), nn.GELU(), nn.Linear(d, d))
        self.layers = nn.ModuleList(QueryLayer(config, first=i == 0) for i in range(config.layers))
        self.norm = nn.LayerNorm(d)
        self.lamps = nn.Linear(config.token_channels, len(SignalState))
        self.object_head = _head(d, sum(_OBJECT_PARTS))
        self.map_head = _head(d, sum(_MAP_PARTS))
        self.scene_head = _head(d, sum(_SCENE_PARTS))
        self.move_centre, self.move_line = nn.Linear(d, 2), nn.Linear(d, points * 2)
        for layer in (self.around_shift, self.gaze_shift, self.move_centre, self.move_line):
            nn.init.normal_(layer.weight, std=1e-3)
            nn.init.zeros_(layer.bias)
        # One token in two thousand is a lamp: begun at even odds, lamps are all that the first steps learn of (the
        # prior of RetinaNet, arXiv:1708.02002, section 4.1).
        nn.init.zeros_(self.lamps.bias)
        with torch.no_grad():
            self.lamps.bias[0] = _NO_LAMP

    def _places(self, queries: Tensor, centres: Tensor, lines: Tensor) -> Tensor:
        """Where each query looks: (B, Q, points, 3)."""
        n, m, points = self.config.object_queries, self.config.map_queries, self.config.points
        shift = self.around_shift(queries[:, :n]).reshape(-1, n, points, 3)
        ground = torch.zeros_like(centres[..., :1])
        objects = torch.cat([centres, ground], dim=-1)[:, :, None] + self.around + shift
        elements = torch.cat([lines, torch.zeros_like(lines[..., :1])], dim=-1)
        scene = self.gaze + 5.0 * self.gaze_shift(queries[:, n + m :]).reshape(-1, 1, points, 3)
        return torch.cat([objects, elements, scene], dim=1)

    def _answers(self, queries: Tensor, centres: Tensor, lines: Tensor) -> QueryAnswers:
        n, m = self.config.object_queries, self.config.map_queries
        q = self.norm(queries)
        cls, heading, size, velocity, intention = self.object_head(q[:, :n]).split(_OBJECT_PARTS, dim=-1)
        map_cls, signal, relevance = self.map_head(q[:, n : n + m]).split(_MAP_PARTS, dim=-1)
        scene = self.scene_head(q[:, n + m]).split(_SCENE_PARTS, dim=-1)
        # 10 m/s and e m are the natural sizes: heads then start near them with outputs of order one.
        return QueryAnswers(
            cls,
            centres,
            heading,
            size + 1.0,
            velocity * 10.0,
            intention,
            map_cls,
            lines,
            signal,
            relevance[..., 0],
            *scene,
        )

    def forward(
        self,
        tokens: Tensor,
        rays: Tensor,
        aux: Tensor,
        k: Tensor,
        t_base_camera: Tensor,
        camera_valid: Tensor,
        past: PastFrames | None = None,
    ) -> tuple[Tensor, list[QueryAnswers], Tensor]:
        """Ask.

        Args:
            tokens: (B, cameras, h, w, c), history fused in.
            rays: (B, cameras, h, w, c) ray encodings.
            aux: (B, 4, d) ego tokens.
            k: (B, cameras, 3, 3) at token resolution.
            t_base_camera: (B, cameras, 4, 4).
            camera_valid: (B, cameras) 1 or 0.
            past: Earlier frames; None for a frame without a past.

        Returns:
            Query features (B, Q, d), the answers after every layer (the last is the result), and the lamp heat-map's
            logits (B, cameras, h, w, 6) of `SignalState`, 0 for no lamp.
        """
        batch, cameras, h, w, c = tokens.shape
        n, m, points = self.config.object_queries, self.config.map_queries, self.config.points
        maps = tokens.reshape(batch * cameras, h, w, c).permute(0, 3, 1, 2)
        lamps = self.lamps(tokens)
        lamp = (lamps[..., 1:].amax(-1) - lamps[..., 0]).clamp(-8.0, 8.0).reshape(batch, -1)
        hidden = ((camera_valid - 1.0) * 1e4)[:, :, None].expand(-1, -1, h * w).reshape(batch, -1)
        queries = self.features.expand(batch, -1, -1)
        centres, lines = self.centres.expand(batch, -1, -1), self.lines.expand(batch, -1, -1, -1)
        reach = torch.tensor(
            [self.config.range_forward, self.config.range_around], dtype=tokens.dtype, device=tokens.device
        )
        answers: list[QueryAnswers] = []
        position = queries
        for layer in self.layers:
            assert isinstance(layer, QueryLayer)
            places = self._places(queries, centres, lines)
            position = self.position((places[..., :2] / reach).flatten(2))
            queries = queries + layer.talk(queries, position, aux)
            if layer.reads_all:
                asked = layer.norm_all(queries + position)
                queries = queries + layer.all(
                    asked, tokens.reshape(batch, -1, c), rays.reshape(batch, -1, c), lamp, hidden
                )
            asked = layer.norm_place(queries + position)
            queries = queries + layer.places(asked, places, maps, k, t_base_camera, camera_valid)
            if layer.past is not None and past is not None:
                # Where it looks is an answer of earlier layers and teaches this one alone.
                heading = answers[-1].object_heading.detach()
                found = layer.past(asked[:, :n], centres.detach(), heading, past, k, t_base_camera)
                queries = queries + F.pad(found, (0, 0, 0, m + 1))
            queries = queries + layer.think(layer.norm_think(queries))
            # Later layers start from the answer of earlier ones, but teach only themselves (as DETR's iterative boxes).
            normed = self.norm(queries)
            centres = centres.detach() + 4.0 * self.move_centre(normed[:, :n])
            lines = lines.detach() + 4.0 * self.move_line(normed[:, n : n + m]).reshape(batch, m, points, 2)
            answers.append(self._answers(queries, centres, lines))
        final = self._places(queries, centres, lines)
        position = self.position((final[..., :2] / reach).flatten(2))
        return self.norm(queries) + position, answers, lamps


def _spread_centres(config: EncoderModelConfig) -> Tensor:
    """Starting places of the object queries: a sunflower spiral, denser near the ego, longer ahead than around."""
    i = torch.arange(config.object_queries, dtype=torch.float32) + 0.5
    radius, angle = (i / config.object_queries) ** 0.75, i * math.pi * (3 - math.sqrt(5))
    x, y = radius * torch.cos(angle), radius * torch.sin(angle)
    middle = 0.5 * (config.range_forward - config.range_around)
    half = 0.5 * (config.range_forward + config.range_around)
    return torch.stack([middle * radius + half * x * 0.9, config.range_around * 0.7 * y], dim=-1)


def _spread_lines(config: EncoderModelConfig) -> Tensor:
    """Starting polylines of the map queries: half along the road side by side, half across it one behind another."""
    count, points = config.map_queries, config.points
    along = (count + 1) // 2
    s = torch.linspace(0, 1, points)
    lines = []
    for i in range(along):
        y = (i - 0.5 * (along - 1)) * 3.5
        lines.append(torch.stack([-8 + s * 0.75 * config.range_forward, torch.full_like(s, y)], dim=-1))
    for i in range(count - along):
        x = 5.0 + i * 6.0
        lines.append(torch.stack([torch.full_like(s, x), 6.0 - 12.0 * s], dim=-1))
    return torch.stack(lines)


def _object_places(points: int) -> Tensor:
    """Where an object query looks around its centre: over its length and width, from the wheels to the roof."""
    i = torch.arange(points, dtype=torch.float32)
    angle = i * math.pi * (3 - math.sqrt(5))
    radius = torch.sqrt(i / max(points - 1, 1))
    return torch.stack(
        [2.0 * radius * torch.cos(angle), 1.0 * radius * torch.sin(angle), 0.4 + 1.2 * (i % 3) / 2], dim=-1
    )


def _scene_places(points: int) -> Tensor:
    """Where the scene query looks first: along the way ahead, at the road and at the height of lamps."""
    i = torch.arange(points, dtype=torch.float32)
    return torch.stack([6.0 + 44.0 * i / max(points - 1, 1), torch.zeros(points), (i % 2) * 5.0], dim=-1)
