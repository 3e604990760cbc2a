"""Language modelling of bytes, on any text the user has."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn.functional import cross_entropy

from attenergy.registry import DataError
from attenergy.tasks.core.base import Task, check_whole, scored_hits
from attenergy.tasks.core.batches import Batch, Inputs, Outputs
from attenergy.tasks.core.streams import Fields, draw_in_part, seed_of

BYTES = 256
_MOST_BYTES = 1 << 30  # that are read at most
PAGES = 20  # the text is cut into so many pages: one for valid, one for test, the rest for train
STARTS = 256  # least number of windows in a page, 16 of which fall to its split on average


class Text(Task):
    """L bytes of a text; at every place the next byte is asked for (the model must be causal).

    The text is the file `path`, or all files below the folder `path` in the order of their names
    (hidden ones left out), one after another; as data, nothing is run. By default it is the
    modules of Python's standard library, as installed: figures are comparable between machines
    with the same Python only.

    The text is cut into 20 pages of equal size. `split_seed` chooses one for `valid`, one for
    `test`; the rest is `train`. Windows are uniform within pages and never cross from one to the
    next; windows of equal bytes belong to one split alone, wherever they stand.

    Metrics: `bits_saved` = 8 - `bits_per_byte`, the cross-entropy to base 2; `accuracy`; from
    `evaluate` also `unigram_bits`, the entropy of the split's bytes taken one by one. Chance is
    that of equal logits: 8 bits. The ceiling is not known.

    Args:
        path: file or folder; empty for Python's standard library.
        suffix: files of a folder must end so, e.g. `.txt`; empty for all.
        length: L, the bytes of a window.
        max_bytes: most that is read; what comes after is left out.
        name: name in reports.
        seed: decides the training stream.
        split_seed: decides the pages and the evaluation sets.

    Raises:
        ValueError: for options out of range, a path that is not there, or a text too short: a page
            must hold L + 256 bytes; on reading a split, if nearly all windows are alike.

    Source: prediction of the next letter, after Shannon 1951, Prediction and entropy of printed
    English.

    Example:
        >>> with open("notes.txt", "w") as file:
        ...     _ = file.write("a line of text " * 600)
        >>> Text(path="notes.txt", length=16).batch("train", 0, 2).inputs.shape
        torch.Size([2, 16])
    """

    splits = ("train", "valid", "test")
    metric = "bits_saved"

    def __init__(
        self,
        *,
        path: str = "",
        suffix: str = "",
        length: int = 128,
        max_bytes: int = 16_000_000,
        name: str = "text",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.length = check_whole("length", length, 1)
        self.max_bytes = check_whole("max_bytes", max_bytes, 1, _MOST_BYTES)
        self.files = find_files(path, suffix)
        size = min(self.max_bytes, sum(file.stat().st_size for file in self.files))
        self.page = size // PAGES
        if self.page < (least := length + STARTS):
            raise DataError(
                f"'{path or 'the standard library'}' gives {size} bytes; {PAGES} pages of {least} "
                f"bytes need {PAGES * least}: take more text, a greater 'max_bytes' or a smaller "
                "'length'"
            )
        self.inputs = Inputs("token", BYTES, length)
        self.outputs = Outputs(BYTES)
        self.chance = {"bits_saved": 0.0, "bits_per_byte": 8.0, "accuracy": 1 / BYTES}
        super().__init__()
        order = torch.randperm(PAGES, generator=Generator().manual_seed(seed_of(split_seed)))
        self._pages = {"valid": order[:1], "test": order[1:2], "train": order[2:]}

    @classmethod
    def without_files(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options of a record with which nothing is read but Python's library."""
        return {k: v for k, v in options.items() if k in {"length", "max_bytes"}}

    def drawing_options(self) -> dict[str, Any]:
        """The length alone: a text is the same wherever it lies."""
        return {"length": self.options["length"]}

    @cached_property
    def content(self) -> Tensor:
        """The text as bytes, (pages, bytes of a page), uint8; read when first needed."""
        wanted = PAGES * self.page
        text = bytearray()
        for file in self.files:
            with file.open("rb") as opened:
                text += opened.read(wanted - len(text))
            if len(text) == wanted:
                break
        if len(text) < wanted:
            raise DataError(f"the text has become shorter: {len(text)} of {wanted} bytes are left")
        return torch.frombuffer(text, dtype=torch.uint8).view(PAGES, self.page)

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `windows` (N, L + 1), uint8."""
        pages = self.content[self._pages[split]]
        offsets = torch.arange(self.length + 1)

        def draw(size: int) -> Fields:
            page = torch.randint(len(pages), (size, 1), generator=generator)
            start = torch.randint(self.page - self.length, (size, 1), generator=generator)
            return {"windows": pages[page, start + offsets]}

        return draw_in_part(draw, lambda drawn: drawn["windows"], split, count)

    def encode(self, instances: Fields) -> Batch:
        """The first L bytes; the targets are the last L."""
        windows = instances["windows"].long()
        return Batch(windows[:, :-1].clone(), windows[:, 1:].clone())

    def metrics(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`bits_saved`, `bits_per_byte` and `accuracy`, each (B,)."""
        hits, _ = scored_hits(logits, targets)
        nats = cross_entropy(logits.transpose(1, 2).float(), targets, reduction="none").mean(-1)
        bits = nats / math.log(2)
        return {
            "bits_saved": 8 - bits,
            "bits_per_byte": bits,
            "accuracy": hits.float().mean(-1),
        }

    def tally(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """How often every byte occurred, (256,)."""
        return {"bytes": targets.flatten().bincount(minlength=BYTES)}

    def summary(self, tally: Mapping[str, Tensor]) -> dict[str, float]:
        """`unigram_bits`, in bits per byte."""
        shares = tally["bytes"][tally["bytes"] > 0].double()
        shares = shares / shares.sum()
        return {"unigram_bits": -(shares * shares.log2()).sum().item()}

    def sample(self, split: str, index: int) -> TextWindow:
        """Instance `index` of `split`, to look at."""
        return TextWindow(bytes(self.instances(split, index, 1)["windows"][0].tolist()))


@dataclass(frozen=True)
class TextWindow:
    """One window of the text: L + 1 bytes.

    Example:
        >>> with open("notes.txt", "w") as file:
        ...     _ = file.write("a line of text " * 600)
        >>> len(Text(path="notes.txt", length=16).sample("train", 0).content)
        17
    """

    content: bytes

    def __str__(self) -> str:
        return self.content.decode("utf-8", errors="replace")


def find_files(path: str, suffix: str) -> tuple[Path, ...]:
    """Return the files that make up the text, in order.

    Raises:
        ValueError: if there is no such path, or no file below it that ends in `suffix`.

    """
    if not path:
        return tuple(sorted(Path(os.__file__).parent.glob("*.py")))
    place = Path(path).expanduser()
    if place.is_file():
        return (place,)
    if not place.is_dir():
        raise DataError(
            f"'path' must be a file or a folder, got '{path}', which is not there; see "
            "docs/own_data.md"
        )
    files = tuple(
        sorted(
            file
            for file in place.rglob("*")
            if file.name.endswith(suffix)
            and not any(part.startswith(".") for part in file.relative_to(place).parts)
            and file.is_file()
        )
    )
    if not files:
        wanted = f"no file that ends in '{suffix}'" if suffix else "no file"
        raise DataError(f"the folder '{path}' holds {wanted}")
    return files
