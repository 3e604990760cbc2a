"""Reading the description of a saved model, which others may have written, changed or cut."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from attenergy.attention.saving.format import (
    CONFIG,
    FORMAT,
    OWN,
    WEIGHTS,
    Arguments,
    GroupsArguments,
    LayerArguments,
    ModelArguments,
)
from attenergy.attention.saving.own_model import OwnModelArguments
from attenergy.attention.saving.validation_text import problems
from attenergy.attention.saving.weights import SavedError, read_json
from attenergy.registry import ArgumentError, ArgumentTypeError, missing, read_needs
from attenergy.registry.errors import clipped


def checked_folder(path: Any) -> Path:
    """The path of a folder.

    Raises:
        TypeError: it is no path.
        ValueError: it is empty.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentTypeError(
            f"path must be the path of a saved model's folder, as text or a Path, got "
            f"{type(path).__name__}",
            topic="saved-model",
        )
    if not os.fspath(path):
        raise ArgumentError(
            "path must be the path of a saved model's folder, got an empty text",
            topic="saved-model",
        )
    return Path(path)


def read_arguments(folder: str | Path) -> ModelArguments:
    """Read and check the description in a saved model's folder, without its weights.

    Raises:
        SavedError: if the folder is missing or damaged, or holds a layer alone.
    """
    arguments = read_description(folder)
    if not isinstance(arguments, ModelArguments):
        what = "a user's own model" if isinstance(arguments, OwnModelArguments) else "a layer alone"
        raise SavedError(f"{folder}: holds {what}, not a model")
    return arguments


def read_description(folder: str | Path) -> Arguments:
    """Read and check the description in a saved folder, without its weights.

    Raises:
        SavedError: if the folder is missing or damaged, or of a newer format.
    """
    path = checked_folder(folder) / CONFIG
    try:
        config = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        raise SavedError(_not_saved(Path(folder))) from None
    version = config.get("format") if isinstance(config, dict) else None
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise SavedError(f"{path}: not a saved model, 'format' is {clipped(repr(version))}")
    if version > FORMAT:
        raise SavedError(
            f"{path}: has format {clipped(str(version))}, but this attenergy reads up to {FORMAT}; "
            "upgrade it"
        )
    part = next((name for name in ("layer", OWN) if name in config), "model")
    _check_plugins(config.get("plugins", []), path)
    try:
        content = config.get(part)
        if part == OWN:
            return OwnModelArguments.model_validate(content)
        if part == "model":
            return ModelArguments.model_validate(content)
        grouped = isinstance(content, dict) and "groups" in content
        return (GroupsArguments if grouped else LayerArguments).model_validate(content)
    except ValidationError as error:
        raise SavedError(f"{path}: {problems(error, part)}") from None


def _check_plugins(needs: object, place: Path) -> None:
    """Refuse what was saved with a plug-in that is not loaded here."""
    try:
        text = missing(read_needs(needs))
    except ValidationError as error:
        raise SavedError(f"{place}: plugins: {clipped(error.errors()[0]['msg'], 300)}") from None
    if text:
        raise SavedError(f"{place}: {text}")


def _not_saved(folder: Path) -> str:
    """What a folder without a description is instead, and where one may be."""
    if folder.is_file():
        return f"{folder}: is a file; a saved model is a folder with {CONFIG} and {WEIGHTS}"
    if not folder.exists():
        return (
            f"{folder}: not a saved model, there is no such folder; `save_pretrained`, "
            "`attenergy export` and a search that has come to its end write one"
        )
    inside = sorted(file.parent for file in folder.glob(f"*/{CONFIG}"))
    hint = f"; {inside[0]} has one" if inside else ""
    return f"{folder}: not a saved model, there is no {CONFIG}{hint}"
