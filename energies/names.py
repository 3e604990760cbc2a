"""Names in an entry: what they may not be, and which of them say nothing."""

from __future__ import annotations

import re

from attenergy.energies.language import PUBLIC, SYMBOLS, FormulaError
from attenergy.energies.quadratic import RADIAL
from attenergy.registry import EnergySpec


def name_errors(spec: EnergySpec) -> list[FormulaError]:
    """Errors in the names of an entry with a formula, each with its path below the entry.

    A parameter or a choice may not have the name of a symbol or a function, nor a choice's argument
    that of a parameter.
    """
    taken = {*SYMBOLS, *PUBLIC}
    errors = [
        FormulaError(
            f"'{name}' cannot be a name here, it means something else: {_meaning(name)}",
            path=path,
            topic="name-taken",
        )
        for path, name in _named(spec)
        if name in taken
    ]
    if spec.quadratic == RADIAL and RADIAL in spec.parameters:
        message = f"'quadratic: {RADIAL}' means the radial factor; give the parameter another name"
        errors.append(FormulaError(message, path=("parameters", RADIAL), topic="name-taken"))
    for choice, options in spec.choices.items():
        if options.argument in {*taken, *spec.parameters}:
            message = f"the argument '{options.argument}' means something else"
            if options.argument in taken:
                message += f": {_meaning(options.argument)}"
            errors.append(
                FormulaError(message, path=("choices", choice, "argument"), topic="name-taken")
            )
    return errors


def unused_errors(spec: EnergySpec) -> list[FormulaError]:
    """Parameters and choices that the formula never mentions; in a registry, these are slips."""
    known = {*_words(spec), *SYMBOLS, *PUBLIC}  # a shadowing name is an error of its own
    return [
        FormulaError(f"the formula never uses '{name}'", path=path, topic="formula-name")
        for path, name in _named(spec)
        if name not in known
    ]


def _meaning(name: str) -> str:
    if name in PUBLIC:
        return "a function of formulas"
    return f"one of the symbols of formulas, {', '.join(sorted(SYMBOLS))}"


def _named(spec: EnergySpec) -> list[tuple[tuple[str, str], str]]:
    named = [(("parameters", name), name) for name in spec.parameters]
    return named + [(("choices", name), name) for name in spec.choices]


def _words(spec: EnergySpec) -> set[str]:
    texts = [spec.formula or ""]
    texts += [text for choice in spec.choices.values() for text in choice.options.values()]
    return {word for text in texts for word in re.findall(r"[A-Za-z]\w*", text)}
