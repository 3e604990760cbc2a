"""What tasks over a finite set of a user's data share: splits, epochs, chance, metrics."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Generator, Tensor

from attenergy.registry import DataError
from attenergy.tasks.core.base import IGNORE, Task, check_whole
from attenergy.tasks.core.batches import Batch, Inputs
from attenergy.tasks.core.streams import Epochs, Fields, Stream, seed_of
from attenergy.tasks.data.facts import Facts, made_facts, read_facts
from attenergy.tasks.data.files import is_builtin
from attenergy.tasks.data.prepared import Loaded, Prepared, check_classes, standardised
from attenergy.tasks.data.scores import class_chance, number_chance, r_squared, sums_of_numbers
from attenergy.tasks.data.splitting import SPLITS, check_shares, split_rows

#: Options that a run's record has besides what the user gave.
RECORDED = ("content", "facts")
PAGE = "docs/own_data.md"
_MOST_PREPARED = 4  # sets that a process keeps
_prepared: OrderedDict[Hashable, Prepared] = OrderedDict()


class DataTask(Task):
    """A finite set of rows, each with inputs and a target, read from a path.

    A subclass sets the attribute `path` and writes `load`, `fit`, `encode` and `show`. Rows go to
    train, valid and test by the shares and `split_seed`, class by class, or as the data say; rows
    with equal inputs never stand in two splits. Training goes through all rows again and again, in
    an order that follows from `seed`. Whatever is standardised has the mean and deviation of the
    rows in training.

    Metrics of classes: `accuracy`, and from `evaluate` `balanced_accuracy`, the mean over classes
    of the share answered right. Chance is the class that is most frequent in training. Metrics of
    numbers, from `evaluate`: `r2` = 1 - sum (y - z)^2 / sum (y - mean y)^2, `rmse` and `mae` in the
    target's units. Chance is the mean in training.

    Two options stand in the records of runs. `content` is a hash of the data: others under the same
    path are refused. `facts` are shapes, sizes and chance, so that a report and an export need no
    data.

    Example:
        >>> [each.__name__ for each in (Table, Images, Sequences) if issubclass(each, DataTask)]
        ['Table', 'Images', 'Sequences']
    """

    splits = SPLITS
    path: str

    def __init__(self) -> None:
        check_whole("split_seed", self.split_seed)
        check_shares(self.options["valid"], self.options["test"])
        facts = self.options["facts"]
        self._known = read_facts(facts) if facts else self._data.facts
        known = self._known
        self.inputs, self.outputs = known.inputs, known.answer
        self.chance = dict(known.chance)
        self.metric = "accuracy" if known.answers == "class" else "r2"
        self.scored_positions = slice(-1, None) if known.last else None
        self.masks_pairs = known.pairs
        self.sizes: Mapping[str, int] = {str(name): size for name, size in known.rows.items()}
        super().__init__()

    @classmethod
    def without_files(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options of a record with which the task reads nothing: its facts suffice."""
        path = str(options.get("path", ""))
        return {**options, "path": path if is_builtin(path) else ""}

    @abstractmethod
    def load(self) -> Loaded:
        """Read the data."""

    @abstractmethod
    def signature(self) -> Hashable:
        """What changes when the data are written anew."""

    @abstractmethod
    def fit(self, loaded: Loaded, train: Tensor) -> tuple[Inputs, Fields]:
        """What a model reads, and the fields of all rows, by what the rows in training say."""

    @abstractmethod
    def show(self, prepared: Prepared, row: int) -> object:
        """One row, whose `str` a person can read."""

    @property
    def content(self) -> str:
        """Hash of the data, as a record has it."""
        return str(self.options["content"]) or self._data.loaded.content

    @property
    def facts(self) -> Facts:
        """Shapes, sizes and chance levels."""
        return self._known

    @cached_property
    def _data(self) -> Prepared:
        """The data, read when first needed and kept for the next task over them.

        Raises:
            ArgumentError: they are not those of the record.
        """
        if not self.path:
            why = "is needed: --set path=FILE (see docs/own_data.md)"
            if self.options["facts"]:
                why = "is not read because a record names it: give yours with --data PATH"
            raise DataError(f"'path' of the data of task {self.name!r} {why}")
        reading = {k: v for k, v in self.options.items() if k not in RECORDED}
        about = json.dumps(reading, sort_keys=True), self.split_seed, self.signature()
        key = (type(self), *about)
        if key not in _prepared:
            _prepared[key] = self._prepare()
            if len(_prepared) > _MOST_PREPARED:
                _prepared.popitem(last=False)
        _prepared.move_to_end(key)
        data = _prepared[key]
        wanted = self.options["content"]
        if wanted and wanted != data.loaded.content:
            raise DataError(
                f"the data at {self.path!r:.200} have changed: 'content' was {wanted!r:.40}, is "
                f"{data.loaded.content!r}; leave 'content' out, and give the study another name"
            )
        if self.options["facts"] and data.facts != self._known:
            raise DataError(f"the data at {self.path!r:.200} are not those of the record")
        return data

    def _prepare(self) -> Prepared:
        loaded = self.load()
        if loaded.classes:
            check_classes(loaded)
        shares = {name: self.options[name] for name in SPLITS[1:]}
        rows, notes = split_rows(loaded.keys, loaded.strata, shares, self.split_seed, loaded.given)
        inputs, fields = self.fit(loaded, rows["train"])
        prepared = Prepared(
            loaded,
            {**fields, "targets": loaded.targets, "row": torch.arange(len(loaded.targets))},
            rows,
            made_facts(
                {
                    "kind": inputs.kind,
                    "size": inputs.size,
                    "length": inputs.length,
                    "channels": inputs.channels,
                    "outputs": len(loaded.classes) or loaded.targets.shape[-1],
                    "answers": "class" if loaded.classes else "number",
                    "last": loaded.last,
                    "pairs": loaded.pairs,
                    "rows": {name: len(each) for name, each in rows.items()},
                    "chance": {},
                }
            ),
            (*loaded.notes, *notes),
        )
        train, test = (loaded.targets[rows[name]] for name in ("train", "test"))
        if loaded.classes:
            chance = class_chance(train, test, len(loaded.classes))
        else:
            prepared = standardised(prepared)
            chance = number_chance(train, test)
        known = prepared.facts.model_copy(update={"chance": chance})
        return replace(prepared, facts=known)

    @property
    def notes(self) -> tuple[str, ...]:  # type: ignore[override]
        """What a user should know of the data before anything is trained."""
        sizes = ", ".join(f"{name} {size}" for name, size in self.sizes.items())
        counts = (f"rows: {sizes}",)
        return (*counts, *self._data.notes) if self.path else counts

    def _stream(self, split: str) -> Stream:
        seed = self.seed if split == "train" else None
        key = ("epoch", self.split_seed, split, seed)
        take, size = self._take(split), self.sizes[split]
        if split == "train" and 0 < self.train_instances < size:
            # Drawn among all rows, as a file may be sorted; a smaller set is part of a larger one.
            drawn = Generator().manual_seed(seed_of("some", self.split_seed))
            some = torch.randperm(size, generator=drawn)[: self.train_instances]
            return Epochs(lambda rows: take(some[rows]), len(some), *key, shuffled=True)
        return Epochs(take, size, *key, shuffled=split == "train")

    def _take(self, split: str) -> Callable[[Tensor], Fields]:
        def take(rows: Tensor) -> Fields:
            data = self._data
            chosen = data.rows[split][rows]
            return {name: values[chosen] for name, values in data.fields.items()}

        return take

    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `count` rows with replacement; the streams go through all rows in turn instead."""
        return self._take(split)(torch.randint(self.sizes[split], (count,), generator=generator))

    def metrics(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """`accuracy` of classes (B,), the share of scored positions; of numbers `mae` (B,)."""
        if self.outputs.kind == "class":
            scored = targets != IGNORE
            hits = (logits.argmax(-1) == targets) & scored
            return {"accuracy": hits.sum(-1) / scored.sum(-1)}
        errors = (logits - targets).abs() * self._data.spread.to(logits)
        return {"mae": errors.nanmean((-1, -2))}

    def tally(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Right answers and targets of every class; of numbers the sums that `r2` is made of."""
        if self.outputs.kind == "number":
            return sums_of_numbers(logits, targets, self._data.spread)
        scored = targets != IGNORE
        hits = (logits.argmax(-1) == targets) & scored
        size = self.outputs.size
        return {
            "hits": targets[hits].bincount(minlength=size).cpu(),
            "targets": targets[scored].bincount(minlength=size).cpu(),
        }

    def summary(self, tally: Mapping[str, Tensor]) -> dict[str, float]:
        """`balanced_accuracy`, or `r2` and `rmse`."""
        if self.outputs.kind == "number":
            return r_squared(tally)
        occurs = tally["targets"] > 0
        shares = tally["hits"][occurs].double() / tally["targets"][occurs]
        return {"balanced_accuracy": shares.mean().item()}

    def evaluate(
        self,
        predict: Callable[[Batch], Tensor],
        split: str,
        instances: int,
        *,
        batch_size: int = 256,
    ) -> dict[str, float]:
        """As `Task.evaluate`; of a split with fewer rows than `instances`, every row once."""
        rows = min(instances, self.sizes[self.check_split(split)])
        return super().evaluate(predict, split, rows, batch_size=batch_size)

    def sample(self, split: str, index: int) -> object:
        """Instance `index` of `split`, to look at."""
        return self.show(self._data, int(self.instances(split, index, 1)["row"]))

    def answers(self, instances: Fields) -> Tensor:
        """The targets of drawn rows as a model is to answer them: numbers are standardised."""
        targets = instances["targets"]
        if self.outputs.kind == "class":
            return targets
        return ((targets - self._data.centre) / self._data.spread).float()

    def answer(self, prepared: Prepared, row: int) -> str:
        """The target of a row as people write it."""
        target = prepared.loaded.targets[row]
        names = prepared.loaded.classes
        if names:
            places = target.reshape(-1).tolist()
            return " ".join("." if k == IGNORE else names[k] for k in places)
        return " ".join(f"{number:.6g}" for number in target.reshape(-1).tolist())

    def drawing_options(self) -> dict[str, Any]:
        """Nothing is drawn but the order of the rows."""
        return {}

    def describe(self) -> str:
        """As of any task, without the facts, which it says in words."""
        shown = {k: v for k, v in self.options.items() if k not in RECORDED}
        whole, self.options = self.options, shown
        try:
            text = super().describe()
        finally:
            self.options = whole
        return "\n".join([text, *(f"data: {note}" for note in self.notes)])
