"""Fields of messages: stamps, headers, arrays and enums."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import DTypeLike, NDArray
from std_msgs.msg import Header

from vadv2_core.errors import InputError
from vadv2_core.stamps import NANOSECONDS, Stamp

BASE_FRAME = "base_link"
ODOM_FRAME = "odom"
_TYPECODES = {"float64": "d", "float32": "f", "int32": "i", "uint16": "H", "uint8": "B", "int64": "q"}


def time_from_stamp(stamp: Stamp) -> Time:
    """A stamp in ns as ``builtin_interfaces/Time``, exact from 1901 to 2038."""
    return Time(sec=stamp // NANOSECONDS, nanosec=stamp % NANOSECONDS)


def stamp_from_time(time: Any) -> Stamp:
    """``builtin_interfaces/Time`` as a stamp in ns."""
    return int(time.sec) * NANOSECONDS + int(time.nanosec)


def header(stamp: Stamp, frame_id: str = BASE_FRAME) -> Header:
    """A header with the stamp of the data."""
    return Header(stamp=time_from_stamp(stamp), frame_id=frame_id)


def flat(values: NDArray[Any], dtype: DTypeLike) -> array.array[Any]:
    """Any array as the flat sequence a message field takes without a look at each element."""
    contiguous = np.ascontiguousarray(values, dtype=dtype)
    return array.array(_TYPECODES[contiguous.dtype.name], contiguous.tobytes())


def shaped(values: Any, dtype: DTypeLike, shape: tuple[int, ...], where: str) -> NDArray[Any]:
    """A message's flat field as an array of a shape.

    Raises:
        InputError: where the number of values does not fit.
    """
    found = np.asarray(values, dtype=dtype)
    if -1 not in shape and found.size != int(np.prod(shape)):
        raise InputError(f"{found.size} values", where, f"{'x'.join(map(str, shape))}")
    try:
        return found.reshape(shape)
    except ValueError:
        raise InputError(f"{found.size} values", where, "a multiple of a row") from None


def enum_value(kind: Any, value: Any, where: str) -> Any:
    """A number of a message as a member of an enum.

    Raises:
        InputError: where it is none.
    """
    try:
        return kind(int(value))
    except ValueError:
        raise InputError(f"value {int(value)}", where, f"a {kind.__name__}") from None
