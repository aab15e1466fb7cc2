"""GLSL programs: one lit program for the city and its actors, the sky, light decals, and the ground-truth pass."""

from __future__ import annotations

from vadv2_sim.renderer.palette import Part

_PARTS = "\n".join(f"const int {p.name} = {p.value};" for p in Part)

_INSTANCE = f"""
{_PARTS}
uniform mat4 u_view_projection;
uniform float u_night;
in vec3 p; in vec3 n; in vec3 t; in vec3 c; in float part;
#ifdef INSTANCED
in vec4 i_place;   // x, y, z, yaw
in vec3 i_scale;
in vec3 i_color;
in vec4 i_lamps;   // brake, left, right, blue (0 off, 1 left half, 2 right half)
in vec4 i_state;   // stride, lit signal lamps (1 red + 2 amber + 4 green), lights on, instance id
#endif
#ifdef INSTANCED
vec3 placed(vec3 q) {{
    int k = int(part + 0.5);
    if (k == LIMB_FORWARD || k == LIMB_BACKWARD) {{
        float hip = q.z > 0.79 && abs(q.y) > 0.19 ? 1.4 : 0.88;
        float swing = i_state.x * (k == LIMB_FORWARD ? 1.0 : -1.0);
        q.x += swing * max(hip - q.z, 0.0);
    }}
    q *= i_scale;
    float a = cos(i_place.w), b = sin(i_place.w);
    return vec3(a * q.x - b * q.y, b * q.x + a * q.y, q.z) + i_place.xyz;
}}
vec3 turned(vec3 q) {{
    q /= i_scale;
    float a = cos(i_place.w), b = sin(i_place.w);
    return normalize(vec3(a * q.x - b * q.y, b * q.x + a * q.y, q.z));
}}
#else
vec3 placed(vec3 q) {{ return q; }}
vec3 turned(vec3 q) {{ return q; }}
#endif
"""

_LIGHT = """
uniform vec3 u_eye;
uniform vec3 u_sun;            // towards the sun
uniform vec3 u_sun_color;
uniform vec3 u_ambient_sky;
uniform vec3 u_ambient_ground;
uniform vec3 u_horizon;        // colour of the far haze
uniform vec3 u_zenith;
uniform float u_fog;           // 1 / m
uniform float u_wet;
uniform float u_shadow;
uniform vec4 u_headlight;      // ego lamp x, y, cos yaw, sin yaw
uniform float u_headlight_power;
"""

LIT_VERTEX = (
    _INSTANCE
    + _LIGHT
    + """
out vec3 v_position; out vec3 v_texture; out vec3 v_paint; out vec3 v_shade; out vec3 v_sunlight; out vec3 v_shine;
flat out float v_kind;         // 1 road surface, 2 facade
void main() {
    v_position = placed(p);
    vec3 normal = turned(n);
    v_texture = t;
    vec3 color = c;
    v_shine = vec3(0.0);
    int k = int(part + 0.5);
    v_kind = k == ROAD_SURFACE ? 1.0 : k == FACADE ? 2.0 : 0.0;
    if (k == STREET_LAMP) v_shine = vec3(1.3, 1.1, 0.75) * u_night;
    vec3 gleam = vec3(0.0);
    float gloss = k == GLASS ? 1.0 : 0.0;
#ifdef INSTANCED
    if (k == PAINT) { color = c * i_color; gloss = 0.35; }
    int lit = int(i_state.y + 0.5);
    float on = i_state.z;
    if (k == BRAKE_LAMP) v_shine = i_lamps.x > 0.5 ? vec3(1.6, 0.06, 0.05) : vec3(0.45, 0.01, 0.01) * on;
    if (k == INDICATOR_LEFT && i_lamps.y > 0.5) v_shine = vec3(1.7, 0.75, 0.05);
    if (k == INDICATOR_RIGHT && i_lamps.z > 0.5) v_shine = vec3(1.7, 0.75, 0.05);
    if (k == BLUE_LIGHT_LEFT) v_shine = i_lamps.w == 1.0 ? vec3(0.25, 0.55, 2.2) : vec3(0.0, 0.05, 0.3);
    if (k == BLUE_LIGHT_RIGHT) v_shine = i_lamps.w == 2.0 ? vec3(0.25, 0.55, 2.2) : vec3(0.0, 0.05, 0.3);
    if ((k == BLUE_LIGHT_LEFT || k == BLUE_LIGHT_RIGHT) && i_lamps.w == 0.0) v_shine = vec3(0.0);
    if (k == HEADLAMP) v_shine = vec3(1.3, 1.25, 1.1) * on;
    if (k == LAMP_RED && (lit & 1) != 0) v_shine = vec3(1.8, 0.10, 0.06);
    if (k == LAMP_AMBER && (lit & 2) != 0) v_shine = vec3(1.8, 1.0, 0.05);
    if (k == LAMP_GREEN && (lit & 4) != 0) v_shine = vec3(0.05, 1.7, 0.75);
    if (gloss > 0.0) {
        vec3 to_eye = normalize(u_eye - v_position);
        float side = 1.0 - abs(dot(to_eye, normal));
        gleam = mix(u_horizon, u_zenith, clamp(normal.z + 0.3, 0.0, 1.0)) * (0.08 + 0.35 * side * side)
            + u_sun_color * (0.6 * pow(max(dot(normalize(to_eye + u_sun), normal), 0.0), 24.0));
    }
#endif
    float dim = dot(v_shine, vec3(1.0)) > 0.0 ? 0.3 : 1.0;
    v_paint = color * dim;
    v_shade = v_paint * mix(u_ambient_ground, u_ambient_sky, normal.z * 0.5 + 0.5);
    v_sunlight = v_paint * u_sun_color * max(dot(normal, u_sun), 0.0);
    v_shine += gleam * gloss;
    gl_Position = u_view_projection * vec4(v_position, 1.0);
}
"""
)

