"""The lifecycle node every stage's node is made of: one executor thread that receives, one worker thread that works."""

from __future__ import annotations

import os
import threading
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile

from vadv2_core.errors import InputError
from vadv2_core.stamps import Stamp, seconds_between
from vadv2_ros.diagnostics import DiagnosticPublisher, Health, Level, Timing
from vadv2_ros.endpoints import Endpoints
from vadv2_ros.finite import first_not_finite
from vadv2_ros.mailbox import Mailbox
from vadv2_ros.parameters import NodeParameters

C = TypeVar("C")
T = TypeVar("T")
_MAX_GAP = 1.0
"""Seconds between inputs after which, as when time goes back, history is forgotten (DESIGN: rules of a node)."""
_LOG_PERIOD = 5.0
AUTOSTART = "autostart"
_STARTS = int(os.environ.get("VADV2_STARTS", "1"))
"""How often this node was started by who supervises it; a node that died before says so for as long as it lives."""


class WorkerNode(LifecycleNode, Generic[C, T]):
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
        self.counters: Counter[str] = Counter()
        self.timing = Timing()
        self.is_active = False
        self.failure = ""
        self._mailbox: Mailbox[T] = Mailbox()
        self._worker: threading.Thread | None = None
        self._newest: Stamp | None = None
        self._heard = time.monotonic()
        self._said: dict[str, float] = {}
        self._endpoints = Endpoints(self, self.count_bad_input)
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

    def listen(
        self, kind: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile, *, raw: bool = False
    ) -> None:
        """`Endpoints.listen`, until cleanup; an `InputError` of the callback is counted, not raised."""
        self._endpoints.listen(kind, topic, callback, qos, raw=raw)

    def advertise(self, kind: type, topic: str, qos: QoSProfile) -> Any:
        """`Endpoints.advertise`, until cleanup."""
        return self._endpoints.advertise(kind, topic, qos)

    def serve(self, kind: type, name: str, callback: Callable[[Any, Any], Any]) -> None:
        """`Endpoints.serve`, until cleanup."""
        self._endpoints.serve(kind, name, callback)

    def every(self, period: float, callback: Callable[[], None]) -> None:
        """`Endpoints.every`, until cleanup."""
        self._endpoints.every(period, callback)

    def until_cleanup(self, undo: Callable[[], Any]) -> None:
        """Undo something of the stage's own at cleanup."""
        self._endpoints.until_closed(undo)

    def connections(self) -> dict[str, int]:
        """`Endpoints.connections`: who is at the other end of every topic."""
        return self._endpoints.connections()

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

    def send(self, publisher: Any, convert: Callable[[Any], Any], value: Any) -> bool:
        """Publish a dataclass as its message; one with a number that is not finite is counted and held back."""
        if not self.is_active:
            return False
        field = first_not_finite(value)
        if field:
            self.counters["not_finite"] += 1
            self.say(f"{type(value).__name__}.{field} is not finite: held back")
            return False
        publisher.publish(convert(value))
        return True

    def now(self) -> Stamp:
        """The node's clock, ns: simulated time where ``use_sim_time`` is set."""
        return int(self.get_clock().now().nanoseconds)

    def say(self, words: str) -> None:
        """Warn, each message at most every five seconds."""
        now = time.monotonic()
        if now - self._said.get(words, -_LOG_PERIOD) >= _LOG_PERIOD:
            self._said = {w: t for w, t in self._said.items() if now - t < _LOG_PERIOD}
            self._said[words] = now
            self.get_logger().warning(words)

    def count_bad_input(self, error: InputError) -> None:
        """An input that cannot be used: counted, said, survived."""
        self.counters["bad_input"] += 1
        self.say(str(error))

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
