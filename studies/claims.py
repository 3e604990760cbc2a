"""Claims of the field and what was seen here: `make study-figures` writes `results/claims.md`.

Every claim is one entry of `CLAIMS`: what was published, and how a figure, its interval and a
verdict are read from committed records (of `raven.py`'s parts) or from the results of a committed
script. A claim whose records are missing, some or all, is named as such.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import outcomes
import raven
import sequence_outcomes
from outcomes import Outcome, Records, difference, equal

from attenergy.registry import load_registry
from attenergy.registry.files import write_atomically
from attenergy.search.runs.records import RunStore
from attenergy.testing.docs_pages import markdown

PAGE = raven.HERE / "results" / "claims.md"


@dataclass(frozen=True)
class Claim:
    """A claim that somebody published.

    Attributes:
        text: the claim.
        source: who published it.
        published: the published figure.
        command: what makes the records.
        read: the outcome from the records of the study; None if some are missing.
    """

    text: str
    source: str
    published: str
    command: str
    read: Callable[[Records], Outcome | None]


_HYLA = "Schug et al. 2025, arXiv:2406.05816"
CLAIMS: tuple[Claim, ...] = (
    Claim(
        "HYLA is ahead of softmax attention on held-out rules of Raven matrices",
        _HYLA, "69.1 against 56.6 % (20M instances)", "make study PART=paper-adamw-1M",
        difference("paper-adamw-1M", "hyla", "softmax", split="ood", note="1M instances, AdamW"),
    ),
    Claim(
        "the same, with Muon",
        _HYLA, "not tried", "make study PART=paper-muon-1M",
        difference("paper-muon-1M", "hyla", "softmax", split="ood", note="1M instances, Muon"),
    ),
    Claim(
        "linear and softmax attention are equal there",
        _HYLA, "56.3 against 56.6 %", "make study PART=paper-adamw-1M",
        equal("paper-adamw-1M", "linear", "softmax", split="ood", margin=0.03),
    ),
    Claim(
        "normalising over heads helps linear attention",
        _HYLA, "59.0 against 56.3 %", "make study PART=zoo",
        difference("zoo", "linear_rms_head", "linear", split="ood", note="raven-small, Muon"),
    ),
    Claim(
        "HYLA is ahead of softmax attention on fuzzy logic in context",
        _HYLA, "81.1 against 63.3 %", "make study PART=fuzzy",
        difference("fuzzy", "hyla", "softmax", split="ood", metric="r2", note="reduced size, R2"),
    ),
    Claim(
        "recall of linear attention grows with its state",
        "Arora et al. 2024, arXiv:2312.04927", "grows", "make study PART=recall-state",
        sequence_outcomes.recall_by_state,
    ),
    Claim(
        "the order of the six MAD tasks for softmax attention",
        "Yang et al. 2024, arXiv:2406.06484", "copying first, fuzzy recall last",
        "make study PART=mad-recall, and so on", sequence_outcomes.mad_order,
    ),
    Claim(
        "a Hopfield network of N spins holds .138 N random patterns",
        "Amit, Gutfreund and Sompolinsky 1985, doi:10.1103/PhysRevLett.55.1530", "0.138",
        "python benchmarks/curves/curves_capacity.py", outcomes.hopfield_knee,
    ),
    Claim(
        "an energy of degree n holds of the order K_th = N^(n-1)/(2 (2n-3)!! log N)",
        "Krotov and Hopfield 2016, arXiv:1606.01164", "1 K_th without errors",
        "python benchmarks/curves/curves_capacity.py", outcomes.polynomial_capacity,
    ),
    Claim(
        "an exponential energy holds exponentially many",
        "Demircigil et al. 2017, arXiv:1702.01929", "2^(N/2) = 4.3 billion for N = 64, at most",
        "python benchmarks/curves/curves_capacity.py", outcomes.exponential_capacity,
    ),
    Claim(
        "sparse weights retrieve exactly where softmax only comes near",
        "Santos et al. 2024, arXiv:2402.13725", "exact",
        "python benchmarks/curves/curves_retrieval.py",
        outcomes.sparse_retrieval,
    ),
    Claim(
        "log-sum-ReLU makes new memories and leaves the stored ones",
        "Hoover et al. 2025, arXiv:2506.10801", "both at one beta",
        "python benchmarks/curves/curves_lsr.py", outcomes.new_memories,
    ),
    Claim(
        "TAP's magnetisations are nearer to the exact ones than naive mean field's",
        "Thouless, Anderson and Palmer 1977, doi:10.1080/14786437708235992", "nearer",
        "python benchmarks/curves/curves_tap.py", outcomes.tap,
    ),
    Claim(
        "the error of random features falls as one over the root of their number",
        "Rahimi and Recht 2007; Hoover et al. 2024, arXiv:2410.24153", "-0.5",
        "python benchmarks/curves/curves_random_features.py", outcomes.random_features,
    ),
    Claim(
        "the code of HYLA's last block tells the rule of combinations never seen",
        _HYLA, "a figure only", "python studies/trained_models.py", outcomes.rule_in_codes("hyla"),
    ),
    Claim(
        "so does that of softmax attention",
        _HYLA, "a figure only", "python studies/trained_models.py",
        outcomes.rule_in_codes("softmax"),
    ),
    Claim(
        "attention layers can be dropped with less loss than MLPs",
        "He et al. 2024, arXiv:2406.15786", "Llama-2-70B without half of them: -2.4 %",
        "python studies/trained_models.py", outcomes.attention_can_go,
    ),
)  # fmt: skip


def write_claims(records: Records, page: Path = PAGE) -> list[str]:
    """Write the table; the claims that have no records yet.

    Args:
        records: of the parts of the study.
        page: where the table goes.
    """
    rows, missing = [], []
    for claim in CLAIMS:
        outcome = claim.read(records)
        if outcome is None:
            missing.append(f"{claim.text} (`{claim.command}`)")
            continue
        rows.append([
            f"{claim.text} ({claim.source})", claim.published, outcome.ours, outcome.interval,
            outcome.verdict, outcome.note, f"`{claim.command}`",
        ])  # fmt: skip
    head = ["claim", "published", "ours", "95 % interval", "verdict", "how", "command"]
    text = ["# Claims of the field, and what was seen here", "", markdown.table(head, rows)]
    if missing:
        text += ["", "Not recorded yet, or not whole: " + "; ".join(missing) + "."]
    write_atomically(page, "\n".join([*text, "", "Made by `make study-figures`.", ""]))
    return missing


def main() -> None:
    parts = raven.parts(load_registry(plugins=False))
    for text in write_claims({name: RunStore(raven.RECORDS / name).all() for name in parts}):
        print(f"not recorded yet, or not whole: {text}")


if __name__ == "__main__":
    sys.exit(main())