LIT_FRAGMENT = (
    "#version 330\n"
    + _LIGHT
    + """
uniform float u_night;
uniform sampler2DArray u_texture;
uniform sampler2D u_bake;      // red: sunlit, green: street light
uniform vec4 u_bake_place;     // origin x, y and 1 / size
in vec3 v_position; in vec3 v_texture; in vec3 v_paint; in vec3 v_shade; in vec3 v_sunlight; in vec3 v_shine;
flat in float v_kind;
out vec4 o_color;
void main() {
    vec4 texel = texture(u_texture, v_texture);
    float range = distance(u_eye, v_position);
    vec3 light = v_shade;
#if defined(SHADOWS) || defined(LAMPS)
    vec4 bake = texture(u_bake, (v_position.xy - u_bake_place.xy) * u_bake_place.zw);
    float height = clamp(v_position.z * 0.16, 0.0, 1.0);
#endif
#ifdef SHADOWS
    light += v_sunlight * mix(1.0, mix(bake.r, 1.0, height), u_shadow);
#else
    light += v_sunlight;
#endif
#ifdef LAMPS
    vec2 d = v_position.xy - u_headlight.xy;
    float along = dot(d, u_headlight.zw);
    float across = (d.y * u_headlight.z - d.x * u_headlight.w) / (1.6 + 0.28 * max(along, 0.0));
    float beam = smoothstep(0.0, 5.0, along) * exp2(-along * 0.05 - across * across * 1.44)
        * (1.0 - smoothstep(0.8, 3.0, v_position.z));
    light += v_paint * (vec3(1.0, 0.82, 0.55) * (bake.g * u_night * (1.0 - 0.75 * height))
        + vec3(1.0, 0.97, 0.88) * (beam * u_headlight_power));
#endif
    vec3 color = light * texel.rgb + v_shine;
#ifdef LAMPS
    color += vec3(1.0, 0.78, 0.42) * (v_kind == 2.0 ? texel.a * 0.75 * u_night : 0.0);
#endif
#ifdef WET
    float graze = 1.0 - (u_eye.z - v_position.z) / range;
    graze *= graze;
    vec3 wet = color * (1.0 - 0.35 * u_wet) + mix(u_horizon, u_zenith, 0.3) * (graze * graze * 0.55 * u_wet);
    color = v_kind == 1.0 ? wet : color;
#endif
    color = mix(u_horizon, color, exp2(-range * u_fog * 1.4427));
    o_color = vec4(color, 1.0);
}
"""
)

