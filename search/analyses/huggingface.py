"""A folder of a Hugging Face model that somebody else may have written, as a model to be analysed.

Only models that transformers has the code of are built, from `config.json` and safetensors: nothing
in the folder is run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attenergy.attention.saving.weights import Allowance, TooLarge, read_json
from attenergy.registry import AnalysisError, ArgumentError, MissingPackage
from attenergy.registry.errors import clipped, nearest
from attenergy.registry.printable import printable

_CONFIG = "config.json"
#: What a model may take without `anyway`: bytes of its parameters, and operations to make them.
_MOST_BYTES, _MOST_STEPS = 8 << 30, 40_000
_SPARE_BYTES, _TIMES_WEIGHTS = 128_000_000, 4
#: Where `save_pretrained` of an energized model keeps what it is.
_ENERGIZED = "attenergy"


@dataclass(frozen=True)
class HuggingFaceModel:
    """A model of transformers, and what should be said of how it came to be.

    Attributes:
        model: in evaluation mode, in single precision.
        notes: a sentence each.
    """

    model: Any
    notes: tuple[str, ...]


def is_huggingface(folder: Path) -> bool:
    """Whether a folder holds the configuration of a model of transformers."""
    path = folder / _CONFIG
    if not path.is_file():
        return False
    config = read_json(path)
    return isinstance(config, dict) and "model_type" in config


def load_huggingface(
    folder: Path, *, from_config: bool = False, seed: int = 0, anyway: bool = False
) -> HuggingFaceModel:
    """Build the model of a folder, with its weights or with random ones.

    Args:
        folder: with `config.json`, as `save_pretrained` writes it.
        from_config: draw the weights at random instead of reading them.
        seed: of random weights.
        anyway: build it, whatever memory that takes.

    Raises:
        MissingPackage: transformers is not installed.
        ArgumentError: transformers has no such model (code in a folder is never run), the folder
            is damaged, has no safetensors, or describes a model that is
            larger than its weights explain, or than 8 GiB with random ones.
    """
    cls, config = _class_of(folder)
    energized = getattr(config, _ENERGIZED, None) is not None
    weights = 0 if from_config else _bytes_of_weights(folder)
    most = _MOST_BYTES if from_config else _SPARE_BYTES + _TIMES_WEIGHTS * weights
    if not anyway:
        _check_size(cls, config, most, folder)
    if from_config:
        return _at_random(cls, config, seed, folder)
    options = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False}
    try:
        with _quiet():
            model, info = _loader(cls, energized)(
                folder, dtype=torch.float32, output_loading_info=True, **options
            )
    except (OSError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise AnalysisError(f"{folder}: {_in_short(error)}") from error
    return HuggingFaceModel(model.eval(), tuple(_missing(info, folder)))


def _class_of(folder: Path) -> tuple[Any, Any]:
    """The class of a folder's model, and its configuration."""
    try:
        from transformers import CONFIG_MAPPING, AutoModel
    except ImportError as error:
        raise MissingPackage(
            "a Hugging Face model needs transformers: `pip install attenergy[hf]`"
        ) from error
    path = folder / _CONFIG
    stored = read_json(path)
    kind = stored.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        hint = nearest(clipped(str(kind)), CONFIG_MAPPING)
        raise AnalysisError(
            f"{path}: transformers has no model_type {clipped(repr(kind))}"
            f"{f' ({hint})' if hint else ''}; code that comes with a model is never run"
        )
    try:
        with _quiet():
            config = CONFIG_MAPPING[kind].from_dict(stored)
            cls = _named(stored.get("architectures")) or AutoModel._model_mapping[type(config)]
    except Exception as error:  # of values that somebody wrote
        raise AnalysisError(f"{path}: {_in_short(error)}") from error
    return (cls[0] if isinstance(cls, (list, tuple)) else cls), config


def _named(architectures: object) -> Any:
    """The class of transformers that a configuration names first."""
    import transformers

    first = architectures[0] if isinstance(architectures, list) and architectures else None
    cls = getattr(transformers, first, None) if isinstance(first, str) else None
    if isinstance(cls, type) and issubclass(cls, transformers.PreTrainedModel):
        return cls
    return None


def _loader(cls: Any, energized: bool) -> Any:
    if not energized:
        return cls.from_pretrained
    from functools import partial

    from attenergy.attention import load_energized

    return partial(load_energized, cls)


def _bytes_of_weights(folder: Path) -> int:
    files = [path for path in folder.glob("*.safetensors") if path.is_file()]
    if not files:
        pickled = any(folder.glob("*.bin"))
        more = "; pickled weights (*.bin) are not read, they may run code" if pickled else ""
        raise AnalysisError(
            f"{folder}: there is no *.safetensors{more}; --from-config takes random weights"
        )
    return sum(path.stat().st_size for path in files)


def _check_size(cls: Any, config: Any, most: int, folder: Path) -> None:
    """See how large a model would be, on the meta device, where nothing is allocated."""
    try:
        with _quiet(), Allowance(_MOST_STEPS, most, on_meta=True), torch.device("meta"):
            cls(config)
    except TooLarge as error:
        raise AnalysisError(
            f"{folder / _CONFIG}: it describes a model of more than {most / 2**30:.2g} GiB, or of "
            "very many parts; --anyway builds it"
        ) from error
    except Exception as error:  # of values that somebody wrote
        raise AnalysisError(f"{folder / _CONFIG}: cannot be built: {_in_short(error)}") from error


def _at_random(cls: Any, config: Any, seed: int, folder: Path) -> HuggingFaceModel:
    from attenergy.attention.integrations.huggingface.energized import energize_as_defined

    try:
        with _quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model: nn.Module = cls(config)
            if (stored := getattr(config, _ENERGIZED, None)) is not None:
                energize_as_defined(model, stored, folder)
    except ArgumentError:
        raise
    except Exception as error:  # of values that somebody wrote
        raise AnalysisError(f"{folder / _CONFIG}: cannot be built: {_in_short(error)}") from error
    note = f"random weights of seed {seed} (--from-config): nothing here was learned"
    return HuggingFaceModel(model.float().eval(), (note,))


def _missing(info: dict[str, Any], folder: Path) -> Iterator[str]:
    """What to say of weights that the folder lacks."""
    names = sorted(info["missing_keys"])
    if names:
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        yield f"{folder.name} lacks weights, which are random: {printable(shown)}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what transformers logs and draws while it builds a model."""
    from transformers.utils import logging as own_logging

    logging: Any = own_logging  # without types

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _in_short(error: Exception) -> str:
    return printable(f"{error}", lines=False)[:300] or type(error).__name__
