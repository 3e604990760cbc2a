"""Which rules a layer learns: accuracies by rule, as a table and a picture.

An answer has a value for every feature, and each feature follows a rule of its own. Here each rule
counts the features that follow it, so that a layer that knows one rule and no other shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt

from attenergy.search.runs.config import RunRecord
from attenergy.testing.docs_pages import markdown
from pages.output import save, write_page
from pages.tables import Scores, scores_of

SPLIT = "ood"
PREFIX = "accuracy_"
OTHER = ("accuracy", "accuracy_per_feature")
#: Variants in the picture, from the first on.
SHOWN = 26
#: Accuracy of a guess among eight values.
GUESS = 1 / 8
PARTS = {
    "zoo": "Two blocks, 204,800 instances",
    "deep": "Four blocks, 204,800 instances",
    "paper-muon-1M": "The paper's size, 1M instances, Muon",
}

Rules = dict[str, dict[str, float]]  # variant -> rule -> mean accuracy


def rules_of(scores: Scores) -> Rules:
    """Means over seeds of every rule's accuracy, the most accurate variant first."""
    result: Rules = {}
    for variant, runs in scores.items():
        each = [record.metrics[SPLIT] for record in runs.values()]
        names = [n for n in each[0] if n.startswith(PREFIX) and n not in OTHER]
        means = {name: sum(m[name] for m in each) / len(each) for name in ("accuracy", *names)}
        result[variant] = means
    return dict(sorted(result.items(), key=lambda item: -item[1]["accuracy"]))


def title(name: str) -> str:
    """`accuracy_progression_minus_1` as `progression -1`."""
    short = name.removeprefix(PREFIX).replace("_minus_", " -").replace("_plus_", " +")
    return short.replace("_", " ")


def draw_rules(recorded: Mapping[str, Sequence[RunRecord]]) -> None:
    """Write `results/rules.md` and `study-rules.png`."""
    text = [
        "# Accuracies by rule", "",
        "On held-out combinations (`ood`), means over seeds; each rule counts the features that "
        "follow it, where a guess among the eight values has .125.", "",
    ]  # fmt: skip
    for part, about in PARTS.items():
        rules = rules_of(scores_of(recorded.get(part, ())))
        names = list(next(iter(rules.values()), ()))[1:]
        if not names:
            continue
        rows = [
            [f"`{variant}`", *(f"{means[name]:.2f}" for name in ("accuracy", *names))]
            for variant, means in rules.items()
        ]
        head = ["variant", "all features", *map(title, names)]
        text += [f"## {about}", "", *markdown.table(head, rows).splitlines(), ""]
        if part == "zoo":
            seeds = {v: len(runs) for v, runs in scores_of(recorded[part]).items()}
            _draw(rules, names, seeds)
    write_page("rules", text)


def _draw(rules: Rules, names: Sequence[str], seeds: Mapping[str, int]) -> None:
    chosen = dict(list(rules.items())[:SHOWN])
    figure, axes = plt.subplots(figsize=(8, 0.24 * len(chosen) + 1.3), layout="constrained")
    values = [[means[name] for name in names] for means in chosen.values()]
    image = axes.imshow(values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    bar = figure.colorbar(image, ax=axes, fraction=0.04)
    bar.ax.axhline(GUESS, color="white", lw=1.5)
    bar.set_ticks([0, GUESS, 0.5, 1], labels=["0", "a guess, .125", ".5", "1"], fontsize=7)
    for i, row in enumerate(values):
        for j, number in enumerate(row):
            shade = "white" if number < 0.6 else "black"
            axes.text(j, i, f"{number:.2f}", ha="center", va="center", fontsize=7, color=shade)
    labels = [name if seeds[name] > 1 else f"{name} (one seed)" for name in chosen]
    axes.set_yticks(range(len(chosen)), labels, fontsize=7)
    axes.set_xticks(range(len(names)), [title(n).replace(" ", "\n") for n in names], fontsize=6)
    axes.set_title(
        f"accuracy on held-out pairs of rules, by rule: the first {len(chosen)} layers", fontsize=9
    )
    save(figure, "rules", dpi=90)
