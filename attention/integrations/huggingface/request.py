"""What an attention module will ask of the attention interface, read from its code.

A module says how it scales its scores, and whether it wants more than a softmax of them, in the
call that it makes; an energy has to know it when it is made, before there is any call.
"""

from __future__ import annotations

import ast
import inspect
import operator
import textwrap
from collections.abc import Callable
from functools import cache
from typing import Any

from torch import nn

from attenergy.energies import Energy
from attenergy.registry import ArgumentError

#: What some models ask of their attention and no energy here does.
FOREIGN = ("softcap", "s_aux", "sinks", "indices", "block_indices")
_BIAS = "position_bias"
_INTERFACE = "ALL_ATTENTION_FUNCTIONS"
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.Pow: operator.pow, ast.USub: operator.neg,
}  # fmt: skip


def asks_interface(module: nn.Module) -> bool:
    """Whether a module asks the attention interface for its attention."""
    code = getattr(inspect.unwrap(type(module).forward), "__code__", None)
    return code is not None and _INTERFACE in code.co_names


def asked_scale(name: str, module: nn.Module, dim: int) -> float:
    """The factor that a module will have its scores multiplied by; 1/sqrt(D) where it gives none.

    Args:
        name: what the module is called in messages.
        module: an attention module.
        dim: D.

    Raises:
        ValueError: it is known only when the module is called, or it is no number.
    """
    scales = {_scale(name, module, call, dim) for call in _calls(type(module).forward)}
    if not scales:  # its source is not to be had
        own = (getattr(module, attribute, None) for attribute in ("scaling", "scale"))
        scales = {next((s for s in own if isinstance(s, (int, float))), dim**-0.5)}
    if len(scales) > 1:
        raise ArgumentError(
            f"'{name}' ({type(module).__name__}) scales its scores now by one number, now by "
            f"another: {', '.join(f'{scale:g}' for scale in sorted(scales))}",
            topic="drop-in",
        )
    return float(scales.pop())


def check_asked(name: str, module: nn.Module, energy: Energy) -> None:
    """Check that a module asks for nothing that an energy does not do.

    Raises:
        ValueError: it caps its scores, has sinks, or chooses the patterns in the call; or it adds
            numbers to its scores, and the energy reads no field.
    """
    wanted = [
        keyword
        for call in _calls(type(module).forward)
        for keyword in FOREIGN
        if keyword in call and _value(call[keyword], module) is not None
    ]
    if getattr(module, "sinks", None) is not None:  # some functions look it up by themselves
        wanted.append("sinks")
    if wanted:
        raise ArgumentError(
            f"'{name}' ({type(module).__name__}) asks its attention for {wanted[0]}, which "
            "energies do not do",
            topic="drop-in",
        )
    adds = [call[_BIAS] for call in _calls(type(module).forward) if _BIAS in call]
    if not energy.reads_field and any(_value(bias, module) is not None for bias in adds):
        raise ArgumentError(
            f"'{name}' ({type(module).__name__}) adds a bias for positions to its scores, and "
            f"'{energy.spec.title}' reads no field h",
            topic="no-field",
        )


def _scale(name: str, module: nn.Module, call: dict[str, ast.expr], dim: int) -> float:
    scale = _value(call["scaling"], module) if "scaling" in call else None
    if scale is None:
        return float(dim**-0.5)
    if isinstance(scale, bool) or not isinstance(scale, (int, float)):
        raise ArgumentError(
            f"'{name}' ({type(module).__name__}) scales its scores by "
            f"`{ast.unparse(call['scaling'])}`, which is no number that is known beforehand",
            topic="drop-in",
        )
    return float(scale)


@cache
def _calls(forward: Callable[..., Any]) -> tuple[dict[str, ast.expr], ...]:
    """The keywords of every call of the attention interface in a `forward`."""
    try:
        source = textwrap.dedent(inspect.getsource(inspect.unwrap(forward)))
        tree = ast.parse(source)
    except (OSError, TypeError, SyntaxError):
        return ()
    names = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and _INTERFACE in ast.unparse(node.value)
    }
    return tuple(
        {word.arg: word.value for word in node.keywords if word.arg is not None}
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names
    )


def _value(expression: ast.expr, module: nn.Module) -> Any:
    """What arithmetic on constants and attributes of `self` gives; of others, the expression."""
    try:
        return _read(expression, module)
    except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError):
        return expression


def _read(node: ast.expr, module: nn.Module) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return {"self": module}[node.id]
    if isinstance(node, ast.Attribute):
        return getattr(_read(node.value, module), node.attr)
    if isinstance(node, ast.UnaryOp):
        return _OPERATORS[type(node.op)](_read(node.operand, module))
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](_read(node.left, module), _read(node.right, module))
    raise TypeError(type(node).__name__)


def check_fits(energy: Energy, name: str, module: nn.Module) -> None:
    """Refuse energies of states that see more than each other, or may not see each other.

    Args:
        energy: of the module.
        name: of the module.
        module: one whose attention it is to be.

    Raises:
        ValueError: the states interact, and the model is causal or has cross-attention.
    """
    config = getattr(module, "config", None)
    if energy.reads_patterns and not energy.states_interact:
        return
    if energy.states_interact and getattr(module, "is_causal", False):
        raise ArgumentError(
            f"'{energy.spec.title}' couples states to each other, and '{name}' is causal: later "
            "ones would act on earlier ones",
            topic="couples-states",
        )
    if any(getattr(config, key, False) for key in ("is_encoder_decoder", "add_cross_attention")):
        raise ArgumentError(
            f"'{energy.spec.title}' couples states to each other; it does not fit a model with "
            "attention between two sequences",
            topic="couples-states",
        )
