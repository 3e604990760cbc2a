"""Arrays of a file that may be somebody else's: npz without pickles, or safetensors."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from attenergy.registry import ArgumentError, DataError
from attenergy.registry.files import open_regular

MOST_BYTES = 1 << 30  # of all arrays of a file
MOST_NUMBERS = 1 << 28  # of all arrays: a byte becomes a whole number of eight
_SUFFIXES = (".npz", ".safetensors")

Texts: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.str_]]


def read_arrays(path: Path) -> dict[str, Tensor | Texts]:
    """The arrays of a file by name: tensors of int64, float32 or float64, and arrays of texts.

    Raises:
        ArgumentError: it is of another kind, holds Python objects, is damaged or too large.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise DataError(f"{path}: must end in {' or '.join(_SUFFIXES)}")
    try:
        read = _npz(path) if path.suffix.lower() == ".npz" else _safetensors(path)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except SafetensorError as error:
        raise DataError(f"{path}: is damaged or no such file: {error}") from None
    count = sum(
        array.numel() if isinstance(array, Tensor) else array.size for array in read.values()
    )
    if count > MOST_NUMBERS:
        raise DataError(f"{path}: {count:,} numbers; at most {MOST_NUMBERS:,} are read")
    return {
        name: plain_numbers(str(path), name, array) if isinstance(array, Tensor) else array
        for name, array in read.items()
    }


def _safetensors(path: Path) -> dict[str, Tensor | Texts]:
    open_regular(path).close()
    if path.stat().st_size > MOST_BYTES:
        raise DataError(f"{path}: larger than {MOST_BYTES:,} bytes, the limit")
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _npz(path: Path) -> dict[str, Tensor | Texts]:
    with open_regular(path) as raw:
        if not zipfile.is_zipfile(raw):
            raise DataError(f"{path}: is no npz file; numpy.savez writes one")
        arrays: dict[str, Tensor | Texts] = {}
        try:
            with zipfile.ZipFile(raw) as members:
                size = sum(member.file_size for member in members.infolist())
            if size > MOST_BYTES:
                raise DataError(
                    f"{path}: {size:,} bytes of arrays; at most {MOST_BYTES:,} are read"
                )
            raw.seek(0)
            with np.load(raw, allow_pickle=False) as data:
                for name in data.files:
                    arrays[name] = _array(path, name, data)
        except (ArgumentError, OSError):
            raise
        except Exception as error:  # what a damaged file raises is of many kinds
            raise DataError(f"{path}: is damaged or no such file: {error}") from None
    return arrays


def _array(path: Path, name: str, data: Any) -> Tensor | Texts:
    try:
        array = data[name]
    except ValueError as error:
        raise DataError(
            f"{path}: array {name!r} cannot be read: {str(error).splitlines()[0]}; Python objects "
            "are not allowed, for they can run code: save numbers"
        ) from None
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path}: {name!r} is no array; numpy.savez writes an npz file")
    kind = array.dtype.kind
    if kind == "U":
        return array
    if kind not in "biuf":
        raise DataError(f"{path}: array {name!r} holds {array.dtype}, not real numbers")
    if kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise DataError(f"{path}: array {name!r} holds {array.max()}, more than 2^63 - 1")
    if kind == "u" and array.dtype.itemsize > 1:
        array = array.astype(np.int64)
    elif kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(np.array(native, order="C", ndmin=array.ndim))


def plain_numbers(where: str, name: str, array: Tensor) -> Tensor:
    """A tensor of a file as int64, float32 or float64: other types lack half of the operations.

    Raises:
        ArgumentError: it is sparse, has no values, or holds no real numbers.
    """
    if array.layout is not torch.strided or array.is_meta or array.is_quantized:
        raise DataError(f"{where}: {name!r} must be a plain tensor of numbers")
    if array.numel() > MOST_NUMBERS:  # an expanded one takes no place in a file
        raise DataError(f"{where}: {array.numel():,} numbers; at most {MOST_NUMBERS:,} are read")
    array = array.detach()
    if array.dtype in (torch.int64, torch.float32, torch.float64):
        return array
    try:
        if array.is_complex():
            raise TypeError
        if array.is_floating_point():
            return array.float()
        whole = array.long()
        if array.dtype is torch.uint64 and (whole < 0).any():
            raise TypeError
    except (TypeError, RuntimeError):
        raise DataError(
            f"{where}: array {name!r} holds {array.dtype}, not real numbers that can be read"
        ) from None
    return whole
