"""Does a pruner that extrapolates learning curves beat halving on the bench of policies?

    python benchmarks/policies/extrapolate.py [--table raven-one] [--repeats 200] [--minutes 10]

The extrapolator ends a run when it will hardly beat the leader: the scores that finished runs still
gained from the same share of their training on, each added to the run's best score, are its
possible ends, and the share of them above the best end so far is its chance. It needs five finished
runs, and spares plateaus as every pruner does. It is a row of a user's own, so the bench replays it
like any other; it would become one of the toolkit's if it won here.
"""

from __future__ import annotations

import argparse

from attenergy.search.bench.evaluate import evaluate
from attenergy.search.bench.policy import read_policy
from attenergy.search.bench.table import load_table
from attenergy.search.bench.world import World
from attenergy.search.planning.pruners import Curve, Pruner, register_pruner
from attenergy.search.results import formats


class BeatsLeader(Pruner):
    """Ends a run whose chance to beat the best finished run is below `least`."""

    least = 0.1
    others_needed = 5

    def verdict(self, key: str, curve: Curve) -> str:
        """Little chance, by what finished runs gained from here on."""
        at = curve.shares[-1]
        ended = [c for k, c in self.curves.items() if k != key and c.shares and c.shares[-1] >= 1]
        if len(ended) < self.others_needed:
            return ""
        leader = max(other.best() for other in ended)
        gains = [other.best() - other.best(at) for other in ended]
        chance = (1 + sum(curve.best() + gain > leader for gain in gains)) / (2 + len(gains))
        if chance >= self.least:
            return ""
        return f"{curve.best():.3f} beats the leader, {leader:.3f}, with a chance of {chance:.0%}"


def main() -> None:
    """Replay searches with each pruner, and with halving whose survivors continue."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--table", default="raven-one")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--run-seconds", type=float, default=35)
    parser.add_argument("--sampler", default="tpe")
    given = parser.parse_args()
    register_pruner(BeatsLeader, name="beats_leader")
    names = ["fitted", "fitted+pruner=median", "fitted+pruner=asha", "fitted+pruner=beats_leader"]
    names += ["restart", "continue", "continue+pruner=beats_leader"]
    # More trials than fit: what a pruner saves goes into others.
    names = [f"{name}+trials=400+sampler={given.sampler}" for name in names]
    world = World(load_table(given.table), run_seconds=given.run_seconds)
    searches = [(name, read_policy(name), given.minutes) for name in names]
    result = evaluate(searches, world, repeats=given.repeats)
    for each in result.outcomes:
        print(
            f"{each.policy:45} {formats.score(each.regret):12} "
            f"{formats.difference(each.more_than(result.reference)):12} "
            f"{each.trials:6.1f} trials {each.finals:5.1f} finals"
        )


if __name__ == "__main__":
    main()
