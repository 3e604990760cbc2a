"""The stored patterns of a landscape: given, read from a file, or planted."""

from __future__ import annotations

import io
import json
import math
import tokenize
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attenergy.energies import Domain
from attenergy.registry import AnalysisError
from attenergy.registry.files import read_regular

#: Most patterns, and components of each.
MOST_PATTERNS, MOST_DIM = 4096, 4096
#: Largest file of patterns that is read, in bytes.
MOST_BYTES = 64 << 20
_FORMS = {".csv": ",", ".tsv": "\t", ".txt": None}


def checked_patterns(patterns: Any) -> Tensor:
    """Patterns (S, D) in float64.

    Raises:
        ValueError: they are no finite numbers of two axes, or too many.
    """
    if isinstance(patterns, Tensor | np.ndarray) and "complex" in str(patterns.dtype):
        raise AnalysisError("patterns must be real numbers (S, D), got complex ones")
    try:
        tensor = torch.as_tensor(patterns, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise AnalysisError(f"patterns must be numbers (S, D): {error}") from None
    if tensor.ndim != 2 or not 1 <= len(tensor) <= MOST_PATTERNS or not tensor.shape[1]:
        raise AnalysisError(
            f"patterns must be (S, D) with 1 to {MOST_PATTERNS} rows, got {tuple(tensor.shape)}"
        )
    if tensor.shape[1] > MOST_DIM:
        raise AnalysisError(f"patterns have at most {MOST_DIM} components, got {tensor.shape[1]}")
    if not bool(torch.isfinite(tensor).all()):
        raise AnalysisError("patterns must be finite numbers")
    return tensor


def planted_patterns(
    domain: Domain, count: int | None = None, *, dim: int | None = None, seed: int = 0
) -> Tensor:
    """Patterns (S, D) that a seed draws, apart from each other where there is room.

    On a plane around 0 at lengths between 1.4 and 2; on a circle at its radius; random signs where
    those are points of the domain; near the corners of a simplex.

    Args:
        domain: of the energy.
        count: S; 5 if None, 3 signs or shares.
        dim: D; if None the least in which the domain can be drawn.
        seed: of the draw.

    Raises:
        ValueError: a number is out of range.

    Example:
        >>> from attenergy.energies import DOMAINS
        >>> planted_patterns(DOMAINS["sphere"], 5, dim=3).shape
        torch.Size([5, 3])
    """
    signs = domain.constrained and domain.signs and not domain.tied
    if dim is None:
        dim = _least_dim(domain)
    if count is None:
        count = 3 if signs or not domain.signs else 5
    if not 1 <= count <= MOST_PATTERNS or not 1 <= dim <= MOST_DIM:
        raise AnalysisError(
            f"planted patterns must be 1 to {MOST_PATTERNS} of 1 to {MOST_DIM} components, got "
            f"{count} of {dim}"
        )
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(count, 2, dtype=torch.float64, generator=generator)
    if signs:
        coins = torch.rand(count, dim, dtype=torch.float64, generator=generator)
        return torch.where(coins > 0.5, 1.0, -1.0).double()
    if dim != 2 or not domain.signs:
        return domain.from_real(
            2.0 * torch.randn(count, dim, dtype=torch.float64, generator=generator)
        )
    turn = 2 * math.pi * float(torch.rand(1, generator=generator))
    steps = torch.arange(count, dtype=torch.float64)
    angles = turn + 2 * math.pi / count * (steps + 0.4 * (uniform[:, 0] - 0.5))
    lengths = 1.4 + 0.6 * uniform[:, 1:]
    return domain.from_real(lengths * torch.stack([angles.cos(), angles.sin()], -1))


def _least_dim(domain: Domain) -> int:
    """The fewest components with which the domain can be drawn: 8 spins, else 2 or 3."""
    if domain.discrete:
        return 8
    two = domain.from_real(torch.tensor([[0.3, 1.0], [1.0, -0.5], [-0.2, 0.1]]).double())
    line = torch.linalg.matrix_rank(two - two.mean(0), atol=1e-9) < 2
    return 3 if bool(line) else 2


def read_patterns(path: Path) -> Tensor:
    """Patterns of a file: .npy, .csv, .tsv, .txt (one pattern a line) or .json (a list of lists).

    Raises:
        ValueError: the file is none of these, too large, or does not hold patterns.
        OSError: it cannot be read.
    """
    form = path.suffix.lower()
    if form not in {".npy", ".json", *_FORMS}:
        raise AnalysisError(
            f"{path}: patterns are how many to plant (7), or a file .npy, .csv, .tsv, .txt "
            f"or .json, got {str(path)!r}"
        )
    data = read_regular(path, MOST_BYTES)
    try:
        if form == ".npy":
            with warnings.catch_warnings(action="ignore"):  # of a header of Python 2
                rows: Any = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
        elif form == ".json":
            rows = json.loads(data)
        else:
            text = io.StringIO(data.decode("utf-8-sig"))
            with warnings.catch_warnings(action="ignore"):  # of a file without a line
                rows = np.loadtxt(text, delimiter=_FORMS[form], ndmin=2)
        return checked_patterns(rows)
    except (ValueError, TypeError, OverflowError, RecursionError, tokenize.TokenError) as error:
        raise AnalysisError(f"{path}: {error}") from None
    except MemoryError:
        raise AnalysisError(f"{path}: is said to hold more numbers than there is memory") from None
