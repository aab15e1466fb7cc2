"""``./vadv2 run``, ``doctor`` and ``config``: the nodes of a vehicle or simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ModelOption = Annotated[str, typer.Option("--model", help="tiny, base, minimal, or a folder below --models.")]
ModelsOption = Annotated[Path, typer.Option("--models", help="Directory of model directories.")]
InterfaceOption = Annotated[str, typer.Option("--interface", help="Name of a file of config/interface: its topics.")]
NamespaceOption = Annotated[str, typer.Option("--namespace", help="Before every node and topic.")]
RigOption = Annotated[str, typer.Option("--rig", help="Rig file; empty takes CameraInfo and /tf_static.")]


def run_command(
    model: ModelOption = "tiny",
    models: ModelsOption = Path("models"),
    interface: InterfaceOption = "sim",
    namespace: NamespaceOption = "",
    rig: RigOption = "config/rig/surround6.yaml",
    vehicle: Annotated[str, typer.Option(help="Name of a file of config/vehicle.")] = "",
    params_file: Annotated[str, typer.Option(help="ROS parameter file that goes before all others.")] = "",
    image_transport: Annotated[str, typer.Option(help="raw or compressed.")] = "raw",
    use_sim_time: Annotated[bool, typer.Option(help="Time comes from /clock.")] = False,
    autostart: Annotated[bool, typer.Option(help="Nodes configure and activate themselves.")] = True,
    commander: Annotated[bool, typer.Option(help="Make driving commands from the route.")] = False,
    engage: Annotated[bool, typer.Option(help="Engage as soon as everything is there (not on a vehicle).")] = False,
    respawn: Annotated[bool, typer.Option(help="Start a node that dies again; control, never.")] = True,
    log_level: Annotated[str, typer.Option(help="debug, info, warn, error or fatal.")] = "info",
) -> None:
    """Start the nodes, one process each, until Ctrl-C; what `ros2 launch vadv2_bringup drive.launch.py` does.

    Cameras, odometry and a driving command come from your vehicle or simulator; see docs/architecture.md for topics.

    Example: ./vadv2 run --interface sim --rig config/rig/surround6.yaml
    """
    from vadv2_bringup.supervisor import Supervisor, interrupted_by_termination
    from vadv2_bringup.system import RESPAWNED, SystemOptions, describe_system, driver_for

    settings = {"control.drive.engage_automatically": engage}
    options = SystemOptions(
        interface=interface,
        namespace=namespace,
        use_sim_time=use_sim_time,
        params_file=params_file,
        autostart=autostart,
        log_level=log_level,
        rig_file=rig,
        image_transport=image_transport,
        vehicle=vehicle,
        commander=commander,
    )
    system = describe_system(driver_for(model, str(models), settings), options)
    interrupted_by_termination()
    with Supervisor(system, respawn=RESPAWNED if respawn else ()) as supervisor:
        typer.echo(f"started {', '.join(n.name for n in system.nodes)}; Ctrl-C stops them", err=True)
        status = supervisor.wait()
    raise typer.Exit(status)


def doctor_command(
    model: ModelOption = "tiny",
    models: ModelsOption = Path("models"),
    interface: InterfaceOption = "sim",
    namespace: NamespaceOption = "",
    seconds: Annotated[float, typer.Option(min=0.0, help="How long to listen to topics; 0 does not.")] = 5.0,
    json_path: Annotated[Path | None, typer.Option("--json", help="Also write the findings to this file.")] = None,
) -> None:
    """Say in words what is ready, what is missing, and the command that mends it.

    Looks at ROS, torch, model files and their checksums, and listens for cameras, odometry and the nodes.
    """
    from vadv2_bringup.doctor import examine, print_findings

    findings = examine(model, models, interface, namespace, seconds)
    raise typer.Exit(print_findings(findings, json_path))


def config_write() -> None:
    """Write config/<node>.param.yaml and the tables of the packages' READMEs from the code."""
    from vadv2_bringup.parameter_files import write_generated_files

    changed = write_generated_files()
    for path in changed:
        typer.echo(path)
    typer.echo(f"{len(changed)} files written")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run")(run_command)
    app.command("doctor")(doctor_command)
    config = typer.Typer(help="Files that are written from the code.", no_args_is_help=True)
    config.callback()(lambda: None)
    config.command("write")(config_write)
    app.add_typer(config, name="config")
