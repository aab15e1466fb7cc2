"""Read the tensors of an old torch file (``.pth`` before 1.6) without running anything that is written in it.

Such a file is a row of pickles followed by raw numbers. A pickle is a program: unpickling one may call anything. Here
its opcodes are only read (`pickletools.genops` never executes), on a stack of our own that knows containers, numbers,
text and two calls: an empty ``OrderedDict`` and ``_rebuild_tensor_v2``, which become plain values. Any other name or
opcode refuses the file. The tensors go to safetensors at once; nothing else in the project reads such files.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vadv2_core.errors import InputError

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
_STORAGES = {
    "FloatStorage": "<f4",
    "LongStorage": "<i8",
    "HalfStorage": "<f2",
    "DoubleStorage": "<f8",
    "IntStorage": "<i4",
}
_DICTIONARY = ("collections", "OrderedDict")
_TENSOR = ("torch._utils", "_rebuild_tensor_v2")


@dataclass(frozen=True, slots=True)
class _Name:
    """A global that the file named; never imported."""

    module: str
    name: str


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    dtype: str


@dataclass(frozen=True, slots=True)
class _View:
    """A tensor as the file describes it: a strided look at a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


_MARK = object()
_LITERALS: dict[str, Callable[[Any], Any]] = {
    **{op: (lambda value: value) for op in ("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINSTRING")},
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_DICT": lambda _: {},
    "EMPTY_LIST": lambda _: [],
    "EMPTY_TUPLE": lambda _: (),
    "MARK": lambda _: _MARK,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Reader:
    """One pickle's opcodes, read onto a stack."""

    def __init__(self, source: BinaryIO, where: str) -> None:
        self.source, self.where = source, where
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def _since_mark(self) -> list[Any]:
        at = len(self.stack) - 1 - next(i for i, v in enumerate(reversed(self.stack)) if v is _MARK)
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def _global(self, argument: str) -> _Name:
        module, name = argument.split(" ", 1)
        if (module, name) not in (_DICTIONARY, _TENSOR) and not (module == "torch" and name in _STORAGES):
            raise InputError(f"names {module}.{name}", self.where, "a file of plain tensors")
        return _Name(module, name)

    def _call(self, function: Any, arguments: Any) -> Any:
        called = (function.module, function.name) if isinstance(function, _Name) else None
        if called == _DICTIONARY and arguments == ():
            return {}
        if called == _TENSOR and isinstance(arguments[0], _Storage):
            return _View(arguments[0], int(arguments[1]), tuple(arguments[2]), tuple(arguments[3]))
        raise InputError("makes a call that is not a tensor's", self.where, "a file of plain tensors")

    def _stored(self, persistent: Any) -> _Storage:
        if not isinstance(persistent, tuple) or persistent[0] != "storage" or not isinstance(persistent[1], _Name):
            raise InputError("refers to something that is not a storage", self.where, "a file of plain tensors")
        return _Storage(str(persistent[2]), _STORAGES[persistent[1].name])

    def _combine(self, op: str) -> None:
        stack = self.stack
        if op == "TUPLE":
            stack.append(tuple(self._since_mark()))
        elif op in _TUPLES:
            count = _TUPLES[op]
            stack[-count:] = [tuple(stack[-count:])]
        elif op == "APPENDS":
            values = self._since_mark()
            stack[-1].extend(values)
        elif op in ("SETITEM", "SETITEMS"):
            pairs = self._since_mark() if op == "SETITEMS" else [stack.pop(-2), stack.pop()]
            stack[-1].update(zip(pairs[::2], pairs[1::2], strict=True))
        elif op == "REDUCE":
            arguments = stack.pop()
            stack.append(self._call(stack.pop(), arguments))
        elif op == "BINPERSID":
            stack.append(self._stored(stack.pop()))
        elif op == "BUILD":
            stack.pop()  # A state dict's version notes; they hold no tensor.
        else:
            raise InputError(f"uses opcode {op}", self.where, "a file of plain tensors")

    def read(self) -> Any:
        """The value of the next pickle in the file."""
        argument: Any
        for opcode, argument, _ in pickletools.genops(self.source):
            op = opcode.name
            if op in ("PROTO", "STOP"):
                continue
            if op in _LITERALS:
                self.stack.append(_LITERALS[op](argument))
            elif op in ("BINPUT", "LONG_BINPUT"):
                self.memo[argument] = self.stack[-1]
            elif op in ("BINGET", "LONG_BINGET"):
                self.stack.append(self.memo[argument])
            elif op == "GLOBAL":
                self.stack.append(self._global(argument))
            else:
                self._combine(op)
        return self.stack.pop()


def read_torch_file(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a legacy torch state dict by name.

    Raises:
        InputError: for a file of another form, or one whose pickles do anything but describe tensors.
    """
    where = str(path)
    try:
        with path.open("rb") as source:
            return _read(source, where)
    except OSError as error:
        raise InputError(error.strerror or "cannot be read", where, "a torch file") from None
    except InputError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration, OverflowError, MemoryError) as error:
        raise InputError(f"broken: {error!r}".splitlines()[0], where, "a legacy torch state dict") from None


def _read(source: BinaryIO, where: str) -> dict[str, NDArray[Any]]:
    if _Reader(source, where).read() != MAGIC or _Reader(source, where).read() != PROTOCOL:
        raise InputError("not a legacy torch file", where, f"protocol {PROTOCOL}")
    _Reader(source, where).read()  # What machine wrote it; the numbers are little-endian in any case.
    views = _Reader(source, where).read()
    keys = _Reader(source, where).read()
    if not isinstance(views, dict) or not all(isinstance(v, _View) for v in views.values()):
        raise InputError("holds something that is not a tensor", where, "a state dict")
    dtypes = {view.storage.key: view.storage.dtype for view in views.values()}
    storages: dict[str, NDArray[Any]] = {}
    for key in keys:
        count = int.from_bytes(source.read(8), "little")
        dtype = np.dtype(dtypes[key])
        storages[key] = np.frombuffer(source.read(count * dtype.itemsize), dtype=dtype, count=count)
    tensors = {}
    for name, view in views.items():
        storage = storages[view.storage.key]
        last = view.offset + sum((n - 1) * s for n, s in zip(view.shape, view.stride, strict=True))
        if 0 in view.shape or last >= storage.size or min((view.offset, *view.stride)) < 0:
            raise InputError(f"tensor {name!r} lies outside its storage", where, "a whole file")
        strides = tuple(s * storage.itemsize for s in view.stride)
        tensors[name] = np.lib.stride_tricks.as_strided(storage[view.offset :], view.shape, strides).copy()
    return tensors
