"""The laws that every energy is checked against: what they say, why, and how they are broken."""

from __future__ import annotations

from attenergy.registry.explained.topic import Law

_BASE = """\
import torch

from attenergy import Energy


class Mine(Energy):
    entry = {"title": "Mine", "quadratic": 1.0}
"""
_SCORES = """
    def scores(self, xi, X, mask, field):
        scores = xi @ X.mT if field is None else xi @ X.mT + field
        return scores if mask is None else scores.masked_fill(~mask, -torch.inf)
"""
_ENERGY = """
    def energy(self, xi, X, mask, field):
        scores = self.scores(xi, X, mask, field)
        return 0.5 * (xi * xi).sum(-1) - torch.logsumexp(scores, -1)
"""


def _entry(formula: str, more: str = "") -> str:
    lines = ["version: 1", "energies:", "  mine:", "    title: Mine", f"    formula: {formula}"]
    return "\n".join([*lines, *(f"    {line}" for line in more.splitlines())])


LAWS = (
    Law(
        "law-truth",
        "1 the energy is the truth",
        "Every way to compute the step equals `-dE/dxi` as `torch.func.grad` takes it, in value, "
        "first and second derivatives.",
        "What is trained, drawn and proven is the energy. A fast form that differs a little would"
        " be another model under the same name.",
        "All backends that the energy has (weights, chunked, sdpa, traced) against 'eager', with "
        "and without mask and field, for every choice and option. A field must change something.",
        "relative difference at most 1e-10, in float64",
        "A class with `has_weights` whose weights, or whose radial factor, are not what follows "
        "from its energy; weights that are detached; a class that says it reads the field and "
        "does not. A formula cannot break this law by its weights, since they are derived from "
        "it.",
        "Remove `has_weights` and `weights`: the gradient of energy is then taken by autograd. Or"
        " derive the weights again: they are `-dR/ds`, where R is the part of the energy that "
        "reads the scores s. A class without a field says `reads_field = False`.",
        "mine.py",
        _BASE
        + "    has_weights = True\n"
        + _SCORES
        + _ENERGY
        + """
    def weights(self, xi, X, mask, field):
        return 1.001 * torch.softmax(self.scores(xi, X, mask, field), -1)
""",
    ),
    Law(
        "law-masking",
        "2 masking equals deleting",
        "`E(xi; X, mask) = E(xi; X without what the mask hides)`. A state that sees no pattern "
        "has the energy 0 and stays where it is, with finite gradients.",
        "Batches are padded. If padding acts, a sample's result depends on what else was in its "
        "batch, and a causal model reads the future.",
        "Hidden patterns are exchanged for others, far ones, equal ones, infinite ones and NaN, "
        "and are left out; values, gradients and second derivatives stay the same. Rows of a mask"
        " that hide everything.",
        "relative difference at most 1e-10, in float64; derivatives of hidden patterns exactly 0",
        "A class that ignores the mask, multiplies scores by it (hidden ones then count as "
        "`exp(0)`), or hides after a function that has no finite derivative at what is hidden "
        "(`torch.where` after exp or sqrt). In formulas the compiler puts the mask in.",
        "Fill hidden scores with `-inf` before softmax or logsumexp, and hidden terms of a sum "
        "with 0 before the function that is steep. Functions of Python that take no mask get the "
        "visible patterns only.",
        "mine.py",
        _BASE
        + _SCORES.replace(
            "        return scores if mask is None else scores.masked_fill(~mask, -torch.inf)\n",
            "        return scores  # the mask is not read\n",
        )
        + _ENERGY,
    ),
    Law(
        "law-known-answers",
        "3 known answers",
        "What the entry names under `known_answers` comes out: `softmax_attention` says that one "
        "step of size 1 is `softmax(beta X xi + h) X`, and so on.",
        "Laws about an energy alone cannot tell that it is the energy one meant. A published "
        "result can.",
        "Each answer is computed in another way (torch's own attention, a closed form, an "
        "enumeration) and compared.",
        "that of the answer: 1e-12 where both are computed in full, up to 1e-5 where one is an "
        "integral or a limit, 0.1 where random numbers are drawn; 1/3 where an approximation "
        "must be three times nearer than another",
        "A factor that is a little off; an answer that is about another energy, or is misspelled.",
        "Correct the formula, or leave the answer out: an entry of yours needs none.",
        "mine.yaml",
        _entry(
            "0.501*|xi|^2 - lse(beta * X @ xi + h)/beta",
            "parameters: {beta: {init: 1.0, constraint: positive}}\n"
            "known_answers: [softmax_attention]",
        ),
    ),
    Law(
        "law-descent",
        "4 descent",
        "If `E(xi) = 1/2 xi'A xi - v(xi)` with v convex, then `E(xi - g A^-1 dE/dxi) <= E(xi)` "
        "for every step size g in (0, 2) and every beta. On a sphere and for spins the range is "
        "another; `attenergy energies show NAME` prints it.",
        "Then a layer of several steps is a descent that ends somewhere, and not an iteration "
        "that may swing or explode.",
        "Six steps at several step sizes up to the end of the range, over every choice, over beta"
        " and over the search range of each parameter, choices at the ends of all ranges too; a "
        "formula also with 64 patterns of 16 components. If the entry's own step sizes leave the "
        "range, its steps may raise the energy, and that is a warning.",
        "relative rise at most 1e-9 in a step; the energy stays finite",
        "A quadratic part that is declared smaller than it is; a term that is convex in xi and "
        "added (a repulsion, `+ lse(...)`) so that the rest is not concave; a parameter that "
        "makes the quadratic part grow inside its search range.",
        "Declare the quadratic part that the formula has (`quadratic: 1.0` for `0.5*|xi|^2`), or "
        "the largest that it can have. If there is a convex term, leave out `quadratic`: nothing "
        "is guaranteed then, the law does not apply, and the layer works all the same.",
        "mine.yaml",
        _entry("0.5*|xi|^2 - lse(X @ xi + h)", "quadratic: 0.3"),
    ),
    Law(
        "law-cross-talk",
        "5 no cross-talk",
        "Samples and heads do not see each other; the order of the patterns does not matter; "
        "states do not see each other, unless the entry says so.",
        "Otherwise the result for one sample changes with its batch, and training on several "
        "machines is another computation than on one.",
        "Samples, heads, patterns and states are exchanged, changed and left out.",
        "relative difference at most 1e-10, in float64",
        "A mean over the batch in place of a sum; a norm over a wrong axis; positions inside the "
        "energy.",
        "Reduce over the last axes only (-1 the width, -2 the patterns of one state). States that"
        " are meant to act on each other: `states_interact = True`.",
        "mine.py",
        _BASE
        + _SCORES
        + _ENERGY.replace("        return 0.5 *", "        value = 0.5 *")
        + "        return value / len(xi)  # of the batch\n",
    ),
    Law(
        "law-trains",
        "6 it trains",
        "First and second derivatives of a step are right, also at `xi = 0`; results are the same"
        " under compile, vmap, `no_grad`, `inference_mode`, copies and `state_dict`; finite in "
        "bfloat16.",
        "A layer is differentiated through its steps, so an energy needs two derivatives, and "
        "models begin at or near zero.",
        "`gradcheck` and `gradgradcheck`; a full graph of `torch.compile`; bfloat16.",
        "that of `gradcheck`; between modes 1e-9 relative and 1e-11 absolute",
        "A root or logarithm of something that is 0 at `xi = 0`; `.item()`, numpy or "
        "`autograd.grad` inside a class; random numbers; exp of large numbers in low precision.",
        "Add a small number under the root, `sqrt(|xi|^2 + 1e-6)`; write `|xi|^2` instead of "
        "`|xi|` where the square is meant; keep to torch operations; take logsumexp, logaddexp or"
        " softplus, which do not overflow.",
        "mine.yaml",
        _entry("0.5*|xi|^2 - lse(X @ xi + h) + sqrt(|xi|^2)"),
    ),
    Law(
        "law-gradient",
        "7 it is a gradient",
        "The Jacobian of the update is symmetric: `|J - J'|/|J| = 0`.",
        "An update with curl descends no energy at all: it can go in circles. Such layers are "
        "welcome, as mixers, which say so.",
        "Curl at random states, for every choice.",
        "curl at most 1e-10, in float64",
        "Hand-written weights; values that are not the keys; states that each have an energy of "
        "their own (a game), where the law does not apply.",
        "Take the gradient of the energy (no weights of your own), or register the layer as a "
        "mixer.",
        "mine.py",
        _BASE
        + "    has_weights = True\n"
        + _SCORES
        + _ENERGY
        + """
    def weights(self, xi, X, mask, field):
        weights = torch.softmax(self.scores(xi, X, mask, field), -1)
        return weights * (1 + X[..., 0]).unsqueeze(-2)
""",
    ),
    Law(
        "law-exports",
        "8 it exports",
        "`torch.export` gives the same numbers with any batch size and lengths; checkpointing "
        "without re-entry gives the same derivatives.",
        "A trained model leaves Python through export, and large ones are trained with "
        "checkpoints.",
        "An exported program is run on two other sizes than it was made with.",
        "difference at most 1e-10",
        "Python code that asks a tensor for its numbers (`if x > 0`, `.item()`, a loop over len);"
        " a function without mask, which gets the visible patterns only (the law does not apply).",
        "`torch.where` in place of if; let a function take mask as well.",
        "mine.py",
        _BASE
        + _SCORES
        + _ENERGY.replace("        return", "        value =")
        + "        return value if xi.sum() > -1e9 else 2 * value\n",
    ),
    Law(
        "law-bounded",
        "9 it is bounded",
        "Far from the origin the energy does not fall on and on.",
        "Steps that descend an energy without a floor run away, the further the more steps.",
        "The energy along random directions, along the patterns and downhill, at distances of 1e3"
        " to 3e6, for every choice, parameter and size that law 4 goes through.",
        "none: it falls as much from each distance to the next as before, or it does not",
        "A power of the scores above 2 against `|xi|^2`; a quadratic term with a minus and no "
        "bound.",
        "Put states on a sphere (`domain: sphere`), add a term that grows faster, or let the "
        "entry's doc say 'unbounded': then it is a warning.",
        "mine.yaml",
        _entry("0.5*|xi|^2 - sum_n((X @ xi)^4)/4", "quadratic: 1.0"),
    ),
)
