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

    Example:
        >>> model = torch.nn.Sequential(attenergy.EnergyAttention(16, 2, beta=200.0, steps=3))
        >>> result = diagnose(model, 5 * torch.randn(2, 6, 16))
        >>> len(result.heads)
        2
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
            layers = f"{len(self.layers)} layer{'s' * (len(self.layers) != 1)}"
            heads = f"All {total} heads of {layers} look" if total > 1 else "The only head looks"
            return f"{heads} healthy: no advice."
        counts = Counter[str]()
        for line in self.advice:
            counts[line.rule] += len(line.heads)
        rule, number = counts.most_common(1)[0]
        return (
            f"{len(ill)} of {total} heads call for advice, most often '{rule}' ({number}). "
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
        """Advice, the rules behind it, measures by head, layers."""
        tables = []
        if self.advice:
            lines = [[line.rule, line.text] for line in self.advice]
            hit = Counter(line.rule for line in self.advice for _ in line.heads)
            rules = [[r.name, r.when, str(hit[r.name])] for r in RULES if hit[r.name]]
            tables = [
                Table("Advice", ["rule", "advice"], lines, texts=2),
                Table("Rules that are met", ["rule", "when", "heads"], rules, texts=2),
            ]
        numbers = {layer.block: str(number) for number, layer in enumerate(self.layers)}
        shown = self.shown()
        for title in dict.fromkeys(measure.table for measure in shown):
            columns = [measure for measure in shown if measure.table == title]
            rows = [
                [numbers[h.block], str(h.head), *(_number(getattr(h, m.key)) for m in columns)]
                for h in self.heads
            ]
            header = ["layer", "head", *(measure.header for measure in columns)]
            tables.append(Table(title, header, rows, texts=0))
        layers = [
            [numbers[layer.block], layer.block, layer.about, _number(layer.curl)]
            for layer in self.layers
        ]
        header = ["layer", "path", "what it is", "curl"]
        return [*tables, Table("Layers as a whole", header, layers, texts=3)]

    def pictures(self) -> list[Picture]:
        """A heat map for every measure, blocks down and heads across."""
        return [draw(self.heads, self.shown())]

    def notes(self) -> list[str]:
        """What the measures mean."""
        return [
            f"Checked: {', '.join(rule.name for rule in RULES)}. The thresholds stand in "
            "docs/analysis/laws.md and, under `rules`, in the JSON file.",
            "Entropy of the weights of a row over log S, S patterns visible; one-hot and uniform: "
            "shares of rows below .01 and above .99 of log S.",
            "Signal to query: by how much what a head reads changes if its states change by a "
            "share of themselves, against the same for its patterns. Uniform and one-hot weights "
            "both bring it to 0, and with it what the query's projection can learn.",
            "Factor of a step: spectral norm of its Jacobian at the states that are read, median; "
            "below 1, near states come nearer.",
            "Beta, and how far training moved its logarithm; patterns: mean length, its standard "
            "deviation over it, effective rank about the mean, mean cosine of two.",
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
