"""Six cameras to one frame: which images belong together, and what to do when one of them does not come.

Images are kept undecoded until a frame is taken, so that a frame that is never used costs nothing. Nothing here waits
for a camera longer than it was told to, and nothing raises for a bad image: it is counted, and a policy answers.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vadv2_core.camera import CameraFrame, CameraRig
from vadv2_core.config import parameter, validate
from vadv2_core.errors import InputError
from vadv2_core.stamps import Stamp, seconds_between, stamp_from_seconds

Image = NDArray[np.uint8]
_QUEUE = 4
_FROZEN_SAMPLE = 8


@dataclass(frozen=True, slots=True)
class FrameAssemblerConfig:
    """When images make a frame, and what happens to the frame when one is missing."""

    anchor: str = parameter("front", "Camera whose exposure stamps the frame.")
    slop: float = parameter(
        0.05, "Images at most this far from the anchor's stamp belong to its frame.", unit="s", minimum=0.0, maximum=1.0
    )
    max_wait: float = parameter(
        0.06,
        "How long after its anchor's arrival a frame waits for the other cameras.",
        unit="s",
        minimum=0.0,
        maximum=30.0,
        live=True,
    )
    max_age: float = parameter(
        0.5, "Policy 'last' repeats a camera's image up to this age.", unit="s", minimum=0.0, maximum=10.0, live=True
    )
    anchor_timeout: float = parameter(
        0.3,
        "After this long without an anchor image the next living camera stamps the frames.",
        unit="s",
        minimum=0.05,
        maximum=10.0,
    )
    missing_camera_policy: str = parameter(
        "mask",
        "For a camera without an image: skip the frame, mask the camera, or repeat its last image.",
        choices=("skip", "mask", "last"),
        live=True,
    )
    min_valid_cameras: int = parameter(
        1, "A frame with fewer valid cameras is skipped.", minimum=1, maximum=32, live=True
    )
    frozen_after: int = parameter(
        3,
        "Equal images in a row, while the vehicle moves, after which a camera counts as frozen; 0 never.",
        minimum=0,
        maximum=1000,
        live=True,
    )
    frozen_speed: float = parameter(
        0.5, "The vehicle moves above this speed.", unit="m/s", minimum=0.0, maximum=10.0, live=True
    )
    black_below: float = parameter(
        3.0, "Mean grey level below which an image counts as black.", minimum=0.0, maximum=255.0, live=True
    )
    max_gap: float = parameter(
        1.0, "A longer gap between frames, or time going back, starts a new sequence.", unit="s", minimum=0.01
    )

    def __post_init__(self) -> None:
        validate(self, "frame_assembler")


@dataclass(slots=True)
class CameraCounters:
    """What happened to one camera's images since the start; `fault` says the latest trouble in words."""

    received: int = 0
    used: int = 0
    dropped: int = 0
    late: int = 0
    missing: int = 0
    repeated: int = 0
    frozen: int = 0
    black: int = 0
    unreadable: int = 0
    fault: str = ""


@dataclass(slots=True)
class FrameCounters:
    """What happened to frames since the start."""

    taken: int = 0
    skipped: int = 0
    sequences: int = 0


@dataclass(frozen=True, slots=True)
class _Queued:
    stamp: Stamp
    decode: Callable[[], Image]


@dataclass(frozen=True, slots=True)
class PendingFrame:
    """A frame whose images were chosen and not yet decoded; `FrameAssembler.assemble` makes it a CameraFrame.

    Attributes:
        stamp: The anchor's.
        starts_sequence: History and state from before this frame do not belong to it.
        chosen: The image of each camera, in the rig's order; None for a missing one.
    """

    stamp: Stamp
    starts_sequence: bool
    chosen: tuple[_Queued | None, ...]


@dataclass(slots=True)
class _Camera:
    queue: deque[_Queued] = field(default_factory=lambda: deque(maxlen=_QUEUE))
    newest: Stamp | None = None
    last_used: _Queued | None = None
    digest: int | None = None
    repeats: int = 0
    counters: CameraCounters = field(default_factory=CameraCounters)


