"""What a model is called with where no task says it: a file of the user's, or random tokens."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attenergy.attention.saving.format import AnyLayer, LayerArguments, ModelArguments
from attenergy.attention.saving.weights import read_json, read_tensors
from attenergy.registry import AnalysisError, MissingPackage
from attenergy.registry.errors import nearest
from attenergy.registry.files import read_regular

#: Numbers that a file of inputs may hold, and bytes of one that is a text.
_MOST_NUMBERS, _MOST_TEXT = 1 << 27, 4_000_000
_TOKENIZER = "tokenizer.json"
#: The length of random sequences, where the model takes as many.
LENGTH = 128

#: What one call of a model is given: by position, and by name.
Batch = tuple[tuple[Any, ...], dict[str, Any]]


def batches(arguments: Mapping[str, Tensor], size: int) -> Iterator[Batch]:
    """The arguments of a model in batches of at most so many instances.

    Args:
        arguments: by name; the first axis of each counts instances.
        size: instances of a batch.
    """
    count = len(next(iter(arguments.values())))
    for start in range(0, count, size):
        yield (), {name: value[start : start + size] for name, value in arguments.items()}


def read_inputs(path: Path, model: nn.Module, instances: int) -> dict[str, Tensor]:
    """The first instances in a file of arguments by their names: safetensors, or JSON.

    Args:
        path: `{"input_ids": [[...], ...], ...}` in JSON, or tensors of such names.
        model: that is called with them.
        instances: how many, at most.

    Raises:
        ArgumentError: the file is damaged or too large, holds no such data, the arguments differ in
            their number of instances, or `forward` takes none of such a name.
    """
    tensors = read_tensors(path) if path.suffix == ".safetensors" else _from_json(path)
    if not tensors:
        raise AnalysisError(f"{path}: holds no inputs")
    counts = {name: value.shape[0] if value.ndim else 0 for name, value in tensors.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        said = ", ".join(f"{name} {tuple(value.shape)}" for name, value in tensors.items())
        raise AnalysisError(
            f"{path}: the first axis of every input counts instances, as many for all and one at "
            f"least; got {said}"
        )
    if (numbers := sum(value.numel() for value in tensors.values())) > _MOST_NUMBERS:
        raise AnalysisError(f"{path}: holds {numbers:,} numbers; {_MOST_NUMBERS:,} are allowed")
    _check_names(path, model, tensors)
    return {name: value[:instances].contiguous() for name, value in tensors.items()}


def read_texts(path: Path, folder: Path, length: int, instances: int) -> dict[str, Tensor]:
    """The first lines of a text as tokens of a Hugging Face model, padded to the longest.

    Args:
        path: of the text; lines that are empty are passed over.
        folder: of the model, with its `tokenizer.json`.
        length: tokens of a line, at most.
        instances: how many lines, at most.

    Raises:
        MissingPackage: `tokenizers`, which comes with transformers, is not installed.
        ArgumentError: there is no tokenizer, or no text.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingPackage(
            "texts for a Hugging Face model need tokenizers: `pip install attenergy[hf]`"
        ) from error
    if not (folder / _TOKENIZER).is_file():
        raise AnalysisError(
            f"{folder}: there is no {_TOKENIZER} to read {path.name} with; give token ids as "
            '{"input_ids": [[...]]} in JSON'
        )
    try:
        tokenizer = Tokenizer.from_str(read_regular(folder / _TOKENIZER, 1 << 27).decode())
    except Exception as error:  # the library raises nothing more special
        raise AnalysisError(f"{folder / _TOKENIZER}: cannot be read: {str(error)[:300]}") from error
    text = read_regular(path, _MOST_TEXT).decode("utf-8", errors="replace")
    lines = [line for line in map(str.strip, text.splitlines()) if line][:instances]
    if not lines:
        raise AnalysisError(f"{path}: holds no text")
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding()
    tokens = tokenizer.encode_batch(lines)
    return {
        "input_ids": torch.tensor([each.ids for each in tokens]),
        "attention_mask": torch.tensor([each.attention_mask for each in tokens]),
    }


