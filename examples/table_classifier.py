"""A table classifier whose columns attend to each other, beside two of scikit-learn.

Breast cancer: 30 measures of 569 biopsies, malignant or benign. Each column is a token; an energy
lets them see each other, and another one pools them. `pip install "attenergy[data]"`, then

    python examples/table_classifier.py --energies lse entmax rbm --seeds 5
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

import attenergy


class Classifier(nn.Module):
    """Rows (B, C) of numbers to logits (B, classes): token of column c = x_c w_c + b_c."""

    def __init__(self, energy: str, columns: int, classes: int, width: int = 32) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.2 * torch.randn(columns, width))
        self.bias = nn.Parameter(0.2 * torch.randn(columns, width))
        self.attend = attenergy.EnergyAttention(width, 4, energy)
        self.pool = attenergy.EnergyPooling(width, 4, energy)
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, rows: Tensor) -> Tensor:
        """Logits of the classes."""
        tokens = rows[..., None] * self.weight + self.bias
        logits: Tensor = self.out(self.pool(tokens + self.attend(tokens)).squeeze(1))
        return logits


def trained(energy: str, rows: Tensor, classes: Tensor, steps: int) -> Classifier:
    """Batches of 64 rows, drawn with replacement."""
    model = Classifier(energy, rows.shape[1], int(classes.max()) + 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
    for _ in range(steps):
        some = torch.randint(len(rows), (64,))
        loss = nn.functional.cross_entropy(model(rows[some]), classes[some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def main(
    steps: int = 200, energies: Sequence[str] = ("lse", "entmax", "rbm"), seeds: int = 5
) -> dict[str, float]:
    """Return the accuracy on held-out rows, a mean over splits; all see the same splits.

    Args:
        steps: of training.
        energies: names in the registry, each a model of its own.
        seeds: splits, 70 % of the rows to learn from.
    """
    data = load_breast_cancer()
    scores: dict[str, list[float]] = {}
    for seed in range(seeds):
        rows, held, classes, answers = train_test_split(
            data.data, data.target, test_size=0.3, stratify=data.target, random_state=seed
        )
        scaler = StandardScaler().fit(rows)
        rows, held = scaler.transform(rows), scaler.transform(held)
        said = {"chance": [1] * len(answers)}  # benign, the more frequent class
        for model in (LogisticRegression(max_iter=1000), HistGradientBoostingClassifier()):
            said[type(model).__name__] = model.fit(rows, classes).predict(held)
        inputs = torch.tensor(rows, dtype=torch.float32), torch.tensor(classes)
        for energy in energies:
            torch.manual_seed(seed)
            logits = trained(energy, *inputs, steps)(torch.tensor(held, dtype=torch.float32))
            said[energy] = logits.argmax(-1).tolist()
        for name, predicted in said.items():
            scores.setdefault(name, []).append(float((answers == predicted).mean()))
    means = {name: sum(values) / seeds for name, values in scores.items()}
    for name, values in scores.items():
        print(f"{name:30} {means[name]:.3f}  (from {min(values):.3f} to {max(values):.3f})")
    return means


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200, help="of training")
    parser.add_argument("--energies", nargs="+", default=["lse", "entmax", "rbm"])
    parser.add_argument("--seeds", type=int, default=5, help="splits")
    main(**vars(parser.parse_args()))
