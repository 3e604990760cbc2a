"""Errors of formulas, registry files and names."""

from __future__ import annotations

from attenergy.registry.explained.topic import Example, Topic

_FORMULAS = ("formulas.md", "the language of formulas")
_OWN = ("own_energy.md", "an energy of your own")
_MINE = 'import attenergy\n\nattenergy.load_registry("mine.yaml")'


def _formula(text: str, message: str) -> Example:
    return Example(f'import attenergy\n\nattenergy.make_energy("{text}", dim=4)', message)


def _file(entry: str, message: str) -> Example:
    return Example(_MINE, message, files={"mine.yaml": f"version: 1\n{entry.strip()}\n"})


FORMULAS = (
    Topic(
        "formula-syntax",
        "A formula cannot be read",
        "The text is no formula of the language: a sign or a parenthesis is missing, there is one"
        " too many, or the formula is longer or deeper than the language allows (500 characters).",
        "A parenthesis or a bar | that is not closed; two factors without `*` between them; "
        "Python words such as `lambda`, `**` or `[0]`.",
        "Look at the character that the caret `^` points at: what stands there, or just before "
        "it, is wrong. A product is written `a * b`, a contraction `a @ b`, a power `a^2`.",
        _formula(
            "0.5*|xi|^2 - lse(beta * X @ xi",
            "formula, column 31: the formula ends too soon; expected ')' or '+' or "
            "',' or '-'\n"
            "0.5*|xi|^2 - lse(beta * X @ xi\n"
            "                              ^",
        ),
        _FORMULAS,
    ),
    Topic(
        "formula-name",
        "A formula uses a name that means nothing",
        "Every word of a formula is a symbol (xi, X, h, D, N), a parameter or a choice of the "
        "entry, or a function of the language. A parameter that is declared and never used is an "
        "error too, since it is a slip.",
        "A spelling mistake, or a parameter that the entry does not declare.",
        "Take the nearest name that the message offers, or declare the parameter: under "
        "'parameters' in YAML, as a keyword (`name=1.0`) in Python. A function of your own is "
        "added with `attenergy.register_function`.",
        _formula(
            "0.5*|xi|^2 - lsee(X @ xi)",
            "formula, column 14: unknown function 'lsee'; did you mean 'lse'?\n"
            "0.5*|xi|^2 - lsee(X @ xi)\n"
            "             ^",
        ),
        _FORMULAS,
    ),
    Topic(
        "formula-type",
        "Parts of a formula do not fit together",
        "Every part of a formula has axes: a number, a vector `[D]` or `[N]`, or a matrix. A "
        "vector over the width D never joins one over the patterns N, a contraction `@` needs a "
        "common axis, and a function says which axes it takes.",
        "`X * xi` where `X @ xi` was meant; a sum over patterns that is missing; lse of a number.",
        "Write down the axes of both sides: xi is [D], X is [N, D], h and `X @ xi` are [N]. Go "
        "from `[N]` to a number with `lse`, `sum_n` or `max_n`.",
        _formula(
            "0.5*|xi|^2 - lse(X @ xi + xi)",
            "formula, column 27: '+' cannot join [N] with [D]; reduce one of them "
            "first (sum_n, lse, sum_d, |.|^2)\n"
            "0.5*|xi|^2 - lse(X @ xi + xi)\n"
            "                          ^",
        ),
        _FORMULAS,
    ),
    Topic(
        "formula-scalar",
        "A formula is no energy",
        "An energy is one number for a state, and it depends on the state: otherwise it has no "
        "gradient to follow.",
        "The outer sum is missing: `X @ xi` is a number for each pattern, xi a vector.",
        "Reduce what is left over: `lse(...)`, `sum_n(...)` over the patterns, `sum_d(...)` or "
        "`|...|^2` over the width. See that xi occurs and does not cancel.",
        _formula(
            "beta * X @ xi",
            "formula, column 1: an energy must be a scalar, this formula gives [N]\n"
            "beta * X @ xi\n"
            "^",
        ),
        _FORMULAS,
    ),
    Topic(
        "formula-number",
        "A number in a formula is not finite or not allowed",
        "A constant part has no finite value (a division by zero, the logarithm of a negative "
        "number), or the second argument of a function is outside the numbers it is defined for.",
        "A denominator that is zero; an exponent such as `entmax(z, 0.5)` below its lower limit.",
        "Correct the number; the message says which are allowed.",
        _formula(
            "0.5*|xi|^2 / 0 - lse(X @ xi)",
            "formula, column 14: division by zero\n0.5*|xi|^2 / 0 - lse(X @ xi)\n             ^",
        ),
        _FORMULAS,
    ),
)

