"""How the texts of options become values: `a,b`, `NAME=VALUE`, `NAME=A,B`."""

from __future__ import annotations

import re

import typer


def names(text: str | None) -> tuple[str, ...]:
    """`a,b` as names; empty parts are passed over."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def assignments(texts: list[str] | None, option: str) -> dict[str, float | int | str | bool]:
    """`name=value` texts as a dictionary.

    Raises:
        typer.BadParameter: if a text has no `=`, or a name is given twice.
    """
    values: dict[str, float | int | str | bool] = {}
    for text in texts or ():
        name, sign, value = text.partition("=")
        if not sign or not name.strip() or not value.strip():
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option)
        if name.strip() in values:
            raise typer.BadParameter(f"{name.strip()!r} is given twice", param_hint=option)
        try:
            values[name.strip()] = scalar(value.strip())
        except ValueError as error:
            raise typer.BadParameter(f"{name.strip()}: {error}", param_hint=option) from None
    return values


def limits(texts: list[str] | None) -> dict[str, float | int | str | bool]:
    """`params=100k,flops=5M` texts of `--limit` as a dictionary."""
    return assignments([part for text in texts or () for part in names(text)], "--limit")


def numbers(text: str | None, option: str) -> tuple[float, ...]:
    """`1e-3,3e-3` as numbers.

    Raises:
        typer.BadParameter: if a part is not a number.
    """
    values = [scalar(part) for part in names(text)]
    for value in values:
        if isinstance(value, (str, bool)):
            raise typer.BadParameter(f"{value!r} is not a number", param_hint=option)
    return tuple(float(value) for value in values)


def grid(texts: list[str] | None, option: str) -> dict[str, tuple[float | int | str | bool, ...]]:
    """`name=a,b` texts as the values of each name.

    Raises:
        typer.BadParameter: if a text has no `=` or no value, or a name is given twice.
    """
    values: dict[str, tuple[float | int | str | bool, ...]] = {}
    for text in texts or ():
        name, _, list_of_values = text.partition("=")
        chosen = tuple(map(scalar, names(list_of_values)))
        if not name.strip() or not chosen:
            raise typer.BadParameter(f"{text!r} is not NAME=A,B", param_hint=option)
        if name.strip() in values:
            raise typer.BadParameter(f"{name.strip()!r} is given twice", param_hint=option)
        values[name.strip()] = chosen
    return values


def sweeps(texts: list[str] | None) -> dict[str, tuple[float | int | str | bool, ...]]:
    """`name=a,b` texts of `--sweep`, `64k` and `1M` being numbers; a name alone has no values."""
    alone = [text.strip() for text in texts or () if text.strip() and "=" not in text]
    values = grid([text for text in texts or () if "=" in text], "--sweep")
    if not all(alone) or set(alone) & values.keys() or len(set(alone)) < len(alone):
        raise typer.BadParameter("a quantity is given twice", param_hint="--sweep")
    order = [text.partition("=")[0].strip() for text in texts or () if text.strip()]
    return {name: tuple(map(_counted, values.get(name, ()))) for name in order}


def _counted(value: float | int | str | bool) -> float | int | str | bool:
    """`64k` and `1M` as the numbers that they are; else the value."""
    amount = re.fullmatch(r"(\d+)([kM])", value) if isinstance(value, str) else None
    return value if amount is None else int(amount[1]) * {"k": 1000, "M": 1_000_000}[amount[2]]


def scalar(text: str) -> float | int | str | bool:
    """A text as what it would say in a registry file: `1e-3`, `8`, `true`, `ring`."""
    from attenergy.registry.yaml_scalars import read_scalar

    value = read_scalar(text)
    return text if value is None else value
