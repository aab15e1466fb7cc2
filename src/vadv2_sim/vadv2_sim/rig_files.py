"""The stack's rig and vehicle files, found from the workspace or where the package is installed."""

from __future__ import annotations

from pathlib import Path

from vadv2_core.camera import CameraRig, load_rig
from vadv2_core.errors import InputError


def config_folder() -> Path:
    """The folder ``config`` of the workspace, or of an installed vadv2_bringup.

    Raises:
        InputError: where there is none.
    """
    here = Path(__file__).resolve()
    for parent in here.parents:
        for folder in (parent / "config", parent / "share" / "vadv2_bringup" / "config"):
            if (folder / "rig").is_dir():
                return folder
    raise InputError("no folder 'config'", str(here.parent), "a workspace, or an installed vadv2_bringup")


def default_rig() -> CameraRig:
    """The rig of six surround cameras that the stack drives with."""
    return load_rig(config_folder() / "rig" / "surround6.yaml")
