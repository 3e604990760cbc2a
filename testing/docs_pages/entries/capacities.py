"""What was measured of what an energy can hold: small tables from `benchmarks/results`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attenergy.testing.docs_pages.markdown import table

#: What a table is of, and its columns with their values.
Shown = tuple[str, list[tuple[str, str]]]


def measured(name: str, result: Callable[[str], dict[str, Any]]) -> str:
    """The measurement of an energy as a table; nothing if there is none.

    Args:
        name: of the energy.
        result: reads a file of results by its name.
    """
    if name not in _MEASURED:
        return ""
    file, read = _MEASURED[name]
    about, columns = read(result(file))
    link = f"[{file}.json](../../benchmarks/results/{file}.json)"
    return (
        f"Measured: {about}.\n\n"
        + table([head for head, _ in columns], [[value for _, value in columns]])
        + f"\nFrom {link}, measured by `python benchmarks/curves/curves_{file}.py`; "
        f"[as a picture](../../benchmarks/results/{file}.png).\n"
    )


def _classical(data: dict[str, Any]) -> Shown:
    columns = [(f"{row['alpha']:g}", f"{row['overlap']:.3f}") for row in data["classical"]]
    about = (
        f"overlap with the pattern after synchronous updates from it, {data['spins']} spins, "
        f"{data['draws']} draws, by the number of random patterns over that of spins"
    )
    return about, columns


def _dense(data: dict[str, Any]) -> Shown:
    rows = [row for row in data["dense"] if row["degree"] == 3]
    about = (
        f"share of random binary patterns that are stable at power 3 and {data['width']} spins, by "
        "their number"
    )
    return about, [(str(row["patterns"]), f"{row['stable']:.3f}") for row in rows]


def _exponential(data: dict[str, Any]) -> Shown:
    row = data["exponential"]
    about = (
        f"share of random binary patterns of {data['width']} spins that are stable, "
        f"{row['tested']} tested, by their number"
    )
    return about, [(f"{row['patterns']:,}", f"{row['stable']:.3f}")]


def _retrieval(weights: str) -> Callable[[dict[str, Any]], Shown]:
    def read(data: dict[str, Any]) -> Shown:
        row = next(r for r in data["curves"] if r["weights"] == weights and r["noise"] == 0.5)
        about = (
            f"share of {data['queries']:,} queries (noise 0.5) that come close to their pattern in "
            f"one step, of {data['patterns']:,} random patterns of {data['dim']} numbers, by beta"
        )
        values = zip(data["betas"], row["close_after_one"], strict=True)
        return about, [(f"{beta:g}", f"{share:.3f}") for beta, share in values]

    return read


def _features(data: dict[str, Any]) -> Shown:
    about = (
        f"error of the energy beside exact distances, {data['patterns']} patterns, {data['draws']} "
        f"draws, by the number of features (it falls with the power {data['slope']})"
    )
    return about, [(f"{row['features']:,}", f"{row['error']:.4f}") for row in data["rows"]]


def _means(name: str) -> Callable[[dict[str, Any]], Shown]:
    def read(data: dict[str, Any]) -> Shown:
        about = (
            f"mean distance from the exact means of {data['spins']} spins with random couplings, "
            f"{data['draws']} draws, by beta"
        )
        values = zip(data["beta"], data["error"][name], strict=True)
        return about, [(f"{beta:g}", f"{error:.4f}") for beta, error in values]

    return read


def _graph(data: dict[str, Any]) -> Shown:
    about = (
        f"share of {data['nodes']} nodes in {data['blocks']} blocks that find the pattern of their "
        f"block (noise {data['noise']}, {data['draws']} draws), by the coupling"
    )
    return about, [(f"{row['coupling']:g}", f"{row['retrieved']:.3f}") for row in data["rows"]]


#: An energy -> the file of its measurement, and how that is read.
_MEASURED: dict[str, tuple[str, Callable[[dict[str, Any]], Shown]]] = {
    "classical_hopfield": ("capacity", _classical),
    "pure_polynomial": ("capacity", _dense),
    "exponential": ("capacity", _exponential),
    "lse": ("retrieval", _retrieval("softmax")),
    "entmax": ("retrieval", _retrieval("entmax 1.5")),
    "sparsemax": ("retrieval", _retrieval("sparsemax")),
    "random_features": ("random_features", _features),
    "ising_mean_field": ("tap", _means("ising_mean_field")),
    "tap": ("tap", _means("tap")),
    "graph_hopfield": ("graph_retrieval", _graph),
}
