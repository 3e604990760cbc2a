"""Graphs of the user's own in Hugging Face models: saved, and loaded again."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from attenergy.attention.integrations.huggingface import (
    attention_modules,
    energize,
    load_energized,
)
from attenergy.energies import make_energy
from attenergy.energies.graphs.base import OnGraph
from tests.attention.conftest import REGISTRY
from tests.attention.integrations.conftest import HF_L, hf_batch, hf_model

ON_GRAPH = [
    name
    for name in REGISTRY.energies
    if isinstance(make_energy(name, dim=6, registry=REGISTRY), OnGraph)
]
EDGES = torch.tensor([[0, 1, 1, 3], [1, 0, 3, 1]])
LONG = 520  # nodes from which a graph is kept as a list of edges


def energized(energy, **options):
    return energize(hf_model("bert"), energy, registry=REGISTRY, **options)


def heads(model):
    return [module.energy_heads for module in attention_modules(model).values()]


def again(model, folder, cls=hf.BertModel):
    model.save_pretrained(folder)
    return load_energized(cls, folder, dtype=torch.float64)


def noted(folder):
    return json.loads((folder / "config.json").read_text())["attenergy"].get("graphs")


def test_there_are_energies_on_graphs():
    assert len(ON_GRAPH) > 8


@pytest.mark.parametrize("layers", [(0,), (0, 1)])
@pytest.mark.parametrize("name", ON_GRAPH)
def test_some_layers_have_a_graph_of_their_own(name, layers, tmp_path):
    """Given to the energy or to the heads, with weights; saved twice, and copied."""
    kinds = {"couplings": "ferromagnetic"} if "couplings" in REGISTRY.energies[name].options else {}
    model, given = energized(name, steps=2, **kinds), hf_batch("bert")
    del given["attention_mask"]
    rule = model(**given)[0]
    for layer in layers:
        energy = heads(model)[layer].energy
        taker = energy if layer == 0 else heads(model)[layer]
        taker.use_graph(EDGES, nodes=HF_L, weights=torch.tensor([0.5, 0.5, 2.0, 2.0]))
    want = model(**given)[0]
    assert (want - rule).abs().max() > 1e-9
    loaded = again(model, tmp_path / "once")
    assert torch.equal(loaded(**given)[0], want)
    assert torch.equal(again(copy.deepcopy(loaded), tmp_path / "twice")(**given)[0], want)
    assert len(noted(tmp_path / "twice")) == len(layers)
    for one in heads(loaded):
        one.energy.use_graph(None)
    assert torch.equal(again(loaded, tmp_path / "none")(**given)[0], rule)
    assert noted(tmp_path / "none") is None


def test_copies_and_pickles_note_their_graphs_themselves(tmp_path):
    model = energized("graph_hopfield")
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):  # noqa: S301
        heads(twin)[1].energy.use_graph(EDGES, nodes=HF_L)
        assert "graphs" not in model.config.attenergy
        assert set(twin.config.attenergy["graphs"]) == {"encoder.layer.1.attention.self"}
        assert heads(again(twin, tmp_path))[1].energy.own_sizes() == {"matrix": [HF_L, HF_L]}


def test_a_long_list_of_edges_one_graph_in_all_layers_and_energies_of_steps(tmp_path):
    path = torch.arange(LONG - 1)
    edges = torch.stack([torch.cat([path, path + 1]), torch.cat([path + 1, path])])
    model = hf_model("bert", max_position_embeddings=LONG)
    energize(model, "vector_spins", steps=2, energy_per_step=True, registry=REGISTRY)
    given = {"input_ids": torch.randint(3, 29, (1, LONG))}
    rule = model(**given)[0]
    for one in heads(model):
        one.use_graph(edges, nodes=LONG)
    assert set(heads(model)[0].energy.own_sizes()) == {"pairs", "values", "nodes"}
    want = model(**given)[0]
    assert (want - rule).abs().max() > 1e-9
    torch.testing.assert_close(again(model, tmp_path)(**given)[0], want)
    matrix = torch.ones(HF_L, HF_L).fill_diagonal_(0)
    for one in heads(model):
        one.use_graph(matrix)
    given = hf_batch("bert")
    torch.testing.assert_close(again(model, tmp_path)(**given)[0], model(**given)[0])


def test_a_graph_comes_with_an_energy_that_is_made_and_with_a_state(tmp_path):
    made = make_energy("gaussian_spins", dim=6, num_heads=4, registry=REGISTRY)
    model, given = energized(made.use_graph(EDGES, nodes=HF_L), steps=2), hf_batch("bert")
    torch.testing.assert_close(again(model, tmp_path / "made")(**given)[0], model(**given)[0])
    other = energized("gaussian_spins", steps=2)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(**given)[0], model(**given)[0])
    torch.testing.assert_close(again(other, tmp_path / "other")(**given)[0], model(**given)[0])


def test_a_graph_goes_into_another_class_and_into_pieces(tmp_path):
    model = energize(hf.BertForSequenceClassification(hf_model("bert").config), "potts")
    heads(model)[1].use_graph(EDGES, nodes=HF_L)
    model.eval().double().save_pretrained(tmp_path, max_shard_size="5kB")
    assert not (tmp_path / "model.safetensors").exists()
    given = hf_batch("bert")
    for cls in (hf.BertForSequenceClassification, hf.BertModel, hf.AutoModel):
        loaded = load_energized(cls, tmp_path, dtype=torch.float64)
        of = model if cls is hf.BertForSequenceClassification else model.bert
        torch.testing.assert_close(loaded(**given)[0], of(**given)[0])


@pytest.mark.parametrize("energy", ["potts", "lse"])
def test_what_somebody_else_wrote_is_checked(energy, tmp_path):
    model = energized(energy)
    place = "encoder.layer.1.attention.self"
    name = f"{place}.energy_heads.energy.own_graph_matrix"
    if energy == "potts":
        heads(model)[1].use_graph(EDGES, nodes=HF_L)
    model.save_pretrained(tmp_path)
    config, weights = tmp_path / "config.json", tmp_path / "model.safetensors"
    said = json.loads(config.read_text())

    def refused(graphs, message):
        said["attenergy"]["graphs"] = graphs
        config.write_text(json.dumps(said))
        with pytest.raises(ValueError, match=message):
            load_energized(hf.BertModel, tmp_path)

    if energy == "lse":
        refused({place: {"energy": {"matrix": [2, 2]}}}, "'energy' is on no graph")
        return
    refused({place: {"energy": {"matrix": [-1, 2]}}}, r"attenergy\.graphs.*greater than or equal")
    refused({place: {"energy": {"pairs": [2, 3]}}}, "a graph does not consist of pairs")
    refused({place: {"energy": {"matrix": [10**6, 10**6]}}}, "larger than the model explains")
    refused({}, r"holds more than the weights of the energies: .*own_graph_matrix")
    fitting = {place: {"energy": {"matrix": [HF_L, HF_L]}}}
    tensors = load_file(weights)
    tensors[name][0, 1] = 7.0
    save_file(tensors, weights, metadata={"format": "pt"})
    refused(fitting, f"{place}.energy_heads.energy: the graph is not symmetric")
    del tensors[name]
    save_file(tensors, weights, metadata={"format": "pt"})
    refused(fitting, r"lacks weights of the energies: .*own_graph_matrix")
