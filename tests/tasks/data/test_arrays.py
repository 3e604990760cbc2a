"""Files of arrays that lie about what they hold."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from attenergy.registry import AttenergyError
from attenergy.tasks import Sequences
from attenergy.tasks.data.arrays import read_arrays

ROWS = 40
X = np.random.default_rng(0).integers(0, 7, (ROWS, 4))
Y = np.arange(ROWS) % 2


def npy(header: str, body: bytes = b"") -> bytes:
    line = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(line)) + line + body


def header(shape: str, kind: str = "<f8") -> str:
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"


def array_bytes() -> bytes:
    file = io.BytesIO()
    np.save(file, np.random.default_rng(0).normal(size=500))
    return file.getvalue()


MEMBERS = {
    "more than there is": {"x.npy": npy(header("(1000000000000,)"))},
    "more than can be": {"x.npy": npy(header("(1000000, 1000000, 1000000)"))},
    "negative": {"x.npy": npy(header("(-1,)"))},
    "objects": {"x.npy": npy(header("(2,)", "|O"), b"cos\nsystem\n(S'true'\ntR.")},
    "open brackets": {"x.npy": npy("{{(((")},
    "open text": {"x.npy": npy("'''")},
    "old long numbers": {"x.npy": npy(header("(10L,)"))},
    "no array": {"x": b"hello"},
    "empty": {"x.npy": b""},
    "cut": {"x.npy": npy(header("(60, 6)"), b"abc")},
}


@pytest.mark.parametrize("members", MEMBERS.values(), ids=MEMBERS)
def test_an_npz_that_lies_is_refused(tmp_path: Path, members: dict[str, bytes]) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    with pytest.raises(AttenergyError, match=r"x\.npz: "):
        read_arrays(path)


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=str
)
def test_damage_at_any_place_is_an_error_of_ours(tmp_path: Path, method: int) -> None:
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("x.npy", array_bytes())
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :])
        try:
            read_arrays(path)
        except AttenergyError:
            refused += 1
    assert refused > 30


NUMBERS = [
    *(torch.int8, torch.uint8, torch.int16, torch.int32, torch.bool),
    *(torch.uint16, torch.uint32, torch.uint64),
]


@pytest.mark.parametrize("kind", NUMBERS, ids=str)
def test_every_type_of_whole_numbers_is_read(tmp_path: Path, kind: torch.dtype) -> None:
    y = torch.tensor(Y)
    content = {"x": torch.tensor(X), "y": y.to(kind), "lengths": torch.ones(ROWS).to(kind)}
    path = tmp_path / "x.safetensors"
    save_file(content, path)
    task = Sequences(path=str(path))
    assert task.outputs.size == 2
    assert task.batch("train", 0, 4).mask is not None


@pytest.mark.parametrize("kind", ["f2", ">f4", ">f8", "f4", "longdouble"])
def test_every_type_of_numbers_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.npz"
    x = np.random.default_rng(1).normal(size=(ROWS, 3, 2))
    np.savez(path, x=x.astype(kind), y=Y.astype(">i4"))
    arrays = read_arrays(path)
    np.testing.assert_allclose(arrays["x"], x, rtol=1e-3, atol=1e-3)
    assert Sequences(path=str(path)).outputs.size == 2


@pytest.mark.parametrize("name", ["x", "y", "lengths", "split"])
@pytest.mark.parametrize("kind", ["complex64", "M8[s]", "S3"])
def test_what_is_no_real_number_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    content = {"x": X, "y": Y, "lengths": np.full(ROWS, 2), "split": np.arange(ROWS) % 3}
    path = tmp_path / "x.npz"
    np.savez(path, **{**content, name: content[name].astype(kind)})
    with pytest.raises(AttenergyError, match=f"array '{name}' holds .*, not real numbers"):
        Sequences(path=str(path))


@pytest.mark.parametrize("kind", ["C64", "F4"])
def test_tensors_that_are_no_real_numbers_are_refused(tmp_path: Path, kind: str) -> None:
    size = 8 * 16 if kind == "C64" else 8
    about = {"x": {"dtype": kind, "shape": [8, 2], "data_offsets": [0, size]}}
    text = json.dumps(about).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(size))
    with pytest.raises(
        AttenergyError, match=r"x\.safetensors: array 'x' holds .*, not real numbers"
    ):
        read_arrays(path)
