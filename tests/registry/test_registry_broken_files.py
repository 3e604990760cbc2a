"""Broken registry files: every problem is reported, at its place, in plain words.

In the texts below « stands just before each place where a problem is expected; the fragments
beside a text are parts of the messages, in the same order.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from attenergy.registry import RegistryError, load_registry

BROKEN = {
    # The file as a whole.
    "empty": ("«", ["the file is empty; a registry begins with 'version: 1'"]),
    "comment": ("«# nothing here\n", ["the file is empty"]),
    "list": ("«- lse\n- rbm\n", ["must be a mapping of keys to values, got a list"]),
    "word": ("«lse\n", ["must be a mapping of keys to values, got 'lse'"]),
    "no-version": ("«energies: {}\n", ["missing key 'version'"]),
    "version-2": ("version: «2\n", ["version: must be 1 (got 2)"]),
    "version-text": ("version: «'1'\n", ["version: must be 1 (got '1')"]),
    "two-documents": ("version: 1\n«---\nversion: 1\n", ["a second document begins here"]),
    # YAML itself.
    "tab": ("version: 1\nenergies:\n«\tlse: {}\n", ["indent with spaces"]),
    "open-list": ("version: 1\nenergies: {a: [1\n«", ["begun at line 2"]),
    "bar": (
        "version: 1\nenergies: {}\ntasks:\n  a:\n    title: |«xi|^2\n",
        ["text that begins with | @ % or ` needs quotes"],
    ),
    "at-sign": ("version: 1\nenergies: «@x\n", ["text that begins with | @ % or ` needs quotes"]),
    "two-colons": ("version: 1\nenergies: a«: b\n", ["mapping values are not allowed here"]),
    "unknown-alias": ("version: 1\nenergies: «*other\n", ["undefined alias 'other'"]),
    "control-character": ("version: 1\nenergies: «\x07\n", ["character U+0007 is not allowed"]),
    "escape": ('version: 1\nenergies: "\\U«FFFFFFFF"\n', ["out of range"]),
    "surrogate": ('version: 1\ntasks: «"\\ud800"\n', ["half a character"]),
    "tag": ("version: 1\nenergies: «!energy {}\n", ["tags are not allowed (got !energy)"]),
    "python-tag": (
        "version: 1\nenergies: «!!python/object/apply:os.system ['true']\n",
        ["tags are not allowed (got !!python/object/apply:os.system)"],
    ),
    "deep": ("version: 1\nenergies: " + "[" * 31 + "«[", ["more than 32 levels"]),
    "cycle": (
        "version: 1\nenergies: «&a {x: *a}\n",
        ["deeper than 32 levels; does it hold itself?"],
    ),
    "merge": (
        "version: 1\nenergies:\n  a: &a {title: A, formula: f}\n  b: {«<<: *a}\n",
        ["energies.b: merge keys ('<<') are not allowed"],
    ),
    # Keys and scalars.
    "duplicates": (
        "version: 1\nenergies:\n  rbm: {title: A, formula: f}\n  «rbm: {title: A, formula: f}\n"
        "«energies: {}\n",
        ["energies: duplicate key 'rbm' (first at line 3)", "'energies' (first at line 2)"],
    ),
    "keys-that-are-no-text": (
        "version: 1\nenergies:\n  «1: a\n  «true: a\n  «[a, b]: a\n  «~: a\n",
        ["got 1; use quotes", "got true; use quotes", "got a list or a mapping", "got ~"],
    ),
    "not-finite": (
        "version: 1\nspaces:\n  a:\n    dropout: {low: «-.inf, high: «.nan}\n"
        "    weight_decay: {low: 0.0, high: «1e999}\n"
        "    width: {low: 1, high: «9223372036854775808}\n",
        ["-.inf is not allowed", ".nan is not allowed", "too large for 64", "too large for 64"],
    ),
    # Entries.
    "unknown-keys": (
        "version: 1\n«mixer: {}\nenergies:\n  a:\n    title: A\n    formula: f\n    «stepz: 2\n"
        "    «colour: red\n    parameters:\n"
        "      b: {init: 1.0, search: {low: 1.0, «hihg: 2.0, high: 2.0}}\n",
        [
            "mixer: unknown key 'mixer' (did you mean 'mixers'?)",
            "energies.a.stepz: unknown key 'stepz' (did you mean 'steps'?)",
            "unknown key 'colour' (known: title, formula, class, ",
            "energies.a.parameters.b.search.hihg: unknown key 'hihg' (did you mean 'high'?)",
        ],
    ),
    "python-name-of-class": (
        "version: 1\nmixers:\n  «a: {title: A, «class_: B}\n",
        ["missing key 'class'", "unknown key 'class_' (did you mean 'class'?)"],
    ),
    "missing-keys": (
        "version: 1\nmixers:\n  «a: {class: A}\nenergies:\n  b:\n    title: B\n    formula: f\n"
        "    parameters:\n      «beta: {doc: inverse temperature}\n",
        ["mixers.a: missing key 'title'", "energies.b.parameters.beta: missing key 'init'"],
    ),
    "empty-entry": (
        "version: 1\nenergies:\n  a:«\nmixers: «x\n",
        ["energies.a: must be a mapping (got nothing)", "mixers: must be a mapping (got 'x')"],
    ),
    "wrong-kinds": (
        "version: 1\nenergies:\n  a:\n    title: «3\n    formula: «1.5\n    doc: «null\n"
        "    «quadratic: {}\n    known_answers: «lse\n",
        [
            "title: must be text (got 3; use quotes)",
            "formula: must be text (got 1.5; use quotes)",
            "doc: must be text (got nothing)",
            "quadratic: must be a number or text (got a mapping)",
            "known_answers: must be a list (got 'lse')",
        ],
    ),
    "words-of-a-list": (
        "version: 1\nenergies:\n  a:\n    title: A\n    formula: f\n    read: «wheights\n"
        "    parameters: {b: {init: 1.0, learnable: «false, constraint: «Positive}}\n",
        [
            "(got 'wheights', did you mean 'weights'?)",
            "must be one of no, shared, per_head (got false)",
            "(got 'Positive', did you mean 'positive'?)",
        ],
    ),
    "yes-is-text": (
        "version: 1\nspaces:\n  a:\n    learning_rate: {low: 1e-4, high: 1e-2, log: «yes}\n"
        "    dropout: {low: «off, high: 0.5}\n",
        ["must be true or false (got 'yes')", "must be a number (got 'off')"],
    ),
    "true-is-no-number": (
        "version: 1\nenergies:\n  a:\n    title: A\n    formula: f\n    steps: {default: «true}\n"
        "  «b: {title: B, formula: f, steps: {default: 2, search: {choices: [2, true]}}}\n",
        ["not true or false (got true)", "'steps' are whole numbers from 1"],
    ),
    "more-steps-than-anybody-waits-for": (
        "version: 1\nenergies:\n  «a: {title: A, formula: f, steps: {default: 100001}}\n"
        "  «b: {title: B, formula: f, steps: {default: 2, search: {low: 1, high: 1000000}}}\n",
        ["'steps' are whole numbers from 1 to 100,000"] * 2,
    ),
    "switches": (
        "version: 1\nmixers:\n  a:\n    title: A\n    class: A\n    options:\n"
        "      «p: {default: 1, search: {choices: [true, false]}}\n"
        "      «q: {default: true, search: {choices: [0, 1]}}\n"
        "      «r: {default: true, search: {low: 0, high: 1}}\n"
        "      s: {default: 1, «search: {choices: [1, true]}}\n"
        "      t: {default: «[true]}\n",
        [
            "'default' (1) is none of the choices (true, false)",
            "'default' (true) is none of the choices (0, 1)",
            "'default' (true) lies outside its search range, 0 to 1",
            "names a value twice",
            "must be a number, text, true or false (got a list)",
        ],
    ),
    "solvers": (
        "version: 1\nenergies:\n  a: {title: A, formula: f, solver: {default: «3}}\n"
        "  b: {title: B, formula: f, solver: {search: {choices: [descent, «true]}}}\n"
        "  c:\n    title: C\n    formula: f\n    «solver: {search: {choices: [sequential]}}\n"
        "  d:\n    title: D\n    formula: f\n"
        "    «solver: {search: {choices: [descent, descent]}}\n"
        "  e: {title: E, formula: f, solver: «descent}\n"
        "  f: {title: F, formula: f, parameters: {«solver: {init: 1.0}}}\n",
        [
            "must be text (got 3",
            "must be text (got true",
            "'default' (descent) is none of the choices",
            "'choices' names a solver twice",
            "must be a mapping (got 'descent')",
            "the name 'solver' is reserved",
        ],
    ),
    "numbers-of-a-task": (
        "version: 1\nspaces: {default: {}}\ntasks:\n  a:\n    title: A\n    class: A\n"
        "    options: {size: «[1]}\n"
        "    model: {layers: «0, width: «1.5, heads: «'8', positions: «relativ}\n"
        "    training: {steps: «1e4, learning_rate: «0, dropout: «1}\n",
        [
            "tasks.a.options.size: must be a number, text, true or false (got a list)",
            "must be at least 1 (got 0)",
            "must be a whole number (got 1.5)",
            "must be a whole number (got '8')",
            "did you mean 'relative'?",
            "must be a whole number (got 10000.0; write 10000)",
            "must be above 0 (got 0)",
            "must be below 1 (got 1)",
        ],
    ),
    "formula-and-class": (
        "version: 1\nenergies:\n  «a: {title: A, formula: f, class: B}\n  «b: {title: B}\n"
        "  «c: {title: C, formula: f, options: {g: {default: 1}}}\n",
        ["exactly one of 'formula' and 'class'", "exactly one of", "'options' belong to a class"],
    ),
    "mixer-with-energy": (
        "version: 1\nmixers:\n  a: {title: A, class: B, energy: «lse}\n",
        ["mixers.a.energy: must be null (got 'lse')"],
    ),
    # Defaults and ranges.
    "default-outside": (
        "version: 1\nenergies:\n  a:\n    title: A\n    formula: f\n"
        "    «step_size: {default: 2.5, search: {low: 0.1, high: 2.0}}\n    parameters:\n"
        "      «p: {init: 5, search: {low: 6, high: 10}}\n"
        "      «q: {init: 5, search: {choices: [2, 3]}}\n"
        "      «r: {init: 1.0, search: {low: 0, high: 2}}\n",
        [
            "'default' (2.5) lies outside its search range, 0.1 to 2.0",
            "'init' (5) lies outside its search range, 6 to 10",
            "'init' (5) is none of the choices (2, 3)",
            "write 'low: 0.0' and 'high: 2.0' for real numbers",
        ],
    ),
    "constraints": (
        "version: 1\nenergies:\n  a:\n    title: A\n    formula: f\n    parameters:\n"
        "      «p: {init: 0.0, constraint: positive}\n"
        "      «q: {init: 1.0, constraint: unit}\n"
        "      «r: {init: 0.5, constraint: unit, search: {low: 0.1, high: 1.0}}\n"
        "      «s: {init: 1.0, constraint: positive, search: {low: -1.0, high: 1.0}}\n"
        "      «t: {init: 1.0, search: {choices: [1.0, a]}}\n",
        [
            "a number above 0 as 'init', got 0.0",
            "a number between 0 and 1 as 'init', got 1.0",
            "everywhere in its search range, got 1.0",
            "everywhere in its search range, got -1.0",
            "everywhere in its search range, got a",
        ],
    ),
    "ranges": (
        "version: 1\nspaces:\n  a:\n    «width: {low: 3, high: 1}\n    «mlp: {low: 3}\n"
        "    «heads: {choices: [4, 4]}\n    «layers: {choices: []}\n"
        "    «dropout: {low: 0, high: 0.5, log: true}\n"
        "    «warmup: {low: 1, high: 2, choices: [1]}\n",
        [
            "'low' (3) is above 'high' (1)",
            "needs 'low' and 'high', or 'choices'",
            "names a value twice",
            "'choices' is empty",
            "needs 'low' above 0",
            "not both",
        ],
    ),
    "space-names-and-values": (
        "version: 1\nspaces:\n  a:\n    «learning_rte: {low: 0.1, high: 0.2}\n"
        "    heads: {choices: [4, «a]}\n    layers: {low: 1, high: «2.5}\n"
        "    batch_size: {low: «0, high: 9}\n",
        [
            "a space cannot vary 'learning_rte' (did you mean 'learning_rate'?)",
            "spaces.a.heads.choices.1: must be a whole number (got 'a')",
            "must be a whole number (got 2.5)",
            "must be at least 1 (got 0)",
        ],
    ),
    # Names and references.
    "entry-names": (
        "version: 1\nenergies:\n  «LSE: {title: A, formula: f}\n"
        "mixers:\n  «2b: {title: A, class: B}\n"
        f"spaces:\n  «a.b: {{}}\n  «{'a' * 65}: {{}}\n",
        ["'LSE' must be a lower-case letter", "'2b' must be", "'a.b' must be", "must be"],
    ),
    "energy-and-mixer": (
        "version: 1\nenergies:\n  a: {title: A, formula: f}\nmixers:\n  «a: {title: A, class: B}\n",
        ["mixers.a: the name 'a' is taken by the energy at "],
    ),
    "setting-names": (
        "version: 1\nenergies:\n  a:\n    title: A\n    formula: f\n    parameters:\n"
        "      «xi: {init: 1.0}\n      «my-beta: {init: 1.0}\n      p: {init: 1.0}\n"
        "    choices:\n      «p: {default: x, options: {x: z}}\n"
        "      q: {default: x, options: {x: z}, argument: «p}\n"
        "mixers:\n  b: {title: B, class: B, options: {«dropout: {default: 0.1}}}\n",
        [
            "the name 'xi' is reserved",
            "the name 'my-beta' must be a letter",
            "the name 'p' is taken in the same entry",
            "the argument 'p' already means something else",
            "the name 'dropout' is reserved",
        ],
    ),
    "task-space": (
        "version: 1\nspaces: {default: {}, paper: {}}\ntasks:\n  a:\n    title: A\n    class: A\n"
        "    model: {}\n    training: {steps: 1}\n    space: «papr\n",
        ["tasks.a.space: no space 'papr' (did you mean 'paper'?); known: default, paper"],
    ),
    "task-without-spaces": (
        "version: 1\ntasks:\n  «a: {title: A, class: A, model: {}, training: {steps: 1}}\n",
        ["tasks.a: no space 'default'; known: none"],
    ),
}


def unmark(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without its marks, and the line and column of each mark."""
    clean, places = "", []
    for character in text:
        if character == "«":
            lines = clean.split("\n")
            places.append((len(lines), len(lines[-1]) + 1))
        else:
            clean += character
    return clean, places


def test_marks_give_lines_and_columns_from_one() -> None:
    assert unmark("«ab\nc«d«") == ("ab\ncd", [(1, 1), (2, 2), (2, 3)])


@pytest.mark.parametrize("name", BROKEN)
def test_every_problem_is_reported_at_its_place(name: str, tmp_path: Path) -> None:
    marked, fragments = BROKEN[name]
    text, places = unmark(marked)
    path = tmp_path / "my.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RegistryError) as caught:
        load_registry(path, builtin=False, plugins=False)
    problems = caught.value.problems
    assert [(p.place.line, p.place.column) for p in problems] == places, str(caught.value)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(fragments)
    for line, fragment, (number, column) in zip(lines, fragments, places, strict=True):
        assert line.startswith(f"{path}:{number}:{column}: ")
        assert fragment in line
