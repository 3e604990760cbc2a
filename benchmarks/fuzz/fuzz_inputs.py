"""Files that nobody should trust: random and hostile registries, formulas, exports and studies."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

NUMBERS: list[Any] = [
    *[0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**30, 10**4000, 0.0, -0.0, 1e308, 1e-320, -1e300],
    *[float("nan"), float("inf"), float("-inf"), True, None, 10**6, 10**9, 0.5, 3],
]
TEXTS = [
    *["", "..", "/etc/passwd", "../../x", "\0", "\x1b[31m", "<script>", "\u202e", "lse", "xi"],
    *[
        "a" * 10_000,
        "[" * 3000,
        "NaN",
        "9" * 5000,
        "`|`",
        "{{1}}",
        "$x$",
        "file:///dev/zero",
        "-rf",
    ],
]
WORDS = [
    *["version: 1\n", "energies:\n", "mixers:\n", "tasks:\n", "spaces:\n", "bundles:\n", " a:\n"],
    *[
        "  title: t\n",
        "  formula: ",
        "  class: C\n",
        "  parameters:\n",
        "   b: {init: 1.0}\n",
        "- ",
    ],
    *["? ", ": ", ", ", "[", "]", "{", "}", "&x ", "*x", "<<: *x", "!t ", "'", '"', "|\n", ">\n"],
    *["#", "---\n", "...\n", "1e3", ".inf", "0x1F", "true", "null", "~", "%YAML 1.2\n", "@", "\t"],
    *[
        "\u00e9",
        "\u2028",
        "\x00",
        "\ufeff",
        "1e999",
        "9" * 400,
        "  steps: {default: 3}\n",
        " " * 40,
    ],
]
ATOMS = ["xi", "X", "h", "beta", "N", "D", "1", "0", "2", "0.5", "1e308", "9", "3", "xi", "X @ xi"]
CALLS = [
    *[
        "lse({})",
        "sum_n({})",
        "exp({})",
        "log({})",
        "|{}|^2",
        "sqrt({})",
        "relu({})",
        "-{}",
        "({})",
    ],
    *[
        "max({})",
        "tanh({})",
        "nosuch({})",
        "{}^2",
        "{}^9^9",
        "{}^0.5",
        "1/{}",
        "abs({})",
        "cosh({})",
    ],
]
PAIRS = ["{} + {}", "{} - {}", "{} * {}", "{} / {}", "{} @ {}", "{}^{}", "dot({}, {})"]
BOMBS: list[Callable[[random.Random], str]] = [
    lambda r: "^".join(["9"] * r.randint(2, 300)),
    lambda r: "(" * (n := r.choice([10, 40, 500, 5000])) + "xi" + ")" * r.choice([0, n]),
    lambda r: "-" * r.choice([5, 100, 5000]) + "xi",
    lambda r: "+".join(["xi@xi"] * r.choice([5, 100, 3000])),
    lambda r: "lse(" * (n := r.choice([2, 8, 60])) + "X @ xi" + ")" * n,
    lambda r: f"|xi|^{r.choice([10**6, 10**300, 1e-300, 0.1, -3])}",
    lambda r: f"{10 ** r.randint(1, 400)}*|xi|^2",
    lambda r: f"exp({'exp(' * r.randint(1, 25)}1000{')' * r.randint(1, 25)})",
    lambda r: "".join(r.choice("xi()^*+-|@.,0123456789 \u03be\u00b2\u221a") for _ in range(80)),
    lambda r: f"sum_n(({'+'.join(['X @ xi'] * r.randint(1, 60))})^{r.randint(2, 2000)})",
    lambda r: f"{'2^' * r.randint(1, 40)}(xi @ xi)",
]


def formula(chance: random.Random, depth: int = 5) -> str:
    """A formula, right or wrong."""
    if depth == 0 or chance.random() < 0.2:
        return chance.choice(ATOMS)
    if chance.random() < 0.5:
        return chance.choice(CALLS).format(formula(chance, depth - 1))
    inner = (formula(chance, depth - 1), formula(chance, depth - 1))
    return chance.choice(PAIRS).format(*inner)


def typed_formula(chance: random.Random) -> str:
    """A formula whose axes fit: sums of functions of the scores, and of the state's length."""

    def scores(depth: int) -> str:
        if depth == 0 or chance.random() < 0.3:
            return chance.choice(["beta*X @ xi", "X @ xi + h", "sqdist(X, xi)", "X @ xi"])
        shape = chance.choice(
            ["tanh({})", "relu({})", "({})^2", "exp(-({})^2)", "({} + {})", "0.5*{}"]
        )
        return shape.replace("{}", scores(depth - 1), 1).replace("{}", scores(depth - 1))

    terms = [
        chance.choice(["lse({})", "sum_n({})", "0.1*sum_n({})", "lse({})/beta"]).format(scores(3))
        for _ in range(chance.randint(1, 4))
    ]
    return " - ".join(["0.5*|xi|^2", *terms])


