"""Draw calls: programs, vertex arrays and uniforms of one city on one OpenGL context."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vadv2_core.geometry import Array
from vadv2_sim.renderer import shaders
from vadv2_sim.renderer.actors import DECAL_FLOATS, INSTANCE_FLOATS, MESHES, Actors
from vadv2_sim.renderer.atmosphere import Atmosphere
from vadv2_sim.renderer.city import City, Level
from vadv2_sim.renderer.textures import TEXTURE_SIZE, texture_array

NEAR = 0.2
"""Near plane, m."""
DETAIL_RANGE = 85.0
"""Nearer than this, chunks are drawn with whole trees and lamp posts, m."""
_CITY_LAYOUT = ("3f 3f 3f 3f 1f 4x", "p", "n", "t", "c", "part")
_TRUTH_LAYOUT = ("3f 3f 3f 3f 1f 1f", "p", "n", "t", "c", "part", "semantic")
_ACTOR_LAYOUT = ("4f 3f 3f 4f 4f/i", "i_place", "i_scale", "i_color", "i_lamps", "i_state")


def inside_frustum(view_projection: Array, low: Array, high: Array) -> NDArray[np.bool_]:
    """Which boxes (k, 3), (k, 3) may touch a view; conservative."""
    v = view_projection
    planes = np.stack([v[3] + v[0], v[3] - v[0], v[3] + v[1], v[3] - v[1], v[3] + v[2], v[3] - v[2]])
    normal = planes[:, None, :3]
    corner = np.where(normal > 0, high[None], low[None])
    return np.asarray(((corner * normal).sum(-1) + planes[:, None, 3] > 0).all(axis=0))


def sky_dome(sides: int = 64) -> NDArray[np.float32]:
    """Triangles (n, 4) float32 of a dome of directions; the fourth number is 1 on a silhouette of far hills."""
    azimuth = np.linspace(0, 2 * np.pi, sides + 1)
    hills = 0.022 + 0.012 * np.sin(azimuth * 5 + 1) + 0.008 * np.sin(azimuth * 13)
    rings = [np.full(sides + 1, -0.3), hills, hills + 0.002, np.full(sides + 1, 0.06)]
    rings += [np.full(sides + 1, e) for e in (0.12, 0.2, 0.3, 0.45, 0.65, 0.9, 1.25, np.pi / 2)]
    land = [1.0, 1.0, *[0.0] * (len(rings) - 2)]
    points = np.stack(
        [
            np.stack([np.cos(e) * np.cos(azimuth), np.cos(e) * np.sin(azimuth), np.sin(e), np.full_like(e, w)], axis=1)
            for e, w in zip(rings, land, strict=True)
        ]
    )
    a, b, c, d = points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]
    return np.stack([a, b, c, a, c, d], axis=2).reshape(-1, 4).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _LitPrograms:
    """Programs of one state of light, and the city's vertex array for it."""

    still: Any
    moving: Any
    city: Any


