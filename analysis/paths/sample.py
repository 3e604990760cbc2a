"""The features of a sample of scored positions, batch by batch.

`N` points, `P` paths, `E` model width, `C` outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from attenergy.analysis.paths import linear, scoring
from attenergy.analysis.paths.features import count_paths, head_features, path_features
from attenergy.analysis.paths.patterns import Patterns, read_patterns
from attenergy.analysis.result import Progress
from attenergy.analysis.subject import Inputs
from attenergy.registry import AnalysisError

#: Points below which an alignment says nothing.
FEWEST = 8


@dataclass(frozen=True, eq=False)
class Options:
    """What `attention_paths` was asked for; see there."""

    layers: Sequence[str] | None
    skip: bool
    position: scoring.Position
    points: int
    most_paths: int
    shuffles: int
    draws: int
    generator: Generator
    progress: Progress | None

    def report(self, what: str, done: int, count: int) -> None:
        """Say how far it is."""
        if self.progress is not None:
            self.progress(what, done, count)


@dataclass(frozen=True, eq=False)
class Sample:
    """What all batches give together.

    Attributes:
        heads: features of the heads of all layers, (N, heads, E).
        written: what all paths through each head write to the outputs, (N, heads, C); None where
            the values of a layer are not known.
        paths: features of paths, (N, P, E); None where there are too many.
        targets: (N,) or (N, C).
        patterns: of the last batch, for names and modules.
        explained: share of the variance of the last layer's output that the linear sum over paths
            gives; None where it is not known.
    """

    heads: Tensor
    written: Tensor | None
    paths: Tensor | None
    targets: Tensor
    patterns: Patterns
    explained: float | None


def draw_sample(
    model: nn.Module, batches: Sequence[Inputs], targets: Sequence[Tensor], options: Options
) -> Sample:
    """One scored position of every instance, until there are enough.

    Raises:
        ValueError: targets or layers that do not fit, or too few points.
    """
    heads, paths, wanted, written = [], [], [], []
    outputs: list[tuple[Tensor, Tensor]] = []
    readout = linear.readout_of(model)
    patterns, left = None, options.points
    for number, ((inputs, arguments), target) in enumerate(zip(batches, targets, strict=True)):
        if left <= 0:
            break
        patterns = read_patterns(model, inputs, arguments, options.layers)
        _check_places(patterns, arguments, options.skip)
        drawn, y = scoring.draw_points(
            patterns, target.cpu(), arguments, options.position, options.generator
        )
        points, y = drawn.first(left), y[:left]
        left -= len(y)
        heads.append(torch.cat(head_features(patterns, points, options.skip), 1).cpu())
        if count_paths(patterns.heads, options.skip) <= options.most_paths:
            paths.append(path_features(patterns, points, options.skip).cpu())
        wanted.append(y)
        writes = linear.all_writes(patterns)
        if writes is not None:
            written.append(
                linear.head_contributions(patterns, writes, points, options.skip, readout).cpu()
            )
        if writes is not None and patterns.outputs is not None:
            given = linear.last_output(patterns, writes, options.skip)
            outputs.append((points.read(given).cpu(), points.read(patterns.outputs).cpu()))
        options.report("attention patterns", number + 1, len(batches))
    count = sum(map(len, wanted))
    if count < FEWEST or patterns is None:
        raise AnalysisError(
            f"an alignment needs at least {FEWEST} instances with a scored position, got {count}"
        )
    return Sample(
        torch.cat(heads),
        torch.cat(written) if written else None,
        torch.cat(paths) if paths else None,
        torch.cat(wanted),
        patterns,
        _explained(outputs),
    )


def _check_places(patterns: Patterns, arguments: Mapping[str, Any], skip: bool) -> None:
    rows, stored = patterns.weights[-1].shape[-2:]
    if skip and rows != stored and "rows" not in arguments:
        raise AnalysisError(
            f"'{patterns.names[-1]}' computes {rows} states from {stored} positions, and which of "
            "the positions they are is not known: give skip=False"
        )


def _explained(outputs: Sequence[tuple[Tensor, Tensor]]) -> float | None:
    """Share of variance, of what the sum over paths gives and what the model gives."""
    if not outputs:
        return None
    given, seen = (torch.cat(each).double() for each in zip(*outputs, strict=True))
    spread = float((seen - seen.mean(0)).square().sum())
    return 1 - float((seen - given).square().sum()) / spread if spread else None
