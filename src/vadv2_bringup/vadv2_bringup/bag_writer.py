"""Writing rosbag2 folders that are whole or not there."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer

from vadv2_core.errors import InputError
from vadv2_core.stamps import Stamp
from vadv2_ros.bag_types import bag_typestore

_FOREVER = QosTime(9223372036, 854775807)
_LATCHED = Qos(
    QosHistory.KEEP_LAST,
    1,
    QosReliability.RELIABLE,
    QosDurability.TRANSIENT_LOCAL,
    _FOREVER,
    _FOREVER,
    QosLiveliness.AUTOMATIC,
    _FOREVER,
    False,
)
"""So that ``ros2 bag play`` says again what was said once."""

RIG_NAME = "rig.yaml"
"""A rig file in a bag's folder: the mountings of its cameras, where no ``/tf_static`` says them."""


def type_name(message: Any) -> str:
    """The ROS name of a message's type (``nav_msgs/msg/Odometry``), of rclpy's classes and of rosbags'."""
    name = getattr(message, "__msgtype__", None)
    if name is not None:
        return str(name)
    kind = type(message)
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"


class BagWriter:
    """A rosbag2 folder (MCAP), written beside its place and moved there when it is closed without an error.

    Args:
        path: The folder to make.

    Raises:
        InputError: where the folder exists already.
    """

    def __init__(self, path: Path) -> None:
        if path.exists():
            raise InputError("exists already", str(path), "a new folder")
        self.path = path
        # A bag's files are named after its folder, so that the folder is called what it will be called.
        self._partial = path.with_name(f".{path.name}.partial") / path.name
        shutil.rmtree(self._partial.parent, ignore_errors=True)
        self._partial.parent.mkdir(parents=True)
        self._writer = Writer(self._partial, version=9, storage_plugin=StoragePlugin.MCAP)
        self._connections: dict[str, Connection] = {}
        self._store = bag_typestore()
        self._closed = False

    def __enter__(self) -> BagWriter:
        self._writer.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._closed:
            # A drive closes its bag when it ends; an interrupt while its report is written closes it again.
            return
        self._closed = True
        try:
            self._writer.close()
            if kind is None:
                self._partial.rename(self.path)
        except OSError:
            # A disk that was full while writing is full while closing too; the first error is the one to tell.
            if kind is None:
                raise
        finally:
            shutil.rmtree(self._partial.parent, ignore_errors=True)

    def put(self, name: str, data: bytes) -> None:
        """Lay a file into the folder, beside the messages."""
        (self._partial / name).write_bytes(data)

    def write(self, topic: str, message: Any, stamp: Stamp, *, latched: bool = False) -> None:
        """Add a message, of rclpy's classes or of rosbags'.

        Args:
            topic: Its topic.
            message: The message.
            stamp: When it is to be played, ns.
            latched: The topic is transient-local (said once, heard by whoever comes later).
        """
        kind = type_name(message)
        if hasattr(message, "__msgtype__"):
            data: bytes | memoryview = self._store.serialize_cdr(message, kind)
        else:
            from rclpy.serialization import serialize_message

            data = serialize_message(message)
        self.write_serialized(topic, kind, data, stamp, latched=latched)

    def write_serialized(
        self, topic: str, kind: str, data: bytes | memoryview, stamp: Stamp, *, latched: bool = False
    ) -> None:
        """Add a message that is serialized already (CDR), ``kind`` by its ROS name."""
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, kind, typestore=self._store, offered_qos_profiles=[_LATCHED] if latched else []
            )
        self._writer.write(self._connections[topic], stamp, data)
