"""What `attention_paths` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from attenergy.analysis.paths.measures import Measures
from attenergy.analysis.paths.pictures import pictures_of
from attenergy.analysis.paths.tables import notes_of, tables_of
from attenergy.analysis.result import Result, Table

if TYPE_CHECKING:
    from attenergy.analysis.drawing import Picture


@dataclass(frozen=True, eq=False)
class AttentionPaths(Measures, Result):
    """The paths and heads of a model, how well they fit the task, and what pruning costs.

    Attributes as of `Measures`.

    Example:
        >>> model = attenergy.Transformer(
        ...     layers="softmax/softmax", positions="absolute", kind="vector",
        ...     size=3, length=6, outputs=2, width=16, heads=2, mlp=0,
        ... ).eval()
        >>> x, y = torch.randn(32, 6, 3), torch.randint(2, (32, 6))
        >>> attention_paths(model, [x], [y]).layers
        ('blocks.0.mixer', 'blocks.1.mixer')
    """

    name: ClassVar[str] = "paths"
    title: ClassVar[str] = "Attention paths"

    @property
    def sentence(self) -> str:
        """The finding."""
        return " ".join(filter(None, [self._about_paths(), self._about_pruning()]))

    def _about_paths(self) -> str:
        total, weak = len(self.every_head), len(self.irrelevant)
        heads = f"{total - weak} of {total} heads"
        judged = self.path_relevance
        if judged is None:
            return f"{heads} align with the task better than shuffled targets do."
        best = self.best_paths
        if not best:
            return (
                f"No path of {len(self.paths)} aligns with the task better than shuffled targets "
                f"do, and {heads} do."
            )
        value, error = (float(x[best[0]]) for x in (judged.value, judged.error))
        return (
            f"{len(best)} of {len(self.paths)} paths and {heads} align with the task better than "
            f"shuffled targets do, best {self.path_name(self.paths[best[0]])} "
            f"({value:.2f} +- {error:.2f})."
        )

    def _about_pruning(self) -> str:
        if not self.curves:
            return ""
        removed, what = len(self.irrelevant), "the heads that do not"
        if removed in {0, len(self.every_head)}:
            inner = [n for n in self.curves[0].removed if 0 < n < len(self.every_head)]
            if not inner:
                return ""
            removed, what = inner[len(inner) // 2], "the least aligned heads"
        scores = {curve.order: curve.at(removed) for curve in self.curves}
        full = self.curves[0].at(0)
        return (
            f"Without {what} ({removed} of {len(self.every_head)}) the {self.metric} goes from "
            f"{full:.3f} to {scores['alignment']:.3f}; without as many by magnitude "
            f"{scores['magnitude']:.3f}, at random {scores['random']:.3f}."
        )

    def numbers(self) -> dict[str, Any]:
        """All that is shown; of the overlaps of paths those that a picture shows."""
        shown = self.shown_paths()
        overlaps = None if self.overlaps is None else self.overlaps[shown][:, shown].tolist()
        return {
            "layers": list(self.layers),
            "heads": list(self.heads),
            "skip": self.skip,
            "points": self.points,
            "number_of_paths": self.number_of_paths,
            "explained": self.explained,
            "heads_aligned": [
                {
                    "layer": name, "head": head,
                    "patterns": self.head_alignment.row(i),
                    "written": self.head_written.row(i) if self.head_written else None,
                    "norm": self.norms[i] if self.norms else None,
                    "score_without": self.scores_without[i] if self.scores_without else None,
                    "share_of_u": self.head_scores[i] if self.head_scores else None,
                }
                for i, (name, head) in enumerate(self.every_head)
            ],
            "paths": [
                {
                    "path": list(path),
                    "patterns": self.alignment.row(i) if self.alignment else None,
                    "written": self.written.row(i) if self.written else None,
                }
                for i, path in enumerate(self.paths)
            ],
            "overlaps": {"paths": [list(self.paths[i]) for i in shown], "alignment": overlaps},
            "sums": [
                {"weights": what, **(self.sum_alignment.row(i) if self.sum_alignment else {})}
                for i, what in enumerate(self.sums)
            ],
            "irrelevant": [list(head) for head in self.irrelevant],
            "curves": [
                {
                    "order": curve.order, "removed": list(curve.removed),
                    "scores": list(curve.scores), "spread": list(curve.spread),
                }
                for curve in self.curves
            ],
            "metric": self.metric,
            "scored_apart": self.apart,
            "unpruned": self.unpruned,
        }  # fmt: skip

    def tables(self) -> list[Table]:
        """Paths, heads, sums of paths and scores."""
        return tables_of(self)

    def pictures(self) -> list[Picture]:
        """Alignment per path or head, overlaps of paths, and the score against removed heads."""
        return pictures_of(self)

    def notes(self) -> list[str]:
        """How to read it, and its limits."""
        return notes_of(self)
