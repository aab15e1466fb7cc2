from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vadv2_core.errors import InputError
from vadv2_driver.bench import bench_model, machine
from vadv2_driver.bench_frames import BenchFrames
from vadv2_driver.bench_page import write_page
from vadv2_driver.export import export_model, pictures_of


def test_bench_frames_are_a_drive() -> None:
    frames = BenchFrames(96, 64, cameras=4)
    (first, ego), (again, _), (later, ego_later) = frames[0], frames[0], frames[5]
    assert first.rig.names[0] == "front"
    assert all(np.array_equal(a, b) for a, b in zip(first.images, again.images, strict=True))
    assert later.stamp - first.stamp == 500_000_000
    assert ego_later.pose.x - ego.pose.x == pytest.approx(4.0)
    sides = [camera.t_base_camera[:3, 2] for camera in first.rig.cameras]
    np.testing.assert_allclose(sides, [[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]], atol=1e-9)


def test_the_machine_is_named() -> None:
    found = machine()
    assert found["cores"] >= 1
    assert set(found["versions"]) == {"torch", "openvino", "onnxruntime"}


def test_an_unknown_section_is_refused() -> None:
    with pytest.raises(InputError, match=r"'speed'.*denoiser"):
        bench_model(("speed",))


def test_pictures_are_spread_over_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pictures"):
        next(pictures_of(tmp_path))
    for index in range(100):
        cv2.imwrite(str(tmp_path / f"{index:03d}.png"), np.full((4, 6, 3), (index, 0, 200), np.uint8))
    seen = list(pictures_of(tmp_path))
    assert len(seen) == 48
    assert seen[-1][0, 0].tolist() == [200, 0, 99]
    (tmp_path / "050.png").write_bytes(b"not a picture")
    (tmp_path / "000.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"000\.png"):
        list(pictures_of(tmp_path))


def test_exports_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="backend is 'tensorrt'"):
        export_model("tiny", "tensorrt", 6, tmp_path)
    with pytest.raises(InputError, match="int8"):
        export_model("tiny", "openvino", 6, tmp_path, "auto", tmp_path)


def test_export_writes_both_stages_once(tmp_path: Path) -> None:
    files = export_model("tiny", "onnxruntime", 6, tmp_path)
    assert {"image.onnx", "scene-6.onnx"} < {path.name for path in files}
    assert len(files) == 3
    assert export_model("tiny", "onnxruntime", 6, tmp_path) == sorted(files)


@pytest.mark.long
def test_the_bench_has_the_keys_it_promises() -> None:
    table = bench_model(("tiny", "latency", "denoiser", "base"), rounds=3, seconds=3.0)
    tiny = ("image_to_trajectory_cpu_ms", "embedding_cpu_ms", "text60_cpu_ms", "p99_with_vlm_ms", "p99_without_vlm_ms")
    assert all(table["tiny"][key] > 0 for key in tiny)
    assert all(table["denoiser"][f"cpu_ms_{n}"] > 0 for n in (1, 2, 100))
    assert table["base"]["parameters"] > 20e6
    assert table["base"]["flops"] > 1e11


def test_a_page_takes_the_tables_between_its_marks(tmp_path: Path) -> None:
    table = {
        "machine": machine(),
        "load_before": {"tiny": 1.25, "latency": 2.5, "peers": 0.5},
        "tiny": {"embedding_cpu_ms": 12.5, "parameters": 1234567},
        "peers": {"regression": {"planner_cpu_ms": 3.0}, "vocabulary": {"planner_cpu_ms": 7.0}},
    }
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench model -->\nold\n<!-- end -->\nafter\n")
    write_page(page, table)
    write_page(page, table)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("<!-- end -->\nafter\n")
    assert "old" not in text
    assert "| reasoning embedding, CPU-ms | 12.5 |" in text
    assert "1 234 567" in text
    assert "| vocabulary | 7.0 |" in text
    assert text.count("### ") == 2
    assert "Load when it began: 1.25; when the rows at 10 Hz did: 2.5." in text
    page.write_text("no marks")
    with pytest.raises(InputError, match="no place"):
        write_page(page, table)
