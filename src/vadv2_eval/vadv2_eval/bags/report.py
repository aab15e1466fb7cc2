"""The report of a bag run, and of two runs side by side: tables and plots in one HTML file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vadv2_eval.html import heading, image, page, paragraph, table

BLUE, ORANGE, GREY = "#1463b0", "#c4661f", "#8a8a84"
WORST = 12


def _estimate(value: dict[str, Any] | None, digits: int = 3) -> str:
    if value is None:
        return "not measured"
    return f"{value['mean']:.{digits}f} [{value['low']:.{digits}f}, {value['high']:.{digits}f}]"


def error_rows(errors: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table of errors by horizon."""
    horizons = list(errors["ade"])
    names = {
        "ade": "ADE, m", "fde": "FDE, m",
        "lateral": "lateral (absolute), m", "longitudinal": "longitudinal (absolute), m",
        "heading": "heading (absolute), rad", "speed": "speed (absolute), m/s",
    }  # fmt: skip
    rows = [[label, *(_estimate(errors[name][h]) for h in horizons)] for name, label in names.items()]
    for kind in ("min_ade", "min_fde"):
        rows += [
            [f"{kind[:3]}{kind[4:].upper()}, best of {k}, m", *(_estimate(v[h]) for h in horizons)]
            for k, v in errors[kind].items()
            if k != "1"
        ]
    return ["", *horizons], rows


def _plot(
    draw: Callable[[Axes], None], folder: Path, name: str, words: str, size: tuple[float, float] = (8, 3.2)
) -> str:
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    draw(axes)
    axes.set_axisbelow(True)
    axes.grid(visible=True, color="#e4e4df")
    path = folder / f"{name}.png"
    figure.savefig(path, dpi=90)
    return image(path, words)


def _by_horizon(summaries: Sequence[tuple[str, dict[str, Any], str]]) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        for label, summary, color in summaries:
            found = [(float(k[:-1]), v) for k, v in summary["errors"]["fde"].items() if v]
            if found:
                t, values = zip(*found, strict=True)
                axes.plot(t, [v["mean"] for v in values], color=color, marker="o", label=label)
                axes.fill_between(t, [v["low"] for v in values], [v["high"] for v in values], color=color, alpha=0.2)
        axes.set_xlabel("horizon, s")
        axes.set_ylabel("FDE, m")
        axes.legend()

    return draw


def _over_time(rows: Sequence[dict[str, Any]], bag: str, key: str) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        mine = [r for r in rows if r["bag"] == bag]
        for name, color in (("lateral", BLUE), ("longitudinal", ORANGE)):
            found = [(r["time"], r["errors"][name][key]) for r in mine if key in r["errors"][name]]
            if found:
                axes.plot(*zip(*found, strict=True), color=color, label=f"{name} error at {key}")
        speeds = [(r["time"], r["conditions"]["speed"]) for r in mine if r["conditions"]["speed"] is not None]
        if speeds:
            axes.plot(*zip(*speeds, strict=True), color=GREY, ls="--", label="driven speed, m/s")
        axes.set_xlabel("time, s")
        axes.set_ylabel("m")
        axes.legend(fontsize=8)
        axes.set_title(bag, fontsize=9)

    return draw


