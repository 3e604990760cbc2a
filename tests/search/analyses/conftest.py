from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from attenergy.analysis import ANALYSES, AnalysisKind, Result, Subject, Table, attention_calls
from attenergy.analysis.catalogue import Option
from attenergy.analysis.drawing import Picture, drawing
from attenergy.analysis.result import Progress
from attenergy.registry import ArgumentError


@dataclass(frozen=True, eq=False)
class Entropies(Result):
    """How sharp the weights of every layer are: an analysis for tests."""

    name: ClassVar[str] = "entropies"
    title: ClassVar[str] = "Entropy of the weights"

    values: dict[str, float]

    @property
    def sentence(self) -> str:
        return f"The weights of {len(self.values)} layers were read."

    def numbers(self) -> dict[str, Any]:
        return {"entropy": self.values}

    def tables(self) -> list[Table]:
        rows = [[name, f"{value:.3f}"] for name, value in self.values.items()]
        return [Table("Entropy", ["layer", "nats"], rows)]

    def pictures(self) -> list[Picture]:
        with drawing() as (figure, axes):
            axes.bar(range(len(self.values)), list(self.values.values()))
            axes.imshow([[0.0, 1.0]])
        return [Picture("entropies-bars", "Entropy", "Of each layer.", figure)]

    def notes(self) -> list[str]:
        return ["Of the first batch."]


class Calls:
    """How often the analyses were run, and what the next run does."""

    def __init__(self) -> None:
        self.count = 0
        self.error: BaseException | None = None

    def run(
        self, subject: Subject, options: Mapping[str, Any], progress: Progress | None
    ) -> Result:
        self.count += 1
        inputs, arguments = subject.batches[0]
        calls = attention_calls(subject.model, *inputs, **arguments)
        if progress is not None:
            progress("layers", len(calls), len(calls))
        values = {}
        for call in calls:
            assert call.weights is not None
            entropy = -(call.weights * call.weights.clamp_min(1e-30).log()).sum(-1).mean()
            values[call.name] = options["scale"] * float(entropy)
        return Entropies(values)

    def refuse(self, *_: Any) -> Result:
        raise ArgumentError("its layers have no states")

    def fail(self, *_: Any) -> Result:
        if self.error is None:
            raise ArgumentError("nothing is to fail")
        raise self.error


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """A catalogue of four: one that works, needs a task, refuses, fails if it is told to."""
    calls = Calls()
    scale = Option("scale", 1.0, "a factor", least=0)
    about = "How sharp are the weights?"
    kinds = [
        AnalysisKind("failing", "Failing", "Does it fail?", calls.fail),
        AnalysisKind("entropies", Entropies.title, about, calls.run, options=[scale]),
        AnalysisKind("needy", "Needy", "Is there a past?", calls.refuse, needs=["untrained"]),
        AnalysisKind("refusing", "Refusing", "Are there states?", calls.refuse),
    ]
    for name in list(ANALYSES):
        monkeypatch.delitem(ANALYSES, name)
    for kind in kinds:
        monkeypatch.setitem(ANALYSES, kind.name, kind)
    return calls


@pytest.fixture
def own_study(finished_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the real study, in `runs` of the current folder."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(finished_study, tmp_path / "runs" / "tiny"))
