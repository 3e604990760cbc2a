"""Where data come from: a user's files, read within bounds, or sets that packages bring."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from attenergy.registry import DataError, MissingPackage, UnknownName
from attenergy.registry.errors import nearest
from attenergy.registry.files import open_regular

MOST_BYTES = 1 << 28  # of one file
_DIGITS = 16  # of a hash, as of a run's key
_PIECE = 1 << 20


def existing(path: str, what: str) -> Path:
    """The path of a file or folder that a user names.

    Raises:
        ArgumentError: there is none; the text names what lies there instead.
    """
    place = Path(path)
    try:
        place = place.expanduser()
        there = "\0" not in path and place.exists()
    except (
        OSError,
        RuntimeError,
    ):  # a name that is too long, a folder that is not ours, no such user
        there = False
    if not there:
        names = [entry.name for entry in _entries(place.parent)]
        hint = nearest(place.name, names)
        raise DataError(f"'path' must be {what}, got {path!r:.200}, which is not there"
                            + (f" ({hint})" if hint else ""))  # fmt: skip
    return place


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for _, entry in zip(range(10_000), entries, strict=False)]
    except (OSError, ValueError):
        return []


def content_of(pieces: Iterator[bytes]) -> str:
    """Short hash of bytes."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()[:_DIGITS]


def bytes_of(path: Path, most: int = MOST_BYTES) -> Iterator[bytes]:
    """The bytes of a regular file, piece by piece.

    Raises:
        ArgumentError: it is larger than `most`, or cannot be read.
    """
    read = 0
    try:
        with open_regular(path) as file:
            while piece := file.read(_PIECE):
                read += len(piece)
                if read > most:
                    raise DataError(f"{path}: larger than {most:,} bytes, the limit")
                yield piece
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None


def signature(path: Path) -> tuple[str, int, int]:
    """What changes when a file is written anew.

    Raises:
        ArgumentError: it cannot be looked at: a link that leads nowhere, say.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path!s:.200}: {error.strerror or error}") from None
    return os.path.abspath(path), status.st_mtime_ns, status.st_size


#: Name after `sklearn:` -> its function in `sklearn.datasets`.
SKLEARN = {
    "breast-cancer": "load_breast_cancer",
    "diabetes": "load_diabetes",
    "digits": "load_digits",
    "iris": "load_iris",
    "wine": "load_wine",
}
_PREFIX = "sklearn:"


def is_builtin(path: str) -> bool:
    """Whether a path names a set that a package brings, and no file."""
    return path.startswith((_PREFIX, "pyg:"))


def sklearn_set(path: str) -> Any:
    """The set that a path such as `sklearn:wine` names, as scikit-learn gives it; None for others.

    Raises:
        UnknownName: there is no such set.
        MissingPackage: without scikit-learn, with the line that installs it.
    """
    if not path.startswith(_PREFIX):
        return None
    name = path.removeprefix(_PREFIX)
    if name not in SKLEARN:
        raise UnknownName("set of scikit-learn", name, SKLEARN)
    return getattr(_datasets(path), SKLEARN[name])()


def _datasets(path: str) -> ModuleType:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise MissingPackage(
            f"{path!r} needs scikit-learn: `pip install attenergy[data]`"
        ) from error
    module: ModuleType = datasets
    return module
