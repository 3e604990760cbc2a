"""Arrays of a file that may be somebody else's: npz without pickles, or safetensors."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from attenergy.registry import ArgumentError
from attenergy.registry.files import open_regular

MOST_BYTES = 1 << 30  # of all arrays of a file
_SUFFIXES = (".npz", ".safetensors")


def read_arrays(path: Path) -> dict[str, Tensor | np.ndarray[tuple[int, ...], np.dtype[np.str_]]]:
    """The arrays of a file by name: tensors, and arrays of texts as numpy has them.

    Raises:
        ArgumentError: it is of another kind, holds Python objects, is damaged or too large.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise ArgumentError(f"{path}: must end in {' or '.join(_SUFFIXES)}")
    try:
        if path.suffix.lower() == ".npz":
            return _npz(path)
        open_regular(path).close()
        if path.stat().st_size > MOST_BYTES:
            raise ArgumentError(f"{path}: larger than {MOST_BYTES:,} bytes, the limit")
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise ArgumentError(f"{path}: {error.strerror or error}") from None
    except (SafetensorError, zipfile.BadZipFile, EOFError, KeyError) as error:
        raise ArgumentError(f"{path}: is damaged or no such file: {error}") from None


def _npz(
    path: Path,
) -> dict[str, Tensor | np.ndarray[tuple[int, ...], np.dtype[np.str_]]]:
    with open_regular(path) as raw:
        if not zipfile.is_zipfile(raw):
            raise ArgumentError(f"{path}: is no npz file; numpy.savez writes one")
        with zipfile.ZipFile(raw) as members:
            size = sum(member.file_size for member in members.infolist())
        if size > MOST_BYTES:
            raise ArgumentError(
                f"{path}: {size:,} bytes of arrays; at most {MOST_BYTES:,} are read"
            )
        raw.seek(0)
        arrays: dict[str, Tensor | np.ndarray[tuple[int, ...], np.dtype[np.str_]]] = {}
        with np.load(raw, allow_pickle=False) as data:
            for name in data.files:
                try:
                    array = data[name]
                except ValueError as error:
                    raise ArgumentError(
                        f"{path}: array {name!r} cannot be read: {error}; Python objects are not "
                        "allowed, for they can run code: save numbers"
                    ) from None
                arrays[name] = array if array.dtype.kind == "U" else _tensor(path, name, array)
    return arrays


def _tensor(
    path: Path, name: str, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
) -> Tensor:
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)
    try:
        return torch.from_numpy(np.ascontiguousarray(array))
    except TypeError:
        raise ArgumentError(f"{path}: array {name!r} holds {array.dtype}, not numbers") from None
