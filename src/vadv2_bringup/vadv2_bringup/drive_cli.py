"""``./vadv2 drive``: through the city over ROS, or through the images of a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vadv2_bringup.replay_cli import (
    FramesOption,
    InProcessOption,
    JsonOption,
    ModelOption,
    ModelsOption,
    SetOption,
    TimeoutOption,
    TokensOption,
    drive_clip,
)


def register(app: typer.Typer) -> None:
    """Add the drive command to the `vadv2` command line."""
    app.command("drive")(drive_command)


def drive_command(
    clip: Annotated[Path | None, typer.Argument(help="Clip folder with clip.json; the city without one.")] = None,
    clip_option: Annotated[Path | None, typer.Option("--clip", help="The same, as an option.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for summary, bag, report, scene log and video.")] = Path(
        "out/drive"
    ),
    town: Annotated[str, typer.Option(help="Town (./vadv2 sim towns), or a folder with a SUMO net.")] = "town_a",
    scenario: Annotated[str, typer.Option(help="Scenario (./vadv2 sim list).")] = "free",
    seed: Annotated[int, typer.Option(min=0, help="Of everything random in the drive.")] = 7,
    seconds: Annotated[float, typer.Option(min=0.0, help="Longest drive; 0 for the scenario's own.")] = 30.0,
    driver: Annotated[
        str,
        typer.Option(help="Who drives the city: expert, lane_follower or model; empty: the model if it is trained."),
    ] = "",
    weather: Annotated[str, typer.Option(help="day, dusk, night, rain, fog or glare.")] = "day",
    video: Annotated[bool, typer.Option("--video/--no-video", help="Also make drive.mp4.")] = True,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="A generated clip in place of the city.")] = False,
    realtime: Annotated[bool, typer.Option("--realtime", help="In real time; otherwise in step.")] = False,
    in_process: InProcessOption = False,
    model: ModelOption = "tiny",
    models: ModelsOption = Path("models"),
    frames: FramesOption = None,
    max_tokens: TokensOption = 96,
    timeout: TimeoutOption = 120.0,
    settings: SetOption = None,
    json_path: JsonOption = None,
) -> None:
    """Drive the city over ROS 2: the simulator's node, the stack's nodes, and what they leave in a folder.

    The model drives by the six cameras through perception, VLM, planner and control. Without its weights below
    --models the expert drives: it plans from the truth, and the stack's control follows; `--driver model` then drives
    with untrained weights and says so in the summary. Equal arguments give equal outputs_sha256. With a clip its
    images are driven through instead.

    Examples: ./vadv2 drive --scenario jaywalker --town town_b --seed 3 --out out/jaywalker

    ./vadv2 drive ../shared/data/six_camera_clips/nuscenes_scene0368
    """
    clip = clip or clip_option
    if clip is not None or synthetic:
        from vadv2_bringup.replay import ReplayOptions

        chosen = tuple(settings or ())
        options = ReplayOptions("", realtime, in_process, (), None, model, models, frames, max_tokens, timeout, chosen)
        drive_clip(clip, out, seed, options, json_path)
        return
    from vadv2_bringup.drive_city import CityDrive, drive_city_watched
    from vadv2_bringup.replay import setting_values
    from vadv2_bringup.supervisor import interrupted_by_termination
    from vadv2_core.files import write_json_atomic
    from vadv2_sim.node_configuration import SimNodeConfig
    from vadv2_sim.world import WorldConfig

    interrupted_by_termination()
    world = WorldConfig(weather=weather, seconds=seconds)
    driver = driver or default_driver(models / model)
    sim = SimNodeConfig(
        town=town, scenario=scenario, seed=seed, driver=driver, in_step=not realtime, world=world, truth=True
    )
    drive = CityDrive(sim, model, models, tuple(setting_values(settings or ()).items()), video, timeout)
    summary = drive_city_watched(drive, out)
    _print(summary, out)
    if json_path is not None:
        write_json_atomic(json_path, summary)


def default_driver(model: Path) -> str:
    """``model`` where a model directory holds the weights that driving takes, else ``expert``."""
    trained = all((model / stage / "model.safetensors").is_file() for stage in ("perception", "planner"))
    return "model" if trained else "expert"


def _print(summary: dict[str, Any], out: Path) -> None:
    passed = "passed" if summary["success"] else "not passed"
    rows = {
        "scenario": f"{summary['scenario']} in {summary['town']}, seed {summary['seed']}, driver {summary['driver']}",
        "ended": f"{summary['ended']} after {summary['seconds']} s and {summary['metres']} m: {passed}",
        "frames": summary["frames"],
        "model": summary["model_id"],
        "outputs": f"sha256 {summary['outputs_sha256']}",
        "report": out / "report.html",
    }
    for name, value in rows.items():
        typer.echo(f"{name:<9} {value}")
    for event in summary["events"]:
        blame = "at fault" if event["at_fault"] else "not at fault"
        typer.echo(f"event     {event['kind']} ({blame}): {event['detail']}")