class Painter:
    """Draws a city and its actors into whatever framebuffer and viewport is in use."""

    def __init__(self, context: Any, city: City) -> None:
        self._context = context
        self._city = city
        self._variants: dict[tuple[str, ...], _LitPrograms] = {}
        self._sky = context.program(shaders.SKY_VERTEX, shaders.SKY_FRAGMENT)
        self._decal = context.program(shaders.DECAL_VERTEX, shaders.DECAL_FRAGMENT)
        truth, switch = shaders.TRUTH_FRAGMENT, shaders.with_switches
        self._still_truth = context.program(switch(shaders.TRUTH_VERTEX), truth)
        self._moving_truth = context.program(switch(shaders.TRUTH_VERTEX, "INSTANCED"), truth)
        textures = texture_array()
        self._texture = context.texture_array((TEXTURE_SIZE, TEXTURE_SIZE, len(textures)), 4, textures.tobytes())
        self._texture.build_mipmaps()
        self._texture.filter = (9985, 9729)  # GL_LINEAR_MIPMAP_NEAREST, GL_LINEAR
        height, width = city.bake.shape[:2]
        self._bake = context.texture((width, height), 2, np.ascontiguousarray(city.bake).tobytes(), alignment=1)
        self._bake.filter = (9729, 9729)
        self._bake.repeat_x = self._bake.repeat_y = False
        self._city_buffer = context.buffer(city.vertices.tobytes())
        self._city_indices = context.buffer(city.indices.tobytes())
        self._city_truth = self._array(self._still_truth, [(self._city_buffer, _TRUTH_LAYOUT)], self._city_indices)
        self._dome = context.buffer(sky_dome().tobytes())
        self._sky_array = self._array(self._sky, [(self._dome, ("4f", "p"))])
        self._corners = context.buffer(np.array([-1, -1, 1, -1, -1, 1, 1, 1], dtype=np.float32).tobytes())
        self._meshes = [context.buffer(make().tobytes()) for make, _ in MESHES.values()]
        self._slots: dict[tuple[int, Any, int], tuple[Any, Any]] = {}
        self._decals: dict[int, tuple[Any, Any]] = {}
        self._call = 0
        self._fixed = {"u_texture": 0, "u_bake": 1, "u_bake_place": (*city.origin, *(1.0 / city.extent))}
        self._set(self._fixed, self._sky)

    def _lit(self, air: Atmosphere) -> _LitPrograms:
        """The programs for a state of light, compiled when it is first met."""
        wanted = {"SHADOWS": air.shadow > 0.0, "LAMPS": air.night > 0.05, "WET": air.wet > 0.0}
        switches = tuple(name for name, on in wanted.items() if on)
        if switches not in self._variants:
            fragment = shaders.with_switches(shaders.LIT_FRAGMENT, *switches)
            still = self._context.program(shaders.with_switches(shaders.LIT_VERTEX), fragment)
            moving = self._context.program(shaders.with_switches(shaders.LIT_VERTEX, "INSTANCED"), fragment)
            self._set(self._fixed, still, moving)
            array = self._array(still, [(self._city_buffer, _CITY_LAYOUT)], self._city_indices)
            self._variants[switches] = _LitPrograms(still, moving, array)
        return self._variants[switches]

    def _array(self, program: Any, content: list[tuple[Any, tuple[str, ...]]], indices: Any = None) -> Any:
        names = set(program)
        kept = []
        for buffer, (layout, *attributes) in content:
            # An attribute a compiler dropped becomes padding.
            formats = layout.removesuffix("/i").split()
            formats = [f for f in formats if not f.endswith("x")] + [f for f in formats if f.endswith("x")]
            kinds = [
                f if i >= len(attributes) or attributes[i] in names else f"{int(f[:-1]) * 4}x"
                for i, f in enumerate(formats)
            ]
            used = [a for a in attributes if a in names]
            kept.append((buffer, " ".join(kinds) + ("/i" if layout.endswith("/i") else ""), *used))
        return self._context.vertex_array(program, kept, index_buffer=indices)

    def light(self, air: Atmosphere, headlight: tuple[float, float, float]) -> None:
        """Set the light of a frame; ``headlight`` is the ego's lamp: x, y, yaw."""
        self._call = 0
        self._now = self._lit(air)
        x, y, yaw = headlight
        values = {
            "u_sun": tuple(air.sun),
            "u_sun_color": air.sun_color,
            "u_ambient_sky": air.ambient_sky,
            "u_ambient_ground": air.ambient_ground,
            "u_horizon": air.horizon,
            "u_zenith": air.zenith,
            "u_fog": air.fog,
            "u_night": air.night,
            "u_wet": air.wet,
            "u_shadow": air.shadow,
            "u_clouds": air.clouds,
            "u_glare": air.glare,
            "u_headlight": (x, y, float(np.cos(yaw)), float(np.sin(yaw))),
            "u_headlight_power": 1.15 if air.night > 0.2 else 0.0,
        }
        self._set(values, self._now.still, self._now.moving, self._sky, self._decal)

    @staticmethod
    def _set(values: dict[str, Any], *programs: Any) -> None:
        """Set uniforms wherever a program has kept them (compilers drop what is unused)."""
        for program in programs:
            for name, value in values.items():
                if name in program:
                    program[name].value = value

    def draw(self, view: Array, view_projection: Array, eye: Array, actors: Actors) -> None:
        """Draw one camera's picture into the viewport in use."""
        c = self._context
        matrix = np.ascontiguousarray(view_projection.T, dtype=np.float32).tobytes()
        for program in (self._now.still, self._now.moving, self._sky, self._decal):
            program["u_view_projection"].write(matrix)
        self._set({"u_eye": tuple(eye)}, self._now.still, self._now.moving, self._sky, self._decal)
        self._texture.use(0)
        self._bake.use(1)
        c.enable_only(c.DEPTH_TEST | c.CULL_FACE)
        c.depth_func = "<"
        self._instances(self._now.moving, _CITY_LAYOUT, view_projection, actors)
        self._chunks(self._now.city, view_projection, eye)
        c.enable_only(c.DEPTH_TEST)
        c.depth_func = "<="
        self._sky_array.render()
        c.enable_only(c.DEPTH_TEST | c.BLEND)
        c.fbo.depth_mask = False
        self._spots(actors.shades, (c.SRC_ALPHA, c.ONE_MINUS_SRC_ALPHA))
        self._spots(actors.lights, (c.SRC_ALPHA, c.ONE))
        c.fbo.depth_mask = True

    def draw_truth(self, view: Array, view_projection: Array, eye: Array, actors: Actors) -> None:
        """Draw one camera's classes, instances and depth into the viewport in use."""
        c = self._context
        matrix = np.ascontiguousarray(view_projection.T, dtype=np.float32).tobytes()
        for program in (self._still_truth, self._moving_truth):
            program["u_view_projection"].write(matrix)
            program["u_depth_row"].value = tuple(view[2])
        c.enable_only(c.DEPTH_TEST | c.CULL_FACE)
        c.depth_func = "<"
        self._instances(self._moving_truth, _TRUTH_LAYOUT, view_projection, actors)
        self._chunks(self._city_truth, view_projection, eye)

    def _chunks(self, array: Any, view_projection: Array, eye: Array) -> None:
        city = self._city
        away = np.hypot(*(0.5 * (city.low + city.high) - eye)[:, :2].T)
        away[city.level == Level.GROUND] = np.inf
        fine = away < DETAIL_RANGE
        wanted = np.where(city.level == Level.NEAR, fine, (city.level != Level.FAR) | ~fine)
        near = np.flatnonzero(inside_frustum(view_projection, city.low, city.high) & wanted)
        # From near to far, so that hidden fragments fail the depth test before they are shaded.
        for first, vertices in city.chunks[near[np.argsort(away[near], kind="stable")]]:
            array.render(vertices=int(vertices), first=int(first))

    def _instances(self, program: Any, layout: tuple[str, ...], view_projection: Array, actors: Actors) -> None:
        self._call += 1
        if not len(actors.rows):
            return
        centre = actors.rows[:, :3].astype(np.float64)
        reach = actors.radius[:, None]
        seen = inside_frustum(view_projection, centre - reach, centre + reach)
        for mesh in np.unique(actors.mesh[seen]):
            rows = actors.rows[seen & (actors.mesh == mesh)]
            key = (int(mesh), program, self._call)
            if key not in self._slots or self._slots[key][1].size < rows.nbytes:
                room = max(32, 1 << len(rows).bit_length()) * INSTANCE_FLOATS * 4
                buffer = self._context.buffer(reserve=room, dynamic=True)
                content = [(self._meshes[mesh], layout), (buffer, _ACTOR_LAYOUT)]
                if key in self._slots:
                    for old in self._slots[key]:
                        old.release()
                self._slots[key] = (self._array(program, content), buffer)
            array, buffer = self._slots[key]
            buffer.write(np.ascontiguousarray(rows).tobytes())
            array.render(instances=len(rows))

    def _spots(self, rows: NDArray[np.float32], blend: tuple[int, int]) -> None:
        if not len(rows):
            return
        key = 0 if blend[1] != self._context.ONE else 1
        if key not in self._decals or self._decals[key][1].size < rows.nbytes:
            if key in self._decals:
                for old in self._decals[key]:
                    old.release()
            room = max(64, 1 << len(rows).bit_length()) * DECAL_FLOATS * 4
            buffer = self._context.buffer(reserve=room, dynamic=True)
            layout = ("4f 4f 4f/i", "i_place", "i_shape", "i_color")
            array = self._array(self._decal, [(self._corners, ("2f", "p")), (buffer, layout)])
            self._decals[key] = (array, buffer)
        array, buffer = self._decals[key]
        buffer.write(rows.tobytes())
        self._context.blend_func = blend
        array.render(mode=self._context.TRIANGLE_STRIP, vertices=4, instances=len(rows))

    def release(self) -> None:
        """Give back every buffer, texture and program."""
        pairs = [held for pair in (*self._slots.values(), *self._decals.values()) for held in pair]
        lit = [held for v in self._variants.values() for held in (v.city, v.still, v.moving)]
        arrays = [*lit, self._city_truth, self._sky_array]
        programs = [self._sky, self._decal, self._still_truth, self._moving_truth]
        city = [self._city_buffer, self._city_indices]
        buffers = [*city, self._dome, self._corners, *self._meshes, self._texture, self._bake]
        for held in (*pairs, *arrays, *programs, *buffers):
            held.release()
        self._slots.clear()
        self._variants.clear()
        self._decals.clear()
