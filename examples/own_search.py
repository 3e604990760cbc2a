"""A search on a task of one's own: which token of a sequence occurs twice?

This file is a plug-in: it registers a class of tasks, and names the entry of one. `main` searches
it from Python; in the folder of this file the command line does the same:

    attenergy --plugin own_search tasks sample twice
    attenergy --plugin own_search search --task twice --energies softmax,lse,rbm,mean --trials 8
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import attenergy
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.results.study_folder import read_study
from attenergy.search.runs.events import Listener
from attenergy.search.study.run import run_search
from attenergy.tasks import Estimate, Inputs, Outputs, TokenTask

REGISTRY = Path(__file__).with_name("own_search.yaml")


@attenergy.register_task
class Twice(TokenTask):
    """L of V tokens, one of them twice, in any order, and a question mark at the end."""

    splits = ("train", "valid", "test")
    scored_positions = slice(-1, None)  # the question mark alone is answered

    def __init__(
        self,
        *,
        symbols: int = 16,
        length: int = 8,
        name: str = "twice",
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        self.symbols, self.length = symbols, length
        self.inputs, self.outputs = Inputs("token", symbols + 1, length + 1), Outputs(symbols)
        self.chance = {"accuracy": 1 / (length - 1)}  # one of the tokens that are there
        super().__init__()

    def generate(
        self, split: str, count: int, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """Tokens (N, L + 1), and targets: -100 where nothing is asked."""
        order = torch.rand(count, self.symbols, generator=generator).argsort(1)
        tokens = torch.cat([order[:, : self.length - 1], order[:, :1]], 1)  # the first one again
        places = torch.rand(count, self.length, generator=generator).argsort(1)
        mark = torch.full((count, 1), self.symbols)
        targets = torch.full((count, self.length + 1), -100)
        targets[:, -1] = order[:, 0]
        return {"tokens": torch.cat([tokens.gather(1, places), mark], 1), "targets": targets}

    def _ceiling(self, split: str) -> Estimate:
        return Estimate(1.0, 0.0, 0)  # it can always be told


def main(steps: int = 200, trials: int = 8, seeds: int = 2) -> dict[str, float]:
    """Search, and return the accuracy of the best of each variant on fresh seeds.

    Args:
        steps: of training.
        trials: configurations that are tried.
        seeds: fresh seeds for the best of them and the baseline, softmax.
    """
    registry = attenergy.load_registry(REGISTRY)
    task = attenergy.make_task("twice", registry=registry)
    print(f"{task.describe()}\n{task.sample('train', 0)}")
    with TemporaryDirectory() as folder:
        plan = SearchPlan(
            study="twice", folder=folder, task="twice", variants=("softmax", "lse", "rbm", "mean"),
            trials=trials, finalists=3, seeds=seeds, final_budget="none", workers=0,
            train_steps=steps,
        )  # fmt: skip
        run_search(plan, registry, Listener())
        rows = read_study(Path(folder)).leaderboard().rows
    scores = {row.variant: row.scores["iid"].mean for row in rows if row.final}
    for name, score in scores.items():
        print(f"{name:8} {score:.3f}  (chance {task.chance['accuracy']:.3f}, ceiling 1)")
    return scores


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200, help="of training")
    parser.add_argument("--trials", type=int, default=8, help="configurations")
    main(**vars(parser.parse_args()))
