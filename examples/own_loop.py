"""An Optuna loop of your own over energies, on scikit-learn's digits.

`pip install "attenergy[data]"`, then `python examples/own_loop.py`.
"""

from __future__ import annotations

import optuna
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import attenergy
from attenergy.search.suggest import Suggestion

FORMULA = "-lse(-0.5*beta * sqdist(X, xi))/beta"  # squared distances in place of inner products
VARIANTS = {"softmax": "softmax", "lse": "lse", "rbm": "rbm", "mine": FORMULA}


class Classifier(nn.Module):
    """A digit is eight rows of eight pixels; a layer of the trial's lets them see each other."""

    def __init__(self, choice: Suggestion, width: int = 32) -> None:
        super().__init__()
        self.rows, self.places = nn.Linear(8, width), nn.Parameter(torch.randn(8, width))
        self.attend, self.out = choice.build(width, num_heads=4), nn.Linear(8 * width, 10)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 8, 8) images to (B, 10) logits."""
        x = self.rows(images) + self.places
        return self.out((x + self.attend(x)).flatten(1))


def main(trials: int = 20, steps: int = 300) -> float:
    """Return the accuracy of the best layer on digits that the study never saw."""
    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(0))
    images = torch.tensor(digits.images, dtype=torch.float32)[order] / 16
    targets = torch.tensor(digits.target)[order]
    valid, test = slice(1200, 1500), slice(1500, None)  # what comes before is to learn from

    def accuracy(model: nn.Module, part: slice) -> float:
        return (model(images[part]).argmax(-1) == targets[part]).float().mean().item()

    def trained(choice: Suggestion) -> nn.Module:
        torch.manual_seed(0)
        model = Classifier(choice)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        for _ in range(steps):
            some = torch.randint(1200, (64,))
            loss = nn.functional.cross_entropy(model(images[some]), targets[some])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return model.eval()

    def objective(trial: optuna.Trial) -> float:
        return accuracy(trained(attenergy.suggest(trial, VARIANTS)), valid)

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=trials)
    best = attenergy.suggest(study.best_trial, VARIANTS)  # the same choice again
    score = accuracy(trained(best), test)
    print(f"{best}: {study.best_value:.3f} on validation, {score:.3f} on test digits")
    return score


if __name__ == "__main__":
    main()
