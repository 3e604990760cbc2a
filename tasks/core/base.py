"""What every task is: instances from a seed, a loss, metrics, a chance level and a ceiling."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from attenergy.registry import TaskOptionError, UnknownName
from attenergy.tasks.core.batches import Batch, Estimate, Inputs, Outputs
from attenergy.tasks.core.options import recorded
from attenergy.tasks.core.streams import Fields, Stream

IGNORE = -100  # target of a position that is not scored
MOST = 1_000_000  # of an option that is a whole number, unless its task says otherwise
_MOST_NUMBERS = 1 << 20  # that an instance has: length times width, for ids times channels
_MOST_DRAWN = 1 << 25  # numbers of the instances that are drawn for a ceiling


class Task(ABC):
    """A generator of instances with its loss, metrics, chance level and exact ceiling.

    A subclass sets the attributes below, then calls `super().__init__()`, and writes `generate`,
    `encode`, `metrics` and `sample`. Its own options are the keyword arguments of its constructor,
    beside `name`, `seed` and `split_seed`; what it was called with, defaults included, is there as
    `self.options`, `self.name` and so on before the constructor's own code runs.

    `seed` decides the training stream only. Every other split depends on `split_seed` and on the
    options alone, so all variants and seeds are compared on the same evaluation sets.

    Example:
        >>> task = attenergy.make_task("stacked-recall-small")
        >>> task.batch("train", 0, 2).inputs.shape
        torch.Size([2, 32, 2])
        >>> task.splits
        ('train', 'valid', 'test')
        >>> task.chance["accuracy"]
        0.015625
    """

    inputs: Inputs
    outputs: Outputs
    splits: tuple[str, ...]
    metric: str  # the reported number, a key of what `metrics` returns; higher is better
    headline: str = "test"  # the split whose metric stands for the task in a comparison of tasks
    chance: dict[str, float]  # metric -> value of random guessing
    #: Positions of a sequence among which all targets lie, where they are the same in all
    #: instances; None: anywhere. The others need not be computed by a model's last block.
    scored_positions: slice | None = None
    masks_pairs: bool = False  # whether every instance has a mask (L, L) of its own
    #: Options that came later: at the value that held before, instances stay what they were.
    later_options: ClassVar[Mapping[str, Any]] = {}
    notes: tuple[str, ...] = ()  # what a user should know before anything is trained
    train_instances: int = 0  # so many, then the same again (an option of all tasks); 0: no end

    name: str
    seed: int
    split_seed: int
    options: dict[str, Any]

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "__init__" in vars(cls):
            type.__setattr__(cls, "__init__", recorded(cls.__init__))

    def __init__(
        self,
        *,
        name: str | None = None,
        seed: int | None = None,
        split_seed: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Check the seeds and the size of an instance, and open the streams.

        What is given here takes the place of what the constructor was called with.
        """
        self.name = self.name if name is None else name
        self.options = self.options if options is None else dict(options)
        check_whole("train_instances", self.train_instances, 0, most=None)
        self.seed = check_whole("seed", self.seed if seed is None else seed)
        self.split_seed = check_whole(
            "split_seed", self.split_seed if split_seed is None else split_seed
        )
        if self.numbers > _MOST_NUMBERS:
            said = ", ".join(f"{key}={value!r:.40}" for key, value in self.options.items())
            raise TaskOptionError(
                f"an instance may hold {_MOST_NUMBERS:,} numbers, and these options make it "
                f"{self.numbers:,}: {said}"
            )
        self._ceilings: dict[str, Estimate | None] = {}
        self._streams = {split: self._stream(split) for split in self.splits}

    def _stream(self, split: str) -> Stream:
        seed, period = (self.seed, self.train_instances) if split == "train" else (None, 0)
        key = (type(self).__name__, self.drawing_options(), self.split_seed, split, seed)
        return Stream(partial(self.generate, split), "stream", *key, period=period)

    def drawing_options(self) -> dict[str, Any]:
        """The options that have a say in what is drawn.

        The number of training instances has none: a smaller set is the start of a larger one, and
        all of them are judged on the same evaluation sets. Nor has one of `later_options`, at the
        value there.
        """
        silent = {"train_instances": self.options.get("train_instances"), **self.later_options}
        return {k: v for k, v in self.options.items() if k not in silent or v != silent[k]}

    @property
    def numbers(self) -> int:
        """How many numbers one instance has as a model reads it, the longest one."""
        token = self.inputs.kind == "token"
        return self.inputs.length * (self.inputs.channels if token else self.inputs.size)

    @abstractmethod
    def generate(self, split: str, count: int, generator: Generator) -> Fields:
        """Draw `count` instances of `split`; the first axis of every tensor counts them."""

    @abstractmethod
    def encode(self, instances: Fields) -> Batch:
        """Turn drawn instances into what a model reads and must answer."""

    @abstractmethod
    def metrics(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Per-instance values (B,) of every metric, from logits (B, L, C) and targets (B, L)."""

    def tally(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Counts that are summed over a whole split, for metrics that are no mean of instances."""
        return {}

    def summary(self, tally: Mapping[str, Tensor]) -> dict[str, float]:
        """Metrics made from the summed counts of `tally`."""
        return {}

    @abstractmethod
    def sample(self, split: str, index: int) -> object:
        """One instance, whose `str` a person can read."""

    def instances(self, split: str, start: int, size: int) -> Fields:
        """Return instances `start .. start + size - 1` of `split` as they were drawn.

        Raises:
            ValueError: for an unknown split, a negative start or a size below 1.

        """
        return self._streams[self.check_split(split)].read(start, size)

    def batch(self, split: str, start: int, size: int) -> Batch:
        """Return instances `start .. start + size - 1` of `split`, on the CPU.

        A function of (options, seed, split_seed, split, index) alone: batches of any size agree.

        Raises:
            ValueError: for an unknown split, a negative start or a size below 1.

        """
        return self.encode(self.instances(split, start, size))

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats over scored positions, or mean squared error of numbers."""
        if self.outputs.kind == "number":
            scored = ~targets.isnan()
            return F.mse_loss(logits[scored], targets[scored].to(logits.dtype))
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE)

    @torch.no_grad()
    def evaluate(
        self,
        predict: Callable[[Batch], Tensor],
        split: str,
        instances: int,
        *,
        batch_size: int = 256,
    ) -> dict[str, float]:
        """Average `loss` and every metric over the first `instances` of `split`.

        `predict` maps a batch, on the CPU, to logits on any device. Metrics are averaged over
        instances, the loss over scored positions, so that batches of any size give the same.
        """
        total: dict[str, float] = {}
        counts: dict[str, Tensor] = {}
        loss, scored = 0.0, 0
        for start in range(0, instances, batch_size):
            batch = self.batch(split, start, min(batch_size, instances - start))
            logits = predict(batch)
            targets = batch.targets.to(logits.device)
            for name, x in self.metrics(logits, targets).items():
                total[name] = total.get(name, 0.0) + x.cpu().sum(dtype=torch.float64).item()
            if here := self.scored(batch.targets):
                loss += self.loss(logits, targets).item() * here
                scored += here
            tally = self.tally(logits, targets)
            counts = {name: counts.get(name, 0) + value for name, value in tally.items()}
        means = {name: value / instances for name, value in total.items()}
        return means | {"loss": loss / max(1, scored)} | self.summary(counts)

    def scored(self, targets: Tensor) -> int:
        """How many answers of `targets` are scored."""
        there = targets != IGNORE if self.outputs.kind == "class" else ~targets.isnan()
        return int(there.sum())

    def ceiling(self, split: str) -> Estimate | None:
        """Best mean of `metric` that any model can reach on `split`; None where not computed.

        Where it takes exact inference over drawn instances, it is not computed for options that
        would make that take minutes, or much memory.
        """
        if self.check_split(split) not in self._ceilings:
            self._ceilings[split] = self._ceiling(split)
        return self._ceilings[split]

    def _ceiling(self, split: str) -> Estimate | None:
        return None

    def affordable(self, instances: int, work: int, most: int) -> bool:
        """Whether a ceiling may take so many instances, and `work` of at most `most`."""
        return work <= most and instances * self.numbers <= _MOST_DRAWN

    def check_split(self, split: str) -> str:
        """Return `split` if the task has it, else raise ValueError."""
        return check_known("split", split, self.splits)

    def describe(self) -> str:
        """Sizes, splits and chance levels, as text of a few lines."""
        options = ", ".join(f"{key}={value}" for key, value in self.options.items())
        chance = ", ".join(f"{key} {value:.3g}" for key, value in self.chance.items())
        ceilings = [
            f"{split} {best.value:.3f} +- {best.error:.3f}"
            for split in self.splits
            if split != "train" and (best := self.ceiling(split)) is not None
        ]
        noun = "classes" if self.outputs.kind == "class" else "numbers"
        channels = f" x {self.inputs.channels}" if self.inputs.channels > 1 else ""
        return "\n".join(
            [
                f"{self.name}: {type(self).__name__}({options})",
                f"inputs: {self.inputs.length} tokens ({self.inputs.kind}, size "
                f"{self.inputs.size}{channels})",
                f"outputs: {self.outputs.size} {noun}, scored by {self.metric}",
                f"chance: {chance}",
                f"ceiling of {self.metric}: {', '.join(ceilings) or 'unknown'}",
                f"splits: {', '.join(self.splits)}",
            ]
        )


def scored_hits(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Where the largest logit is the target, and where there is a target: two bool (B, L)."""
    scored = targets != IGNORE
    return (logits.argmax(-1) == targets) & scored, scored


def check_whole(name: str, value: object, least: int | None = None, most: int | None = MOST) -> int:
    """Return `value` if it is a whole number from `least` to `most`, else raise ValueError.

    Without a `least` (a seed) any whole number will do.
    """
    if (
        not isinstance(value, int)
        or isinstance(value, bool)
        or (least is not None and value < least)
    ):
        wanted = "a whole number" + ("" if least is None else f" >= {least}")
        raise TaskOptionError(f"'{name}' must be {wanted}, got {value!r:.40}")
    if least is not None and most is not None and value > most:
        raise TaskOptionError(f"'{name}' must be at most {most}, got {value!r:.40}")
    return value


def check_known(what: str, name: object, known: tuple[str, ...]) -> str:
    """Return `name` if it is one of `known`, else raise `UnknownName` with the nearest one."""
    if isinstance(name, str) and name in known:
        return name
    raise UnknownName(what, str(name), known)
