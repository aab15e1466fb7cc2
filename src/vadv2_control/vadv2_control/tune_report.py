"""The page that `./vadv2 tune` writes: every manoeuvre's numbers and plots, self-contained."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import matplotlib

matplotlib.use("Agg")
import jinja2
import matplotlib.pyplot as plt

from vadv2_control.manoeuvres import ManoeuvreResult

_PAGE = jinja2.Template(
    """<!doctype html><meta charset="utf-8"><title>Control manoeuvres</title>
<style>body{font:15px system-ui,sans-serif;margin:2rem auto;max-width:70rem;color:#222}table{border-collapse:collapse}
td,th{padding:.3rem .9rem;border-bottom:1px solid #ddd;text-align:right}td:first-child,th:first-child{text-align:left}
img{width:100%}</style>
<h1>Control manoeuvres</h1>
<p>Against the vehicle model with its lags; plans at 10 Hz, {{ latency }} s old; control every {{ period }} s.</p>
<table><tr><th>manoeuvre</th>{% for c in columns %}<th>{{ c }}</th>{% endfor %}</tr>
{% for name, row in rows %}<tr><td>{{ name }}</td>{% for c in columns %}<td>{{ row.get(c, "") }}</td>{% endfor %}</tr>
{% endfor %}</table>
{% for name, picture in pictures %}<h2>{{ name }}</h2><img alt="{{ name }}" src="data:image/png;base64,{{ picture }}">
{% endfor %}""",
    autoescape=True,
)


def _picture(result: ManoeuvreResult) -> str:
    figure, axes = plt.subplots(1, 4, figsize=(16, 3.2), layout="constrained")
    line = result.course.line
    axes[0].plot(line[:, 0], line[:, 1], color="0.7", linewidth=3, label="asked")
    axes[0].plot(result.poses[:, 0], result.poses[:, 1], color="C0", linewidth=1, label="driven")
    axes[0].set(xlabel="x [m]", ylabel="y [m]", title="line")
    axes[0].legend()
    axes[1].plot(result.times, result.lateral_errors, color="C3")
    axes[1].set(xlabel="t [s]", ylabel="m", title="lateral error")
    axes[2].plot(result.times, result.planned_speeds, color="0.7", linewidth=3, label="asked")
    axes[2].plot(result.times, result.speeds, color="C0", linewidth=1, label="driven")
    axes[2].set(xlabel="t [s]", ylabel="m/s", title="speed")
    axes[2].legend()
    axes[3].plot(result.times, result.steering, label="tyre angle [rad]")
    axes[3].plot(result.times, result.accelerations / 10.0, label="acceleration [10 m/s²]")
    axes[3].set(xlabel="t [s]", title="command")
    axes[3].legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    plt.close(figure)
    return base64.b64encode(buffer.getvalue()).decode()


def render_tune_report(results: Sequence[ManoeuvreResult], period: float, latency: float) -> str:
    """The HTML page of a tuning run."""
    rows = [(r.course.name, {k: f"{v:.3f}" for k, v in r.summary().items()}) for r in results]
    columns = list(dict.fromkeys(key for _, row in rows for key in row))
    pictures = [(r.course.name, _picture(r)) for r in results]
    return str(_PAGE.render(rows=rows, columns=columns, pictures=pictures, period=period, latency=latency))
