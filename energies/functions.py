"""Energies that a plain Python function of (xi, X) defines."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from attenergy.energies.base import Energy
from attenergy.energies.presence import may_count
from attenergy.energies.seen_patterns import Inputs, of_seen
from attenergy.registry import ArgumentError, ArgumentTypeError, Parameter

#: What a function is called with: one state at a time, or all states of a sample.
Form = Literal["state", "states"]
_FORMS: tuple[Form, ...] = ("state", "states")


@dataclass(frozen=True)
class Takes:
    """What a function takes besides (xi, X), by its signature.

    Attributes:
        mask: whether it takes `mask`.
        h: what it calls the field, `h` or `field`; empty if it takes none.
        parameters: the others by name, with their defaults (None where there is none).
    """

    mask: bool = False
    h: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)


class FunctionEnergy(Energy):
    """E(xi; X) as a function says, for one state xi [D] and the patterns X [N, D] that it sees.

    The function is batched by `torch.vmap`. One that only works on all states of a sample at once,
    xi [L, D] -> [L], is called so; then no state may act on another. Further arguments, by name:

        mask    boolean [N], or [L, N] for all states: what is seen. Without it the function gets
                the patterns that are seen and no others: masking is deleting, at the price of one
                call for every different row of the mask, and not in a compiled or exported graph
        h       the field [N] or [L, N], also by the name `field`
        others  parameters, as scalars (or vectors and matrices, as they are declared)

    Arguments as for `Energy`.

    Raises:
        ArgumentError: the function does not give one number per state, or not without what its mask
            hides.
    """

    function: ClassVar[Callable[..., Any]]
    takes: ClassVar[Takes] = Takes()

    def setup(self) -> None:
        """Call the function once, on a few numbers, to see how it is to be called."""
        known = self.takes.parameters
        for name in self.spec.parameters:
            if name not in known:
                raise ArgumentError(
                    f"the function '{self.spec.title}' takes no parameter '{name}'; "
                    f"it takes {', '.join(known) or 'none'}",
                    topic="unknown-name",
                )
        self.form: Form = self._form()

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The function's value, (..., L)."""
        if not xi.numel():
            return xi.sum(-1)
        given = self._inputs(xi, X, mask, field)
        if mask is None or self.takes.mask:
            return self._call(self.form, given)
        if not may_count(mask):
            raise ArgumentError(
                f"the function '{self.spec.title}' gets only the patterns that are seen, which "
                "cannot be compiled, exported or mapped with a mask: let it take `mask` as well",
                topic="own-function",
            )
        return of_seen(partial(self._call, self.form), given)

    def __reduce__(self) -> tuple[Any, ...]:
        """As the function and what belongs to the instance: no module holds the class."""
        return _blank, (type(self).function,), self.__dict__

    def _inputs(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Inputs:
        orders = tuple(len(p.shape) for p in self.spec.parameters.values())
        values = self.values()
        parameters = tuple(
            _parameter(_on_device(torch.as_tensor(values[name]), xi), order)
            for name, order in zip(self.spec.parameters, orders, strict=True)
        )
        return Inputs(xi, X, mask, field, parameters, orders)

    def _call(self, form: Form, given: Inputs) -> Tensor:
        """The function's value (..., L), batched."""
        xi, X, alone = given.xi, given.X, form == "state"
        of_pairs: dict[str, Tensor] = {}
        if self.takes.mask:
            shown = X.new_ones(1, X.shape[-2], dtype=torch.bool)
            of_pairs["mask"] = shown if given.mask is None else given.mask
        if self.takes.h:
            none = X.new_zeros(1, X.shape[-2])
            of_pairs[self.takes.h] = none if given.field is None else given.field
        if not alone:
            sizes = (xi.shape[-2], X.shape[-2])
            of_pairs = {n: t.expand(*t.shape[:-2], *sizes) for n, t in of_pairs.items()}
        names = [*of_pairs, *self.spec.parameters]
        # Among the axes of the batch are the states, where each is called alone.
        tensors = [xi, X.unsqueeze(-3) if alone else X, *of_pairs.values()]
        axes = [1 if alone else 2, 2, *(1 if alone else 2,) * len(of_pairs), *given.orders]
        tensors += [
            t.unsqueeze(-order - 1) if alone else t
            for t, order in zip(given.parameters, given.orders, strict=True)
        ]
        function = type(self).function

        def call(state: Tensor, patterns: Tensor, *others: Tensor) -> Any:
            return function(state, patterns, **dict(zip(names, others, strict=True)))

        return _mapped(call, tensors, axes)

    def _form(self) -> Form:
        """How the function is called, found out on a few numbers."""
        like = _like(type(self).function)
        generator = torch.Generator().manual_seed(0)
        heads = () if self.num_heads is None else (1,)
        problems = []
        with torch.device("cpu"):  # by default, tensors may go where they have no values
            draws = [torch.randn(*heads, n, self.dim, generator=generator) for n in (2, 3)]
        with torch.device(like.device):
            xi, X = (draw.to(like) for draw in draws)
            for form in _FORMS:
                problem = self._problem(form, xi, X)
                if not problem:
                    return form
                problems.append(problem)
        raise ArgumentError(
            f"the function '{self.spec.title}' must return one number for a state xi [D] and "
            f"patterns X [N, D], but {problems[0]}; with all states xi [L, D], {problems[1]}",
            topic="own-function",
        )

    def _problem(self, form: Form, xi: Tensor, X: Tensor) -> str:
        """Why the function cannot be called so; empty if it can."""
        try:
            given = self._inputs(xi.clone(), X.clone(), None, None)
            value = self._call(form, given)
            if not (_same(given.xi, xi) and _same(given.X, X)):
                return "it changes xi or X in place"
            wanted = torch.broadcast_shapes(xi.shape[:-1], self._heads())  # type: ignore[no-untyped-call]
            if value.shape != wanted or not value.is_floating_point():
                shape = tuple(value.shape[len(wanted) - (form == "states") :])
                return f"it returns {value.dtype} of shape {shape}"
            if not _same(self._call(form, given), value):
                return "it returns another number when it is called again"
            if form == "states":
                alone = [
                    self._call(form, given.states(one))
                    for one in (torch.tensor([0]), torch.tensor([1]))
                ]
                if not torch.allclose(torch.cat(alone, -1), value, atol=1e-4, rtol=1e-4):
                    return "its states act on each other"
        except Exception as error:  # whatever the user's function does
            if isinstance(error, _NoTensor):
                return str(error)
            return f"it raises {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        if not self.takes.mask:
            return ""
        seen = torch.arange(X.shape[-2]).unsqueeze(0) < X.shape[-2] - 1
        masked = self._call(form, replace(given, mask=seen))
        deleted = self._call(form, given.seen(seen[0]))
        if torch.allclose(masked, deleted, atol=1e-4, rtol=1e-4):
            return ""
        raise ArgumentError(
            f"the function '{self.spec.title}' takes a mask, but what the mask hides still acts: "
            "masking a pattern must be the same as deleting it",
            topic="own-function",
        )

    def _heads(self) -> tuple[int, ...]:
        per_head = any(p.learnable == "per_head" for p in self.spec.parameters.values())
        return (self.num_heads, 1) if self.num_heads is not None and per_head else ()


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal; those without values are, while a layer is loaded."""
    return one.is_meta or torch.allclose(one, other, equal_nan=True)


class _NoTensor(ArgumentTypeError):
    """What a function returned cannot be an energy."""


@lru_cache(maxsize=256)
def function_class(function: Callable[..., Any]) -> type[FunctionEnergy]:
    """The class of the energy that a function defines; the same for the same function.

    Raises:
        ArgumentTypeError: the function does not take (xi, X).
    """
    name = name_of_function(function)
    takes = arguments_of(function)
    return type(
        name,
        (FunctionEnergy,),
        {
            "__doc__": getattr(function, "__doc__", None) or f"E as the function `{name}` says.",
            "__module__": getattr(function, "__module__", __name__),
            "function": staticmethod(function),
            "takes": takes,
            "reads_field": bool(takes.h),
        },
    )


def deletes(energy: Energy) -> bool:
    """Whether what a mask hides is taken out of the patterns, which depends on its numbers."""
    return isinstance(energy, FunctionEnergy) and not energy.takes.mask


def name_of_function(function: Callable[..., Any]) -> str:
    """What a function is called: its own name, or its class's."""
    inner = getattr(function, "func", function)  # of a functools.partial
    name = getattr(inner, "__name__", type(inner).__name__)
    return "function" if name == "<lambda>" else str(name)


def arguments_of(function: Callable[..., Any]) -> Takes:
    """What a function takes besides (xi, X).

    Raises:
        ArgumentTypeError: it does not take two arguments, or needs one that has no name.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # one of torch's own: it says nothing of its arguments
        return Takes()
    placed = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    gathers = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if len(placed) < 2 and not gathers:
        raise ArgumentTypeError(
            f"a function that is an energy takes (xi, X), a state [D] and patterns [N, D]; "
            f"'{name_of_function(function)}' takes ({', '.join(p.name for p in parameters)})",
            topic="own-function",
        )
    others = [*placed[2:], *(p for p in parameters if p.kind is p.KEYWORD_ONLY)]
    names = {p.name: None if p.default is p.empty else p.default for p in others}
    given = {p.name for p in others if p.default is not p.empty}
    return Takes(
        mask="mask" in names,
        h=next((n for n in ("h", "field") if n in names), ""),
        parameters={
            name: default
            for name, default in names.items()
            if name not in ("mask", "h", "field") and (name not in given or _declares(default))
        },
    )


def _declares(default: Any) -> bool:
    """Whether a default makes an argument a parameter; a flag or a tensor, say, does not."""
    return isinstance(default, (int, float, str, dict, Parameter)) and not isinstance(default, bool)


def _blank(function: Callable[..., Any]) -> FunctionEnergy:
    cls = function_class(function)
    return cls.__new__(cls)


def _like(function: Callable[..., Any]) -> Tensor:
    """A tensor of the device and type on which a function computes: of one that it closes over."""
    inner = inspect.unwrap(getattr(function, "func", function))
    if inspect.isfunction(inner):
        held = inspect.getclosurevars(inner)
        for value in (*held.nonlocals.values(), *held.globals.values()):
            if isinstance(value, Tensor) and value.is_floating_point() and not value.is_meta:
                return value.detach()
    return torch.empty(())


def _on_device(value: Tensor, like: Tensor) -> Tensor:
    """A parameter where the states are; 1 for one that has no number yet, while it is built."""
    if value.is_meta and not like.is_meta:
        return torch.ones_like(value, device=like.device, dtype=like.dtype)
    return value.to(like)


def _parameter(value: Tensor, order: int) -> Tensor:
    """A parameter as (...) or (H, ...), with `order` axes of its own.

    It comes as () or (H, 1, 1), (1, D) or (H, 1, D), (D, D) or (H, D, D).
    """
    if order == 0:
        return value.flatten() if value.ndim else value
    return value.squeeze(-2) if order == 1 else value


def _mapped(call: Callable[..., Any], tensors: list[Tensor], axes: list[int]) -> Tensor:
    """The call, mapped over all axes before the last `axes` of each tensor, which broadcast."""
    ranks = [t.ndim - a for t, a in zip(tensors, axes, strict=True)]
    most = max(ranks)
    if not most:
        value = call(*tensors)
        if not isinstance(value, Tensor):
            raise _NoTensor(f"it returns no tensor but a {type(value).__name__}")
        return value
    batched = [r == most and t.shape[0] != 1 for t, r in zip(tensors, ranks, strict=True)]
    inner = [
        t.squeeze(0) if r == most and not b else t
        for t, r, b in zip(tensors, ranks, batched, strict=True)
    ]
    if not any(batched):
        return _mapped(call, inner, axes).unsqueeze(0)
    dims = tuple(0 if b else None for b in batched)
    return torch.vmap(lambda *ts: _mapped(call, list(ts), axes), dims)(*inner)