def _histogram(rows: Sequence[dict[str, Any]], key: str) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        values = [r["errors"]["ade"][key] for r in rows if key in r["errors"]["ade"]]
        axes.hist(values, bins=min(40, max(5, len(values) // 3)), color=BLUE)
        axes.set_xlabel(f"ADE up to {key}, m")
        axes.set_ylabel("frames")

    return draw


def reached(rows: Sequence[dict[str, Any]], wanted: str = "3s") -> str:
    """The horizon to plot: the wanted one, or the longest that any frame reaches."""
    found = {k for r in rows for k in r["errors"]["ade"]}
    if wanted in found or not found:
        return wanted
    return str(max(found, key=lambda k: float(k[:-1])))


def write_report(path: Path, summary: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """The page of one run."""
    key = reached(rows)
    shown = list(dict.fromkeys(r["bag"] for r in rows))[:6]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = [
            paragraph(f"{summary['frames']} plans of {len(summary['bags'])} bags; {', '.join(summary['model_id'])}."),
            table(*error_rows(summary["errors"]), "Errors against what was driven, 95 % intervals"),
            paragraph("Only a plan that the drive outlasted by the horizon is measured."),
            _plot(_by_horizon([("FDE", summary, BLUE)]), folder, "horizon", "FDE by horizon"),
            _plot(_histogram(rows, key), folder, "histogram", "distribution of ADE"),
            *(_plot(_over_time(rows, b, key), folder, f"time{i}", f"errors over {b}") for i, b in enumerate(shown)),
        ]
    parts += [table(["", "share"], _shares(summary), "Comfort, collisions, agreement")]
    states = list(summary["seconds_in_state"].items())
    no_states = paragraph("Seconds in each state: no drive status in the bags.")
    parts += [table(["state", "seconds"], states, "Seconds in each state") if states else no_states]
    latency = [[s, f"{v['p50']:.1f}", f"{v['p95']:.1f}", f"{v['max']:.1f}"] for s, v in summary["latency_ms"].items()]
    parts += [table(["stage", "p50, ms", "p95, ms", "max, ms"], latency, "Latency")]
    groups = [
        [name, v["frames"], *(_estimate(v["errors"]["ade"][h]) for h in v["errors"]["ade"])]
        for name, v in summary["by_condition"].items()
    ]
    parts += [table(["condition", "frames", *summary["errors"]["ade"]], groups, "ADE by condition, m")]
    parts += [table(["bag", "time, s", f"ADE {key}, m", "withheld"], _worst(rows, key), "Worst frames")]
    bags = [[b["bag"], b["truth"], b["frames"], f"{b['seconds']:.1f}", _camera(b)] for b in summary["bags"]]
    parts += [table(["bag", "truth", "plans", "seconds", "camera"], bags, "Bags")]
    out = [[x["bag"], x["why"]] for x in summary["left_out"]]
    out += [[x["where"], x["why"]] for b in summary["bags"] for x in b["left_out"]]
    parts += [heading("Left out"), table(["what", "why"], out) if out else paragraph("Nothing.")]
    parts += [heading("Conventions"), table(["", ""], list(summary["conventions"].items()))]
    page(path, "Recorded drives", parts)


def _camera(bag: dict[str, Any]) -> str:
    camera = bag["camera"]
    if not camera:
        return "no images"
    return f"{camera['frames']} frames, {camera['dropped']} dropped, {bag['frames_without_plan']} without a plan"


def _shares(summary: dict[str, Any]) -> list[list[str]]:
    reasoning = summary["reasoning"]
    return [
        ["comfortable plans", _estimate(summary["comfort"])],
        ["plans that touch a recorded object within 4 s", _estimate(summary["collision"])],
        ["withheld plans", f"{summary['withheld']} of {summary['frames']}"],
        ["reasonings whose meta-action was then driven", _estimate(reasoning["agrees_with_driven"])],
        ["the same, longitudinal only", _estimate(reasoning["longitudinal_agrees"])],
        ["reasonings equal to the recorded truth", _estimate(reasoning["agrees_with_truth"])],
    ]


def _worst(rows: Sequence[dict[str, Any]], key: str) -> list[list[str]]:
    found = sorted((r for r in rows if key in r["errors"]["ade"]), key=lambda r: -float(r["errors"]["ade"][key]))
    return [
        [r["bag"], f"{r['time']:.2f}", f"{r['errors']['ade'][key]:.2f}", r["withheld"] or "no"] for r in found[:WORST]
    ]


def write_comparison(
    path: Path, names: tuple[str, str], summaries: tuple[dict[str, Any], dict[str, Any]], comparison: dict[str, Any]
) -> None:
    """The page of two runs side by side."""
    with tempfile.TemporaryDirectory() as name:
        both = [(n, s, c) for n, s, c in zip(names, summaries, (BLUE, ORANGE), strict=True)]
        plot = _plot(_by_horizon(both), Path(name), "horizon", "FDE of both by horizon")
    rows = [[n, *(_estimate(v) for v in by.values())] for n, by in comparison["differences"].items()]
    horizons = list(next(iter(comparison["differences"].values())))
    frames = [
        [f["bag"], f"{f['time']:.2f}", f"{f['a']:.2f}", f"{f['b']:.2f}", f"{f['difference']:+.2f}"]
        for f in comparison["frames"]
    ]
    key = comparison["horizon"]
    parts = [
        paragraph(
            f"{comparison['matched']} frames in both; {comparison['only_a']} only in A, {comparison['only_b']} in B."
        ),
        paragraph(f"A: {names[0]}. B: {names[1]}. Differences are B minus A with 95 % intervals over frames."),
        plot,
        table(["", *horizons], rows, "B minus A"),
        table(["bag", "time, s", f"ADE {key} of A, m", "of B, m", "B - A"], frames, "Frames that differ most"),
    ]
    page(path, "Two runs", parts)
