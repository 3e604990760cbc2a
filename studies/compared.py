"""What the parts of the Raven study compare: lists of variants, sizes and lengths."""

from __future__ import annotations

from typing import Any

#: Instances of the paper's runs, in steps of 128: 1 M, 2 M, 4 M, 8 M, 20 M.
LENGTHS = {"1M": 8000, "2M": 16000, "4M": 32000, "8M": 64000, "20M": 156250}
#: Widths of the head of linear attention, whose state has so many numbers squared.
STATES = (4, 8, 16, 32, 64)
#: Rates of Muon among which each of them has its best, the registry's first.
RATES = (0.02, 0.01, 0.04)
#: The paper's architectures, an energy with two steps, energies near softmax, and the zoo's first.
LEADERS = (
    *("softmax", "linear", "hyla", "lse", "zero_sink", "linear_attention"),
    *("token_mixing", "place_rbm"),  # which couple places
)
#: With heads of 8 components, of all width, where the paper's size has 4: both kinds, and in turn.
WIDE = ("softmax", "place_rbm", "softmax/place_rbm/softmax/place_rbm")
#: Whose heads are fewer and wider, or more and narrower, at one width of the model.
HEADED = ("softmax", "linear_attention", "hyla", "place_rbm")
#: Couplings of places and attention in one model: one block after the other, or groups of heads.
MIXED = (
    *("softmax/place_rbm", "place_rbm/softmax", "place_rbm+softmax"),
    *("place_rbm/linear_attention", "place_rbm+linear_attention"),
)
#: Of whose codes and layers claims are made.
DEEP = ("softmax", "hyla")
#: Whose size and data are changed, one at a time, from two blocks of width 64 and 1600 steps.
SCALED = ("softmax", "linear_attention", "hyla", "attention_sh", "token_mixing", "place_rbm")
SIZES: tuple[dict[str, Any], ...] = (
    *({"steps": steps} for steps in (500, 1000, 4000, 8000)),  # 64k to 1M instances
    *({"layers": layers} for layers in (1, 3, 4)),
    *({"width": width, "mlp": 2 * width} for width in (32, 96, 128)),
)
