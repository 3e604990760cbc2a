"""Pixels of a folder of images, one folder inside it for each class."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attenergy.registry import ArgumentError, DataError, MissingPackage
from attenergy.tasks.data.files import bytes_of
from attenergy.tasks.data.splitting import split_number

#: Ending of a file -> format that Pillow is allowed to read it as.
FORMATS = {
    **{".bmp": "BMP", ".gif": "GIF", ".jpeg": "JPEG", ".jpg": "JPEG", ".pgm": "PPM"},
    **{".png": "PNG", ".ppm": "PPM", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"},
}
_GREY = frozenset({"1", "L", "LA"})
_MOST_PIXELS = 1 << 24  # of one image
_MOST_NUMBERS = 1 << 28  # of all of them: bytes
_MOST_FILE = 1 << 26  # bytes
_SPLIT_NAMES = ("train", "valid", "val", "validation", "test")


@dataclass(frozen=True)
class Pictures:
    """uint8 (N, height, width, channels); class and given split (-1: none) of each; names."""

    pixels: Tensor
    classes: Tensor
    given: Tensor
    names: tuple[str, ...]
    files: tuple[str, ...]  # relative to the folder


def listed(folder: Path) -> list[tuple[str, str, str]]:
    """The images below a folder as (split or "", class, path relative to it), in order of paths.

    The folders in it are classes; or, where each of them is named train, valid or test, splits
    that hold classes. What is hidden or no image is passed over.

    Raises:
        ArgumentError: there are no images, or classes are missing.
    """
    if not folder.is_dir():
        raise DataError(f"'path' must be a folder with a folder for each class, got {folder}")
    inside = _folders(folder)
    splits = bool(inside) and all(name.lower() in _SPLIT_NAMES for name in inside)
    homes = [(s, c) for s in inside for c in _folders(folder / s)] if splits else [
        ("", name) for name in inside
    ]  # fmt: skip
    images = [
        (split, label, file)
        for split, label in homes
        for file in _images(folder, "/".join(filter(None, (split, label))))
    ]
    if not images:
        kinds = ", ".join(sorted(FORMATS))
        raise DataError(
            f"{folder}: no images ({kinds}) in folders named after their classes, such as "
            f"{folder.name}/cat/1.png"
        )
    for _, _, file in images:
        if any("\ud800" <= letter <= "\udfff" for letter in file):
            raise DataError(f"{folder}: the name {file!r:.100} is no UTF-8: rename it")
    return sorted(images, key=lambda one: one[2])


def _folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))


def _images(folder: Path, home: str) -> Iterator[str]:
    for place, folders, files in os.walk(folder / home):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if Path(name).suffix.lower() in FORMATS and not name.startswith("."):
                yield (Path(place) / name).relative_to(folder).as_posix()


def read_pictures(folder: Path, size: int, channels: int) -> Pictures:
    """Read a folder of images.

    Args:
        folder: see `listed`.
        size: height and width to which all are scaled; 0 for as they are, which must be alike.
        channels: 1 for grey, 3 for colours; 0 for grey where all are.

    Raises:
        ArgumentError: one cannot be read, sizes differ, or there is too much.
        MissingPackage: without Pillow.
    """
    homes = listed(folder)
    pieces: list[Tensor] = []
    total = 0
    for _, _, file in homes:
        image = _pixels(folder / file, size, channels)
        if pieces and image.shape[:2] != pieces[0].shape[:2]:
            one, other = (f"{x.shape[1]} x {x.shape[0]}" for x in (pieces[0], image))
            raise DataError(
                f"images of several sizes: {homes[0][2]} is {one}, {file} is {other}; scale all "
                f"of them with --set size={min(*image.shape[:2], *pieces[0].shape[:2])}"
            )
        total += image.numel()
        if total > _MOST_NUMBERS:
            raise DataError(
                f"{folder}: more than {_MOST_NUMBERS:,} bytes of pixels, the limit, at image "
                f"{len(pieces) + 1} of {len(homes)}; scale them with --set size=N"
            )
        pieces.append(image)
    most = max(image.shape[-1] for image in pieces)
    names = tuple(sorted({label for _, label, _ in homes}))
    places = {name: k for k, name in enumerate(names)}
    return Pictures(
        pixels=torch.stack([image.expand(*image.shape[:2], most) for image in pieces]),
        classes=torch.tensor([places[label] for _, label, _ in homes]),
        given=torch.tensor([split_number(s, str(folder)) if s else -1 for s, _, _ in homes]),
        names=names,
        files=tuple(file for _, _, file in homes),
    )


def contents(folder: Path) -> Iterator[bytes]:
    """The names and bytes of all images, for a hash."""
    for _, _, file in listed(folder):
        yield f"\n{file}\n".encode()
        yield from bytes_of(folder / file, _MOST_FILE)


def _pixels(path: Path, size: int, channels: int) -> Tensor:
    image_module = _pillow()
    data = b"".join(bytes_of(path, _MOST_FILE))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            kinds = [FORMATS[path.suffix.lower()]]
            with image_module.open(io.BytesIO(data), formats=kinds) as image:
                width, height = image.size
                if width * height > _MOST_PIXELS:
                    raise DataError(
                        f"{path}: {width} x {height} pixels; at most {_MOST_PIXELS:,} are read"
                    )
                eight = _eight_bits(image, path)
                grey = eight.mode in _GREY if channels == 0 else channels == 1
                plain = eight.convert("L" if grey else "RGB")
                if size:
                    plain = plain.resize((size, size))
                array = np.array(plain, dtype=np.uint8)
    except ArgumentError:
        raise
    except Exception as error:  # what Pillow raises at a damaged file is of many kinds
        raise DataError(f"{path}: cannot be read as an image: {error}") from None
    return torch.from_numpy(array.reshape(*array.shape[:2], -1))


def _eight_bits(image: Any, path: Path) -> Any:
    """The image with 8 bits for each channel; Pillow alone would cut off all above 255."""
    if image.mode in ("I", "F"):
        raise DataError(f"{path}: pixels of 32 bits have no known range: save 8 or 16 bits")
    if image.mode.startswith("I;16"):
        return _pillow().fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingPackage("images need Pillow: `pip install attenergy[data]`") from error
    return Image