def random_inputs(
    model: Any, *, instances: int, length: int | None = None, seed: int = 0
) -> tuple[dict[str, Tensor], str]:
    """Random inputs of a Hugging Face model, and what they are in words.

    Args:
        model: of transformers.
        instances: how many.
        length: tokens of each; by default 128, or as many as the model takes.
        seed: of the draws.

    Raises:
        ArgumentError: the model reads neither tokens nor pictures, or fewer tokens.
    """
    name, config = model.main_input_name, model.config
    generator = torch.Generator().manual_seed(seed)
    if name == "pixel_values":
        size = getattr(config, "image_size", 224)
        height, width = size if isinstance(size, (list, tuple)) else (size, size)
        shape = (instances, getattr(config, "num_channels", 3), height, width)
        noise = torch.randn(shape, generator=generator)
        return {name: noise}, f"{instances} pictures of random noise, seed {seed}"
    vocabulary = getattr(config.get_text_config(), "vocab_size", None)
    if name != "input_ids" or not isinstance(vocabulary, int):
        raise AnalysisError(
            f"{type(model).__name__} reads {name}: give it with --inputs FILE, as safetensors or "
            "JSON"
        )
    most = getattr(config.get_text_config(), "max_position_embeddings", None)
    limit = most if isinstance(most, int) and most > 0 else LENGTH if length is None else length
    count = min(LENGTH, limit) if length is None else length
    if count > limit:
        raise AnalysisError(f"--length is {length}, and the model takes at most {limit} tokens")
    ids = torch.randint(vocabulary, (instances, count), generator=generator)
    inputs = {name: ids, "attention_mask": torch.ones_like(ids)}
    if getattr(config, "is_encoder_decoder", False):
        inputs["decoder_input_ids"] = torch.randint(
            vocabulary, (instances, count), generator=generator
        )
    said = f"{instances} x {count} random token ids of {vocabulary}, seed {seed}: no text"
    return inputs, said


def random_of_export(
    model: nn.Module,
    arguments: AnyLayer | ModelArguments,
    *,
    instances: int,
    length: int | None = None,
    seed: int = 0,
) -> tuple[dict[str, Tensor], str]:
    """Random inputs of a saved model or layer, and what they are in words.

    Args:
        model: as it was saved.
        arguments: its description.
        instances: how many.
        length: tokens of each; by default 128, or as many as the model is made for.
        seed: of the draws.

    Raises:
        ArgumentError: the model is made for fewer tokens.
    """
    generator = torch.Generator().manual_seed(seed)
    name = next(iter(inspect.signature(model.forward).parameters))
    made_for = arguments.length if isinstance(arguments, ModelArguments) else None
    count = min(LENGTH, made_for or LENGTH) if length is None else length
    if made_for is not None and count > made_for:
        raise AnalysisError(f"--length is {length}, and the model is made for {made_for} tokens")
    if isinstance(arguments, ModelArguments) and arguments.kind == "token":
        shape = (instances, count, arguments.channels)[: 2 if arguments.channels == 1 else 3]
        ids = torch.randint(arguments.size, shape, generator=generator)
        said = f"{instances} x {count} random tokens of {arguments.size}, seed {seed}"
        return {name: ids}, said
    width = arguments.size if isinstance(arguments, ModelArguments) else arguments.embed_dim
    noise = torch.randn(instances, count, width, generator=generator)
    names = _of_drop_in(arguments) if isinstance(arguments, LayerArguments) else ()
    said = f"{instances} x {count} tokens of random noise, seed {seed}"
    return dict.fromkeys(names or (name,), noise), said


def _of_drop_in(arguments: LayerArguments) -> tuple[str, ...]:
    """The arguments of a drop-in that attends within a sequence; none for layers of other kinds.

    Raises:
        ArgumentError: the layer reads no sequence.
    """
    if arguments.kind in ("conv", "gnn", "aggregation"):
        raise AnalysisError(
            "analyses look at attention within sequences; a layer on graphs or sets has no such "
            "attention"
        )
    if arguments.kind != "multihead":
        return ()
    widths = {arguments.settings.get(name, arguments.embed_dim) for name in ("kdim", "vdim")}
    if widths != {arguments.embed_dim} or not arguments.settings.get("batch_first"):
        raise AnalysisError(
            "random inputs of an EnergyMultiheadAttention are one sequence (B, L, E): it must have "
            "batch_first, and keys and values as wide as queries; else give --inputs FILE"
        )
    return ("query", "key", "value")


def _from_json(path: Path) -> dict[str, Tensor]:
    """Arguments in JSON; a list alone is the first of them."""
    data = read_json(path)
    if not isinstance(data, dict):
        raise AnalysisError(
            f'{path}: inputs are written as {{"input_ids": [[...], ...]}}, each under the name of '
            f"an argument of the model; got {type(data).__name__}"
        )
    tensors = {}
    for name, value in data.items():
        try:
            tensors[name] = torch.tensor(value)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise AnalysisError(f"{path}: {name!r:.80} is no array of numbers: {error}") from error
    return tensors


def _check_names(path: Path, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """See that a model is called with what its `forward` takes."""
    own = inspect.signature(model.forward).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values()):
        return
    for name in tensors:
        if name not in own:
            hint = nearest(name, own)
            raise AnalysisError(
                f"{path}: {type(model).__name__} takes no {name!r:.80}"
                f"{f' ({hint})' if hint else ''}; its arguments: {', '.join(own)}"
            )
