"""Errors of layers, solvers and what is done with energies in Python."""

from __future__ import annotations

from attenergy.registry.explained.topic import Example, Topic

_IMPORTS = "import torch\n\nimport attenergy\n\n"
_LAYER = f"{_IMPORTS}layer = attenergy.EnergyAttention(embed_dim=8, num_heads=2)\n"
_DROP_INS = ("drop_ins.md", "energies in models of others")

LAYERS = (
    Topic(
        "input-shape",
        "A tensor has a shape that does not fit",
        "States are (batch, length, width) for layers, and (..., length, D) for energies, where D"
        " is the width of one head. Patterns have the same width as states, and lengths that are "
        "fixed when a layer is made are not exceeded.",
        "The batch axis is missing; the width of the model was given where that of a head is "
        "wanted; a longer sequence than the layer was made for.",
        "Compare the shape that you gave with the one in the message.",
        Example(
            f"{_LAYER}layer(torch.zeros(2, 3, 6))",
            "x must be (B, L, E) with last axis 8, got shape (2, 3, 6)",
        ),
    ),
    Topic(
        "mask",
        "A mask or a field cannot be read",
        "A mask is boolean, True where a state may see a pattern. Layers and energies broadcast it "
        "to (batch, heads, states, patterns), so padding (B, S) gets two axes more. Models take "
        "two axes as padding (B, L), three as pairs (B, L, L). Numbers to be added to scores are a "
        "field, not a mask. `attenergy.EnergyMultiheadAttention` keeps PyTorch's own meaning "
        "(True hides).",
        "A mask of 0 and 1 or of 0 and `-inf`; a padding mask given to a layer as it is; a mask of "
        "pairs that could also be padding.",
        "Convert it with `mask.bool()` (turned over, if True hides in yours). To a layer give "
        "padding as `mask[:, None, None, :]` and pairs as `mask[None, None]`; give numbers as "
        "`field=`.",
        Example(
            f"{_LAYER}layer(torch.zeros(2, 3, 8), mask=torch.ones(2, 3))",
            "mask must be boolean, True where a state may see a pattern, got "
            "torch.float32; numbers to be added to the scores go to `field`",
        ),
        ("how_to/masks.md", "masks"),
    ),
    Topic(
        "head-width",
        "Heads do not divide the width",
        "Each head gets an equal part of the width of the model, so the number of heads divides "
        "it; rotary positions turn pairs of numbers, so the width of a head is even; shared heads"
        " for keys and values divide the heads.",
        "`embed_dim=10` with `num_heads=4`.",
        "Choose another number of heads, or give `head_dim`, which need not be `embed_dim / "
        "num_heads`.",
        Example(
            "import attenergy\n\nattenergy.EnergyAttention(embed_dim=10, num_heads=4)",
            "embed_dim (10) is not a multiple of num_heads (4); choose another number"
            " of heads or give head_dim",
        ),
    ),
    Topic(
        "backend",
        "An energy has no such backend",
        "A backend is a way to compute the gradient: 'eager' differentiates the energy, 'scores' "
        "and 'chunked' use its weights over patterns, 'sdpa' and 'flex' need a softmax, 'traced' "
        "writes the gradient as one graph. Which exist depends on the energy.",
        "`backend='sdpa'` for an energy that is no log-sum-exp.",
        "Leave it at `'auto'`, which takes the fastest that is exact, or choose one that the "
        "message names.",
        Example(
            f"{_IMPORTS}energy = attenergy.make_energy("
            '"0.5*|xi|^2 - sum_n(relu(X @ xi)^2)", dim=4)\n'
            'attenergy.relax(energy, torch.zeros(1, 4), torch.zeros(3, 4), backend="sdpa")',
            "'0.5*|xi|^2 - sum_n(relu(X @ xi)^2)' has no backend 'sdpa'; it has "
            "eager, traced, scores, chunked",
        ),
        ("speed.md", "speed"),
    ),
    Topic(
        "no-weights",
        "There are no weights over patterns",
        "Attention weights exist where the energy reads the state only through its length and the"
        " scores `X @ xi`: then the step is a weighted sum of patterns. Other energies have a "
        "gradient, and no weights.",
        "`need_weights=True`, or `read='weights'`, with such an energy or with a mixer that has "
        "none.",
        "Read the state (`read='state'`), and look at `attenergy.trace` for what there is instead.",
        Example(
            "import attenergy\n\n"
            'attenergy.EnergyAttention(8, 2, energy="energy_transformer", read="weights")',
            "'Energy transformer attention' defines no weights over patterns; read the state",
        ),
        ("traces.md", "traces"),
    ),
    Topic(
        "no-field",
        "An energy reads no field",
        "Numbers that are added to the scores (relative positions, biases of edges) reach an "
        "energy as the field h. A formula without h, and some classes and mixers, read none, and "
        "would ignore them without a word.",
        "`positions='relative'` or an edge weight with an energy whose formula has no h.",
        "Write h into the formula, `lse(beta * X @ xi + h)`, or give positions with the inputs.",
        Example(
            f"{_IMPORTS}layer = attenergy.EnergyAttention("
            '8, 2, energy="0.5*|xi|^2 - lse(X @ xi)")\n'
            "layer(torch.zeros(2, 3, 8), field=torch.zeros(2, 2, 3, 3))",
            "'0.5*|xi|^2 - lse(X @ xi)' reads no field h; give positions with the inputs",
        ),
    ),
    Topic(
        "couples-states",
        "An energy of all states together does not fit here",
        "Some energies couple the states with each other (spins on a graph, the Energy "
        "Transformer): they have no separate patterns, and later states would act on earlier "
        "ones. Mixers of a sequence with itself take no other sequence either.",
        "`is_causal=True`, a context, or pooling and lookup with such an energy; a mask that hides "
        "pairs from an energy that couples places.",
        "Take an energy of one state and stored patterns for this place, such as lse.",
        Example(
            f"{_IMPORTS}layer = attenergy.EnergyAttention("
            '8, 2, energy="energy_transformer")\n'
            "layer(torch.zeros(2, 3, 8), is_causal=True)",
            "'Energy transformer attention' couples states to each other, so later "
            "ones would act on earlier ones; it cannot be causal",
        ),
    ),
    Topic(
        "solver",
        "A solver does not fit the energy or its arguments",
        "Each solver needs something: 'semi_implicit' a quadratic part, 'langevin' real states "
        "and a temperature, 'coordinate_descent' components that can move alone, 'fixed_point' "
        "derivatives. Arguments such as tolerance or momentum belong to some solvers only.",
        "An argument of one solver given to another; a solver for real states with spins.",
        "Take the solver that the message names, or leave the solver out.",
        Example(
            f'{_IMPORTS}energy = attenergy.make_energy("lse", dim=4)\n'
            "attenergy.relax(energy, torch.zeros(1, 4), torch.zeros(3, 4), tolerance=1e-3)",
            "tolerance is for 'fixed_point', the solver is 'descent'",
        ),
    ),
    Topic(
        "step-size",
        "A step size or a number of steps does not fit",
        "One step size holds for all steps, or a list has one for each. A learned step size stays"
        " where no step raises the energy, and cannot be set as well.",
        "A list of another length than steps.",
        "Give one number, or as many as there are steps; `attenergy energies show NAME` prints "
        "the range in which steps never raise the energy.",
        Example(
            f'{_IMPORTS}energy = attenergy.make_energy("lse", dim=4)\n'
            "xi, X = torch.zeros(1, 4), torch.zeros(3, 4)\n"
            "attenergy.relax(energy, xi, X, steps=3, step_size=[0.5, 0.5])",
            "step_size lists 2 numbers, there are 3 steps",
        ),
    ),
    Topic(
        "memory",
        "Patterns or states do not fit a memory",
        "An AssociativeMemory stores floating point patterns (N, D), finite and all of one width,"
        " before anything is recalled; modes for spins need entries of +1 and -1.",
        "recall before store; states of another width; integer patterns.",
        "Store first; convert with `patterns.float()`.",
        Example(
            f'{_IMPORTS}memory = attenergy.AssociativeMemory("lse", beta=8.0)\n'
            "memory.recall(torch.zeros(1, 16))",
            "the memory is empty: store(patterns) comes before anything else",
        ),
    ),
    Topic(
        "density",
        "A density, a sampler or an exact sum is not available for this energy",
        "`exp(-beta E)` is a density where E is one function of all states; its sum is known in "
        "closed form for some energies, can be enumerated for few spins, and each sampler is for "
        "certain domains.",
        "A partition function of an energy without a closed form; too many spins to enumerate.",
        "Take the sampler that the message names, or sampling in place of the exact sum.",
        Example(
            f'{_IMPORTS}energy = attenergy.make_energy("polynomial", dim=4)\n'
            "attenergy.energies.log_partition(energy, torch.zeros(3, 4))",
            "no closed form is known for the partition function of 'Polynomial dense "
            "associative memory, on the sphere'; ...",
        ),
        ("sampling.md", "sampling"),
    ),
    Topic(
        "graph",
        "A graph is not what an energy or a layer takes",
        "Couplings of an energy are symmetric, finite and without self-loops, and the graph has "
        "as many nodes as there are states. Graph layers take edges as whole numbers (2, edges), "
        "within the number of nodes.",
        "Edges in one direction only; self-loops; another number of nodes.",
        "`torch_geometric.utils.to_undirected` and `remove_self_loops` mend the first two.",
        Example(
            f'{_IMPORTS}energy = attenergy.make_energy("ising_mean_field", dim=4)\n'
            "energy.use_graph(torch.tensor([[0, 1], [1, 2]]), nodes=3)",
            "the graph is not symmetric, and couplings of an energy are; list edges "
            "in both directions, as torch_geometric.utils.to_undirected does",
        ),
        ("graphs.md", "graphs"),
    ),
)

