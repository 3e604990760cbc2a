"""The result of measuring a memory's capacity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from attenergy.analysis.drawing import Picture, colour, drawing, legend
from attenergy.analysis.result import Result, Table

#: A memory holds a number of patterns if it recalls this share of them.
HELD = 0.95


@dataclass(frozen=True)
class Count:
    """What was measured with one number of patterns.

    Attributes:
        stored: the number.
        shares: recalled share of the damaged copies, one for each draw of patterns.
        certain: mean share that theory guarantees; None where it says nothing.
    """

    stored: int
    shares: tuple[float, ...]
    certain: float | None

    @property
    def mean(self) -> float:
        """Mean share."""
        return fmean(self.shares)

    @property
    def error(self) -> float:
        """Its standard error over the draws; nan of a single one."""
        if len(self.shares) < 2:
            return math.nan
        return stdev(self.shares) / math.sqrt(len(self.shares))


@dataclass(frozen=True, eq=False)
class Capacity(Result):
    """Share recalled against the number of patterns stored.

    Attributes:
        energy: its title.
        dim: width D of the patterns.
        noise: the damage, as text.
        counts: the measurements, by number.
        known: a number that theory knows and what it is, or None.

    Example:
        >>> memory = attenergy.AssociativeMemory("lse", beta=8.0)
        >>> patterns = torch.nn.functional.normalize(torch.randn(20, 16), dim=-1)
        >>> result = capacity(memory, patterns, "gaussian(0.05)", counts=[5, 20], seeds=2)
        >>> [count.stored for count in result.counts]
        [5, 20]
    """

    name = "capacity"
    title = "Capacity"

    energy: str
    dim: int
    noise: str
    counts: tuple[Count, ...]
    known: tuple[float, str] | None

    @property
    def holds(self) -> int:
        """Largest number of patterns up to which a share of `HELD` is recalled; 0 if none."""
        held = 0
        for count in self.counts:
            if count.mean < HELD:
                break
            held = count.stored
        return held

    @property
    def sentence(self) -> str:
        """What the memory holds."""
        most = self.counts[-1]
        if not self.holds:
            least = self.counts[0]
            return (
                f"'{self.energy}' recalls {least.mean:.2f} of {least.stored} patterns under "
                f"{self.noise}: less than {HELD} even of the fewest tried."
            )
        if self.holds == most.stored:
            end = "all that were tried"
        else:
            end = f"of {most.stored} it recalls {most.mean:.2f}"
        return (
            f"'{self.energy}' recalls {HELD} of up to {self.holds} patterns of {self.dim} numbers "
            f"under {self.noise}; {end}."
        )

    def numbers(self) -> dict[str, Any]:
        """All measurements."""
        return {
            "energy": self.energy,
            "dim": self.dim,
            "noise": self.noise,
            "holds": self.holds,
            "known": None if self.known is None else {"count": self.known[0], "is": self.known[1]},
            "counts": [
                {
                    "stored": c.stored,
                    "recalled": c.mean,
                    "error": c.error,
                    "shares": c.shares,
                    "certain": c.certain,
                }
                for c in self.counts
            ],
        }

    def tables(self) -> list[Table]:
        """One row for each number of patterns."""
        theory = any(c.certain is not None for c in self.counts)
        header = ["patterns", "recalled", "standard error", *(["certain"] if theory else [])]
        rows = []
        for c in self.counts:
            certain = [f"{c.certain:.3f}"] if c.certain is not None else []
            rows.append([str(c.stored), f"{c.mean:.3f}", f"{c.error:.3f}", *certain])
        return [Table(f"{self.energy}, {self.noise}", header, rows, texts=0)]

    def pictures(self) -> list[Picture]:
        """The curve, with what theory knows."""
        stored = [c.stored for c in self.counts]
        with drawing() as (figure, axes):
            errors = [0.0 if math.isnan(c.error) else c.error for c in self.counts]
            axes.errorbar(
                stored, [c.mean for c in self.counts], errors, color=colour("series-1"),
                marker="o", markersize=4, capsize=2, linewidth=1.8, label="recalled",
            )  # fmt: skip
            certain = [(c.stored, c.certain) for c in self.counts if c.certain is not None]
            if certain:
                axes.plot(
                    *zip(*certain, strict=True), color=colour("soft"), linestyle=(0, (5, 1.5)),
                    label="certain, by theory",
                )  # fmt: skip
            if self.known is not None and self.known[0] <= 1.5 * stored[-1]:
                axes.axvline(
                    self.known[0], color=colour("bad"), linestyle=(0, (1.5, 1)),
                    label=self.known[1].split(",")[0],
                )  # fmt: skip
            axes.set(xlabel="patterns stored", ylabel="share recalled", ylim=(-0.03, 1.03))
            if stored[-1] > 20 * stored[0]:
                axes.set_xscale("log")
                axes.set_xticks(stored, [str(number) for number in stored])
                axes.minorticks_off()
            legend(axes)
        about = f"Share of damaged patterns ({self.noise}) recalled, with standard errors."
        return [Picture(self.name, f"Capacity of {self.energy}", about, figure)]

    def notes(self) -> list[str]:
        """What counts as recalled, and what theory says."""
        notes = [
            "A copy is recalled if it ends nearer to its pattern than halfway to the nearest other "
            "one. Errors are standard errors over draws of the patterns that are stored."
        ]
        if any(c.certain is not None for c in self.counts):
            notes.append(
                "Certain: copies whose pattern is reached and never left, by the bound on softmax "
                "retrieval from the separation of the patterns; the true share is at least that."
            )
        if self.known is not None:
            notes.append(
                f"Known, of random patterns of +-1: {self.known[1]} = {self.known[0]:.4g}."
            )
        return notes
