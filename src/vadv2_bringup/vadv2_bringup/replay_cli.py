"""``./vadv2 drive``, ``replay``, ``bag``, ``clip`` and ``rig``: recorded and generated drives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from vadv2_bringup.replay import ReplayOptions

MapOption = Annotated[
    list[str] | None,
    typer.Option("--map", help="NAME=/topic for topics of other names: front, front.info, odometry, command, route."),
]
RigOption = Annotated[Path | None, typer.Option("--rig", help="Rig file, in place of CameraInfo and /tf_static.")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder for the bag of outputs, summary.json and report.html.")]
ModelOption = Annotated[str, typer.Option("--model", help="tiny, base, minimal, or a folder below --models.")]
ModelsOption = Annotated[Path, typer.Option("--models", help="Directory of model directories.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="STAGE.NAME=VALUE, a parameter of perception, vlm, planner, control or vehicle."),
]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Also write the numbers to this file.")]
InProcessOption = Annotated[
    bool, typer.Option("--in-process", help="Through the driver in this process, without nodes and topics.")
]
RealtimeOption = Annotated[
    bool, typer.Option("--realtime", help="At the bag's own speed, late frames dropped; otherwise in step.")
]
FramesOption = Annotated[int | None, typer.Option("--frames", min=1, help="At most so many frames.")]
TokensOption = Annotated[int, typer.Option("--max-tokens", min=8, max=4096, help="Bound on the words of a reasoning.")]
TimeoutOption = Annotated[float, typer.Option("--timeout", min=1.0, help="Seconds to wait for a frame's answers.")]


def _print_summary(summary: dict[str, Any], out: Path, json_path: Path | None) -> None:
    from vadv2_core.files import write_json_atomic

    typer.echo(f"frames        {summary['frames']}")
    for name in ("trajectories", "commands", "reasonings", "dropped"):
        typer.echo(f"{name:<13} {summary[name]}")
    typer.echo(f"model         {summary['model_id']}")
    typer.echo(f"outputs       sha256 {summary['outputs_sha256']}")
    for stage, v in summary["stages"].items():
        typer.echo(f"{stage:<13} p50 {v['p50_ms']:8.1f} ms   p95 {v['p95_ms']:8.1f} ms   max {v['max_ms']:8.1f} ms")
    typer.echo(f"report        {out / 'report.html'}")
    if json_path is not None:
        write_json_atomic(json_path, summary)


def _replay(bag: Path, out: Path, options: ReplayOptions, json_path: Path | None) -> None:
    from vadv2_bringup.replay import replay
    from vadv2_bringup.supervisor import interrupted_by_termination

    interrupted_by_termination()
    _print_summary(replay(bag, out, options), out, json_path)


def replay_command(
    bag: Annotated[Path, typer.Argument(help="rosbag2 folder, .mcap or .db3 file with six cameras and odometry.")],
    out: OutOption,
    realtime: RealtimeOption = False,
    in_process: InProcessOption = False,
    topic_map: MapOption = None,
    rig: RigOption = None,
    model: ModelOption = "tiny",
    models: ModelsOption = Path("models"),
    frames: FramesOption = None,
    max_tokens: TokensOption = 96,
    timeout: TimeoutOption = 60.0,
    settings: SetOption = None,
    json_path: JsonOption = None,
) -> None:
    """Play a bag through perception, VLM, planner and control.

    In step by default: each frame is encoded, reasoned about, planned and controlled before the next one is sent, so
    that the same bag gives the same outputs_sha256. Writes a bag of every output, summary.json and report.html.

    Example: ./vadv2 replay out/clip.bag --out out/replay
    """
    from vadv2_bringup.replay import ReplayOptions

    options = ReplayOptions(
        f"Replay of {bag.name}",
        realtime,
        in_process,
        tuple(topic_map or ()),
        rig,
        model,
        models,
        frames,
        max_tokens,
        timeout,
        tuple(settings or ()),
    )
    _replay(bag, out, options, json_path)


def drive_clip(clip: Path | None, out: Path, seed: int, options: ReplayOptions, json_path: Path | None) -> None:
    """Turn a clip into a bag, play it through the stack and say what came out; a generated drive without a clip."""
    from dataclasses import replace

    from vadv2_bringup.replay import clip_bag

    bag, title = clip_bag(clip, out.with_name(f"{out.name}.input"), seed=seed)
    _replay(bag, out, replace(options, title=title), json_path)


def bag_from_clip(
    clip: Annotated[Path, typer.Argument(help="Clip folder with clip.json.")],
    out: Annotated[Path, typer.Argument(help="rosbag2 folder to make (MCAP).")],
    raw: Annotated[bool, typer.Option("--raw", help="Decoded rgb8 images in place of the JPEG files' bytes.")] = False,
) -> None:
    """Turn a clip folder into a rosbag2 bag: images, camera_info, odometry, tf_static, driving command."""
    from vadv2_bringup.clip import read_clip
    from vadv2_bringup.clip_to_bag import write_clip_as_bag
    from vadv2_bringup.replay import progress_bar

    clip_read = read_clip(clip)
    with progress_bar("clip to bag", len(clip_read.frames)) as advance:
        write_clip_as_bag(clip_read, out, compressed=not raw, progress=advance)
    typer.echo(f"{out}: {len(clip_read.frames)} frames of {len(clip_read.rig.cameras)} cameras")


def bag_info(
    bag: Annotated[Path, typer.Argument(help="rosbag2 folder, .mcap or .db3 file.")],
    topic_map: MapOption = None,
    rig: RigOption = None,
    json_path: JsonOption = None,
) -> None:
    """Say what is in a bag and what each topic would be used for."""
    import dataclasses

    from vadv2_bringup.bag_reader import BagReader
    from vadv2_bringup.bag_topics import parse_map
    from vadv2_core.camera import load_rig
    from vadv2_core.files import write_json_atomic

    given = load_rig(rig) if rig else None
    with BagReader(bag, parse_map(topic_map or ()), given, without_cameras=True) as reader:
        topics = reader.info()
        typer.echo(f"{bag}: {reader.duration:.2f} s, {len(reader.topics.images)} cameras")
        width = max(len(t.topic) for t in topics)
        for t in topics:
            typer.echo(f"  {t.topic:<{width}}  {t.count:>6}  {t.type:<36}  {t.role or 'not used'}")
        for camera in reader.rig.cameras if reader.topics.images else ():
            fx = camera.k[0, 0]
            typer.echo(f"  {camera.name}: {camera.width}x{camera.height}, fx {fx:.0f} px")
        if json_path is not None:
            rows = [dataclasses.asdict(t) for t in topics]
            write_json_atomic(json_path, {"duration_s": reader.duration, "topics": rows})


def clip_synthetic(
    out: Annotated[Path, typer.Argument(help="Clip folder to make.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of everything that varies.")] = 7,
    frames: Annotated[int, typer.Option("--frames", min=2, max=80)] = 40,
    rate: Annotated[float, typer.Option("--rate", min=1.0, max=30.0, help="Frames a second.")] = 10.0,
    width: Annotated[int, typer.Option("--width", min=64, max=3840)] = 640,
    height: Annotated[int, typer.Option("--height", min=32, max=2160)] = 360,
) -> None:
    """Generate a six-camera clip: a road that bends, houses, traffic, a lead car that brakes for a light."""
    from vadv2_bringup.replay import progress_bar
    from vadv2_bringup.synthetic_clip import write_synthetic_clip

    with progress_bar("drawing the drive", frames) as advance:
        write_synthetic_clip(out, seed=seed, frames=frames, rate=rate, width=width, height=height, progress=advance)
    typer.echo(f"{out}: {frames} frames of 6 cameras, {width}x{height}, {rate:g} Hz")


def rig_check(
    images: Annotated[Path, typer.Argument(help="Clip folder, or a folder of images named after their cameras.")],
    rig: Annotated[Path | None, typer.Option("--rig", help="Rig file to check; a clip's own by default.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Picture to write.")] = Path("out/rig_check.png"),
    json_path: JsonOption = None,
) -> None:
    """Draw ground grid, horizon and neighbours' overlap on your own images and name the extrinsic that looks wrong."""
    from vadv2_bringup.rig_check import check_rig, print_findings

    findings = check_rig(images, rig, out)
    print_findings(findings, out, json_path, typer.echo)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("replay")(replay_command)
    bag = typer.Typer(help="Bags: make one from a clip, look into one.", no_args_is_help=True)
    bag.command("from-clip")(bag_from_clip)
    bag.command("info")(bag_info)
    app.add_typer(bag, name="bag")
    clip = typer.Typer(
        help="Clips: folders of six-camera images with calibration and ego motion.", no_args_is_help=True
    )
    clip.callback()(lambda: None)
    clip.command("synthetic")(clip_synthetic)
    app.add_typer(clip, name="clip")
    rig = typer.Typer(help="Camera rigs.", no_args_is_help=True)
    rig.callback()(lambda: None)
    rig.command("check")(rig_check)
    app.add_typer(rig, name="rig")
