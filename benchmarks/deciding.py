"""How often a race over seeds calls equal variants different, and what it finds at which price.

    python benchmarks/deciding.py [--quick] [--searches 1000] [--out FILE]
    python benchmarks/deciding.py --record FOLDER...     # pools from comparisons that were run

Scores are drawn, with replacement, from pools of real ones: final runs of one variant on one task,
over many seeds (`results/deciding_pools.json`, each with the command that made it). A search has a
baseline and three contenders, three seeds each in the first round, two workers, and the default
budget, twelve seeds for each; every rule of `attenergy.search.results.race` applies. What the
output file holds already, of the same pools, is not made again.

* Null searches: all four draw from one pool. A search is wrong if it calls anything.
* Looked at for ever: one contender, a pair added and looked at, up to 200 of them. The same for
  pairs of two variants with one seed, given to the two sides by a coin.
* Power: one contender is better by a gap (or worse, where the pool has no room above), cut to
  [0, 1]; the other two are equal to the baseline. Noise is that of the pool, half of it, and twice.
  With one contender alone, as of a comparison of two variants, as well.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from statistics import fmean, median
from typing import Any

from attenergy.registry.files import write_atomically
from attenergy.search.results.race import RaceRules, next_round, p_values
from attenergy.search.results.sequential import evidence
from attenergy.search.results.study_folder import read_study
from attenergy.search.runs import provenance

RESULTS = Path(__file__).parent / "results"
POOLS = RESULTS / "deciding_pools.json"
GAPS = (0.02, 0.05, 0.1, 0.2)
NOISE = (1.0, 0.5, 2.0)
LEVEL = 0.05
SEEDS, BUDGET = 3, 12  # of the first round, and for each on average
Draw = Callable[[str, int], float]


@dataclass(frozen=True)
class Pool:
    """Scores of one variant on one task, one for each seed."""

    task: str
    variant: str
    command: str
    machine: str
    chance: float
    ceiling: float
    scores: dict[str, float]  # by seed

    @property
    def values(self) -> list[float]:
        return list(self.scores.values())

    @property
    def name(self) -> str:
        return f"{self.task}, {self.variant}"


def read_pools(path: Path = POOLS) -> list[Pool]:
    return [Pool(**each) for each in json.loads(path.read_text(encoding="utf-8"))]


def record(folders: Sequence[Path], commands: Sequence[str]) -> list[Pool]:
    """One pool for each variant of comparisons that were run."""
    pools = []
    for folder, command in zip(folders, commands, strict=True):
        study = read_study(folder)
        ceiling, metric = study.task.ceiling("valid"), study.task.metric
        scores: dict[str, dict[str, float]] = {}
        machine = ""
        for one in study.records:
            if one.purpose == "compare" and one.status == "complete":
                values = scores.setdefault(one.config.variant, {})
                values[f"{one.config.seed}"] = one.metrics["valid"][metric]
                machine = machine or ", ".join(f"{k} {v}" for k, v in one.machine.items())
        for variant, values in scores.items():
            pools.append(
                Pool(
                    task=study.records[0].config.task,
                    variant=variant,
                    command=command,
                    machine=machine,
                    chance=study.task.chance[metric],
                    ceiling=1.0 if ceiling is None else ceiling.value,
                    scores=values,
                )
            )
    return pools


def race(pool: Pool, draw: Draw, contenders: int) -> tuple[dict[str, float], dict[str, Any]]:
    """Play a race to its end: p of every contender, and all scores."""
    names = ("base", *(f"c{n}" for n in range(contenders)))
    rules = RaceRules(names, "base", 0, SEEDS, 2, pool.chance, pool.ceiling, LEVEL)
    scores: dict[str, dict[int, float | None]] = {name: {} for name in names}
    budget, first = BUDGET * len(names), SEEDS * len(names)
    while True:
        made = max(first, sum(map(len, scores.values())))
        coming = next_round(rules, scores, budget - made)
        if not coming.runs:
            p = {} if coming.end == "unlearned" else p_values(rules, scores)
            return p, scores
        for name, seed in coming.runs:
            scores[name][seed] = draw(name, seed)


def nulls(pool: Pool, searches: int, contenders: int, seed: int = 0) -> dict[str, Any]:
    """How many searches among equal contenders call anything."""
    values, rng = pool.values, random.Random(f"{pool.name} {contenders} {seed}")
    wrong, runs = 0, []
    for _ in range(searches):
        p, scores = race(pool, lambda *_: rng.choice(values), contenders)
        wrong += any(each <= LEVEL for each in p.values())
        runs.append(sum(map(len, scores.values())))
    return {**rate(wrong, searches), "median_runs": median(runs)}


def for_ever(pairs: Callable[[random.Random], float], searches: int) -> dict[str, Any]:
    """How many series of 200 null differences are ever called, looked at after each."""
    rng = random.Random(0)
    wrong = sum(
        max(evidence([pairs(rng) for _ in range(200)])) >= 1 / LEVEL for _ in range(searches)
    )
    return rate(wrong, searches)


def power(pool: Pool, gap: float, noise: float, searches: int, contenders: int) -> dict[str, Any]:
    """How often a planted gap is called, and with how many seeds."""
    values, centre = pool.values, fmean(pool.values)
    sign = 1.0 if centre + gap <= 0.97 else -1.0
    rng = random.Random(f"{pool.name} {gap} {noise} {contenders}")

    def draw(name: str, _: int) -> float:
        shift = sign * gap if name == "c0" else 0.0
        return min(1.0, max(0.0, centre + noise * (rng.choice(values) - centre) + shift))

    right, wrong, seeds, runs, gaps = 0, 0, [], [], []
    for _ in range(searches):
        p, scores = race(pool, draw, contenders)
        base, best = scores["base"], scores["c0"]
        gaps.append(difference := fmean(best[n] - base[n] for n in best if n in base))
        called = p.get("c0", 1.0) <= LEVEL
        right += called and difference * sign > 0
        wrong += any(p.get(f"c{n}", 1.0) <= LEVEL for n in range(1, contenders))
        wrong += called and difference * sign <= 0
        seeds.append(len(best))
        runs.append(sum(map(len, scores.values())))
    return {
        "gap_after_cutting": fmean(gaps),
        "power": right / searches,
        "wrong": wrong / searches,
        "median_seeds": median(seeds),
        "median_runs": median(runs),
    }


def rate(wrong: int, searches: int) -> dict[str, Any]:
    return {"wrong": wrong, "rate": wrong / searches, "interval": [*wilson(wrong, searches)]}


def wilson(hits: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    share, n = hits / trials, trials
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def swapped(first: Pool, second: Pool) -> Callable[[random.Random], float]:
    """Differences of two variants with one seed, which a coin gives to the two sides."""
    shared = sorted(first.scores.keys() & second.scores.keys())

    def draw(rng: random.Random) -> float:
        seed = rng.choice(shared)
        return rng.choice((-1, 1)) * (first.scores[seed] - second.scores[seed])

    return draw


def independent(pool: Pool) -> Callable[[random.Random], float]:
    values = pool.values
    return lambda rng: rng.choice(values) - rng.choice(values)


class Results:
    """Rows that are made once: those that the file has, of the same pool and number, are kept."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        known = path is not None and path.is_file()
        self.before = json.loads(path.read_text(encoding="utf-8")) if path and known else {}
        self.rows: dict[str, list[dict[str, Any]]] = {"nulls": [], "for_ever": [], "power": []}

    def add(self, kind: str, about: dict[str, Any], make: Callable[[], dict[str, Any]]) -> None:
        for row in self.before.get(kind, ()):
            if all(row.get(name) == value for name, value in about.items()):
                break
        else:
            row = {**about, **make()}
        self.rows[kind].append(row)
        print(_line(kind, row), flush=True)
        if self.path is not None:
            earlier = [old for old in self.before.get(kind, ()) if old not in self.rows[kind]]
            write_atomically(
                self.path,
                json.dumps({**self.before, **self.rows, kind: self.rows[kind] + earlier}, indent=1),
            )


