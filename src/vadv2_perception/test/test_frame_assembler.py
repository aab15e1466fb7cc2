"""Frames from images that come late, twice, black, frozen or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from vadv2_core.camera import SURROUND_CAMERAS, CameraModel, CameraRig
from vadv2_core.errors import InputError
from vadv2_perception.frame_assembler import FrameAssembler, FrameAssemblerConfig

SIZE = (24, 32)
MS = 1_000_000


def rig() -> CameraRig:
    k = np.array([[20.0, 0, 16], [0, 20.0, 12], [0, 0, 1]])
    return CameraRig(tuple(CameraModel(n, SIZE[1], SIZE[0], k, np.eye(4)) for n in SURROUND_CAMERAS))


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(20, 255, (*SIZE, 3)).astype(np.uint8)


def push_all(a: FrameAssembler, stamp_ms: int, without: tuple[str, ...] = (), seed: int | None = None) -> None:
    for i, name in enumerate(SURROUND_CAMERAS):
        if name not in without:
            skew = 0 if name == "front" else (5 * i - 10) * MS
            a.push(name, stamp_ms * MS + skew, lambda i=i: picture(i + (stamp_ms if seed is None else seed)))


def assembler(**values: object) -> FrameAssembler:
    return FrameAssembler(FrameAssemblerConfig(**values), rig())  # type: ignore[arg-type]


def test_frame_carries_the_anchors_stamp_whatever_the_order_of_arrival() -> None:
    a = assembler()
    decoded: list[str] = []
    for name in reversed(SURROUND_CAMERAS):
        assert a.poll(0.0) is None
        a.push(name, (100 if name == "front" else 120) * MS, lambda n=name: decoded.append(n) or picture(1))  # type: ignore[func-returns-value]
    pending = a.poll(0.0)
    assert pending is not None and pending.stamp == 100 * MS and pending.starts_sequence
    assert decoded == [], "images are decoded only when the frame is used"
    frame = a.assemble(pending)
    assert frame is not None and frame.valid.all()
    assert frame.stamps.tolist() == [100 * MS] + [120 * MS] * 5
    assert sorted(decoded) == sorted(SURROUND_CAMERAS)


def test_dead_camera_does_not_stall_and_is_masked_and_counted() -> None:
    a = assembler(max_wait=0.05)
    push_all(a, 100, without=("back",))
    assert a.poll(0.0) is None
    assert a.poll(0.04) is None
    frame = a.assemble(a.poll(0.051))  # type: ignore[arg-type]
    assert frame is not None
    assert frame.valid.tolist() == [n != "back" for n in SURROUND_CAMERAS]
    assert not frame.images[SURROUND_CAMERAS.index("back")].any()
    assert a.counters["back"].missing == 1 and a.counters["front"].missing == 0


def test_policy_last_repeats_until_too_old() -> None:
    a = assembler(missing_camera_policy="last", max_age=0.15, max_wait=0.0)
    push_all(a, 100)
    a.assemble(a.poll(0.0))  # type: ignore[arg-type]
    push_all(a, 200, without=("back",))
    second = a.assemble(a.poll(0.0))  # type: ignore[arg-type]
    push_all(a, 300, without=("back",))
    third = a.assemble(a.poll(0.0))  # type: ignore[arg-type]
    assert second is not None and second.valid.all() and second.stamps[3] < 150 * MS
    assert third is not None and third.valid.tolist() == [n != "back" for n in SURROUND_CAMERAS]
    assert a.counters["back"].repeated == 1


def test_policy_skip_drops_the_frame_and_takes_the_next_whole_one() -> None:
    a = assembler(missing_camera_policy="skip", max_wait=0.0)
    push_all(a, 100, without=("back",))
    assert a.poll(0.0) is None
    push_all(a, 200)
    pending = a.poll(0.0)
    assert pending is not None and pending.stamp == 200 * MS
    assert a.frames.skipped == 1


def test_too_few_valid_cameras_skip_the_frame() -> None:
    a = assembler(min_valid_cameras=4, max_wait=0.0)
    push_all(a, 100, without=("back", "back_left", "back_right"))
    assert a.poll(0.0) is None and a.frames.skipped == 1


def test_next_living_camera_stamps_the_frames_when_the_anchor_dies() -> None:
    a = assembler(anchor_timeout=0.25, max_wait=0.0)
    stamps = []
    for t in range(0, 1000, 100):
        push_all(a, t, without=("front",) if t >= 300 else ())
        while (p := a.poll(t / 1000)) is not None:
            stamps.append(p.stamp // MS)
    assert stamps[:3] == [0, 100, 200]
    assert len(stamps) >= 8 and np.diff(stamps).min() > 50, stamps
    assert a.counters["front"].missing >= 5


def test_frozen_only_while_driving_and_black_always() -> None:
    a = assembler(frozen_after=2, max_wait=0.0)

    def valid(t: int, speed: float) -> list[bool]:
        push_all(a, t, seed=7)
        frame = a.assemble(a.poll(0.0), speed)  # type: ignore[arg-type]
        return [] if frame is None else frame.valid.tolist()

    for t in range(0, 500, 100):
        assert all(valid(t, 0.0)), "a standing vehicle sees the same picture"
    assert all(valid(500, 5.0))
    assert valid(600, 5.0) == [], "six frozen cameras are no frame"
    assert a.counters["front"].frozen == 1

    b = assembler(max_wait=0.0)
    for name in SURROUND_CAMERAS:
        b.push(name, 0, lambda n=name: np.zeros((*SIZE, 3), np.uint8) if n == "front" else picture(1))
    frame = b.assemble(b.poll(0.0))  # type: ignore[arg-type]
    assert frame is not None and frame.valid.tolist() == [False, True, True, True, True, True]
    assert b.counters["front"].black == 1


def test_unreadable_image_and_wrong_size_are_masked_with_a_reason() -> None:
    a = assembler(max_wait=0.0)

    def broken() -> np.ndarray:
        raise InputError("unknown encoding 'yuv9'", "front", "rgb8")

    push_all(a, 0, without=("front", "back"))
    a.push("front", 0, broken)
    a.push("back", 0, lambda: np.zeros((3, 3, 3), np.uint8))
    frame = a.assemble(a.poll(0.0))  # type: ignore[arg-type]
    assert frame is not None and frame.valid.sum() == 4
    assert "yuv9" in a.counters["front"].fault and "(3, 3, 3)" in a.counters["back"].fault
    assert a.counters["front"].unreadable == a.counters["back"].unreadable == 1


@pytest.mark.parametrize("later", [2500, 20])
def test_gap_and_time_going_back_start_a_sequence(later: int) -> None:
    a = assembler(max_wait=0.0)
    starts = []
    for t in (1000, 1100, later, later + 100):
        push_all(a, t)
        pending = a.poll(0.0)
        assert pending is not None and pending.stamp == t * MS
        starts.append(pending.starts_sequence)
    assert starts == [True, False, True, False]


def test_late_and_repeated_stamps_are_counted_not_raised() -> None:
    a = assembler(max_wait=0.0)
    push_all(a, 100, without=("back",))
    a.poll(0.0)
    a.push("back", 100 * MS, lambda: picture(0))
    a.push("back", 100 * MS, lambda: picture(0))
    a.push("nowhere", 0, lambda: picture(0))
    assert (a.counters["back"].late, a.counters["back"].dropped) == (1, 1)


def test_bad_parameters_name_themselves() -> None:
    with pytest.raises(InputError, match=r"slop is 3"):
        FrameAssemblerConfig(slop=3.0)
    with pytest.raises(InputError, match="anchor camera 'nose'"):
        assembler(anchor="nose")