def registry(chance: random.Random, builtin: str) -> bytes:
    """The bytes of a registry file."""
    kind = chance.randrange(8)
    if kind == 0:
        return chance.randbytes(chance.randint(0, 400))
    if kind == 1:
        return "".join(chance.choices(WORDS, k=chance.randint(1, 60))).encode()
    if kind in {2, 3}:
        return _mutated_text(chance, _piece(chance, builtin)).encode(errors="replace")
    if kind == 4:
        return json.dumps({"version": 1, **_tree(chance, 4)}).encode()
    if kind == 5:
        return _bomb(chance)
    hostile = kind == 6
    plain = (
        typed_formula(chance) if chance.random() < 0.5 else formula(chance, chance.randint(1, 7))
    )
    text = chance.choice(BOMBS)(chance) if hostile else plain
    names = [f"p{n}" for n in range(chance.choice([0, 0, 1, 3, 400]))]
    parameters = {
        **({"beta": {"init": 1.0}} if "beta" in text else {}),
        **{name: {"init": 1.0} for name in names},
    }
    entry = {"title": "t", "formula": " + ".join([text, *names]), "parameters": parameters}
    return json.dumps({"version": 1, "energies": {"a": entry}}).encode()


def _piece(chance: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    start = chance.randrange(len(lines))
    return "version: 1\nenergies:\n" + "".join(lines[start : start + chance.randint(1, 60)])


def _mutated_text(chance: random.Random, text: str) -> str:
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(text) + 1)
        new = chance.choice([*WORDS, *TEXTS, str(chance.choice(NUMBERS[:6])), ""])
        text = text[:at] + new + text[at + chance.randint(0, 5) :]
    return text


def _tree(chance: random.Random, depth: int) -> dict[str, Any]:
    keys = ["energies", "mixers", "tasks", "spaces", "bundles", "a", "title", "formula", "class"]
    keys += [
        "parameters",
        "init",
        "search",
        "low",
        "high",
        "choices",
        "options",
        "default",
        "steps",
    ]
    return {
        chance.choice(keys): _tree(chance, depth - 1)
        if depth and chance.random() < 0.6
        else chance.choice([*NUMBERS[:7], *TEXTS, [1, 2], [], {}])
        for _ in range(chance.randint(0, 5))
    }


def _bomb(chance: random.Random) -> bytes:
    count = chance.randint(10, 30_000)
    text = "y" * chance.randint(1, 200_000)
    return chance.choice(
        [
            f"version: 1\nenergies:\n a: &x '{text}'\n"
            + "".join(f" b{i}: *x\n" for i in range(count)),
            f"version: 1\na: &x ['{text}']\nb: [" + "*x, " * count + "]",
            "a: &a [1,1]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(count)),
            "version: 1\nx: " + "[" * count,
            "version: 1\nx: " + "{a: " * count,
            "version: 1\n" + "".join(f"energiez{i}: 1\n" for i in range(count)),
            "version: 1\nspaces:\n a:\n" + "".join(f"  width{i}: 1\n" for i in range(count)),
            "version: 1\nx: " + "9" * count,
            "version: 1\nx: " + "# c\n" * count,
        ]
    ).encode()


