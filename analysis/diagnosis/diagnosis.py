"""The result of `diagnose`: a table, a heat map of every measure, and advice."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from attenergy.analysis.diagnosis.facts import MEASURES, HeadFacts, Measure
from attenergy.analysis.diagnosis.heat_map import draw
from attenergy.analysis.diagnosis.rules import RULES, Advice
from attenergy.analysis.drawing import Picture
from attenergy.analysis.result import Result, Table


@dataclass(frozen=True)
class LayerFacts:
    """What is known of a whole layer.

    Attributes:
        block: its path.
        about: its energy and how it is read, in words.
        curl: |J - J'| / |J| of its output by its input; nan if they differ in shape.
    """

    block: str
    about: str
    curl: float


@dataclass(frozen=True, eq=False)
class Diagnosis(Result):
    """The laws on a model.

    Attributes:
        heads: the measures of every head, layer by layer.
        layers: what is known of whole layers.
        advice: sentences, each from one of the `RULES`; none for a healthy model.
    """

    name = "laws"
    title = "Laws on the trained model"

    heads: tuple[HeadFacts, ...]
    layers: tuple[LayerFacts, ...]
    advice: tuple[Advice, ...]

    @property
    def sentence(self) -> str:
        """How many heads are healthy, and what is most often wrong."""
        ill = {(line.block, head) for line in self.advice for head in line.heads}
        total = len(self.heads)
        if not ill:
            return f"All {total} heads of {len(self.layers)} layers look healthy: no advice."
        counts = Counter[str]()
        for line in self.advice:
            counts[line.rule] += len(line.heads)
        rule, number = counts.most_common(1)[0]
        return (
            f"{len(ill)} of {total} heads call for advice, most often '{rule}' ({number} heads). "
            f"{self.advice[0].text}"
        )

    def numbers(self) -> dict[str, Any]:
        """All measures, advice and rules."""
        return {
            "heads": [head.as_dict() for head in self.heads],
            "layers": [asdict(layer) for layer in self.layers],
            "advice": [asdict(line) for line in self.advice],
            "rules": {rule.name: rule.when for rule in RULES},
        }

    def tables(self) -> list[Table]:
        """Advice, measures by head, layers, rules."""
        shown = self.shown()
        rows = [
            [head.block, str(head.head), *(_number(getattr(head, m.key)) for m in shown)]
            for head in self.heads
        ]
        hit = Counter(line.rule for line in self.advice for _ in line.heads)
        tables = [
            Table("By head", ["layer", "head", *(m.header for m in shown)], rows),
            Table(
                "By layer",
                ["layer", "what it is", "curl of the layer"],
                [[layer.block, layer.about, _number(layer.curl)] for layer in self.layers],
                texts=2,
            ),
            Table(
                "Rules",
                ["rule", "when", "heads"],
                [[rule.name, rule.when, str(hit[rule.name])] for rule in RULES],
                texts=2,
            ),
        ]
        if self.advice:
            lines = [[line.rule, line.text] for line in self.advice]
            tables.insert(0, Table("Advice", ["rule", "advice"], lines, texts=2))
        return tables

    def pictures(self) -> list[Picture]:
        """A heat map for every measure, blocks down and heads across."""
        return [draw(self.heads, self.shown())]

    def notes(self) -> list[str]:
        """What the measures mean."""
        return [
            "Signal to query: by how much what a head reads changes if its states change by a "
            "share of themselves, against the same for its patterns. Uniform and one-hot weights "
            "both bring it to 0, and with it what the query's projection can learn.",
            "Factor of a step: spectral norm of its Jacobian at the states that are read, median; "
            "below 1, near states come nearer.",
            "The curl of an update of states is 0 for a gradient. A layer with projected values is "
            "no gradient as a whole, whatever its energy: the curl of the layer says so.",
        ]

    def shown(self) -> tuple[Measure, ...]:
        """The measures that some head has."""
        return tuple(
            measure
            for measure in MEASURES
            if any(not math.isnan(getattr(head, measure.key)) for head in self.heads)
        )


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3g}"
