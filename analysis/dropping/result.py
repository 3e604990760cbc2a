"""What a model can do without: scores, values and the control, in words, tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn

from attenergy.analysis.dropping.absent import Absent
from attenergy.analysis.dropping.evaluation import CHANGE, Worth
from attenergy.analysis.dropping.order import RandomDrops, Step
from attenergy.analysis.dropping.smaller import save_smaller
from attenergy.analysis.dropping.sublayers import Structure
from attenergy.analysis.result import Result, Table
from attenergy.registry import AnalysisError

if TYPE_CHECKING:
    from attenergy.analysis.drawing import Picture

_WORDS = {
    "joint": "attention layers and MLPs",
    "attention": "attention layers",
    "mlp": "MLPs",
    "blocks": "blocks",
}


@dataclass(frozen=True)
class Choices:
    """What was dropped, and how; as `redundancy` takes it."""

    drop: str
    order: str
    tolerance: float
    remove: int | None = None


@dataclass(frozen=True)
class Size:
    """Parameters of a model, and floating-point operations of one batch (matrix products)."""

    parameters: int
    flops: int


@dataclass(frozen=True, eq=False)
class Redundancy(Result):
    """What can be dropped from a model.

    Attributes:
        structure: the residual sub-layers and blocks of the model, and what could not be dropped.
        choices: what was dropped, and how.
        worth: of the whole model.
        scores: name -> mean of 1 - cos(x, h), of everything, in the whole model.
        steps: what was dropped one after the other, and what was left of the worth.
        control: the worth after as many drops at random.
        size: of the whole model.
        smaller: the model without `dropped`; None if nothing was.
        smaller_size: of that.

    Example:
        >>> model = attenergy.Transformer(
        ...     layers="softmax/softmax", positions="absolute", kind="vector",
        ...     size=3, length=6, outputs=2, width=16, heads=2, mlp=16,
        ... ).eval()
        >>> result = redundancy(model, [torch.randn(4, 6, 3)], random_orders=1)
        >>> len(result.scores)  # two attention layers, two MLPs, two blocks
        6
    """

    name: ClassVar[str] = "redundancy"
    title: ClassVar[str] = "Redundancy"

    structure: Structure
    choices: Choices
    worth: Worth
    scores: Mapping[str, float]
    steps: tuple[Step, ...]
    control: tuple[RandomDrops, ...]
    size: Size
    smaller: nn.Module | None = None
    smaller_size: Size | None = None

    @property
    def words(self) -> str:
        """What was dropped, in words."""
        return _WORDS[self.choices.drop]

    def with_smaller(self, model: nn.Module, size: Size) -> Redundancy:
        """The same with the smaller model."""
        return replace(self, smaller=model, smaller_size=size)

    @property
    def allowed(self) -> float:
        """The loss that counts as none."""
        return self.choices.tolerance * (abs(self.worth.full) or 1.0)

    @property
    def learned(self) -> bool:
        """Whether the whole model is better than its bare embedding."""
        return self.worth.loss(self.worth.bare) > self.allowed

    @property
    def free(self) -> int:
        """How many go without loss, one after the other."""
        losses = [self.worth.loss(step.value) for step in self.steps]
        worse = (number for number, loss in enumerate(losses) if not loss <= self.allowed)
        return next(worse, len(losses))

    @property
    def dropped(self) -> tuple[str, ...]:
        """What the smaller model does without."""
        count = self.choices.remove
        if count is None:
            count = self.free if self.learned else 0
        return tuple(step.name for step in self.steps[:count])

    @property
    def sentence(self) -> str:
        """What can go."""
        metric, full, words = self.worth.metric, self.worth.full, self.words
        if not self.learned and metric == CHANGE:
            return (
                "Dropping every attention layer and MLP changes the outputs by "
                f"{self.worth.bare:.2g} of their size only, so what can be dropped says nothing."
            )
        if not self.learned:
            return (
                f"The whole model is no better than its bare embedding ({metric} {full:.4g} and "
                f"{self.worth.bare:.4g}), so what can be dropped from it says nothing."
            )
        first = self.steps[0]
        if not self.free:
            return (
                f"Nothing can go without loss: without {first.name}, which turns its input least, "
                f"{metric} is {first.value:.4g} instead of {full:.4g}."
            )
        value = self.steps[self.free - 1].value
        total = len(self.structure.of(self.choices.drop))
        text = (
            f"{self.free} of {total} {words} can go without loss: {metric} is {value:.4g} instead "
            f"of {full:.4g}"
        )
        drops = [drops for drops in self.control if drops.count <= self.free]
        if not drops:
            return f"{text}."
        low, high = min(drops[-1].values), max(drops[-1].values)
        return (
            f"{text}; without {drops[-1].count} chosen at random it is {drops[-1].mean:.4g} on "
            f"average ({low:.4g} to {high:.4g} in {len(drops[-1].values)} orders)."
        )

    def numbers(self) -> dict[str, Any]:
        """All of them."""
        sizes = {"whole": asdict(self.size)}
        if self.smaller_size is not None:
            sizes["smaller"] = asdict(self.smaller_size)
        return {
            **asdict(self.choices),
            **asdict(self.worth),
            "free": self.free,
            "learned": self.learned,
            "dropped": list(self.dropped),
            "layers": [
                {"name": x.name, "kind": x.kind, "block": x.block, "score": self.scores[x.name]}
                for x in self.structure.layers
                if x.name in self.scores
            ],
            "blocks": {b: self.scores[b] for b in self.structure.blocks if b in self.scores},
            "steps": [asdict(step) for step in self.steps],
            "random": [asdict(drops) | {"mean": drops.mean} for drops in self.control],
            "sizes": sizes,
            "missing": list(self.structure.missing),
        }

    def tables(self) -> list[Table]:
        """Scores by block, the order of dropping, and the sizes."""
        metric = self.worth.metric
        kinds = {layer.name: layer.kind for layer in self.structure.layers}
        control = {drops.count: drops for drops in self.control}
        rows = [["0", "nothing", "", "", f"{self.worth.full:.4g}", "", ""]]
        for count, step in enumerate(self.steps, start=1):
            drops = control.get(count)
            mean = "" if drops is None else f"{drops.mean:.4g}"
            ends = "" if drops is None else f"{min(drops.values):.4g} to {max(drops.values):.4g}"
            kind = kinds.get(step.name, "block")
            row = [str(count), step.name, kind, f"{step.score:.2g}", f"{step.value:.4g}"]
            rows.append([*row, mean, ends])
        rows.append(["", "all, bare embedding", "", "", f"{self.worth.bare:.4g}", "", ""])
        header = ["", "dropped", "kind", "score", metric, "at random", "range"]
        tables = [
            Table("Scores 1 - cos(input, output)", *self._scores()),
            Table("Dropped one after the other, the lowest score first", header, rows, texts=3),
        ]
        if self.smaller_size is not None:
            tables.append(Table("The smaller model", *self._sizes(self.smaller_size)))
        return tables

    def _scores(self) -> tuple[list[str], list[list[str]]]:
        rows = []
        for block in dict.fromkeys(layer.block for layer in self.structure.layers):
            cells = [
                " / ".join(
                    f"{self.scores[x.name]:.2g}"
                    for x in self.structure.layers
                    if (x.block, x.kind) == (block, kind) and x.name in self.scores
                )
                for kind in ("attention", "mlp")
            ]
            whole = f"{self.scores[block]:.2g}" if block in self.scores else ""
            rows.append([block or "the model", *cells, whole])
        return ["block", "attention", "MLP", "whole block"], rows

    def _sizes(self, smaller: Size) -> tuple[list[str], list[list[str]]]:
        value = self.steps[len(self.dropped) - 1].value
        pairs = (("whole", self.size, self.worth.full), ("smaller", smaller, value))
        rows = [[n, f"{s.parameters:,}", f"{s.flops:,}", f"{v:.4g}"] for n, s, v in pairs]
        return ["model", "parameters", "FLOPs of a batch", self.worth.metric], rows

    def notes(self) -> list[str]:
        """How to read it."""
        notes = [
            "A score is the mean of 1 - cos(x, h) over positions, with the residual in h: 0 where "
            "a sub-layer or block changes nothing.",
            f"No loss is a change for the worse by at most {self.allowed:.4g} "
            f"({self.choices.tolerance:g} of the whole model's {self.worth.metric}); on few "
            "instances the metric itself moves by more.",
        ]
        if self.smaller is not None and any(isinstance(m, Absent) for m in self.smaller.modules()):
            notes.append(
                "The smaller model has no file format of its own: build the whole model and give "
                "it, these names and one batch to attenergy.analysis.drop_layers."
            )
        return notes + [f"Not dropped: {text}." for text in self.structure.missing]

    def save_smaller(self, folder: Path | str) -> Path:
        """Save the smaller model, or the list of what was dropped; see `drop_layers`.

        Raises:
            ValueError: nothing can go without loss.
        """
        if self.smaller is None:
            raise AnalysisError("there is no smaller model: nothing can go without loss")
        return save_smaller(self.smaller, self.dropped, folder)

    def pictures(self) -> list[Picture]:
        """Scores over depth, and what is left of the worth."""
        from attenergy.analysis.dropping.pictures import decline, depth

        label = f"lowest score first, {self.choices.order}"
        return [
            depth(self.structure.layers, self.scores),
            decline(self.worth, self.steps, self.control, len(self.dropped), (self.words, label)),
        ]
