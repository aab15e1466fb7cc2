"""``./vadv2 sim export``: scene logs as bags; it stands beside the bag writer and joins the simulator's commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add `export` to the simulator's commands."""
    sim = next((g.typer_instance for g in app.registered_groups if g.name == "sim"), None)
    if sim is None:
        sim = typer.Typer(help="The city: towns, scenarios, recordings.", no_args_is_help=True)
        app.add_typer(sim, name="sim")
    sim.command("export")(export)


def export(
    log: Annotated[Path, typer.Argument(help="Scene log (*.scenes.zst).")],
    out: Annotated[Path, typer.Argument(help="rosbag2 folder to make (MCAP).")],
    rig: Annotated[Path | None, typer.Option(help="Rig file; config/rig/surround6.yaml without.")] = None,
    weather: Annotated[str, typer.Option(help="Another weather than the log's.")] = "",
    frames: Annotated[int | None, typer.Option(min=1, help="At most so many frames.")] = None,
) -> None:
    """Render a scene log into a bag with cameras, camera_info, odometry, commands, route and the truth.

    Example: ./vadv2 sim export out/logs/town_a/free_000001.scenes.zst out/free.bag && ./vadv2 replay out/free.bag
    """
    from rich.progress import track

    from vadv2_bringup.scene_log_to_bag import write_scene_log_as_bag
    from vadv2_core.camera import load_rig
    from vadv2_core.scene_log import SceneLog
    from vadv2_sim.rig_files import default_rig

    count = len(SceneLog(log))
    bar = iter(track(range(min(count, frames or count)), description="rendering", transient=True))
    cameras = load_rig(rig) if rig else default_rig()
    written = write_scene_log_as_bag(log, out, cameras, weather, frames, lambda: next(bar, None))
    typer.echo(f"{out}: {written} frames of {len(cameras.cameras)} cameras")