MODELS = (
    Topic(
        "drop-in",
        "The attention of a model cannot become that of an energy",
        "`attenergy.replace_attention` exchanges `nn.MultiheadAttention`, `attenergy.energize` "
        "the attention of Hugging Face models that goes through their attention interface. What "
        "the energy could not do (scores scaled in another way, extra biases) is refused rather "
        "than left out.",
        "The model has no such attention, or one with something that energies do not do.",
        "The message names the module; exchange it by hand, or leave that part as it is.",
        Example(
            f"{_IMPORTS}model = torch.nn.Sequential(torch.nn.Linear(8, 8))\n"
            'attenergy.replace_attention(model, "lse")',
            "there is no nn.MultiheadAttention inside this Sequential",
        ),
        _DROP_INS,
    ),
    Topic(
        "own-model",
        "A model of yours cannot be trained as it is",
        "A function that builds a model takes `make_layer` (or returns a model with "
        "`nn.MultiheadAttention` inside), puts the layers into the model, and the model answers "
        "with (batch, length, classes). All of this is checked before anything is trained.",
        "`make_layer` is never called; the forward of the model takes no mask; the answer has "
        "another shape.",
        "The message says what was returned and what is wanted.",
        Example(
            "attenergy compare --task mqar --variants softmax,lse --model mine:build --steps 2",
            "mine:build with softmax on mqar: mine:build never calls make_layer: "
            "every variant would be the same model",
            language="sh",
            files={
                "mine.py": "from torch import nn\n\n\n"
                "def build(make_layer, task, width):\n"
                "    return nn.Linear(task.inputs.size, task.outputs.size)\n"
            },
        ),
        ("own_model.md", "a model of your own"),
    ),
    Topic(
        "saved-model",
        "A saved model cannot be read, described or written",
        "A saved folder holds `config.json` and `model.safetensors`, as `attenergy export` and "
        "`save_pretrained` write them. Nothing in it is run as code. A layer is saved by its "
        "arguments, so they must be numbers, texts or registry entries, and what is built from "
        "them must have the same weights.",
        "A folder of something else; a file that was changed or cut; a layer made with a function"
        " of yours that no module brings; parametrisations, pruning masks and adapters.",
        "Export again; put classes and functions of yours into a plug-in; make masks and "
        "parametrisations permanent, and merge adapters, before you save.",
        Example(
            'import attenergy\n\nattenergy.load("nowhere")',
            "nowhere: not a saved model, there is no such folder; `save_pretrained`, "
            "`attenergy export` and a search that has come to its end write one",
        ),
        ("plugins.md", "plug-ins"),
    ),
    Topic(
        "stack",
        "A stack of layers does not fit",
        "`lse/hyla` is a model of several layers, `lse+rbm` shares the heads of one layer. The "
        "number of blocks must be that of the stack, and the heads must divide by the shares.",
        "A stack where one energy or mixer is wanted; three heads for `lse+rbm`.",
        "Give the stack to a model, `Transformer(layers=...)`, or change the number of heads.",
        Example(
            'import attenergy\n\nattenergy.make_layer("lse/hyla", embed_dim=8, num_heads=2)',
            "the stack lse/hyla has 2 layers, and one is to be made: give it to a "
            "model (Transformer(layers=...)), or name one of its layers",
        ),
        ("stacks.md", "stacks"),
    ),
)
