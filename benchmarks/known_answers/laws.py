"""Every law on every built-in energy: `python benchmarks/known_answers/laws.py`, some minutes.

Writes results/laws.json: for each law how many entries pass, to how many it does not apply, and the
largest figure. The tests of the project run the same checks, entry by entry.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attenergy.registry import load_registry
from attenergy.search.runs import provenance
from attenergy.testing import KNOWN_ANSWERS, LAWS, check_law

RESULTS = Path(__file__).parents[1] / "results" / "laws.json"


def count(names: list[str]) -> dict[str, Any]:
    """The results of all laws on the named entries."""
    energies = load_registry(plugins=False).energies
    laws = {law: {"passed": 0, "not_applicable": [], "failed": [], "worst": 0.0} for law in LAWS}
    for name in names:
        for law, counts in laws.items():
            result = check_law(law, energies[name])
            if result.passed is None:
                counts["not_applicable"].append(name)
            elif result.passed:
                counts["passed"] += 1
                counts["worst"] = max(counts["worst"], result.figure or 0.0)
            else:
                counts["failed"].append(f"{name}: {result.note}")
        print(name, flush=True)
    answers = {answer for name in names for answer in energies[name].known_answers}
    assert answers <= set(KNOWN_ANSWERS)
    return {"energies": len(names), "known_answers": len(answers), "laws": laws}


def main() -> None:
    result = count(list(load_registry(plugins=False).energies))
    result |= {"versions": provenance.versions(), "machine": provenance.machine()}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
