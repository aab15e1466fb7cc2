"""``./vadv2 sim montage``: pictures of every scenario and every weather."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the renderer's command to the ``sim`` sub-app."""
    app.command("montage")(montage)


def montage(
    out: Annotated[Path, typer.Option("--out", help="Folder for the pictures.")],
    scenarios: Annotated[str, typer.Option(help="Scenarios, with commas; all without.")] = "",
    towns: Annotated[str, typer.Option(help="Towns to play them in, with commas; all without.")] = "",
    rig_file: Annotated[Path | None, typer.Option("--rig", help="Rig file; six surround cameras without.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the drives.")] = 0,
    antialias: Annotated[bool, typer.Option(help="Smooth edges (slower).")] = True,
    weathers: Annotated[bool, typer.Option(help="Also every weather of one place.")] = True,
    course: Annotated[bool, typer.Option(help="Also start, middle and end of every scenario.")] = False,
) -> None:
    """Draw every scenario at its moment, and every weather, as PNG sheets of all cameras.

    Writes <scenario>.png for each, scenarios.png with the first camera of all, and weathers.png; with --course also
    course_<scenario>.png.

    Example: ./vadv2 sim montage --out out/montage
    """
    from rich.progress import track

    from vadv2_core.camera import load_rig
    from vadv2_core.errors import InputError
    from vadv2_sim.renderer.config import RendererConfig
    from vadv2_sim.renderer.context import open_context
    from vadv2_sim.renderer.montage import grid, scenario_course, scenario_sheets, weather_sheet, write_png
    from vadv2_sim.rig_files import default_rig
    from vadv2_sim.scenarios import SCENARIOS, make_scenario
    from vadv2_sim.town import TOWN_NAMES, load_town

    open_context()
    rig = default_rig() if rig_file is None else load_rig(rig_file)
    names = [s.strip() for s in scenarios.split(",") if s.strip()] or list(SCENARIOS)
    places = [t.strip() for t in towns.split(",") if t.strip()] or list(TOWN_NAMES)
    for name in names:
        make_scenario(name, 0)
    for place in places:
        load_town(place)
    config = RendererConfig(antialias=antialias)
    firsts = []
    for name, whole, first in track(scenario_sheets(places, names, seed, rig, config), "scenarios", total=len(names)):
        write_png(out / f"{name}.png", whole)
        firsts.append(first)
    if firsts:
        write_png(out / "scenarios.png", grid(firsts, 3))
    for number, name in enumerate(names if course else ()):
        for k in range(len(places)):
            try:
                whole = scenario_course(places[(number + k) % len(places)], name, seed, rig, config)
            except InputError as error:
                if "no place for scenario" not in str(error):
                    raise
                continue
            write_png(out / f"course_{name}.png", whole)
            break
    if weathers:
        write_png(out / "weathers.png", weather_sheet(places[0], seed, rig, config))
    typer.echo(f"{len(firsts)} scenarios drawn into {out}")
