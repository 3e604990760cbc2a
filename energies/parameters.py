"""Parameters of an energy: declared in its entry, stored so that constraints always hold."""

from __future__ import annotations

import keyword
import math
from collections.abc import Callable, Iterator, Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from attenergy.energies.language import FormulaError, Number, parse
from attenergy.energies.settings.keywords import check_settings
from attenergy.energies.settings.numbers import as_float, plain, shown
from attenergy.registry import (
    ArgumentError,
    ArgumentTypeError,
    EnergySpec,
    Parameter,
    ParameterError,
)

Setting = float | int | str


_PLAIN = (bool, int, float, str)


class Settled(nn.Module):
    """A base of modules whose numbers and texts stay as they were when the module was made.

    They are what it was made of, which is what is saved: a change would act, and be lost. Names
    that begin with an underscore, and those that are new later, are free.
    """

    def settle(self) -> None:
        """Fix what is there, and what this package's classes say; called at the end of `__init__`.

        Setting another value then raises an `ArgumentError`.
        """
        own = (vars(c) for c in type(self).__mro__ if c.__module__.startswith("attenergy."))
        held = [(n, v) for part in (vars(self), *own) for n, v in part.items()]
        plain = {n for n, v in held if isinstance(v, _PLAIN) and not n.startswith("_")}
        vars(self)["_settled"] = frozenset(plain - {"training"})

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, unless it is settled."""
        if name in vars(self).get("_settled", ()):
            before = getattr(self, name)
            if not isinstance(value, _PLAIN) or value != before:
                raise ArgumentError(
                    f"{name} is fixed when the {type(self).__name__} is made ({before!r}), got "
                    f"{value!r}; make a new one"
                )
        super().__setattr__(name, value)


class Parameters(nn.Module):
    """The parameters of one energy.

    A `positive` parameter p is stored as log p, a `unit` one as its logit, so that no step of an
    optimiser can leave the domain. Per-head scalars have shape (H, 1, 1) and broadcast against
    (..., H, L, 1); per-head vectors (H, 1, D). Without a head axis, or shared by the heads, a
    scalar has shape (), and a vector is stored as (D,) and used as (1, D). A parameter that is not
    learnable is a number.

    Where a parameter still has its initial value, a change from float32 to float64 gives it all
    digits of it.

    Args:
        spec: the energy's entry.
        dim: head width D, which initial values may mention (`1/sqrt(D)`).
        num_heads: number of heads H; None for tensors without a head axis.
        settings: initial values that replace those of the entry.

    Raises:
        ValueError: a value breaks its parameter's constraint.
    """

    def __init__(
        self, spec: EnergySpec, dim: int, num_heads: int | None, settings: Mapping[str, Setting]
    ) -> None:
        super().__init__()
        self.declared = dict(spec.parameters)
        self.fixed: dict[str, float] = {}
        self.raw = RawParameters()
        self._starts: dict[str, float] = {}
        for name, parameter in self.declared.items():
            value = initial_value(name, parameter, dim, settings.get(name))
            if parameter.learnable == "no" and not parameter.shape:
                self.fixed[name] = value
            else:
                heads = num_heads if parameter.learnable == "per_head" else None
                self._starts[name] = raw = _to_raw(parameter, value)
                start = _filled(raw, parameter, dim, heads)
                self.raw[name] = nn.Parameter(start, requires_grad=parameter.learnable != "no")

    def values(self) -> dict[str, Tensor | float]:
        """Every parameter in its own units."""
        learned = {n: _from_raw(self.declared[n], raw) for n, raw in self.raw.items()}
        return {**self.fixed, **learned}

    @torch.no_grad()
    def assign(self, name: str, value: float) -> None:
        """Give a parameter one number in its own units, the same for all heads and components.

        Raises:
            ValueError: there is no such parameter that is a number, or it is out of its range.
        """
        parameter = self.declared.get(name)
        if parameter is None or len(parameter.shape) == 2:
            raise ArgumentError(f"no parameter '{name}' that is a number", topic="unknown-name")
        dtype = self.raw[name].dtype if name in self.raw else None
        value = initial_value(name, parameter, 1, value, dtype)
        if name in self.fixed:
            self.fixed[name] = value
        else:
            self._starts[name] = raw = _to_raw(parameter, value)
            self.raw[name].fill_(raw)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Parameters:
        before = {name: raw.dtype for name, raw in self.raw.items()}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, raw in self.raw.items():
            if before[name] == torch.float32 and raw.dtype == torch.float64 and not raw.is_meta:
                self._refine(name, raw)
        return self

    @torch.no_grad()
    def _refine(self, name: str, raw: Tensor) -> None:
        """Give entries that are initial values, rounded to float32, all their digits."""
        number = raw.new_full((), self._starts[name])
        raw.copy_(torch.where(raw == number.float(), number, raw))

    def extra_repr(self) -> str:
        """Names and fixed values, for printing."""
        return ", ".join([*self.raw, *(f"{n}={v:g}" for n, v in self.fixed.items())])


class RawParameters(nn.Module):
    """Learned tensors by name, as in `nn.ParameterDict`, whatever the name is.

    A parameter is stored under its own name or, where a module needs that for itself (`type`,
    `training`) or no attribute can have it (`lambda`), under `_raw_NAME`. Names of entries begin
    with a letter, so that no two can meet.
    """

    def __init__(self) -> None:
        super().__init__()
        self._stored: dict[str, str] = {}

    def __setitem__(self, name: str, raw: nn.Parameter) -> None:
        if name not in self._stored:
            taken = hasattr(self, name) or keyword.iskeyword(name)
            self._stored[name] = f"_raw_{name}" if taken else name
        setattr(self, self._stored[name], raw)

    def __getitem__(self, name: str) -> nn.Parameter:
        raw: nn.Parameter = getattr(self, self._stored[name])
        return raw

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __contains__(self, name: object) -> bool:
        return name in self._stored

    def __len__(self) -> int:
        return len(self._stored)

    def keys(self) -> list[str]:
        """The names."""
        return list(self._stored)

    def items(self) -> list[tuple[str, nn.Parameter]]:
        """Names and tensors."""
        return [(name, self[name]) for name in self._stored]


def initial_value(
    name: str,
    parameter: Parameter,
    dim: int,
    setting: Setting | None,
    dtype: torch.dtype | None = None,
) -> float:
    """The number a parameter starts from.

    Args:
        name: of the parameter.
        parameter: as it is declared.
        dim: D.
        setting: what is given in place of its initial value, or None.
        dtype: of the tensor that it goes into; the one that tensors have by default if None.

    Raises:
        ValueError: it is not a finite number within the parameter's constraint, or not as a number
            of that type.
    """
    given: Any = parameter.init if setting is None else plain(setting)
    if isinstance(given, bool) or not isinstance(given, (Real, str)):
        raise ParameterError(
            f"parameter '{name}' must be a number or an expression in D, got {given!r}"
        )
    try:
        value = constant(given if isinstance(given, str) else as_float(given), dim)
    except FormulaError as error:
        raise ParameterError(f"parameter '{name}': {error.message} (in {given!r})") from None
    if not math.isfinite(value):
        raise ParameterError(f"parameter '{name}' must be a finite number, got {shown(given)}")
    if parameter.constraint == "positive" and value <= 0:
        raise ParameterError(f"parameter '{name}' must be above 0, got {value:g}")
    if parameter.constraint == "unit" and not 0 < value < 1:
        raise ParameterError(f"parameter '{name}' must lie between 0 and 1, got {value:g}")
    limits = torch.finfo(torch.get_default_dtype() if dtype is None else dtype)
    small = parameter.constraint == "positive" and value < limits.smallest_normal * limits.eps
    if abs(value) > limits.max or small:
        raise ParameterError(
            f"parameter '{name}' must be a number that {limits.dtype} can hold, got {value:g}, "
            f"which is {'0' if small else 'infinity'} there"
        )
    return value


def checked_settings(
    settings: Mapping[str, Setting] | None, known: list[str], owner: str
) -> dict[str, Setting]:
    """Settings of an energy, with numbers of Python's where numpy's are given.

    Raises:
        ValueError: the energy does not have one of them.
    """
    given = {name: plain(value) for name, value in (settings or {}).items()}
    check_settings(given, known, owner)
    return given


def constant(text: float | int | str, dim: int) -> float:
    """The value of a number or of a constant expression in D; infinite where it is too large.

    Raises:
        FormulaError: the expression is not a constant.
    """
    if not isinstance(text, str):
        return as_float(text)
    tree = parse(text, {"D": Number(float(dim))})
    if not isinstance(tree, Number):
        raise FormulaError("this is not a constant", text, 0, topic="parameter-value")
    return tree.value


def check_made(energy: Any) -> None:
    """Check that something is an energy that is made, and not what one is made from.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(getattr(energy, "parameters_", None), Parameters):
        text = isinstance(energy, str)
        got = shown(energy) if text else getattr(energy, "__name__", type(energy).__name__)
        raise ArgumentTypeError(
            "energy must be one that is made, as attenergy.make_energy("
            f"{got if text else '...'}, dim=...) makes it, got {got}",
            topic="energy-argument",
        )


def _to_raw(parameter: Parameter, value: float) -> float:
    if parameter.constraint == "positive":
        return math.log(value)
    if parameter.constraint == "unit":
        return math.log(value / (1 - value))
    return value


def _from_raw(parameter: Parameter, raw: Tensor) -> Tensor:
    if raw.ndim == 1:  # a vector without heads; its axis D is the last of (..., L, D)
        raw = raw.unsqueeze(0)
    if parameter.constraint == "positive":
        return raw.exp()
    if parameter.constraint == "unit":
        return raw.sigmoid()
    return raw


def _filled(raw: float, parameter: Parameter, dim: int, num_heads: int | None) -> Tensor:
    """A tensor of the parameter's shape: constant, or a multiple of the identity for [D, D]."""
    heads = () if num_heads is None else (num_heads,)
    if len(parameter.shape) == 2:
        square = raw * torch.eye(dim)
        return square.expand(*heads, dim, dim).clone()
    inner = (dim,) * len(parameter.shape)
    if num_heads is None:
        return torch.full(inner, raw)
    return torch.full((num_heads, 1, *(inner or (1,))), raw)
