"""Reading a saved model that somebody else may have written.

Nothing in the folder is run. Sizes and types are looked at before memory is taken: the description
has to fit the weights, and what is built has to be explained by them.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from attenergy.registry import ArgumentError, AttenergyError
from attenergy.registry.files import open_regular, read_regular
from attenergy.registry.printable import printable

MAX_CONFIG_BYTES = 4_000_000
MAX_HEADER_BYTES = 10_000_000
# What a module may need besides its weights, such as tables of positions: bytes, and operations.
# All tensors of its making count, also those that only fill others: up to 18 times the weights.
_SPARE_BYTES, _TIMES_BYTES = 128_000_000, 64
_SPARE_STEPS, _STEPS_PER_TENSOR = 4_000, 100
_SMALL = 4096  # elements
_HOLES = 16  # a file of which less than this share is on the disk is mostly holes


class SavedError(AttenergyError, ValueError):
    """A folder that cannot be read as a saved model, or must not be overwritten."""

    topic = "saved-model"

    def __init__(self, text: str) -> None:
        super().__init__(printable(text))


class TooLarge(Exception):
    """More was asked for than the weights explain.

    No ValueError: nobody on the way may take it for an energy that does not fit.
    """


class _ReadsValues(Exception):
    """A module that cannot be built without values, so not on the meta device."""


def read_json(path: Path) -> Any:
    """The data in a JSON file of moderate size.

    Raises:
        FileNotFoundError: there is none.
        NotADirectoryError: its folder is a file.
        SavedError: it is no regular file, too large, no UTF-8 or no JSON.
    """
    try:
        return json.loads(read_regular(path, MAX_CONFIG_BYTES).decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise SavedError(f"{path}: cannot be read: {error.strerror or error}") from None
    except RecursionError:
        raise SavedError(f"{path}: cannot be read: it is nested too deeply") from None
    except ValueError as error:  # of the text, of JSON, or of a number with too many digits
        raise SavedError(f"{path}: cannot be read: {error}") from None


def rebuild(
    build: Callable[[], nn.Module], path: Path, place: Path, *, least: int = 0
) -> nn.Module:
    """Build a module and give it the weights in a safetensors file.

    It is built on the meta device first, where tensors have shapes and no values, and compared
    with the file; then for good, with no more memory than the weights explain.

    Args:
        build: makes the module, with fresh weights.
        path: the weights.
        place: of the description, for errors.
        least: tensors that the module has at least.

    Raises:
        SavedError: the weights are missing or damaged, the module cannot be built, needs more than
            they explain, or does not fit them.
    """
    state = read_tensors(path)
    if least > len(state):
        raise SavedError(
            f"{place}: it describes {least} layers, and there are {len(state)} tensors"
        )
    steps = _SPARE_STEPS + _STEPS_PER_TENSOR * len(state)
    size = sum(value.numel() * value.element_size() for value in state.values())
    # Fresh weights are drawn only to be replaced: keep the caller's random stream as it was.
    with torch.random.fork_rng(devices=[]):
        with suppress(_ReadsValues), Allowance(steps, _SPARE_BYTES), torch.device("meta"):
            _fit(_built(build, place), state, path)
        with Allowance(steps, _SPARE_BYTES + _TIMES_BYTES * size):
            model = _built(build, place)
    _fit(model, state, path)
    return model


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """Copies of a model's tensors, as safetensors takes them: rows after rows."""
    return {
        name: value.detach().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }


def load_weights(model: nn.Module, path: Path) -> None:
    """Give a model the weights in a safetensors file, with the dtypes they have there.

    Raises:
        SavedError: if the file is missing or damaged, or belongs to another model.
    """
    _fit(model, read_tensors(path), path)


