"""A stack of several energies: made, trained, saved, and searched for.

Run it with `python examples/stack.py`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

import attenergy
from attenergy.search.planning.plan import SearchPlan
from attenergy.search.results.study_folder import read_study
from attenergy.search.runs.events import Listener
from attenergy.search.study.run import run_search


def main(folder: Path, trials: int = 6, steps: int = 200) -> None:
    """Show a stack of one's own, then let a search choose the layer of each block."""
    torch.manual_seed(0)
    sizes = {"kind": "vector", "size": 4, "length": 8, "outputs": 4, "width": 16, "heads": 2}
    model = attenergy.Transformer(layers="lse/hyla+rbm", positions="relative", mlp=32, **sizes)
    x = torch.randn(64, 8, 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = (model(x) - x.flip(1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"lse/hyla+rbm after {steps} steps: loss {loss.item():.3f}, answering 0 has 1.000")
    model.save_pretrained(folder / "model")
    again = attenergy.load(folder / "model", part="model")
    print("loaded again, equal:", torch.equal(again.eval()(x), model.eval()(x)))

    plan = SearchPlan(
        study="stacks", folder=str(folder / "stacks"), task="stacked-recall", space="stacks",
        task_options={"vocabulary": 16, "pairs": 4}, variants=("softmax", "lse", "linear"),
        trials=trials, finalists=0, workers=0, train_steps=steps,
        fix={"layers": 2, "heads": 2, "valid_instances": 64, "test_instances": 64},
    )  # fmt: skip
    run_search(plan, attenergy.load_registry(), Listener())
    print(f"chance {attenergy.make_task(plan.task, **plan.task_options).chance['accuracy']:.3f}")
    for row in read_study(folder / "stacks").leaderboard().rows:
        score, size = row.scores["valid"].mean, row.cost["parameters"]
        print(f"{row.variant}: {score:.3f}, {size:.0f} parameters")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        main(Path(place))
