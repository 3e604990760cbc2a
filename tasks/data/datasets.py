"""Map-style datasets of tensors, as PyTorch has them, as a task that a search can read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import save_file
from torch import Tensor

from attenergy.registry import ArgumentTypeError, DataError
from attenergy.tasks.data.sequences import Sequences
from attenergy.tasks.data.splitting import SPLITS

_INPUTS, _TARGETS = ("inputs", "x"), ("targets", "y", "labels")
_MOST_NUMBERS = 1 << 28
DATA, ENTRY = "data.safetensors", "registry.yaml"
_MODEL = {"layers": 2, "width": 64, "heads": 4, "mlp": 128, "positions": "absolute"}
_TRAINING = {
    **{"steps": 600, "batch_size": 64, "learning_rate": 1e-3, "warmup": 50, "weight_decay": 0.1},
    **{"evaluate_every": 100, "valid_instances": 2048, "test_instances": 8192},
}


class MapDataset(Protocol):
    """Anything with a length whose items are (inputs, target) or a dictionary of them."""

    def __len__(self) -> int:
        """How many items there are."""

    def __getitem__(self, index: int, /) -> Any:
        """Item `index`."""


def from_datasets(
    train: MapDataset,
    valid: MapDataset,
    test: MapDataset | None = None,
    *,
    folder: str | Path,
    name: str = "data",
    model: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
) -> Sequences:
    """A task made of datasets; they are written once, as tensors, into a folder.

    An item is (inputs, target) or a dictionary with `inputs` and `targets` (or `x` and `y`).
    Inputs: whole numbers (L,), tokens; or numbers (L,) or (L, F), L of them or of vectors. All of
    one width, and of any length: shorter ones are padded and masked. The target is a class (a whole
    number), one or several numbers, or a class for every position (L,). The datasets are the
    splits; without `test` some of training becomes it.

    The folder then holds `data.safetensors` and `registry.yaml` with an entry called `name`, so the
    data are a task on the command line and in worker processes:

        attenergy compare --registry FOLDER/registry.yaml --task NAME --variants softmax,lse

    Args:
        train: to train with.
        valid: to choose by.
        test: to report.
        folder: where the data are written; a relative one is meant from where commands are run.
        name: of the task.
        model: fields of the entry's model (`ModelSpec`) that differ from the defaults.
        training: of its training (`TrainingSpec`).

    Raises:
        ArgumentError: items that do not fit together, or too many.
        ArgumentTypeError: no such dataset.

    Example:
        >>> from torch.utils.data import TensorDataset
        >>> x = torch.randn(60, 6, 4)
        >>> y = (x[:, :, 0].sum(1) > 0).long()
        >>> train, valid, test = (TensorDataset(x[k::3], y[k::3]) for k in range(3))
        >>> task = from_datasets(train, valid, test, folder="mine", name="signs")
        >>> task.batch("train", 0, 8).inputs.shape
        torch.Size([8, 7, 5])
    """
    parts = [train, valid] + ([] if test is None else [test])
    rows: list[tuple[Tensor, Tensor]] = []
    split: list[int] = []
    for number, part in enumerate(parts):
        items = _items(part, SPLITS[number])
        rows += items
        split += [number] * len(items)
    arrays = {**_arrays(rows), "split": torch.tensor(split)}
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    path = place / DATA
    temporary = path.with_name(f".{DATA}.part")
    try:
        save_file(arrays, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    task = Sequences(path=path.as_posix(), name=name)
    _write_entry(place / ENTRY, path.as_posix(), name, model or {}, training or {})
    return task


def _write_entry(
    file: Path, path: str, name: str, model: Mapping[str, Any], training: Mapping[str, Any]
) -> None:
    import yaml

    from attenergy.registry import RegistryFile

    entry = {
        "title": f"Data of one's own, {name}",
        "class": "Sequences",
        "options": {"path": path},
        "model": {**_MODEL, **model},
        "training": {**_TRAINING, **training},
    }
    content = {"version": 1, "tasks": {name: entry}}
    RegistryFile.model_validate(content)
    temporary = file.with_name(f".{file.name}.part")
    temporary.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    temporary.replace(file)


def _items(dataset: Any, split: str) -> list[tuple[Tensor, Tensor]]:
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise ArgumentTypeError(
            f"{split} must be a map-style dataset (len and [index]), got {type(dataset).__name__}",
            topic="data",
        )
    items = []
    numbers = 0
    for index in range(len(dataset)):
        where = f"item {index} of {split}"
        x, y = (torch.as_tensor(part) for part in _pair(dataset[index], where))
        if x.ndim not in {1, 2} or not x.numel():
            raise DataError(
                f"{where}: inputs must be (L,) or (L, F), got {tuple(x.shape)}; an image becomes a "
                "sequence of patches"
            )
        numbers += x.numel()
        if numbers > _MOST_NUMBERS:
            raise DataError(f"{where}: more than {_MOST_NUMBERS:,} numbers, the limit")
        items.append((x, y))
    return items


def _pair(item: Any, where: str) -> tuple[Any, Any]:
    if isinstance(item, Mapping):
        chosen = [
            next((item[name] for name in names if name in item), None)
            for names in (_INPUTS, _TARGETS)
        ]
        if any(part is None for part in chosen):
            raise DataError(
                f"{where}: needs {' or '.join(_INPUTS)} and {' or '.join(_TARGETS)}, has "
                f"{', '.join(map(str, item))}"
            )
        return chosen[0], chosen[1]
    if isinstance(item, (tuple, list)) and len(item) == 2:
        return item[0], item[1]
    raise DataError(f"{where}: must be (inputs, target) or a dictionary, got {str(item)!r:.60}")


def _arrays(rows: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    if not rows:
        raise DataError("the datasets have no items")
    kinds = {(x.ndim, x.shape[1:], x.is_floating_point(), y.is_floating_point()) for x, y in rows}
    if len(kinds) > 1:
        raise DataError(
            "all items must be alike: inputs of one width and kind, targets of one kind; got "
            + " and ".join(f"inputs {tuple(x.shape)} of {x.dtype}, targets of {y.dtype}"
                           for x, y in _unlike(rows))
        )  # fmt: skip
    lengths = torch.tensor([len(x) for x, _ in rows])
    length = int(lengths.max())
    every = rows[0][1].ndim > 0 and all(y.ndim > 0 and len(y) == len(x) for x, y in rows)
    floating = rows[0][1].is_floating_point()
    nothing = torch.nan if floating else -100
    targets = [y for _, y in rows]
    if every:
        targets = [_padded(y, length, nothing) for y in targets]
    if len({y.shape for y in targets}) > 1:
        shapes = ", ".join(str(tuple(s)) for s in list({y.shape for y in targets})[:3])
        raise DataError(f"all targets must have one shape, got {shapes}")
    arrays = {"x": torch.stack([_padded(x, length, 0) for x, _ in rows]), "y": torch.stack(targets)}
    return arrays if (lengths == length).all() else {**arrays, "lengths": lengths}


def _unlike(rows: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    def kind(x: Tensor, y: Tensor) -> tuple[Any, ...]:
        return x.shape[1:], x.ndim, x.is_floating_point(), y.is_floating_point()

    first = rows[0]
    return [first, next(row for row in rows if kind(*row) != kind(*first))]


def _padded(x: Tensor, length: int, value: float) -> Tensor:
    missing = x.new_full((length - len(x), *x.shape[1:]), value)
    return torch.cat([x, missing]).contiguous()
