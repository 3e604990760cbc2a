"""A planted truth: does a discovery find log-sum-exp again, and random trees at equal budget?

    python benchmarks/discovery/planted.py --out benchmarks/results/discovery_planted.json

The task `denoising` is not trained, and its best answer is known: one step down
1/2 |xi|^2 - lse(beta X xi)/beta at a known beta. A discovery begins with the energies of the
registry without log-sum-exp and its relatives (`rediscovery.relatives`), and half of its time goes
to random trees: the same grammar, filters and tuning, and no parents. In the setting `assembled`
neither `lse` nor `softmax` is in the grammar, so that log(sum_n(exp(...))) has to be put together.

For every seed and both arms it tells whether a formula that is log-sum-exp was evaluated (see
`rediscovery.rediscovered`), after how many candidates and seconds of the arm, and whether one is
the best of the arm. Rows that the file of `--out` holds already, with the same budget, are not made
again, and a discovery that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rediscovery import rediscovered, relatives, seeds

from attenergy.analysis.drawing import SIZE, WIDE, colour, legend, panels
from attenergy.registry import load_registry
from attenergy.registry.files import write_atomically
from attenergy.search.discovery.formulas.candidate import Candidate
from attenergy.search.discovery.plan import DiscoverPlan
from attenergy.search.discovery.results.discovery import Formula
from attenergy.search.discovery.run import run_discovery
from attenergy.search.runs import provenance
from attenergy.search.runs.events import Listener

TASK = "denoising"
#: Setting -> functions that no candidate may use.
SETTINGS = {"named": (), "assembled": ("lse", "softmax")}
_TITLES = {"named": "lse may be called", "assembled": "log(sum(exp)) has to be put together"}
ARMS = ("evolved", "random")
_CLOSE = 1e-4  # nearer to the ceiling than its standard error


@dataclass(frozen=True)
class Outcome:
    """What one arm of one discovery came to."""

    candidates: int
    seconds: float
    how: str = ""  # it is known to be log-sum-exp; empty if there is none
    formula: str = ""
    operation: str = ""
    score: float | None = None
    after_candidates: int | None = None
    after_seconds: float | None = None
    on_top: bool = False
    best_formula: str = ""
    best_score: float | None = None
    #: (candidates, best score so far), wherever it has risen
    progress: list[tuple[int, float]] = field(default_factory=list)


def outcome(population: Sequence[Formula], arm: str) -> Outcome:
    """What an arm has come to: its first formula that is log-sum-exp, and its best."""
    own = [each for each in population if each.arm == arm]
    spent, facts = 0.0, dict[str, Any]()
    for place, each in enumerate(own, 1):
        spent += each.seconds
        if _score(each) > -math.inf and (how := rediscovered(Candidate.from_formula(each.formula))):
            facts = {
                "how": how,
                "formula": each.formula,
                "operation": each.operation,
                "score": round(_score(each), 4),
                "after_candidates": place,
                "after_seconds": round(spent, 1),
            }
            break
    highest = -math.inf
    for place, each in enumerate(own, 1):
        if (score := _score(each)) > highest:
            highest = score
            facts.setdefault("progress", []).append((place, round(score, 5)))
    best = max(own, key=_score, default=None)
    if best is not None and _score(best) > -math.inf:
        facts |= {
            "on_top": bool(rediscovered(Candidate.from_formula(best.formula))),
            "best_formula": best.formula,
            "best_score": round(_score(best), 4),
        }
    return Outcome(len(own), round(sum(each.seconds for each in own), 1), **facts)


def _score(formula: Formula) -> float:
    return formula.scores.get(TASK, -math.inf)


def discover(setting: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One discovery, to its end; a row of the table."""
    registry = load_registry(plugins=False)
    folder = arguments.folder / f"{setting}-{seed}"
    plan = DiscoverPlan(
        study=folder.name,
        folder=str(folder),
        tasks=(TASK,),
        budget=None if arguments.candidates else arguments.budget,
        candidates=arguments.candidates,
        seed=seed,
        seed_energies=seeds(registry),
        without=SETTINGS[setting],
        control=0.5,
        finalists=0,
        workers=arguments.workers,
    )
    result = run_discovery(plan, registry, Listener(), resume=folder.exists())
    return {
        "setting": setting,
        "seed": seed,
        "budget": plan.budget or f"{plan.candidates} candidates",
        "workers": plan.workers,
        **{arm: vars(outcome(result.population, arm)) for arm in ARMS},
        "versions": provenance.versions(),
        "machine": provenance.machine(),
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows, and how many seeds of each arm have found it again."""
    lines = [f"{'setting':10} {'seed':>4} {'arm':8} {'again':22} {'after':>16} {'top':4} formula"]
    for row in rows:
        for arm in ARMS:
            one = Outcome(**row[arm])
            after = f"{one.after_candidates} in {one.after_seconds:.0f}s" if one.how else ""
            total = f"of {one.candidates}"
            lines.append(
                f"{row['setting']:10} {row['seed']:>4} {arm:8} {one.how or '-':22} "
                f"{after or total:>16} {'yes' if one.on_top else 'no':4} "
                f"{one.formula or one.best_formula}"
            )
    for setting in dict.fromkeys(row["setting"] for row in rows):
        own = [row for row in rows if row["setting"] == setting]
        for arm in ARMS:
            again = sum(bool(row[arm]["how"]) for row in own)
            lines.append(f"{setting}, {arm}: {again} of {len(own)} seeds")
    return "\n".join(lines)


def picture(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """What each arm's best still lacks of the ceiling, seed by seed; dots where it is written."""
    settings = list(dict.fromkeys(row["setting"] for row in rows))
    with panels(1, len(settings), WIDE if len(settings) > 1 else SIZE) as (figure, grid):
        for axes, setting in zip(grid[0], settings, strict=True):
            own = [row for row in rows if row["setting"] == setting]
            for arm, tone in zip(reversed(ARMS), ("series-2", "series-1"), strict=True):
                for row in own:
                    one = Outcome(**row[arm])
                    across = [place for place, _ in one.progress]
                    lacks = [max(1 - score, _CLOSE) for _, score in one.progress]
                    label = arm if row is own[0] else None
                    axes.step([*across, one.candidates], [*lacks, lacks[-1]], where="post",
                              color=colour(tone), linewidth=1.2, label=label)  # fmt: skip
                    if one.after_candidates is not None:
                        at = max(k for k, each in enumerate(across) if each <= one.after_candidates)
                        axes.plot(one.after_candidates, lacks[at], "o", color=colour(tone))
            axes.set(xlabel="formulas that the arm has evaluated", title=_TITLES[setting])
            axes.set(xscale="log", yscale="log")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter("{x:g}")
                axis.set_minor_formatter("")
        grid[0][0].set_ylabel("what the best still lacks of the ceiling")
        legend(grid[0][0])
        figure.savefig(path, dpi=110, facecolor="white")


def main() -> None:
    """Discover, tell and write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--budget", default="30m", help="of each discovery")
    parser.add_argument("--candidates", type=int, help="a number instead of a time")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("runs/planted"))
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--picture", type=Path, help="draw the rows into this file")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if arguments.out is not None and arguments.out.exists():
        rows = json.loads(arguments.out.read_text(encoding="utf-8"))["rows"]
    done = {(row["setting"], row["seed"]) for row in rows}
    for setting in arguments.settings:
        for seed in range(arguments.seeds):
            if (setting, seed) in done:
                continue
            rows.append(discover(setting, seed, arguments))
            if arguments.out is not None:
                removed = relatives(load_registry(plugins=False))
                content = {"task": TASK, "removed": removed, "rows": rows}
                write_atomically(arguments.out, json.dumps(content, indent=1) + "\n")
    print(table(rows))
    if arguments.picture is not None:
        picture(rows, arguments.picture)


if __name__ == "__main__":
    main()
