"""A restricted Boltzmann machine whose visible units are the places of a sequence."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from attenergy.energies.base import Energy
from attenergy.energies.language.numerics import logcosh
from attenergy.energies.presence import all_present
from attenergy.energies.tokens.places import check_places, first_places
from attenergy.registry import ParameterError


class PlaceRBM(Energy):
    r"""E = sum_d [ 1/2 sum_i xi_id^2 - sum_k log cosh( sum_i W_ki xi_id ) ],  W (hidden, length).

    Every component d of the states is a configuration of the places i = 1 ... L, and each has the
    same machine: Gaussian visible units, hidden units +-1, and couplings W from places to hidden
    units, which are summed out. So states interact through learned couplings of places, whatever
    stands there; the step is

        xi_i  <-  (1 - gamma) xi_i + gamma sum_k W_ki tanh( sum_j W_kj xi_j ),

    token mixing as in an MLP-Mixer with tied weights. log cosh is convex, so no step with gamma in
    (0, 2) raises E, and E is bounded below, as log cosh grows linearly.

    The place of a state is the number of states before it that take part: one that sees nothing
    takes none and has no place, so padding changes nothing. Couplings of places know no pairs: a
    layer refuses a mask that hides some states from others (compiled or exported, by an assertion).

    Options:
        length: greatest length of a sequence, padding included; a model gives its own.
        hidden: hidden units of every head.
        seed: of the first couplings, normal with variance 1/hidden.

    Shapes: as `Energy`, with E (...): one number for all states.

    Raises:
        ValueError: an option that the entry lacks or out of range; when called, more states than
            `length`.

    Source: restricted Boltzmann machines with Gaussian visible units (Welling, Rosen-Zvi and Hinton
    2004); token mixing of Tolstikhin et al. 2021, arXiv:2105.01601.

    Example:
        >>> energy = attenergy.make_energy("place_rbm", dim=4, length=6)
        >>> states = torch.randn(6, 4)
        >>> energy(states, states).shape  # one number for all states: they interact
        torch.Size([])
    """

    latex = (
        r"\sum_d\left[\tfrac12\sum_i\xi_{id}^2"
        r" - \sum_k\log\cosh\left(\sum_i W_{ki}\,\xi_{id}\right)\right]"
    )
    states_interact: ClassVar[bool] = True
    patterns_interact: ClassVar[bool] = True  # their order matters
    reads_patterns: ClassVar[bool] = False
    reads_field = False
    has_coupling = True
    fixed_length: ClassVar[bool] = True
    hides_pairs: ClassVar[bool] = False

    def setup(self) -> None:
        """Draw the couplings."""
        for name in sorted({"length", "hidden"} - self.spec.options.keys()):
            raise ParameterError(
                f"the entry '{self.spec.title}' lacks the option '{name}' of its class; with it: "
                f"options: {{{name}: {{default: 64}}}}"
            )
        self.length, hidden = self.whole_option("length", 1), self.whole_option("hidden", 1)
        generator = torch.Generator().manual_seed(self.whole_option("seed", 0))
        heads = () if self.num_heads is None else (self.num_heads,)
        drawn = torch.randn(*heads, hidden, self.length, generator=generator)
        self.couplings = nn.Parameter(drawn / math.sqrt(hidden))

    def extra_repr(self) -> str:
        """Title and sizes, for printing."""
        return f"{super().extra_repr()}, length={self.length}, hidden={self.couplings.shape[-2]}"

    def energy(self, xi: Tensor, X: Tensor, mask: Tensor | None, field: Tensor | None) -> Tensor:
        """The joint energy, (...)."""
        xi, couplings = self._taking_part(xi, mask)
        return 0.5 * xi.square().sum((-2, -1)) - logcosh(_drive(couplings, xi)).sum((-2, -1))

    def coupling(self, xi: Tensor, mask: Tensor | None) -> Tensor:
        """-W' tanh(W xi), (..., L, D)."""
        xi, couplings = self._taking_part(xi, mask)
        return -_drive(couplings.mT, torch.tanh(_drive(couplings, xi)))

    def _taking_part(self, xi: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The states, 0 where they take no part, and the couplings (..., hidden, L) of them all."""
        check_places(xi.shape[-2], self.length, "couplings")
        couplings = first_places(self.couplings, -1, xi.shape[-2])
        if mask is None or all_present(mask, -1):
            return xi, couplings
        present = mask.any(-1).expand(*mask.shape[:-2], xi.shape[-2])
        return torch.where(present.unsqueeze(-1), xi, 0.0), _at_places(couplings, present)


def _drive(couplings: Tensor, units: Tensor) -> Tensor:
    """Couplings (..., K, L) times units (..., L, D); one product for samples that share them."""
    if torch.compiler.is_exporting():  # ONNX has no sums over axes that one side lacks
        return couplings @ units
    return torch.einsum("...kl,...ld->...kd", couplings, units)


def _at_places(couplings: Tensor, present: Tensor) -> Tensor:
    """The columns (..., hidden, L) of the places of states, the present ones (..., L) in turn."""
    places = (present.cumsum(-1) - 1).clamp(min=0).unsqueeze(-2)
    batch = torch.broadcast_shapes(couplings.shape[:-2], places.shape[:-2])  # type: ignore[no-untyped-call]
    shape = (*batch, couplings.shape[-2], places.shape[-1])
    return couplings.expand(shape).gather(-1, places.expand(shape))
