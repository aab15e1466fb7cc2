"""ROS parameters of a node, declared from its config dataclass and read back into it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from vadv2_core.config import Parameter, from_mapping, parameters_of, to_mapping, validate
from vadv2_core.errors import InputError

C = TypeVar("C")
_INT64 = 2**63 - 1


def flattened(config: Any) -> dict[str, Any]:
    """Values of a config by dotted name, tuples as lists."""
    flat: dict[str, Any] = {}

    def walk(values: dict[str, Any], prefix: str) -> None:
        for name, value in values.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{name}.")
            else:
                flat[prefix + name] = value

    walk(to_mapping(config), "")
    return flat


def descriptor_of(parameter: Parameter, default: Any) -> ParameterDescriptor:
    """What ``ros2 param describe`` shows: description with unit, range, choices, read-only."""
    spec = parameter.spec
    descriptor = ParameterDescriptor(
        name=parameter.name,
        description=f"{spec.description} [{spec.unit}]" if spec.unit else spec.description,
        read_only=spec.read_only,
        dynamic_typing=default == [],
    )
    bounded = spec.minimum is not None or spec.maximum is not None
    if spec.choices or (bounded and parameter.type is tuple):
        descriptor.additional_constraints = spec.expectation()
    elif bounded and parameter.type is float:
        low = -sys.float_info.max if spec.minimum is None else float(spec.minimum)
        high = sys.float_info.max if spec.maximum is None else float(spec.maximum)
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif bounded and parameter.type is int:
        least = -_INT64 if spec.minimum is None else int(spec.minimum)
        most = _INT64 if spec.maximum is None else int(spec.maximum)
        descriptor.integer_range = [IntegerRange(from_value=least, to_value=most, step=1)]
    return descriptor


class NodeParameters(Generic[C]):
    """The declared parameters of a node as one config.

    A value from a parameter file or the command line is held against its range when the node starts; a live one is held
    against the whole config when it is set, and refused with the same words.

    Args:
        node: The node that declares them.
        config_type: A config dataclass of `vadv2_core.config`; its defaults are the parameters' defaults.
        changed: Called with the new config after a running node took a new value.

    Raises:
        InputError: naming the node, the parameter, its value and what was expected.
    """

    def __init__(self, node: Node, config_type: type[C], changed: Callable[[C], None] | None = None) -> None:
        self._node, self._type, self._changed = node, config_type, changed
        self._names = []
        defaults = flattened(config_type())
        for parameter in parameters_of(config_type):
            self._declare(parameter, defaults[parameter.name])
            self._names.append(parameter.name)
        self.config: C = self._read({})
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._apply)

    def _declare(self, parameter: Parameter, default: Any) -> None:
        where = f"{self._node.get_name()} parameter {parameter.name!r}"
        try:
            self._node.declare_parameter(parameter.name, default, descriptor_of(parameter, default))
        except InvalidParameterTypeException as error:
            found = re.search(r"to (.+?) of type '(\w+)'", str(error))
            what = f"value {found[1]} of type {found[2]}" if found else str(error).splitlines()[0]
            raise InputError(what, where, f"{parameter.type.__name__}, as {default!r}") from None
        except InvalidParameterValueException as error:
            found = re.search(r"value: ([-+.\w]+)", str(error))
            raise InputError(f"value {found[1] if found else 'refused'}", where, parameter.spec.expectation()) from None

    def _read(self, changes: dict[str, Any]) -> C:
        values = {name: self._node.get_parameter(name).value for name in self._names}
        config = from_mapping(self._type, {**values, **changes}, self._node.get_name())
        validate(config, self._node.get_name())
        return config

    def _check(self, parameters: list[RosParameter[Any]]) -> SetParametersResult:
        changes = {p.name: p.value for p in parameters if p.name in self._names}
        try:
            if changes:
                self._read(changes)
        except InputError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply(self, parameters: list[RosParameter[Any]]) -> None:
        if any(p.name in self._names for p in parameters):
            self.config = self._read({})
            if self._changed is not None:
                self._changed(self.config)
