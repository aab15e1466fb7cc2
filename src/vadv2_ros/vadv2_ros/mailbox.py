"""A mailbox of one: the newest thing waits, an older one is dropped and counted, never queued."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Between the callback that receives and the thread that works."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: T | None = None
        self._closed = False
        self.received = 0
        self.dropped = 0

    def put(self, item: T) -> None:
        """Leave the newest item; one that still lies there is dropped."""
        with self._condition:
            self.received += 1
            self.dropped += self._item is not None
            self._item = item
            self._condition.notify()

    def take(self) -> T | None:
        """Wait for an item and take it; None once the mailbox is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or self._item is not None)
            if self._closed:
                return None
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Wake whoever waits, for good."""
        with self._condition:
            self._closed, self._item = True, None
            self._condition.notify_all()