SKY_VERTEX = (
    "#version 330\n"
    + _LIGHT
    + """
uniform mat4 u_view_projection;
uniform float u_clouds;
uniform float u_glare;
in vec4 p;                     // direction, and 1 on the far hills
out vec3 v_sky; out vec4 v_cloud; out vec2 v_uv;
void main() {
    float up = max(p.z, 0.0);
    v_sky = mix(u_horizon, u_zenith, 1.0 - pow(1.0 - min(up * 1.6, 1.0), 2.0));
    vec3 land = mix(u_horizon, u_ambient_sky * vec3(0.35, 0.42, 0.40), 0.45 * exp(-u_fog * 300.0));
    v_sky = mix(v_sky, land, p.w);
    float near_sun = max(dot(p.xyz, u_sun), 0.0);
    v_sky += u_sun_color * (0.12 * pow(near_sun, 60.0) * (1.0 - p.w)
        + u_glare * (1.4 * pow(near_sun, 24.0) + 0.5 * pow(near_sun, 5.0)));
    v_cloud = vec4(u_horizon * 0.35 + u_ambient_sky * 0.75 + u_sun_color * 0.12 - v_sky,
        u_clouds * smoothstep(0.04, 0.25, up) * (1.0 - p.w));
    v_uv = p.xy / (up + 0.14) * 0.085;
    gl_Position = u_view_projection * vec4(u_eye + p.xyz * 100.0, 1.0);
    gl_Position.z = gl_Position.w;
}
"""
)

SKY_FRAGMENT = """#version 330
uniform sampler2DArray u_texture;
in vec3 v_sky; in vec4 v_cloud; in vec2 v_uv;
out vec4 o_color;
void main() {
    float cover = clamp((texture(u_texture, vec3(v_uv, 16.0)).r - 0.5) * 4.0, 0.0, 1.0);
    o_color = vec4(v_sky + v_cloud.rgb * (cover * v_cloud.a), 1.0);
}
"""

DECAL_VERTEX = """#version 330
uniform mat4 u_view_projection;
in vec2 p;
in vec4 i_place;   // x, y, z, yaw
in vec4 i_shape;   // half length, half width, upright (1: faces the eye), 0
in vec4 i_color;
uniform vec3 u_eye;
out vec2 v_uv; out vec4 v_color; out float v_range;
void main() {
    vec3 q;
    if (i_shape.z > 0.5) {
        vec3 f = normalize(u_eye - i_place.xyz);
        vec3 r = normalize(vec3(-f.y, f.x, 0.0));
        q = i_place.xyz + f * 0.15 + r * (p.x * i_shape.y) + cross(f, r) * (p.y * i_shape.x);
    } else {
        float a = cos(i_place.w), b = sin(i_place.w);
        vec2 s = vec2(p.x * i_shape.x, p.y * i_shape.y);
        q = i_place.xyz + vec3(a * s.x - b * s.y, b * s.x + a * s.y, 0.0);
    }
    v_uv = p;
    v_color = i_color;
    v_range = length(u_eye - q);
    gl_Position = u_view_projection * vec4(q, 1.0);
}
"""

DECAL_FRAGMENT = """#version 330
uniform float u_fog;
in vec2 v_uv; in vec4 v_color; in float v_range;
out vec4 o_color;
void main() {
    vec2 e = abs(v_uv);
    float fall = v_color.a < 0.0
        ? smoothstep(1.0, 0.62, e.x) * smoothstep(1.0, 0.45, e.y)
        : pow(clamp(1.0 - length(v_uv), 0.0, 1.0), 2.0);
    o_color = vec4(v_color.rgb, abs(v_color.a) * fall * exp(-v_range * u_fog));
}
"""

TRUTH_VERTEX = (
    _INSTANCE
    + """
in float semantic;
flat out uvec2 v_what;
out float v_depth;
uniform vec4 u_depth_row;      // third row of world to optical frame
void main() {
    vec3 q = placed(p);
#ifdef INSTANCED
    v_what = uvec2(uint(semantic + 0.5), uint(i_state.w + 0.5));
#else
    v_what = uvec2(uint(semantic + 0.5), 0u);
#endif
    v_depth = dot(u_depth_row, vec4(q, 1.0));
    gl_Position = u_view_projection * vec4(q, 1.0);
}
"""
)

TRUTH_FRAGMENT = """#version 330
flat in uvec2 v_what;
in float v_depth;
layout(location = 0) out uvec2 o_what;
layout(location = 1) out float o_depth;
void main() {
    o_what = v_what;
    o_depth = v_depth;
}
"""


def with_switches(source: str, *switches: str) -> str:
    """A program's source with some of INSTANCED, SHADOWS, LAMPS and WET switched on.

    Software rasterisers run both sides of a branch for every pixel, so that what a weather lacks is compiled away.
    """
    return "#version 330\n" + "".join(f"#define {s}\n" for s in switches) + source.removeprefix("#version 330\n")