def hostile_folder(chance: random.Random, base: Path, target: Path) -> None:
    """Copy an export or a study, and spoil the copy."""
    shutil.copytree(base, target)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        files = [path for path in target.rglob("*") if path.is_file() and not path.is_symlink()]
        if not files:
            return
        path = chance.choice(files)
        if path.suffix in {".json", ".jsonl"} and chance.random() < 0.7:
            _spoil_json(chance, path)
        elif path.suffix == ".db" and chance.random() < 0.5:
            _spoil_base(chance, path)
        elif chance.random() < 0.7:
            _spoil_bytes(chance, path)
        else:
            _spoil_kind(chance, path)


def _spoil_json(chance: random.Random, path: Path) -> None:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    whole = path.suffix == ".json"
    at = 0 if whole or not lines else chance.randrange(len(lines))
    try:
        data = json.loads("\n".join(lines) if whole else lines[at])
    except (ValueError, IndexError, RecursionError):
        return
    places = list(_places(data))
    if not places:
        return
    holder, key = chance.choice(places)
    action = chance.randrange(6)
    if action == 0:
        del holder[key]
    elif action == 1 and isinstance(holder, dict):
        holder[chance.choice(TEXTS)] = holder[key]
    elif action == 2:
        holder[key] = {"a": [holder[key]] * chance.choice([1, 100])}
    else:
        holder[key] = chance.choice([*NUMBERS, *NUMBERS, *TEXTS, [], {}])
    try:
        text = json.dumps(data)
    except ValueError:  # a number with more digits than Python writes
        text = '{"format": ' + "9" * 5000 + "}"
    if chance.random() < 0.03:
        text = "[" * chance.choice([500, 100_000]) + text
    path.write_text(text if whole else "\n".join([*lines[:at], text, *lines[at + 1 :]]) + "\n")


def _places(data: Any) -> list[tuple[Any, Any]]:
    items = data.items() if isinstance(data, dict) else enumerate(data)
    if not isinstance(data, (dict, list)):
        return []
    places = []
    for key, value in list(items):
        places.append((data, key))
        places += _places(value) if isinstance(value, (dict, list)) else []
    return places


def _spoil_bytes(chance: random.Random, path: Path) -> None:
    content = bytearray(path.read_bytes())
    if not content or chance.random() < 0.3:
        path.write_bytes(bytes(content[: chance.randint(0, len(content))]))
        return
    reach = chance.choice([8, 200, len(content)])
    for _ in range(chance.choice([1, 3, 50])):
        content[chance.randrange(min(reach, len(content)))] = chance.randrange(256)
    path.write_bytes(bytes(content) + chance.randbytes(chance.choice([0, 0, 5, 1000])))


def _spoil_base(chance: random.Random, path: Path) -> None:
    tables = ["studies", "trials", "trial_params", "trial_user_attributes", "study_user_attributes"]
    table = chance.choice(tables)
    statements = [
        f"DROP TABLE {table}",
        f"DELETE FROM {table}",
        "UPDATE trials SET state = 'NOWHERE'",
        "UPDATE trials SET number = -5",
        "UPDATE trial_user_attributes SET value_json = '{'",
        "UPDATE trial_user_attributes SET value_json = printf('%.*c', 2000000, 'x')",
        "UPDATE studies SET study_name = char(0) || 'x'",
        "UPDATE alembic_version SET version_num = 'x'",
        "UPDATE version_info SET schema_version = 99",
    ]
    try:
        connection = sqlite3.connect(path)
        connection.execute(chance.choice(statements))
        connection.commit()
        connection.close()
    except sqlite3.Error:
        return


def _spoil_kind(chance: random.Random, path: Path) -> None:
    path.unlink()
    kind = chance.randrange(5)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.mkdir()
    elif kind == 2:
        path.symlink_to(chance.choice(["/dev/zero", "/dev/stdin", "/proc/self/mem", "/etc/passwd"]))
    elif kind == 3:
        path.symlink_to(chance.choice([path, path.parent, "nowhere", "../.."]))
