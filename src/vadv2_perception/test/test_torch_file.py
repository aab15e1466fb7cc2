"""A file of weights is data: what it asks to be called is refused, never called."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from vadv2_core.errors import InputError
from vadv2_perception.efficientnet_lite import EfficientNetLite0, imagenet_file, load_packaged
from vadv2_perception.torch_file import MAGIC, PROTOCOL, read_torch_file

_MAGIC = b"\x80\x02\x8a\x0a" + MAGIC.to_bytes(10, "little") + b"."
_HEAD = _MAGIC + b"\x80\x02M" + struct.pack("<H", PROTOCOL) + b"." + b"\x80\x02}."
_FLOATS = b"ctorch\nFloatStorage\n"


def _text(word: str) -> bytes:
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def _tensor(offset: int, count: int) -> bytes:
    storage = b"(" + _text("storage") + _FLOATS + _text("7") + _text("cpu") + b"K\x04NtQ"
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + b"K%c(K%ct(K\x01t\x89ccollections\nOrderedDict\n)RtR"
        % (
            offset,
            count,
        )
    )


def _file(path: Path, views: bytes, numbers: bytes = struct.pack("<4f", 1, 2, 3, 4)) -> Path:
    path.write_bytes(
        _HEAD + b"\x80\x02}(" + views + b"u." + b"\x80\x02](" + _text("7") + b"e." + struct.pack("<q", 4) + numbers
    )
    return path


def test_reads_a_view_into_a_storage(tmp_path: Path) -> None:
    tensors = read_torch_file(_file(tmp_path / "a.pth", _text("w") + _tensor(1, 3)))
    np.testing.assert_array_equal(tensors["w"], np.array([2, 3, 4], np.float32))


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(X\x0f\x00\x00\x00touch /tmp/ownedtR",
        b"cbuiltins\neval\n(X\x01\x00\x00\x001tR",
        b"ctorch._utils\n_rebuild_tensor_v2\n(cos\nsystem\ntR",
        b"\x8c\x02os\x8c\x06system\x93)R",  # STACK_GLOBAL of a later protocol
        b"ctorch\nFloatStorage\n)\x81",  # NEWOBJ
    ],
)
def test_a_malicious_pickle_is_refused_and_not_run(
    tmp_path: Path, program: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[object] = []
    monkeypatch.setattr("os.system", called.append)
    with pytest.raises(InputError, match=r"evil\.pth"):
        read_torch_file(_file(tmp_path / "evil.pth", _text("w") + program))
    assert not called


def test_a_malicious_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    path.write_bytes(b"\x80\x02cos\nsystem\n(X\x02\x00\x00\x00idtR.")
    with pytest.raises(InputError, match=r"names os\.system"):
        read_torch_file(path)


@pytest.mark.parametrize("offset, count", [(2, 3), (0, 5)])
def test_a_tensor_outside_its_storage_is_refused(tmp_path: Path, offset: int, count: int) -> None:
    with pytest.raises(InputError, match="outside"):
        read_torch_file(_file(tmp_path / "a.pth", _text("w") + _tensor(offset, count)))


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    whole = _file(tmp_path / "a.pth", _text("w") + _tensor(0, 4)).read_bytes()
    for length in (0, 5, 30, len(whole) - 60, len(whole) - 3):
        (tmp_path / "cut.pth").write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_torch_file(tmp_path / "cut.pth")


def test_our_lite0_computes_what_the_package_computes() -> None:
    theirs, ours = EfficientNet.from_name("efficientnet-lite0").eval(), EfficientNetLite0().eval()
    load_packaged(ours)
    theirs.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in read_torch_file(imagenet_file()).items()})
    # 224x224 is the only size the package pads right.
    images = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 255
    with torch.inference_mode():
        x = torch.nn.functional.relu6(theirs._bn0(theirs._conv_stem((images - 127) / 128)))
        for block in theirs._blocks[:15]:
            x = block(x)
        torch.testing.assert_close(ours(images)[-1], x, atol=1e-4, rtol=1e-4)


def test_imagenet_features_tell_pictures_apart() -> None:
    model = EfficientNetLite0().eval()
    load_packaged(model)
    assert [tuple(f.shape[1:]) for f in model(torch.zeros(1, 3, 64, 96))] == [(40, 8, 12), (112, 4, 6), (192, 2, 3)]
    assert all(torch.isfinite(p).all() for p in model.parameters())
