"""The table itself: a cell for every layer and mode, computed one by one.

A row is named `NAME/BACKEND` for an energy and `NAME` for a mixer. A cell is "yes" or the reason
why not (`attenergy.testing.compatibility.known_limits`).
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterable
from typing import get_args

import torch

from attenergy.attention.gradients.backends import Backend
from attenergy.registry import Registry
from attenergy.testing.compatibility.checks import MODES
from attenergy.testing.compatibility.known_limits import reason
from attenergy.testing.compatibility.layer_under_test import Subject, small_chunks, subject

#: Cells by row and mode.
Cells = dict[str, dict[str, str]]

YES = "yes"
BACKENDS: tuple[Backend, ...] = ("auto", *(b for b in get_args(Backend) if b != "auto"))

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def rows(registry: Registry) -> list[str]:
    """The names of all rows: every energy with every backend, then every mixer."""
    energies = [f"{name}/{backend}" for name in registry.energies for backend in BACKENDS]
    return [*energies, *registry.mixers]


def row_of(registry: Registry, row: str, modes: Iterable[str] = tuple(MODES)) -> dict[str, str]:
    """The cells of one row; all the same where the energy does not have the backend."""
    name, _, backend = row.partition("/")
    chosen = next((b for b in BACKENDS if b == backend), None)
    try:
        checked = subject(registry, name, chosen)
    except ValueError as error:
        return {mode: reason(row, mode, error_text(error)) for mode in modes}
    outcomes = {mode: outcome(checked, MODES[mode]) for mode in modes}
    return {m: text if text == YES else reason(row, m, text) for m, text in outcomes.items()}


def outcome(checked: Subject, check: Callable[[Subject], None]) -> str:
    """Say "yes" if a check passes, else what it raised.

    Whatever PyTorch says of itself (warnings, a log) is not of interest here.
    """
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), small_chunks():
            warnings.simplefilter("ignore")
            check(checked)
    except Exception as error:  # any failure of PyTorch or of a layer is the outcome
        return error_text(error)
    finally:
        log.setLevel(level)
    return YES


def error_text(error: BaseException) -> str:
    """Kind and first line of an error and of its causes."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(parts) < 4:
        lines = _COLOURS.sub("", str(cause)).strip().splitlines()
        parts.append(": ".join([type(cause).__name__, *lines[:1]]))
        cause = cause.__cause__ or cause.__context__
    return " <- ".join(parts)[:600]
