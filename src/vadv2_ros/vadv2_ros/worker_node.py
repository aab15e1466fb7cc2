"""The lifecycle node every stage's node is made of: one executor thread that receives, one worker thread that works."""

from __future__ import annotations

import os
import threading
import time
from abc import abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from vadv2_core.errors import InputError
from vadv2_core.stamps import Stamp, seconds_between
from vadv2_ros.connected_node import ConnectedNode
from vadv2_ros.diagnostics import DiagnosticPublisher, Health, Level, Timing
from vadv2_ros.mailbox import Mailbox
from vadv2_ros.parameters import NodeParameters

C = TypeVar("C")
T = TypeVar("T")
_MAX_GAP = 1.0
"""Seconds between inputs after which, as when time goes back, history is forgotten (DESIGN: rules of a node)."""
AUTOSTART = "autostart"
_STARTS = int(os.environ.get("VADV2_STARTS", "1"))
"""How often this node was started by who supervises it; a node that died before says so for as long as it lives."""


class WorkerNode(ConnectedNode, Generic[C, T]):
    """A stage as a lifecycle node.

    A subclass names its config type and fills in `setup` (load the model, subscribe, advertise; failures are one line),
    `work` (one item, in the worker thread), and where it has them `forget`, `describe` and `reconfigure`. Its callbacks
    pass what they receive to `offer`; nothing is published before the node is active, and nothing that is not finite.

    Args:
        name: Node name; a launch file may remap it.
        config_type: Config dataclass whose fields become parameters.
    """

    silent_after: ClassVar[float] = 3.0
    """Seconds without input after which diagnostics say so."""

    def __init__(self, name: str, config_type: type[C], **arguments: Any) -> None:
        super().__init__(name, **arguments)
        self.parameters: NodeParameters[C] = NodeParameters(self, config_type, self._reconfigured)
        self.declare_parameter(AUTOSTART, False)
        self.timing = Timing()
        self.failure = ""
        self._mailbox: Mailbox[T] = Mailbox()
        self._worker: threading.Thread | None = None
        self._newest: Stamp | None = None
        self._heard = time.monotonic()
        self._diagnostics = DiagnosticPublisher(self)
        # A wall clock: a watchdog must run while simulated time stands still.
        self._watchdog = self.create_timer(
            self._diagnostics.period, self._diagnose, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    @property
    def config(self) -> C:
        """The parameters as they are now."""
        return self.parameters.config

    # What a stage fills in ---------------------------------------------------------------------------------------

    @abstractmethod
    def setup(self) -> None:
        """Load the model, subscribe and advertise; raise `InputError` with one line where that cannot be."""

    @abstractmethod
    def work(self, item: T) -> None:
        """Answer one item; runs in the worker thread."""

    def forget(self) -> None:
        """Drop history: time jumped, or the node was deactivated. Runs in the worker thread or while it stands."""

    def reconfigure(self, config: C) -> None:
        """Take new values of the live parameters."""

    def describe(self, health: Health) -> None:
        """Add the stage's own values and remarks to its diagnostics."""

    # What a stage uses -------------------------------------------------------------------------------------------

    def offer(self, item: T) -> None:
        """Give the worker an item; while it is busy only the newest waits. Ignored unless active."""
        if self.is_active:
            self._heard = time.monotonic()
            self._mailbox.put(item)

    def follow_time(self, stamp: Stamp) -> None:
        """Hold an input's stamp against the last one; `forget` where time went back or jumped by more than 1 s."""
        if self._newest is not None and not 0.0 <= seconds_between(self._newest, stamp) <= _MAX_GAP:
            self.counters["restarts"] += 1
            self.forget()
        self._newest = stamp

    # Lifecycle ---------------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and connect; FAILURE with one line that names what is missing."""
        try:
            self.setup()
        except InputError as error:
            self.failure = str(error)
        except Exception as error:  # rclpy would swallow it, and the node would end without a word
            self.failure = (
                f"cannot be configured: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            )
        else:
            self.failure = ""
            return super().on_configure(state)
        self.get_logger().error(self.failure)
        self._endpoints.close()
        return TransitionCallbackReturn.FAILURE

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to work."""
        result = super().on_activate(state)
        self._mailbox, self._heard, self._newest = Mailbox(), time.monotonic(), None
        self._worker = threading.Thread(target=self._run, args=(self._mailbox,), name=self.get_name(), daemon=True)
        self.is_active = True
        self._worker.start()
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop working and forget history."""
        self.stop_working()
        self.forget()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Disconnect; the node can be configured again."""
        self._endpoints.close()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and disconnect."""
        self.stop_working()
        self._endpoints.close()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to unconfigured after a transition that broke."""
        self.stop_working()
        self._endpoints.close()
        return TransitionCallbackReturn.SUCCESS

    def stop_working(self) -> None:
        """End the worker thread after the item it is at; a stage with threads of its own ends them too."""
        self.is_active = False
        self._mailbox.close()
        if self._worker is not None and self._worker is not threading.current_thread():
            self._worker.join(timeout=30.0)
        self._worker = None

    # The worker --------------------------------------------------------------------------------------------------

    def _run(self, mailbox: Mailbox[T]) -> None:
        while (item := mailbox.take()) is not None:
            self.answer(item)

    def answer(self, item: T) -> None:
        """`work` on an item, timed and counted; what goes wrong is counted and said, never raised."""
        if not self.is_active:
            return
        self._heard = began = time.monotonic()
        try:
            self.work(item)
        except InputError as error:
            self.count_bad_input(error)
        except Exception as error:  # the node lives on, whatever an input did to the stage
            self.counters["failures"] += 1
            self.say(f"{type(error).__name__}: {error}")
        else:
            self.counters["answered"] += 1
            end = time.monotonic()
            self.timing.add(end - began, end)

    def _reconfigured(self, config: C) -> None:
        self.reconfigure(config)

    def _diagnose(self) -> None:
        health = Health()
        if _STARTS > 1:
            health.values["starts"] = _STARTS
            health.note(Level.WARN, f"started {_STARTS} times")
        if self.failure:
            health.note(Level.ERROR, self.failure)
        elif not self.is_active:
            health.note(Level.OK, "not active")
        else:
            silent = time.monotonic() - self._heard
            if silent > self.silent_after:
                health.note(Level.WARN, f"no input for {silent:.0f} s")
            if self.counters["failures"]:
                health.note(Level.WARN, f"{self.counters['failures']} failures")
        health.values["lifecycle"] = self._state_machine.current_state[1]
        health.values.update(self.connections())
        health.values.update(received=self._mailbox.received, dropped=self._mailbox.dropped)
        health.values.update(self.counters)
        health.values.update(self.timing.values(time.monotonic()))
        self.describe(health)
        self._diagnostics.publish(health)