class FrameAssembler:
    """Collects images and says when they make a frame.

    One thread pushes and polls, another may assemble. A wall clock (``now``, seconds, monotonic) is only used to stop
    waiting; which images belong together is decided by their stamps.

    Args:
        config: Slop, ages, policies.
        rig: The cameras; the config's anchor is one of them.

    Raises:
        InputError: where the anchor is not in the rig or fewer cameras exist than must be valid.
    """

    def __init__(self, config: FrameAssemblerConfig, rig: CameraRig) -> None:
        if config.anchor not in rig.names:
            raise InputError(f"anchor camera {config.anchor!r} is not in the rig", "frame_assembler", str(rig.names))
        if config.min_valid_cameras > len(rig.cameras):
            raise InputError(
                f"min_valid_cameras is {config.min_valid_cameras}", "frame_assembler", f"at most {len(rig.cameras)}"
            )
        self.config, self.rig = config, rig
        self.frames = FrameCounters()
        self._cameras = {name: _Camera() for name in rig.names}
        self._anchor_order = (config.anchor, *(n for n in rig.names if n != config.anchor))
        self._slop = stamp_from_seconds(config.slop)
        self._first: Stamp | None = None
        self._last_taken: Stamp | None = None
        self._last_anchor = config.anchor
        self._waiting: tuple[Stamp, float] | None = None

    @property
    def counters(self) -> dict[str, CameraCounters]:
        """Counters by camera name."""
        return {name: camera.counters for name, camera in self._cameras.items()}

    def reset(self) -> None:
        """Forget images and stamps, not counters; the next frame starts a sequence."""
        for camera in self._cameras.values():
            camera.queue.clear()
            camera.newest = camera.last_used = camera.digest = None
            camera.repeats = 0
        self._first = self._last_taken = self._waiting = None

    def push(self, name: str, stamp: Stamp, decode: Callable[[], Image]) -> None:
        """Take an image that arrived.

        Args:
            name: Its camera; one outside the rig is ignored.
            stamp: Its exposure.
            decode: Makes the (H, W, 3) uint8 RGB array; called at most once a frame it is used in.
        """
        camera = self._cameras.get(name)
        if camera is None:
            return
        camera.counters.received += 1
        if camera.newest is not None and stamp < camera.newest:
            if seconds_between(stamp, camera.newest) <= self.config.max_gap and name != self.config.anchor:
                camera.counters.late += 1
                return
            if name == self.config.anchor:
                self._restart(keep_from=stamp)
            camera.queue.clear()
        elif stamp == camera.newest:
            camera.counters.dropped += 1
            camera.counters.fault = "sent the same stamp twice"
            return
        elif self._last_taken is not None and name != self.config.anchor and stamp <= self._last_taken + self._slop:
            camera.counters.late += 1
        if len(camera.queue) == camera.queue.maxlen:
            camera.counters.dropped += 1
        camera.newest = stamp
        camera.queue.append(_Queued(stamp, decode))
        self._first = stamp if self._first is None else self._first

    def _restart(self, keep_from: Stamp) -> None:
        """Time went back: what other cameras already sent of the new time stays."""
        horizon = keep_from + stamp_from_seconds(self.config.max_gap)
        for camera in self._cameras.values():
            kept = [q for q in camera.queue if q.stamp <= horizon]
            camera.queue.clear()
            camera.queue.extend(kept)
            camera.newest = kept[-1].stamp if kept else None
            camera.last_used, camera.digest, camera.repeats = None, None, 0
        self._first, self._last_taken, self._waiting = keep_from, None, None

    def _acting_anchor(self) -> str:
        """The anchor, or the first camera that still lives when the anchor has been silent for too long."""
        if self.config.missing_camera_policy == "skip" or self._first is None:
            return self.config.anchor
        newest = {n: self._first if c.newest is None else c.newest for n, c in self._cameras.items()}
        alive = max(newest.values()) - stamp_from_seconds(self.config.anchor_timeout)
        return next(name for name in self._anchor_order if newest[name] >= alive)

    def _pick(self, camera: _Camera, stamp: Stamp) -> _Queued | None:
        near = [q for q in camera.queue if abs(q.stamp - stamp) <= self._slop]
        return min(near, key=lambda q: abs(q.stamp - stamp)) if near else None

    def _settled(self, anchor: str, stamp: Stamp) -> bool:
        """No camera can still bring an image for this stamp."""
        for name, camera in self._cameras.items():
            if name == anchor or self._pick(camera, stamp) is not None:
                continue
            if camera.newest is None or camera.newest <= stamp + self._slop:
                return False
        return True

    def poll(self, now: float) -> PendingFrame | None:
        """The next frame if its images are there, or if waiting for them is over; else None.

        Call it after every `push`, and from a timer so that a dead camera does not hold a frame back.
        """
        while True:
            anchor = self._acting_anchor()
            since = self._last_taken
            if since is not None and anchor != self._last_anchor:
                since += self._slop
            fresh = [q for q in self._cameras[anchor].queue if since is None or q.stamp > since]
            if not fresh:
                return None
            stamp = fresh[0].stamp
            if self._waiting is None or self._waiting[0] != stamp:
                self._waiting = (stamp, now)
            overdue = now - self._waiting[1] >= self.config.max_wait or len(fresh) > 1
            if not (overdue or self._settled(anchor, stamp)):
                return None
            pending = self._take(anchor, stamp)
            if pending is not None:
                return pending

    def _take(self, anchor: str, stamp: Stamp) -> PendingFrame | None:
        previous = self._last_taken
        self._last_taken, self._last_anchor, self._waiting = stamp, anchor, None
        chosen = []
        for camera in self._cameras.values():
            image = self._pick(camera, stamp)
            if image is None:
                camera.counters.missing += 1
                camera.counters.fault = "no image for the latest frame"
                last = camera.last_used
                usable = last is not None and 0 <= seconds_between(last.stamp, stamp) <= self.config.max_age
                if self.config.missing_camera_policy == "last" and usable:
                    image = last
                    camera.counters.repeated += 1
            else:
                camera.last_used = image
            while camera.queue and camera.queue[0].stamp <= (image.stamp if image else stamp - self._slop):
                if camera.queue.popleft() is not image:
                    camera.counters.dropped += 1
            chosen.append(image)
        present = sum(image is not None for image in chosen)
        incomplete = present < len(chosen) and self.config.missing_camera_policy == "skip"
        if incomplete or present < self.config.min_valid_cameras:
            self.frames.skipped += 1
            return None
        starts = previous is None or not 0 < seconds_between(previous, stamp) <= self.config.max_gap
        self.frames.sequences += starts
        return PendingFrame(stamp, starts, tuple(chosen))

    def assemble(self, pending: PendingFrame, speed: float = 0.0) -> CameraFrame | None:
        """Decode a frame and look at its images.

        Args:
            pending: What `poll` gave.
            speed: Of the vehicle, m/s; equal images only mean a frozen camera while it moves.

        Returns:
            The frame, unreadable, frozen and black cameras masked; None where the policy skips it.
        """
        images, stamps, valid = [], [], []
        for model, queued in zip(self.rig.cameras, pending.chosen, strict=True):
            camera = self._cameras[model.name]
            image = None if queued is None else self._decode(camera, queued, (model.height, model.width, 3))
            good = image is not None and self._looks_alive(camera, image, speed)
            camera.counters.used += good
            images.append(image if image is not None and good else np.zeros((model.height, model.width, 3), np.uint8))
            stamps.append(pending.stamp if queued is None else queued.stamp)
            valid.append(good)
        too_few = sum(valid) < self.config.min_valid_cameras
        if too_few or (self.config.missing_camera_policy == "skip" and not all(valid)):
            self.frames.skipped += 1
            return None
        self.frames.taken += 1
        return CameraFrame(
            pending.stamp, self.rig, tuple(images), np.array(stamps, dtype=np.int64), np.array(valid, dtype=np.bool_)
        )

    def _decode(self, camera: _Camera, queued: _Queued, shape: tuple[int, int, int]) -> Image | None:
        try:
            image = queued.decode()
        except (InputError, ValueError) as error:
            camera.counters.fault = str(error)
        else:
            if image.shape == shape and image.dtype == np.uint8:
                return image
            camera.counters.fault = f"image is {image.shape} {image.dtype}, the rig says {shape} uint8"
        camera.counters.unreadable += 1
        return None

    def _looks_alive(self, camera: _Camera, image: Image, speed: float) -> bool:
        sample = np.ascontiguousarray(image[::_FROZEN_SAMPLE, ::_FROZEN_SAMPLE])
        if sample.mean() < self.config.black_below:
            camera.counters.black += 1
            camera.counters.fault = "black image"
            return False
        digest = zlib.crc32(sample.tobytes())
        moving = abs(speed) > self.config.frozen_speed
        camera.repeats = camera.repeats + 1 if moving and digest == camera.digest else 0
        camera.digest = digest
        if self.config.frozen_after and camera.repeats >= self.config.frozen_after:
            camera.counters.frozen += 1
            camera.counters.fault = f"the same image {camera.repeats + 1} times while driving"
            return False
        return True
