"""A town: a folder with a SUMO net and a town.json of facts about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vadv2_core.config import from_mapping, parameter, validate
from vadv2_core.errors import InputError
from vadv2_core.files import read_json, sha256_of

TOWNS = Path(__file__).parent / "towns"
"""Folder of the committed towns."""

TOWN_NAMES = ("town_a", "town_b", "town_c", "town_d", "town_e", "town_f")
TRAINING_TOWNS = TOWN_NAMES[:4]
HELD_OUT_TOWNS = TOWN_NAMES[4:]
"""Towns that no training code may read."""


@dataclass(frozen=True, slots=True)
class TownFacts:
    """What a town.json says; a net without one has these defaults."""

    version: int = parameter(1, "Version of this file's form.", minimum=1, maximum=1)
    name: str = parameter("", "Name of the town; the folder's where empty.")
    description: str = parameter("a SUMO net", "What kind of town it is, in a few words.")
    split: str = parameter("train", "What the town may be used for.", choices=("train", "held_out"))
    seed: int = parameter(1, "Seeds what stands in the town: parked vehicles, road works.", minimum=0)
    vehicles: int = parameter(40, "Moving vehicles in the town at a time.", minimum=0, maximum=2000)
    pedestrians: int = parameter(30, "People walking in the town at a time.", minimum=0, maximum=2000)
    parked_share: float = parameter(0.5, "Share of the parking places that is taken.", minimum=0.0, maximum=1.0)
    works: int = parameter(0, "Road works that always stand in the town.", minimum=0, maximum=20)

    def __post_init__(self) -> None:
        validate(self, "town.json")


@dataclass(frozen=True, slots=True)
class Town:
    """A town ready to be driven in.

    Attributes:
        name: Its name.
        folder: Where it lies.
        net: Its net file.
        net_hash: SHA-256 of the net file.
        facts: Its town.json.
    """

    name: str
    folder: Path
    net: Path
    net_hash: str
    facts: TownFacts = field(default_factory=TownFacts)


def load_town(name: str | Path) -> Town:
    """A committed town by name, or any folder with a SUMO net (``net.xml`` or one ``*.net.xml``), or a net file.

    Raises:
        InputError: for an unknown name, a folder without a net, or a town.json that cannot be used.
    """
    text = str(name)
    folder = TOWNS / text if text in TOWN_NAMES else Path(text)
    if folder.is_file() and folder.name.endswith("net.xml"):
        net, folder = folder, folder.parent
    elif folder.is_dir():
        nets = [folder / "net.xml"] if (folder / "net.xml").exists() else sorted(folder.glob("*.net.xml"))
        if len(nets) != 1:
            raise InputError(f"{len(nets)} net files", str(folder), "net.xml or exactly one *.net.xml")
        net = nets[0]
    else:
        raise InputError(
            f"unknown town {text!r}", "--town", f"one of {', '.join(TOWN_NAMES)}, or a folder with a net.xml"
        )
    facts_file = folder / "town.json"
    facts = from_mapping(TownFacts, read_json(facts_file), str(facts_file)) if facts_file.exists() else TownFacts()
    return Town(facts.name or folder.resolve().name, folder, net, sha256_of(net), facts)
