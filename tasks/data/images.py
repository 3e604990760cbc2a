"""Images in a folder for each class, a patch as a token."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from attenergy.registry import DataError
from attenergy.tasks.core.base import check_whole
from attenergy.tasks.core.batches import Batch, Inputs
from attenergy.tasks.core.streams import Fields
from attenergy.tasks.data.base import DataTask
from attenergy.tasks.data.files import content_of, existing, is_builtin, signature, sklearn_set
from attenergy.tasks.data.pictures import Pictures, contents, listed, read_pictures
from attenergy.tasks.data.prepared import Loaded, Prepared, with_query
from attenergy.tasks.data.splitting import row_keys

_SHADES = " .:-=+*#%@"
_MOST_SIZE = 4096


class Images(DataTask):
    """An image is cut into patches of p x p pixels, row by row; its class is asked for at a query.

    Pixels are (x - mean)/deviation of each channel. See `DataTask` for splits, metrics, chance.

    Args:
        path: a folder with a folder of images for each class, or for each of train, valid and test
            with those inside; or `sklearn:digits`.
        patch: p, which must divide height and width.
        size: height and width to which all images are scaled; 0 for as they are.
        channels: 1 for grey, 3 for colours, 0 for grey where all images are.
        valid: share of the images, where no folders say.
        test: the same.
        content: hash of the files, checked; written by the toolkit.
        facts: written by the toolkit.
        name: name in reports.
        seed: decides the order in training.
        split_seed: decides the splits.

    Raises:
        ValueError: images that cannot be read or differ in size, or options that do not fit.
        MissingPackage: without Pillow, the extra `data`.

    Source of the tokens: Dosovitskiy et al. 2021, arXiv:2010.11929.

    Example:
        >>> from PIL import Image
        >>> import os
        >>> for k in range(20):
        ...     os.makedirs(f"shots/{k % 2}", exist_ok=True)
        ...     Image.new("L", (8, 8), 10 * k).save(f"shots/{k % 2}/{k}.png")
        >>> Images(path="shots", patch=4).batch("train", 0, 4).inputs.shape
        torch.Size([4, 5, 16])
    """

    def __init__(  # noqa: PLR0913 - the options of the task
        self,
        *,
        path: str = "",
        patch: int = 4,
        size: int = 0,
        channels: int = 0,
        valid: float = 0.15,
        test: float = 0.15,
        content: str = "",
        facts: str = "",
        name: str = "images",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.path = str(path)
        self.patch = check_whole("patch", patch, 1, _MOST_SIZE)
        self.size = check_whole("size", size, 0, _MOST_SIZE)
        self.channels = check_whole("channels", channels, 0, 3)
        if channels == 2:
            raise DataError("'channels' must be 0, 1 or 3, got 2")
        super().__init__()

    def signature(self) -> Hashable:
        """Of all files."""
        if is_builtin(self.path):
            return None
        folder = existing(self.path, "a folder of images")
        return tuple(signature(folder / file) for _, _, file in listed(folder))

    def load(self) -> Loaded:
        """Read the images."""
        data = sklearn_set(self.path)
        if data is not None:
            if not hasattr(data, "images"):
                raise DataError(f"{self.path} holds no images; allowed: sklearn:digits")
            if self.size or self.channels:
                raise DataError(f"'size' and 'channels' are for files, not for {self.path}")
            pixels = torch.as_tensor(data.images).to(torch.uint8)[..., None]
            content = content_of(iter([pixels.numpy().tobytes(), data.target.tobytes()]))
            known = tuple(map(str, data.target_names))
            none = torch.full((len(pixels),), -1)
            pictures = Pictures(pixels, torch.as_tensor(data.target).long(), none, known, ())
        else:
            folder = existing(self.path, "a folder of images")
            content = content_of(contents(folder))
            pictures = read_pictures(folder, self.size, self.channels)
        height, width, channels = pictures.pixels.shape[1:]
        if height % self.patch or width % self.patch:
            fit = [p for p in range(1, min(height, width) + 1) if not (height % p or width % p)]
            raise DataError(
                f"'patch' must divide the images, which are {width} x {height}, got {self.patch}; "
                f"allowed: {', '.join(map(str, fit))}"
            )
        counts = pictures.classes.bincount(minlength=len(pictures.names)).tolist()
        pairs = zip(pictures.names[:10], counts, strict=False)
        more = " ..." if len(counts) > 10 else ""
        shown = ", ".join(f"{name} {count}" for name, count in pairs)
        return Loaded(
            targets=pictures.classes,
            keys=row_keys(pictures.pixels),
            content=content,
            classes=pictures.names,
            given=pictures.given if (pictures.given >= 0).any() else None,
            raw=pictures,
            notes=(
                f"images of {width} x {height}, {'grey' if channels == 1 else 'in colours'}",
                f"{len(counts)} classes: {shown}{more}",
            ),
        )

    def fit(self, loaded: Loaded, train: Tensor) -> tuple[Inputs, Fields]:
        """The `pixels`, uint8 (N, height, width, channels); `mean` and `deviation` of each row."""
        pixels = loaded.raw.pixels
        height, width, channels = pixels.shape[1:]
        sums = [_sums(part) for part in torch.split(pixels[train], 256)]
        count = len(train) * height * width
        mean = torch.stack([s for s, _ in sums]).sum(0) / count
        spread = (torch.stack([q for _, q in sums]).sum(0) / count - mean.square()).clamp(min=0)
        deviation = spread.sqrt()
        deviation[deviation == 0] = 1.0
        tokens = (height // self.patch) * (width // self.patch)
        scale = torch.stack([mean, deviation]).float()
        fields = {"pixels": pixels, "scale": scale.expand(len(pixels), 2, channels)}
        return Inputs("vector", channels * self.patch**2, tokens + 1), fields

    def encode(self, instances: Fields) -> Batch:
        """Patches (B, patches + 1, p p channels), the query last."""
        mean, deviation = instances["scale"].unbind(1)
        pixels = (instances["pixels"].float() - mean[:, None, None]) / deviation[:, None, None]
        p = self.patch
        count, height, width, channels = pixels.shape
        cut = pixels.view(count, height // p, p, width // p, p, channels).permute(0, 1, 3, 2, 4, 5)
        return with_query(cut.flatten(3).flatten(1, 2), self.answers(instances))

    def show(self, prepared: Prepared, row: int) -> Picture:
        """An image in ten shades, and its class."""
        pictures = prepared.loaded.raw
        shades = pictures.pixels[row].float().mean(-1)
        file = pictures.files[row] if pictures.files else f"{self.path}, {row}"
        return Picture(file, shades / max(1.0, shades.max().item()), self.answer(prepared, row))


def _sums(pixels: Tensor) -> tuple[Tensor, Tensor]:
    whole = pixels.double()
    return whole.sum((0, 1, 2)), whole.square().sum((0, 1, 2))


@dataclass(frozen=True)
class Picture:
    """An image, (height, width) in [0, 1], its file and its class."""

    file: str
    shades: Tensor
    answer: str

    def __str__(self) -> str:
        step = max(1, -(-max(self.shades.shape) // 40))
        places = (self.shades[::step, ::step] * (len(_SHADES) - 1)).round().long().tolist()
        lines = ["".join(2 * _SHADES[k] for k in row) for row in places]
        return "\n".join([self.file, *lines, f"-> {self.answer}"])
