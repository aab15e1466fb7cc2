"""The driver's commands: ``vadv2 bench model``, ``vadv2 export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def _group(app: typer.Typer, name: str, text: str) -> typer.Typer:
    """The sub-app of that name: another package's, where it made one before."""
    for group in app.registered_groups:
        if group.name == name and group.typer_instance is not None:
            return group.typer_instance
    made = typer.Typer(help=text, no_args_is_help=True)
    app.add_typer(made, name=name)
    return made


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    _group(app, "bench", "How fast a part is, as JSON.").command("model")(bench_model)
    app.command("export")(export)


def bench_model(
    json: Annotated[Path | None, typer.Option(help="Write the numbers here.")] = None,
    rounds: Annotated[int, typer.Option(min=3, help="Frames that a median is taken over.")] = 40,
    seconds: Annotated[float, typer.Option(min=2.0, help="Seconds at 10 Hz, with and without the VLM.")] = 20.0,
    page: Annotated[Path | None, typer.Option(help="Write the tables between the marks of this Markdown page.")] = None,
    sections: Annotated[str, typer.Option(help="Only these, by comma: tiny, latency, encoder, ...")] = "",
) -> None:
    """Time the network: image to trajectory, embedding, text, the denoiser, the peers, the other sizes.

    Medians on one thread, CPU and wall milliseconds, memory. Takes some minutes; sets the OpenMP variables itself. With
    --sections the other sections of an existing JSON file are kept.

    Example: `vadv2 bench model --json bench.json --page docs/performance.md`
    """
    from rich.console import Console

    from vadv2_core.files import read_json, write_json_atomic
    from vadv2_driver.bench import SECTIONS
    from vadv2_driver.bench import bench_model as measure
    from vadv2_driver.bench_page import write_page

    chosen = tuple(s.strip() for s in sections.split(",") if s.strip()) or SECTIONS
    console = Console()
    known = read_json(json) if sections and json is not None and json.is_file() else None

    def done(section: str, table: dict[str, Any]) -> None:
        console.print(f"[bold]{section}[/bold]")
        _print_rows(console, table[section])
        if json is not None:
            write_json_atomic(json, table)
        if page is not None:
            write_page(page, table)

    with console.status("machine") as status:
        measure(chosen, rounds, seconds, status.update, done, known)


def _print_rows(console: Any, values: dict[str, Any], indent: str = "  ") -> None:
    for key, value in values.items():
        if isinstance(value, dict):
            console.print(f"{indent}{key}")
            _print_rows(console, value, indent + "  ")
        else:
            console.print(f"{indent}{key:<44}{value}", highlight=False, soft_wrap=True)


def export(
    model: Annotated[str, typer.Option(help="Size of the system, or a folder below models.")] = "tiny",
    backend: Annotated[str, typer.Option(help="onnxruntime or openvino; both read the same ONNX.")] = "openvino",
    cameras: Annotated[int, typer.Option(min=1, max=16, help="Cameras of the rig.")] = 6,
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16 or int8, of the image half.")] = "auto",
    pictures: Annotated[
        Path | None,
        typer.Option(help="Calibrate int8 on JPEG or PNG pictures of this folder, not on generated ones."),
    ] = None,
    cache: Annotated[Path, typer.Option(help="Where the files go; never next to the checkpoint.")] = Path(".vadv2"),
) -> None:
    """Write encoder and planner for a backend into the cache, so that the first frame need not wait for it.

    Example: `vadv2 export --model tiny --backend openvino`

    Example: `vadv2 export --precision int8 --pictures recordings/monday`
    """
    from vadv2_driver.export import export_model

    for path in export_model(model, backend, cameras, cache, precision, pictures):
        typer.echo(path)