def evaluate(results: Results, pools: Sequence[Pool], sizes: tuple[int, int, Any]) -> None:
    searches, powered, noise = sizes
    about = [{"pool": pool.name, "pool_seeds": len(pool.scores)} for pool in pools]
    for contenders in (3, 1):
        for pool, each in zip(pools, about, strict=True):
            results.add(
                "nulls",
                {**each, "searches": searches, "contenders": contenders},
                partial(nulls, pool, searches, contenders),
            )
    for scale, pool_and_name, gap, contenders in product(
        noise, zip(pools, about, strict=True), GAPS, (3, 1)
    ):
        pool, each = pool_and_name
        results.add(
            "power",
            {**each, "searches": powered, "noise": scale, "gap": gap, "contenders": contenders},
            partial(power, pool, gap, scale, powered, contenders),
        )
    for pool, each in zip(pools, about, strict=True):
        series = partial(for_ever, independent(pool), searches)
        results.add("for_ever", {**each, "searches": searches}, series)
    for first, second in pairwise(pools):
        if first.task == second.task:
            name = f"{first.task}, {first.variant} and {second.variant} by a coin"
            shared = len(first.scores.keys() & second.scores.keys())
            results.add(
                "for_ever",
                {"pool": name, "pool_seeds": shared, "searches": searches},
                partial(for_ever, swapped(first, second), searches),
            )