class Allowance(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context in which tensors are made, in so many operations and of so many bytes in all.

    What an operation gives is worked out on the meta device first, so that nothing is allocated
    for one that is refused. What is made on the meta device takes nothing, or, with `on_meta`, as
    much as it would elsewhere.

    Raises:
        TooLarge: from the operation that would be too much.
    """

    def __init__(self, steps: int, size: int, *, on_meta: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps, self.size, self.on_meta = steps, size, on_meta

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation if there is enough left for it."""
        kwargs = kwargs or {}
        self.steps -= 1
        if not func._schema.is_mutable:
            self.size -= _result_size(func, args, kwargs, free_on_meta=not self.on_meta)
        if min(self.steps, self.size) < 0:
            raise TooLarge("it describes a module that is larger than its weights explain")
        return func(*args, **kwargs)


@contextmanager
def beside(model: nn.Module) -> Iterator[None]:
    """A context in which a model gets modules of its own size, or some that are small.

    Raises:
        ValueError: they are larger than the model explains.
    """
    parameters = list(model.parameters())
    size = sum(p.numel() * p.element_size() for p in parameters)
    steps = 10_000 + 1_000 * len(parameters)
    try:
        # On the meta device, too: what is made there gets its values, and its memory, later.
        with Allowance(steps, _SPARE_BYTES + _TIMES_BYTES * size, on_meta=True):
            yield
    except TooLarge as error:
        text = "the configuration describes energies that are larger than the model explains"
        raise ArgumentError(text, topic="saved-model") from error


def _result_size(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, free_on_meta: bool
) -> int:
    """Bytes of an operation's result.

    0 on the meta device, if that is free, and where the size depends on values and is no larger.
    """
    leaves = tree_leaves((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    on_meta = kwargs.get("device") == torch.device("meta") or any(x.is_meta for x in tensors)
    if free_on_meta and on_meta:
        return 0
    whole = (leaf for leaf in leaves if isinstance(leaf, int) and leaf > 1)
    most = math.prod((*(x.numel() for x in tensors), *whole))
    if most <= _SMALL:  # no operation gives more than that, and most are small
        return 8 * most
    names = {argument.name for argument in func._schema.arguments}
    place = {"device": torch.device("meta")} if "device" in names else {}
    try:
        result = func(*tree_map(_on_meta, args), **{**tree_map(_on_meta, kwargs), **place})
    except (RuntimeError, NotImplementedError):
        return 0
    results = result if isinstance(result, (tuple, list)) else [result]
    return sum(x.numel() * x.element_size() for x in results if isinstance(x, Tensor))


def _on_meta(value: Any) -> Any:
    return value.to("meta") if isinstance(value, Tensor) else value


def _built(build: Callable[[], nn.Module], place: Path) -> nn.Module:
    try:
        return build()
    except (ValueError, TooLarge) as error:
        raise SavedError(f"{place}: {error}") from error
    except Exception as error:  # numbers of any size and names of anything stand in a description
        if "meta tensor" in str(error) or isinstance(error, NotImplementedError):
            raise _ReadsValues from error
        text = str(error).split("\n", maxsplit=1)[0][:300]
        raise SavedError(f"{place}: cannot be built: {type(error).__name__}: {text}") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors in a safetensors file that somebody else may have written.

    Raises:
        SavedError: it is missing, damaged, no regular file, or mostly holes.
    """
    try:
        with open_regular(path) as file:
            _check_weights(path, file.fileno(), int.from_bytes(file.read(8), "little"))
        return load_file(path)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SavedError(f"{path}: cannot be read: {reason}") from None


def _check_weights(path: Path, number: int, header: int) -> None:
    status = os.fstat(number)
    if header > min(MAX_HEADER_BYTES, status.st_size):
        raise SavedError(f"{path}: cannot be read: its header is said to have {header} bytes")
    on_disk = getattr(status, "st_blocks", None)
    if on_disk is not None and status.st_size > 2**20 and on_disk * 512 * _HOLES < status.st_size:
        raise SavedError(f"{path}: cannot be read: it is mostly holes")


def _fit(model: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    tied: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        tied.setdefault(id(parameter), []).append(name)
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise SavedError(f"{path}: does not fit its model: {str(error)[:2000]}") from None
    for first, *others in tied.values():  # each has come back as a tensor of its own
        for other in others:
            module, _, name = other.rpartition(".")
            setattr(model.get_submodule(module), name, model.get_parameter(first))