FILES = (
    Topic(
        "yaml-syntax",
        "A file is no YAML that is read here",
        "The text breaks the rules of YAML, or it uses a part of YAML that is refused: tags "
        "(`!!`), merge keys (`<<`), several documents, endless aliases, numbers that are not "
        "finite.",
        "Tabs as indentation, a colon without a blank after it, text that begins with "
        "`|`, `@`, `%` or a backtick.",
        "Indent with blanks, put text with special characters into quotes. A formula that begins "
        "with a bar needs quotes: `formula: '|xi|^2 - ...'`.",
        _file(
            "energies:\n  mine:\n    title: Mine\n    formula: |xi|^2 - lse(X @ xi)",
            "mine.yaml:5:15: not valid YAML: expected chomping or indentation "
            "indicators, but found 'x' (while scanning a block scalar, begun at line "
            "5); text that begins with | @ % or ` needs quotes",
        ),
        _OWN,
    ),
    Topic(
        "duplicate-key",
        "A key stands twice in one mapping",
        "YAML readers silently take the last of two equal keys. Here this is an error, as one of "
        "the two was meant.",
        "An entry was copied and not renamed.",
        "Rename or remove one of them; the message names the line of the first.",
        _file(
            "energies:\n  mine:\n    title: Mine\n    title: Yours\n"
            "    formula: 0.5*|xi|^2 - lse(X @ xi + h)",
            "mine.yaml:5:5: energies.mine: duplicate key 'title' (first at line 4)",
        ),
    ),
    Topic(
        "unknown-key",
        "A key is not known at this place",
        "Every key of a registry file has a meaning; one that is not known would be ignored "
        "without a word, and a setting would be lost.",
        "A spelling mistake, or a key one level too high or too deep.",
        "Take the nearest key that the message offers. Editors complete keys with the schema: "
        "`attenergy schema`.",
        _file(
            "energies:\n  mine:\n    titel: Mine\n    title: Mine\n"
            "    formula: 0.5*|xi|^2 - lse(X @ xi + h)",
            "mine.yaml:4:5: energies.mine.titel: unknown key 'titel' (did you mean 'title'?)",
        ),
        _OWN,
    ),
    Topic(
        "registry-entry",
        "An entry is not complete, or a value is of a wrong kind",
        "A key that every entry needs is missing, a value is text where a number is wanted, or "
        "two keys exclude each other (an entry has a formula or a class).",
        "A number in quotes, a list where one value is wanted, an entry without a title.",
        "The message names the key and what may stand there.",
        _file(
            "energies:\n  mine:\n    formula: 0.5*|xi|^2 - lse(X @ xi + h)",
            "mine.yaml:3:3: energies.mine: missing key 'title'",
        ),
        _OWN,
    ),
    Topic(
        "search-range",
        "A range of a search is not possible",
        "A range has low and high, or choices; low is not above high, a logarithmic range begins "
        "above 0, the default lies within the range, and the model or training can take its "
        "values.",
        "The default was changed and not the range.",
        "Widen the range or move the default.",
        _file(
            "energies:\n  mine:\n    title: Mine\n    formula: 0.5*|xi|^2 - lse(X @ xi + h)\n"
            "    step_size: {default: 2.0, search: {low: 0.5, high: 1.5}}",
            "mine.yaml:6:5: energies.mine.step_size: 'default' (2.0) lies outside its"
            " search range, 0.5 to 1.5",
        ),
        _OWN,
    ),
    Topic(
        "name-taken",
        "A name is taken, reserved or not a name",
        "Energies, mixers and stacks share one set of names, since a search picks among all of "
        "them. Settings may not be called like a symbol of formulas or an argument of layers. "
        "Names of entries have lower-case letters, digits, _ and -.",
        "An entry of yours has the name of a built-in one.",
        "Give it another name; the message says whose the name is.",
        _file(
            "energies:\n  lse:\n    title: Mine\n    formula: 0.5*|xi|^2 - lse(X @ xi + h)",
            "mine.yaml:3:3: energies.lse: the name 'lse' is taken by the energy at "
            "...registry.yaml:...",
        ),
    ),
    Topic(
        "file",
        "A file cannot be read or written",
        "It is not there, is a folder, is larger than the limit for such files, is no text in "
        "UTF-8, or may not be read by you.",
        "A path that is relative to another folder than the one the command runs in.",
        "Look at the path in the message; it is written as you gave it.",
        Example(
            'import attenergy\n\nattenergy.load_registry("nowhere.yaml")',
            "nowhere.yaml:1:1: cannot be read: no such file",
        ),
    ),
)