def targets(rows: dict[str, list[dict[str, Any]]]) -> list[dict[str, str]]:
    worst = max(rows["nulls"], key=lambda row: row["rate"])
    total = sum(row["searches"] for row in rows["nulls"])
    wrong = sum(row["wrong"] for row in rows["nulls"])
    low, high = wilson(wrong, total)
    lines = [
        {
            "name": f"false positives over {total} null searches resampled from real runs",
            "target": "<= .05",
            "measured": f"{wrong / total:.4f} [{low:.4f}; {high:.4f}], worst pool "
            f"{worst['rate']:.3f} ({worst['pool']})",
            "verdict": "met" if wrong / total <= LEVEL else "missed",
        }
    ]
    shares: dict[tuple[str, int], list[str]] = {}
    for row in rows["power"]:
        if row["noise"] == 1.0:
            shares.setdefault((row["pool"], row["contenders"]), []).append(f"{row['power']:.2f}")
    lines += [
        {
            "name": f"power for gaps of .02 .05 .1 .2; {pool}; contenders: {contenders}",
            "target": "reported",
            "measured": " ".join(each),
            "verdict": "reported",
        }
        for (pool, contenders), each in shares.items()
    ]
    return lines


def _line(kind: str, row: dict[str, Any]) -> str:
    if kind == "power":
        return (
            f"power {row['pool']:32} {row['contenders']} contenders, noise x{row['noise']:g}, gap "
            f"{row['gap']:.2f} ({row['gap_after_cutting']:+.3f}): {row['power']:.2f}, wrong "
            f"{row['wrong']:.3f}, seeds {row['median_seeds']:g}, runs {row['median_runs']:g}"
        )
    low, high = row["interval"]
    tail = f", median {row['median_runs']:g} runs" if kind == "nulls" else " looked at for ever"
    who = f" {row['contenders']} contenders" if kind == "nulls" else ""
    share = f"{row['rate']:.3f} [{low:.3f}, {high:.3f}] of {row['searches']}"
    return f"null  {row['pool']:32}{who}: {share}{tail}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="a minute: fewer searches; nothing is written"
    )
    parser.add_argument("--searches", type=int, default=1000, help="null searches of each kind")
    parser.add_argument("--powered", type=int, default=200, help="searches of each planted gap")
    parser.add_argument("--out", type=Path, help="by default results/deciding.json")
    parser.add_argument("--record", type=Path, nargs="+", help="folders of comparisons")
    parser.add_argument("--command", action="append", help="that made each of them")
    options = parser.parse_args()
    if options.record:
        pools = record(options.record, options.command or [""] * len(options.record))
        write_atomically(POOLS, json.dumps([asdict(pool) for pool in pools], indent=1) + "\n")
        for pool in pools:
            print(pool.name, len(pool.scores), f"{fmean(pool.values):.3f}")
        return
    out = options.out or (None if options.quick else RESULTS / "deciding.json")
    results = Results(out)
    sizes = (40, 10, (1.0,)) if options.quick else (options.searches, options.powered, NOISE)
    evaluate(results, read_pools(), sizes)
    done: dict[str, Any] = {**results.rows, "targets": targets(results.rows)}
    if out is not None:
        about = {"machine": provenance.machine(), "versions": provenance.versions()}
        write_atomically(out, json.dumps({**done, **about}, indent=1) + "\n")
    for target in done["targets"]:
        print(*target.values(), sep="  ")
    sys.exit(any(target["verdict"] == "missed" for target in done["targets"]))


if __name__ == "__main__":
    main()
