"""The page of a shadow drive: where two drivers differed, by how much, and both reasons."""

from __future__ import annotations

import base64
import io
from typing import Any

import jinja2
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from vadv2_bringup.shadow import ShadowConfig

_PAGE = jinja2.Template(
    """<!doctype html><meta charset="utf-8"><title>Shadow drive {{ title }}</title>
<style>body{font:15px system-ui,sans-serif;margin:2rem auto;max-width:64rem;color:#222}table{border-collapse:collapse}
td,th{padding:.35rem .8rem;border-bottom:1px solid #ddd;text-align:left;vertical-align:top}img{width:100%}</style>
<h1>Shadow drive {{ title }}</h1>
<p>{{ r.differing }} of {{ r.compared }} frames differ by more than {{ c.lateral }} m sideways or {{ c.longitudinal }} m
along the way at {{ c.horizon }} s; {{ r.frames }} frames, model {{ r.model_id }}.</p>
<img alt="differences over time" src="data:image/png;base64,{{ picture }}">
<h2>Disagreements</h2>{% if not r.disagreements %}<p>None of {{ c.frames }} frames or longer.</p>{% else %}
<table><tr><th>clip</th><th>from, s</th><th>sideways, m</th><th>along, m</th><th>stack</th><th>driver</th></tr>
{% for d in r.disagreements %}<tr><td>{{ d.clip }}</td><td>{{ "%.1f"|format((d.begin - first) / 1e9) }}</td>
<td>{{ "%+.1f"|format(d.worst.lateral) }}</td><td>{{ "%+.1f"|format(d.worst.longitudinal) }}</td>
<td>{{ d.worst.ours }}</td><td>{{ d.worst.theirs }}</td></tr>{% endfor %}</table>{% endif %}""",
    autoescape=True,
)


def render_shadow_report(result: dict[str, Any], config: ShadowConfig, title: str) -> str:
    """The HTML page of `vadv2_bringup.shadow.shadow`'s result."""
    rows = np.array(result["differences"], dtype=np.float64).reshape(-1, 3)
    first = rows[0, 0] if len(rows) else 0.0
    seconds = (rows[:, 0] - first) / 1e9
    figure, axes = plt.subplots(2, 1, figsize=(11, 4.5), sharex=True, layout="constrained")
    for axis, column, limit, name in (
        (axes[0], 1, config.lateral, "sideways"),
        (axes[1], 2, config.longitudinal, "along"),
    ):
        axis.axhspan(-limit, limit, color="0.93")
        axis.plot(seconds, rows[:, column], color="C3" if column == 1 else "C0")
        axis.set_ylabel(f"{name} [m]")
        axis.grid(alpha=0.3)
    axes[1].set_xlabel("t [s]")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    plt.close(figure)
    picture = base64.b64encode(buffer.getvalue()).decode()
    return str(_PAGE.render(r=result, c=config, title=title, picture=picture, first=first))
