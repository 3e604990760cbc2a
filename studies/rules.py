"""Which rules a layer learns: accuracies by rule, as a table and a picture.

An answer has a value for every feature, and each feature follows a rule of its own. Here each rule
counts the features that follow it, so that a layer that knows one rule and no other shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from output import save, write_page
from tables import Scores, scores_of

from attenergy.search.runs.config import RunRecord
from attenergy.testing.docs_pages import markdown

SPLIT = "ood"
PREFIX = "accuracy_"
OTHER = ("accuracy", "accuracy_per_feature")
#: Variants in the picture, from the first on.
SHOWN = 26
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
            _draw(rules, names)
    write_page("rules", text)


def _draw(rules: Rules, names: Sequence[str]) -> None:
    chosen = dict(list(rules.items())[:SHOWN])
    figure, axes = plt.subplots(figsize=(7.2, 0.24 * len(chosen) + 1.3), layout="constrained")
    values = [[means[name] for name in names] for means in chosen.values()]
    axes.imshow(values, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    for i, row in enumerate(values):
        for j, number in enumerate(row):
            shade = "white" if number < 0.6 else "black"
            axes.text(j, i, f"{number:.2f}", ha="center", va="center", fontsize=7, color=shade)
    axes.set_yticks(range(len(chosen)), list(chosen), fontsize=7)
    axes.set_xticks(range(len(names)), [title(n).replace(" ", "\n") for n in names], fontsize=7)
    axes.set_title("accuracy on held-out combinations, by rule", fontsize=9)
    save(figure, "rules")