NAMES = (
    Topic(
        "unknown-name",
        "Nothing has this name",
        "Energies, mixers, tasks, spaces, settings, solvers, backends and so on are looked up by "
        "name; this one is not registered. The message lists the known ones and the nearest.",
        "A spelling mistake; a registry file or plug-in that was not given (`--registry`, "
        "`--plugin`).",
        "Take the name that the message offers, or bring the file or module that defines it.",
        Example(
            'import attenergy\n\nattenergy.make_task("ravn")',
            "no task 'ravn' (did you mean 'raven'?); known: raven, ...",
        ),
    ),
    Topic(
        "parameter-value",
        "A parameter or option of an energy has a value that it cannot have",
        "Parameters are finite numbers or expressions in D, some must be above 0 or between 0 and"
        " 1, options that count are whole numbers within limits.",
        "`beta=0` or a negative beta; a number in quotes.",
        "Give a value that the message allows.",
        Example(
            'import attenergy\n\nattenergy.make_energy("lse", dim=4, beta=-1.0)',
            "parameter 'beta' must be above 0, got -1",
        ),
    ),
    Topic(
        "energy-argument",
        "What was given names no energy, or one that does not fit here",
        "Where an energy is asked for, it may be a name, a formula, an entry, a class derived "
        "from Energy, a function of (xi, X), or an energy that is made already. A mixer has no "
        "energy. An energy that is made already has its own width, heads and settings.",
        "The name of a mixer (softmax, hyla) where an energy is needed; settings beside an energy"
        " that is made.",
        "Give one of the forms above, and settings only with those that are not made yet.",
        Example(
            'import attenergy\n\nattenergy.make_energy("hyla", dim=4)',
            "'hyla' is a mixer and has no energy; energies: lse, polynomial, ...",
        ),
        _OWN,
    ),
    Topic(
        "own-function",
        "A function of yours is no energy",
        "A function that is an energy takes one state `xi [D]` and the patterns `X [N, D]`, and "
        "returns one number, as a tensor. If it takes a mask, what the mask hides must not act.",
        "It returns a vector, or a Python number; it takes a batch; its arguments have other "
        "names.",
        "Write it for one state, without a batch axis: batches and heads are added by the toolkit.",
        Example(
            "import torch\n\nimport attenergy\n\n\ndef energy(xi, X):\n    return X @ xi\n\n\n"
            "attenergy.make_energy(energy, dim=4)(torch.zeros(1, 4), torch.zeros(3, 4))",
            "the function 'energy' must return one number for a state xi [D] and "
            "patterns X [N, D], but it returns torch.float32 of shape (3,)...",
        ),
        _OWN,
    ),
    Topic(
        "register",
        "Something cannot be registered",
        "A class, a function of formulas, a domain, a solver, a pruner or a task was given that "
        "lacks what all of its kind have, or a name that is none.",
        "The class is not derived from the base that the message names.",
        "Derive it from that base, or define what is missing.",
        Example(
            'import attenergy\n\nattenergy.register_energy("mine")(int)',
            "an energy class must be a subclass of attenergy.energies.base.Energy or "
            "a function, got <class 'int'>",
        ),
        ("plugins.md", "plug-ins"),
    ),
    Topic(
        "plug-in",
        "A plug-in is missing or cannot be named so",
        "A plug-in is an installed package or a module that is named with `--plugin`. A study, an"
        " export or a registry file that uses one needs it again whenever it is read.",
        "A path or a file name instead of the name of a module; a study made with `--plugin` that"
        " is read without.",
        "Give the module's name as Python imports it (`my_package`, not `my_package.py`), with "
        "`--plugin` before the command.",
        Example(
            "attenergy --plugin my-package energies list",
            "a plug-in is the name of a module on Python's path, such as my_package "
            "or my_package.part, got 'my-package'",
            language="sh",
        ),
        ("plugins.md", "plug-ins"),
    ),
)
