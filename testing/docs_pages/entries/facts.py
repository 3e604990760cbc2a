"""What the pages are made from: the registry, and what was measured or drawn before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from attenergy.registry import Registry, load_registry
from attenergy.testing.compatibility.page import read as read_modes
from attenergy.testing.docs_pages.entries.results import Score, scores

#: A row of the table "At the edges": case -> verdict.
Edges = Mapping[str, str]


@dataclass(frozen=True)
class Facts:
    """Everything that a page reads.

    Args:
        docs: the folder `docs`, beside which `benchmarks/results` lies.
        registry: whose entries have pages.
        edges: what every energy does at the edges, by name.
        ceilings: of every task, by name and split, as text.
    """

    docs: Path
    registry: Registry
    edges: Mapping[str, Edges]
    ceilings: Mapping[str, Mapping[str, str]]

    @cached_property
    def speed(self) -> dict[str, Any]:
        """Costs beside attention by hand, as `benchmarks/layer_speed.py` wrote them."""
        return self.result("layer_speed")

    @cached_property
    def curls(self) -> dict[str, Any]:
        """Asymmetries, as `benchmarks/curves/curls.py` wrote them."""
        return self.result("curls")

    @cached_property
    def scores(self) -> list[Score]:
        """Recorded scores of variants on tasks."""
        return scores(self.docs.parent / "benchmarks" / "results")

    @cached_property
    def modes(self) -> dict[str, dict[str, str]]:
        """What works under which mode of PyTorch."""
        return read_modes(self.docs / "modes.json")

    @cached_property
    def pictures(self) -> dict[str, dict[str, str]]:
        """Of every picture its caption and its text for those who do not see it."""
        path = self.docs / "pictures" / "entries" / "captions.json"
        data: dict[str, dict[str, str]] = (
            json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        )
        return data

    @cached_property
    def entries(self) -> dict[str, dict[str, str]]:
        """The built-in registry's entries as they are written, by kind and name."""
        path = Path(next(iter(load_registry(plugins=False).files)))
        return written_entries(path.read_text(encoding="utf-8"))

    def result(self, name: str) -> dict[str, Any]:
        """A file of `benchmarks/results`."""
        path = self.docs.parent / "benchmarks" / "results" / f"{name}.json"
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return data


def written_entries(text: str) -> dict[str, dict[str, str]]:
    """The lines of every entry of a registry file, without its name, by kind and name."""
    kinds: dict[str, dict[str, list[str]]] = {}
    kind = name = ""
    for line in text.splitlines():
        if line[:1].strip() and line[:1] != "#":
            kind, name = line.partition(":")[0], ""
        elif line.startswith("  ") and line[2:3].strip():
            name = "" if line[2] == "#" else line.strip().partition(":")[0]
        elif name and line.strip():
            kinds.setdefault(kind, {}).setdefault(name, []).append(line)
    return {k: {n: "\n".join(lines) for n, lines in named.items()} for k, named in kinds.items()}
