"""The last half minute of every topic in memory, and a clip of it on disk when something happened.

A clip is a bag like any other: it can be replayed, scored and trained on. It is cut a little after the event too, since
what happened is seen in what came of it.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from vadv2_bringup.bag_writer import RIG_NAME, BagWriter
from vadv2_core.config import parameter, validate
from vadv2_core.errors import InputError
from vadv2_core.files import write_json_atomic
from vadv2_core.stamps import NANOSECONDS, Stamp

REASON_NAME = "reason.json"
"""Beside a clip's bag: why it was cut."""


@dataclass(frozen=True, slots=True)
class RecorderConfig:
    """What is kept and where clips go."""

    directory: str = parameter("clips", "Folder of the clips; made where it is not there.")
    before: float = parameter(30.0, "Seconds kept before an event.", unit="s", minimum=1.0, maximum=600.0)
    after: float = parameter(5.0, "Seconds after it.", unit="s", minimum=0.0, maximum=60.0)
    max_megabytes: int = parameter(
        2048, "Largest memory of the ring; the oldest goes first.", unit="MB", minimum=16, maximum=65536
    )
    max_clips: int = parameter(50, "Clips kept; the oldest is not overwritten, no new one is written.", minimum=1)
    rig_file: str = parameter("", "Calibration to lay into every clip, where no topic says the cameras' mounting.")

    def __post_init__(self) -> None:
        validate(self, "recorder")


@dataclass(frozen=True, slots=True)
class _Kept:
    topic: str
    kind: str
    stamp: Stamp
    data: bytes


@dataclass(slots=True)
class _Cut:
    reason: str
    begin: Stamp
    event: Stamp
    end: Stamp


class RingRecorder:
    """Keeps serialized messages; the caller pushes them in order and asks for clips.

    Writing happens in a thread of its own. A clip that cannot be written (a full disk) is counted and said, and nothing
    else stops.

    Attributes:
        written: Clips on disk by this recorder.
        failures: Why clips were not written, newest last.
    """

    def __init__(self, config: RecorderConfig) -> None:
        self.config = config
        self.written: list[Path] = []
        self.failures: list[str] = []
        self._ring: deque[_Kept] = deque()
        self._latched: dict[str, _Kept] = {}
        self._bytes = 0
        self._cuts: list[_Cut] = []
        self._threads: list[threading.Thread] = []

    def push(self, topic: str, kind: str, data: bytes, stamp: Stamp, *, latched: bool = False) -> None:
        """Keep a message; one that was said once for all (latched) is in every later clip.

        Args:
            topic: Its name.
            kind: Its type's ROS name.
            data: CDR bytes.
            stamp: When it came, ns.
            latched: The topic is transient-local.
        """
        kept = _Kept(topic, kind, stamp, data)
        if latched:
            self._latched[topic] = kept
        self._ring.append(kept)
        self._bytes += len(data)
        horizon = stamp - round((self.config.before + self.config.after) * NANOSECONDS)
        limit = self.config.max_megabytes * 1_000_000
        while self._ring and (self._ring[0].stamp < horizon or self._bytes > limit):
            self._bytes -= len(self._ring.popleft().data)
        for cut in [c for c in self._cuts if stamp >= c.end]:
            self._cuts.remove(cut)
            self._begin_writing(cut)

    def cut(self, reason: str, stamp: Stamp) -> None:
        """A clip around a moment; one that is already being waited for takes the reason up instead of a second one."""
        for waiting in self._cuts:
            if waiting.begin <= stamp <= waiting.end:
                waiting.reason += f"; {reason}"
                waiting.end = stamp + round(self.config.after * NANOSECONDS)
                return
        before, after = (round(s * NANOSECONDS) for s in (self.config.before, self.config.after))
        self._cuts.append(_Cut(reason, stamp - before, stamp, stamp + after))

    def finish(self) -> None:
        """Write what is still waited for with what there is, and wait until all is on disk."""
        for cut in self._cuts:
            self._begin_writing(cut)
        self._cuts.clear()
        for thread in self._threads:
            thread.join()

    def _begin_writing(self, cut: _Cut) -> None:
        kept = [m for m in self._ring if cut.begin <= m.stamp <= cut.end]
        held = {m.topic for m in kept}
        said = [m for topic, m in self._latched.items() if topic not in held]
        thread = threading.Thread(target=self._write, args=(cut, said, kept), daemon=False)
        self._threads.append(thread)
        thread.start()

    def _write(self, cut: _Cut, said: list[_Kept], kept: list[_Kept]) -> None:
        folder = Path(self.config.directory)
        path = folder / f"clip_{cut.event}"
        try:
            if len(list(folder.glob("clip_*.json"))) >= self.config.max_clips:
                raise InputError(f"holds {self.config.max_clips} clips", str(folder), "room, or a larger max_clips")
            with BagWriter(path) as bag:
                if self.config.rig_file:
                    bag.put(RIG_NAME, Path(self.config.rig_file).read_bytes())
                begin = kept[0].stamp if kept else cut.begin
                for message in said:
                    bag.write_serialized(message.topic, message.kind, message.data, begin, latched=True)
                for message in kept:
                    latched = message.topic in self._latched
                    bag.write_serialized(message.topic, message.kind, message.data, message.stamp, latched=latched)
            facts = {"reason": cut.reason, "event": cut.event, "messages": len(said) + len(kept)}
            write_json_atomic(path.with_suffix(".json"), facts)
            self.written.append(path)
        except Exception as error:  # nobody is above this thread, and the recorder lives on
            self.failures.append(f"{path.name}: {error}")
