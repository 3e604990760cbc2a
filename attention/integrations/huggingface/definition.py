"""How a Hugging Face model was energized, as it stands in its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from attenergy.attention.integrations.huggingface.heads import ENTRY
from attenergy.attention.layers.base import Read
from attenergy.attention.saving.description import checked_folder
from attenergy.attention.saving.validation_text import problems
from attenergy.registry import ArgumentError, EnergySpec, PluginNeed, missing

#: A size of a tensor.
Size = Annotated[int, Field(ge=0, lt=2**31)]


class Definition(BaseModel):
    """How a model was energized: what stands under `attenergy` in its `config.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(default=1, ge=1, le=1)
    energy: EnergySpec
    steps: int | None = None
    step_size: float | None = None
    read: Read = "auto"
    settings: dict[str, bool | float | int | str] = {}
    changed: dict[str, dict[str, bool | float | int | str]] = {}  # later, by attention module
    # Sizes of graphs of the user's own, by attention module, place of the energy and tensor.
    graphs: dict[str, dict[str, dict[str, tuple[Size, ...]]]] = {}
    plugins: tuple[PluginNeed, ...] = ()


def check_place(path: Any, options: dict[str, Any]) -> None:
    """Check what `load_energized` is told of where a model is.

    Raises:
        TypeError: it is no path or name.
        ValueError: it is empty or a file, or is missing, and there is no configuration either.
    """
    if path is None:
        if options.get("config") is None or options.get("state_dict") is None:
            raise ArgumentError(
                "path must be a folder or a name on the hub, got None; without one give both "
                "`config` and `state_dict`",
                topic="saved-model",
            )
    elif checked_folder(path).is_file():
        raise ArgumentError(
            f"{path}: is a file; `save_pretrained` wrote a folder, here {Path(path).parent}",
            topic="saved-model",
        )


def read_definition(stored: Any, path: str | Path | None) -> Definition:
    """What stands under `attenergy` in a configuration.

    Raises:
        ArgumentError: it is missing or damaged, or needs a plug-in that is not loaded.
    """
    if stored is None:
        raise ArgumentError(
            f"{path}: its configuration holds no '{ENTRY}'; it was not energized",
            topic="saved-model",
        )
    try:
        definition = Definition.model_validate(stored)
    except ValidationError as error:
        raise ArgumentError(f"{path}: {problems(error, ENTRY)}", topic="saved-model") from None
    if text := missing(definition.plugins):
        raise ArgumentError(f"{path}: {text}", topic="saved-model")
    return definition
