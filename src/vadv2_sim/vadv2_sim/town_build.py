"""Build a town folder from its plain-XML sources with netconvert (a developer's tool: ``pip install eclipse-sumo``)."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from vadv2_core.errors import InputError
from vadv2_core.files import write_bytes_atomic, write_json_atomic
from vadv2_sim.town_plans import TOWN_PLANS

NETCONVERT_OPTIONS = (
    "--offset.disable-normalization", "true",
    "--no-turnarounds", "true",
    "--crossings.guess", "true",
    "--crossings.guess.speed-threshold", "17",
    "--default.crossing-width", "4",
    "--junctions.corner-detail", "5",
    "--junctions.limit-turn-speed", "5.5",
    "--default.junctions.radius", "5",
    "--tls.default-type", "static",
    "--tls.cycle.time", "56",
    "--tls.yellow.time", "3",
    "--tls.allred.time", "2",
    "--tls.left-green.time", "0",
    "--no-internal-links", "false",
    "--walkingareas", "true",
    "--output.street-names", "false",
)  # fmt: skip
"""What every town is built with; ``sim build-town`` prints them."""


def netconvert_program() -> str:
    """The netconvert program.

    Raises:
        InputError: if eclipse-sumo is not installed.
    """
    found = shutil.which("netconvert")
    if found:
        return found
    try:
        import sumo  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        raise InputError("netconvert is missing", "build-town", "pip install eclipse-sumo") from None
    return str(Path(sumo.__file__).parent / "bin" / "netconvert")


def draw_town(name: str, folder: Path) -> None:
    """Write the plain-XML sources and town.json of one of `TOWN_PLANS` to a folder."""
    plan = TOWN_PLANS[name]
    folder.mkdir(parents=True, exist_ok=True)
    plan.draw(plan.seed).write(folder)
    facts = {"version": 1, "name": name, "seed": plan.seed, **plan.facts}
    write_json_atomic(folder / "town.json", facts)


def build_town(folder: Path) -> list[str]:
    """Turn town.nod.xml, town.edg.xml, town.typ.xml and town.con.xml of a folder into its net.xml.

    Returns:
        netconvert's warnings.

    Raises:
        InputError: if a source is missing or netconvert refuses it.
    """
    sources = {k: folder / f"town.{k}.xml" for k in ("nod", "edg", "typ", "con")}
    for path in sources.values():
        if not path.exists():
            raise InputError("is missing", str(path), "plain-XML sources town.{nod,edg,typ,con}.xml")
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "net.xml"
        run = subprocess.run(
            [
                netconvert_program(),
                "-n", str(sources["nod"]),
                "-e", str(sources["edg"]),
                "-t", str(sources["typ"]),
                "-x", str(sources["con"]),
                "-o", str(target),
                *NETCONVERT_OPTIONS,
            ],
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if run.returncode != 0 or not target.exists():
            last = (run.stderr.strip().splitlines() or ["no message"])[0]
            raise InputError(f"netconvert refused it: {last}", str(folder), "valid plain XML")
        # The header names the day and this machine's folders; without it the same sources give the same bytes.
        text = re.sub(r"<!--.*?-->\s*", "", target.read_text(), count=1, flags=re.DOTALL)
        write_bytes_atomic(folder / "net.xml", text.encode())
    return [line for line in run.stderr.splitlines() if line.startswith("Warning")]
