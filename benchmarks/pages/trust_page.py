"""The tables of docs/trust.md, from benchmarks/results: `python benchmarks/pages/trust_page.py`.

What stands between `<!-- table: NAME -->` and `<!-- end -->` is made here; a test compares.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attenergy.registry.explained.laws import LAWS
from attenergy.testing.docs_pages.markdown import table

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "trust.md"
_PART = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def result(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def claim(name: str) -> str:
    """What was seen of one claim, a line for each project and check."""
    rows = []
    for row in result("known_answers")["rows"]:
        if row["claim"] == name:
            source = ", ".join(filter(None, (row["version"], row["read"])))
            rows.append([row["project"], source, "yes" if row["holds"] else "no", row["seen"]])
    return table(["asked of", "version", "holds", "seen"], rows)


def laws() -> str:
    measured = result("laws")
    address = {law.label: law.name for law in LAWS}
    rows = []
    for law, counts in measured["laws"].items():
        apart = ", ".join(f"`{name}`" for name in counts["not_applicable"]) or "none"
        figure = f"{counts['worst']:.0e}" if counts["worst"] else "0"
        numbers = (str(counts["passed"]), str(len(counts["failed"])))
        rows.append([f"[{law}](laws.md#{address[law]})", *numbers, apart, figure])
    text = table(["law", "pass", "fail", "does not apply to", "largest figure"], rows)
    return text + _LAWS.format(**measured, torch=measured["versions"]["torch"])


_LAWS = """
{energies} energies, {known_answers} known answers. The figure is an error, mostly in float64; some
known answers are approximations, with a limit of their own. By
`python benchmarks/known_answers/laws.py`, with PyTorch {torch}.
"""


def fuzz() -> str:
    files, formulas = result("fuzz_files"), result("fuzz_formulas")
    limits = "{seconds:g} s or {megabytes} MB at most".format(**files["limits"])
    folder, registry = files["folder"], files["registry"]
    rows = [
        [
            *("random registry files", registry["cases"]),
            f"accepted, or refused with a message; never another error, {limits}",
            *(len(registry["bad"]), "`fuzz/fuzz_files.py`"),
        ],
        [
            *("damaged studies and exports", folder["cases"]),
            "read, or refused with a message; nothing in them is run",
            *(len(folder["bad"]), "`fuzz/fuzz_files.py`"),
        ],
        [
            *("random formulas", formulas["valid"]),
            "value and derivatives equal autograd's, and masking equals deleting",
            *(len(formulas["wrong"]), "`fuzz/fuzz_formulas.py`"),
        ],
    ]
    odd = sum(count for what, count in formulas["outcomes"].items() if "equal" not in what)
    header = ["what", "cases", "what must be", "exceptions", "by"]
    text = table(header, [[f"{c:,}" if isinstance(c, int) else c for c in row] for row in rows])
    return text + _FUZZ.format(odd=odd)


_FUZZ = """
{odd} of the formulas were not finite, or too large, at the point drawn, and were not compared.
"""


def calls() -> str:
    measured = result("deciding")
    nulls, looks = measured["nulls"], measured["for_ever"]
    rows = []
    for what, races in (("races as a search plays them", nulls), ("a look after each seed", looks)):
        searches, wrong = (sum(race[key] for race in races) for key in ("searches", "wrong"))
        worst = max(race["rate"] for race in races)
        rows.append([what, f"{searches:,}", str(wrong), f"{wrong / searches:.3f}", f"{worst:.3f}"])
    header = ["", "races", "with a wrong call", "share", "worst kind of scores"]
    return table(header, rows) + "\nBy `python benchmarks/deciding.py`.\n"


_STORES = {
    "sqlite": "SQLite, worker processes",
    "postgresql": "PostgreSQL",
    "postgresql_joined": "PostgreSQL, several drivers",
    "ray": "Ray",
}
_WRONG = ("lost", "recorded_twice", "left_running", "wrong_values")


def kills() -> str:
    rows = []
    for name, what in _STORES.items():
        total = result(f"faults_{name}")["total"]
        killed = sum(total["kills"].values())
        rows.append([what, *map(str, (total["planned"], killed, *map(total.get, _WRONG)))])
    header = ["a search on", "runs planned", "kills", *(key.replace("_", " ") for key in _WRONG)]
    again = result("continuing")["total"]
    text = table(header, rows) + _KILLS.format(**again, killed=sum(again["kills"].values()))
    discovery = result("discovering")["total"]
    wrong = sum(discovery["wrong"].values())
    return text + _DISCOVERY.format(
        **discovery, killed=sum(discovery["kills"].values()), disagree=wrong
    )


_KILLS = """
What was killed at random moments: workers, drivers, processes that were stopped or took too much
memory, connections, nodes (`benchmarks/faults/faults.py`). A training run that is killed goes on
from its last checkpoint: after {killed} kills, {equal_weights} of {runs} runs ended with the same
weights, to the bit, as runs that nobody disturbed (`benchmarks/faults/continuing.py`).
"""


_DISCOVERY = """
Discoveries were killed {killed} times, drivers and workers. Trials and records of {candidates}
candidates and {runs_recorded} runs were held against each other after every death of a driver:
{disagree} disagreed, and {begun_again_though_recorded} runs were begun again that had been recorded
(`benchmarks/faults/discovering.py`).
"""


def mutations() -> str:
    measured = result("mutations")
    rows = [
        [f"`{area}/`", str(counts["planted"]), str(counts["planted"] - counts["survived"])]
        for area, counts in measured["areas"].items()
    ]
    reasons = [each["reason"].partition(": ") for each in measured["survivors"]]
    listed = "\n".join(f"* {what}" for kind, _, what in reasons if kind == "unprotected")
    harmless = sum(kind.startswith("harmless") for kind, _, _ in reasons)
    text = table(["code", "faults planted", "noticed"], rows)
    return text + _MUTATIONS.format(**measured, harmless=harmless, listed=listed)


_MUTATIONS = """
A fault is a small random change of one line, looked for with the fast suite
(`benchmarks/mutations/mutations.py`). Of {planted}, {noticed} were noticed; of the others
{harmless} are harmless. No test protected, when this was measured:

{listed}
"""


TABLES: dict[str, Callable[[], str]] = {
    "calls": calls,
    "laws": laws, "fuzz": fuzz, "kills": kills, "mutations": mutations,
}  # fmt: skip


def page(text: str) -> str:
    """The text of the page with its tables made anew."""

    def made(match: re.Match[str]) -> str:
        name = match[2]
        body = TABLES[name]() if name in TABLES else claim(name)
        return f"{match[1]}\n{body}\n{match[4]}"

    return _PART.sub(made, text)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
