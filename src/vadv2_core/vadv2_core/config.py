"""Config dataclasses: the one place where a default, its range and its description are written.

ROS parameters, YAML files, ``--help`` and the tables in the documentation are all derived from `parameters_of`.
A field made with `parameter` is public and tunable; nested config dataclasses flatten to dotted names.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from vadv2_core.errors import InputError

T = TypeVar("T")
_KEY = "parameter"


@dataclasses.dataclass(frozen=True, slots=True)
class ParameterSpec:
    """What a parameter means: description, unit, inclusive range or list of choices."""

    description: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()
    read_only: bool = True
    """False where a running node accepts a new value (gains, thresholds)."""

    def expectation(self) -> str:
        """The allowed values in words, for an error line."""
        if self.choices:
            return "one of " + ", ".join(map(str, self.choices))
        low = "-inf" if self.minimum is None else f"{self.minimum:g}"
        high = "inf" if self.maximum is None else f"{self.maximum:g}"
        return f"{low} .. {high}{' ' + self.unit if self.unit else ''}"


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    """One declared parameter of a config type: dotted name, plain type, default and meaning."""

    name: str
    type: type
    default: Any
    spec: ParameterSpec


def parameter(
    default: Any,
    description: str,
    *,
    unit: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[Any, ...] = (),
    live: bool = False,
) -> Any:
    """A dataclass field with a meaning. Lists are given as tuples and stay tuples.

    Args:
        default: The default, of type bool, int, float, str or a tuple of one of them.
        description: One sentence, shown by ``ros2 param describe``, ``--help`` and the README tables.
        unit: SI unit, empty for none.
        minimum: Smallest allowed value, inclusive (every element of a tuple).
        maximum: Largest allowed value, inclusive.
        choices: The allowed values where they can be listed.
        live: A running node takes a new value.
    """
    spec = ParameterSpec(description, unit, minimum, maximum, choices, read_only=not live)
    return dataclasses.field(default=default, metadata={_KEY: spec})


def _hints(config_type: type) -> dict[str, Any]:
    return typing.get_type_hints(config_type)


def _plain_type(hint: Any) -> type:
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return str
    if origin in (typing.Union, types.UnionType):
        return _plain_type(next(a for a in typing.get_args(hint) if a is not type(None)))
    return typing.cast(type, origin or hint)


def parameters_of(config_type: type, prefix: str = "") -> Iterator[Parameter]:
    """Every parameter of a config dataclass, depth first, in order of declaration."""
    hints = _hints(config_type)
    for field in dataclasses.fields(config_type):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from parameters_of(typing.cast(type, hint), f"{prefix}{field.name}.")
        elif _KEY in field.metadata:
            yield Parameter(prefix + field.name, _plain_type(hint), field.default, field.metadata[_KEY])


def _check(name: str, value: Any, spec: ParameterSpec, where: str) -> None:
    for element in value if isinstance(value, tuple) else (value,):
        if spec.choices and element not in spec.choices:
            raise InputError(f"{name} is {element!r}", where, spec.expectation())
        if isinstance(element, bool) or not isinstance(element, (int, float)):
            continue
        too_small = spec.minimum is not None and element < spec.minimum
        too_large = spec.maximum is not None and element > spec.maximum
        if not math.isfinite(element) or too_small or too_large:
            raise InputError(f"{name} is {element}", where, spec.expectation())


def validate(config: Any, where: str = "") -> None:
    """Hold every parameter of a config against its range or choices; call it from ``__post_init__``.

    Raises:
        InputError: naming the field, its value and the allowed range.
    """
    where = where or type(config).__name__
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            validate(value, f"{where}.{field.name}")
        elif _KEY in field.metadata and value is not None:
            _check(field.name, value, field.metadata[_KEY], where)


def _coerce(value: Any, wanted: type, name: str, where: str) -> Any:
    if wanted is tuple and isinstance(value, (list, tuple)):
        return tuple(value)
    if wanted is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise InputError(f"{name} is {value!r} of type {type(value).__name__}", where, wanted.__name__)
    return value


def from_mapping(config_type: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Build a config from a mapping with nested or dotted keys (a YAML file, a checkpoint's config.json).

    Raises:
        InputError: for an unknown key, a value of another type or one out of range.
    """
    where = where or config_type.__name__
    if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
        raise InputError(f"is {values!r:.60}", where, "a mapping of names")
    hints = _hints(config_type)
    fields = {f.name: f for f in dataclasses.fields(config_type)}  # type: ignore[arg-type]
    nested: dict[str, dict[str, Any]] = {}
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        head, _, rest = key.partition(".")
        if head not in fields:
            raise InputError(f"unknown key {key!r}", where, "one of " + ", ".join(fields))
        hint = hints[head]
        if dataclasses.is_dataclass(hint):
            if rest:
                nested.setdefault(head, {})[rest] = value
            elif isinstance(value, Mapping):
                nested.setdefault(head, {}).update(value)
            else:
                raise InputError(f"{key} is {value!r}", where, "a mapping")
        elif value is None and type(None) in typing.get_args(hint):
            arguments[head] = None
        else:
            arguments[head] = _coerce(value, _plain_type(hint), head, where)
    for head, inner in nested.items():
        arguments[head] = from_mapping(hints[head], inner, f"{where}.{head}")
    return config_type(**arguments)


def to_mapping(config: Any) -> dict[str, Any]:
    """The inverse of `from_mapping`: nested plain dicts, tuples as lists, ready for JSON or YAML."""
    plain: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            plain[field.name] = to_mapping(value)
        else:
            plain[field.name] = list(value) if isinstance(value, tuple) else value
    return plain


def parameter_table(config_type: type) -> str:
    """The README table of a config type: name, type, default, range, description (GitHub markdown)."""
    rows = ["| parameter | type | default | range | what it does |", "|---|---|---|---|---|"]
    for p in parameters_of(config_type):
        bounded = p.spec.choices or p.spec.minimum is not None or p.spec.maximum is not None
        default = ", ".join(map(str, p.default)) if isinstance(p.default, tuple) else p.default
        allowed = p.spec.expectation() if bounded else p.spec.unit
        rows.append(f"| `{p.name}` | {p.type.__name__} | `{default}` | {allowed} | {p.spec.description} |")
    return "\n".join(rows)
