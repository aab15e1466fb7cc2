"""A file is data: a pickle in the place of weights, arrays or text is refused and its program does not run."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save
from torch import nn

from vadv2_bringup.bag_reader import BagReader
from vadv2_bringup.clip import CLIP_NAME, read_clip
from vadv2_core.camera import load_rig
from vadv2_core.checkpoint import CONFIG_NAME, WEIGHTS_NAME, load_checkpoint, save_checkpoint
from vadv2_core.errors import InputError
from vadv2_core.road_map_file import load_road_map
from vadv2_core.scene_log import SceneLog
from vadv2_core.vehicle import load_vehicle
from vadv2_eval.open_loop.npz_file import read_samples
from vadv2_eval.pdms.scene_case import read_cases
from vadv2_perception.torch_file import read_torch_file
from vadv2_planner.anchors import load_anchors, load_trajectories
from vadv2_training.frame_store import FrameStore
from vadv2_training.run_state import load_run_state, save_run_state

WORKSPACE = Path(__file__).resolve().parents[3]
OPEN_LOOP = WORKSPACE / "src" / "vadv2_eval" / "test" / "data" / "open_loop_public.npz"
Attack = Callable[[Path, bytes], object]


class Payload:
    """Unpickling it writes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.mark, "run")


def _forms(mark: Path) -> dict[str, bytes]:
    """The same program in every wrapping that some loader of tensors unpickles."""
    plain, torch_zip, torch_legacy, npz, npy = (io.BytesIO() for _ in range(5))
    pickle.dump(Payload(mark), plain, protocol=2)
    torch.save(Payload(mark), torch_zip)
    torch.save(Payload(mark), torch_legacy, _use_new_zipfile_serialization=False)
    objects = np.empty(1, dtype=object)
    objects[0] = Payload(mark)
    np.save(npy, objects, allow_pickle=True)
    np.savez(npz, pred=objects, allow_pickle=True)
    text = f"!!python/object/apply:pathlib.Path.write_text [!!python/object/apply:pathlib.Path [{mark}], run]"
    return {
        "pickle": plain.getvalue(),
        "torch": torch_zip.getvalue(),
        "torch_legacy": torch_legacy.getvalue(),
        "npy": npy.getvalue(),
        "npz": npz.getvalue(),
        "yaml": text.encode(),
    }


def _placed(name: str, read: Callable[[Path], object]) -> Attack:
    def attack(folder: Path, data: bytes) -> object:
        (folder / name).write_bytes(data)
        return read(folder / name)

    return attack


def _checkpoint(folder: Path, data: bytes) -> object:
    """Also with the hash that belongs to it: the parser itself must refuse."""
    save_checkpoint(folder, kind="planner", model_id="m-1", config={}, tensors={"w": np.ones(2, np.float32)})
    (folder / WEIGHTS_NAME).write_bytes(data)
    with pytest.raises(InputError, match="SHA-256"):
        load_checkpoint(folder, "planner")
    header = json.loads((folder / CONFIG_NAME).read_text())
    (folder / CONFIG_NAME).write_text(json.dumps({**header, "sha256": hashlib.sha256(data).hexdigest()}))
    return load_checkpoint(folder, "planner")


def _run_state(folder: Path, data: bytes) -> object:
    module = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    save_run_state(folder, 1, module, optimizer, None, {})
    (written,) = [p for p in folder.iterdir() if p.name != "mark"]
    written.write_bytes(data)
    return load_run_state(folder, module, optimizer, None, {})


def _bag(folder: Path, data: bytes) -> object:
    (folder / "bag.mcap").write_bytes(data)
    with BagReader(folder / "bag.mcap") as reader:
        return list(reader.frames())


LOADERS: dict[str, Attack] = {
    "encoder weights": _placed("encoder.pth", read_torch_file),
    "checkpoint": _checkpoint,
    "checkpoint header": _placed(CONFIG_NAME, lambda p: load_checkpoint(p.parent, "planner")),
    "training run": _run_state,
    "frame store": _placed("drive.safetensors", lambda p: FrameStore(p.parent, 4)),
    "anchors": _placed("anchors.json", load_anchors),
    "trajectories": _placed("trajectories.safetensors", load_trajectories),
    "open-loop samples": _placed("samples.npz", read_samples),
    "PDMS cases": _placed("cases.json.gz", read_cases),
    "scene log": _placed("drive.scenes.zst", SceneLog),
    "road map": _placed("town.map.zst", load_road_map),
    "rig": _placed("rig.yaml", load_rig),
    "vehicle": _placed("vehicle.yaml", load_vehicle),
    "clip": _placed(CLIP_NAME, lambda p: read_clip(p.parent)),
    "bag": _bag,
}


@pytest.mark.parametrize("form", ("pickle", "torch", "torch_legacy", "npy", "npz", "yaml"))
@pytest.mark.parametrize("loader", LOADERS)
def test_a_program_in_a_file_is_refused_and_not_run(loader: str, form: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    data = _forms(mark)[form]
    with pytest.raises(InputError):
        LOADERS[loader](tmp_path, data)
    assert not mark.exists()


def test_the_program_would_run_in_a_loader_that_unpickles(tmp_path: Path) -> None:
    """What the test above relies on: the payload works."""
    forms = _forms(tmp_path / "mark")
    pickle.loads(forms["pickle"])
    assert (tmp_path / "mark").read_text() == "run"
    (tmp_path / "mark").unlink()
    torch.load(io.BytesIO(forms["torch"]), weights_only=False)
    assert (tmp_path / "mark").read_text() == "run"


def test_a_sound_archive_with_one_pickled_array_is_refused(tmp_path: Path) -> None:
    objects = np.empty(1, dtype=object)
    objects[0] = Payload(tmp_path / "mark")
    member = io.BytesIO()
    np.save(member, objects, allow_pickle=True)
    path = tmp_path / "samples.npz"
    with zipfile.ZipFile(OPEN_LOOP) as sound, zipfile.ZipFile(path, "w") as broken:
        for name in sound.namelist():
            broken.writestr(name, member.getvalue() if name == "fut_valid.npy" else sound.read(name))
    with pytest.raises(InputError):
        read_samples(path)
    assert not (tmp_path / "mark").exists()


def test_a_shard_of_other_arrays_is_refused(tmp_path: Path) -> None:
    (tmp_path / "drive.safetensors").write_bytes(save({"other": np.ones(3, np.float32)}))
    with pytest.raises(InputError):
        FrameStore(tmp_path, 4)


_FORBIDDEN = re.compile(
    r"\bpickle\.loads?\(|import (c?pickle|dill|joblib|shelve|marshal)\b|torch\.load\(|allow_pickle\s*=\s*True"
    r"|yaml\.(unsafe_|full_)?load\(|yaml\.Loader|\beval\(\s*[a-z_]*(text|line|source)|\bexec\(|trust_remote_code\s*=\s*True"
)


def test_no_source_file_calls_a_loader_that_runs_what_it_reads() -> None:
    sources = [p for p in (WORKSPACE / "src").glob("*/*/**/*.py") if "test" not in p.relative_to(WORKSPACE).parts]
    sources += [*(WORKSPACE / "tools").glob("*.py"), WORKSPACE / "vadv2"]
    assert len(sources) > 100
    found = [
        f"{path.relative_to(WORKSPACE)}:{number}: {line.strip()}"
        for path in sources
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if _FORBIDDEN.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    "line", ("x = torch.load(p)", "np.load(p, allow_pickle=True)", "yaml.load(t)", "import pickle")
)
def test_the_search_finds_such_a_line(line: str) -> None:
    assert _FORBIDDEN.search(line)
