"""The types of rosbag2 files: ROS's own and those of vadv2_msgs, for `rosbags`, with or without a ROS installation."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from vadv2_core.errors import InputError


def _definitions() -> Path:
    """The folder of vadv2_msgs' ``.msg`` files: of the source tree, else as installed."""
    source = Path(__file__).resolve().parents[2] / "vadv2_msgs" / "msg"
    if source.is_dir():
        return source
    try:
        from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
    except ImportError:
        raise InputError("no message definitions", "vadv2_msgs", "the source tree or an installed package") from None
    try:
        return Path(get_package_share_directory("vadv2_msgs")) / "msg"
    except PackageNotFoundError:
        raise InputError("is not installed", "vadv2_msgs", "make setup") from None


@cache
def bag_typestore() -> Typestore:
    """A type store that reads and writes every message of this workspace.

    Raises:
        InputError: where the definitions of vadv2_msgs are not to be found.
    """
    store = get_typestore(Stores.ROS2_KILTED)
    types = {}
    for path in sorted(_definitions().glob("*.msg")):
        types.update(get_types_from_msg(path.read_text(), f"vadv2_msgs/msg/{path.stem}"))
    store.register(types)
    return store
