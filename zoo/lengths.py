"""Accuracy against length: how far what was learnt from short words of a group holds, for `scan-a5` and its rivals."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import numpy as np

from matrinox import io
from matrinox.contract import contract
from matrinox.data import GroupWords
from matrinox.inspect.lens_figure import BLUE, GREEN, GREY, ORANGE, new_figure
from matrinox.io.atomic import write_atomically
from matrinox.train import AdamW, StateTracking, apply_model
from matrinox.train.checkpoint import BEST as MODEL_FILE
from matrinox.zoo.catalogue import entry
from matrinox.zoo.data import Words
from matrinox.zoo.rnn import RNN, RNNConfig
from matrinox.zoo.row import Entry

NAME = "scan-a5"
LENGTHS = (1, 2, 4, 8, 16, 32, 64, 100, 200, 500, 1000, 2000)
"""Tokens of a word of which the product is asked for."""

_WORDS, _SEED, _BATCH = 400, 3, 50
_STEPS, _LONGEST = 4000, 32
_SCALAR = {"shape": (_LONGEST,), "vocabulary": 60, "n": 1, "read": "each", "classes": 60}
_CONFIGS = {
    "lstm-a5": RNNConfig(**_SCALAR, cell="lstm", embedding=9, widths=(21,)),
    "gru-a5": RNNConfig(**_SCALAR, cell="gru", embedding=9, widths=(24,)),
    "mamba-a5": RNNConfig(**_SCALAR, cell="mamba", embedding=14, widths=(14,)),
}
_LINES = {
    NAME: ("MatrixScan", BLUE),
    "lstm-a5": ("LSTM", ORANGE),
    "gru-a5": ("GRU", GREEN),
    "mamba-a5": ("Mamba (diagonal state space)", GREY),
}


def rivals() -> Mapping[str, Entry]:
    """Scalar networks of about the parameters of `scan-a5`, trained for as long on words of up to 32 tokens, by name.

    A row is one that `reproduce` takes. The two gated cells have states that can wander; the third is a state space
    with a diagonal transition that the input chooses.
    """
    row, data = entry(NAME), Words("A5", length=_LONGEST)
    recipe = dataclasses.replace(
        row.recipe,
        steps=_STEPS,
        batch=64,
        steps_per_round=_STEPS // 8,
        task=StateTracking(until_wrong=True),
        optimiser=AdamW(learning_rate=1e-2, weight_decay=0.0),
    )
    return MappingProxyType(
        {
            name: dataclasses.replace(row, name=name, config=config, data=data, recipe=recipe)
            for name, config in _CONFIGS.items()
        }
    )


@contract
def accuracy_by_length(
    model: Any, lengths: Sequence[int] = LENGTHS, *, group: str = "A5", words: int = _WORDS
) -> dict[int, float]:
    """The share of words of each length of which the product is right: of the first tokens of the same words.

    **Arguments:** `model`: tokens `(words, t)` to logits of each product so far, `(words, t, elements)`; `lengths`:
    from 1 to 2000; `group`: as `group_table` takes it; `words`: how many.
    **Returns:** shares by length.
    **Raises:** `ValueError` for no length, one out of range, another group, or no words.
    """
    if not lengths or not 1 <= min(lengths) <= max(lengths) <= max(LENGTHS):
        raise ValueError(f"`lengths` (={tuple(lengths)}) must be from 1 to {max(LENGTHS)}: name one at least.")
    longest = max(lengths)
    tokens, products = GroupWords(group, length=max(LENGTHS), examples=words, seed=_SEED).gather(jnp.arange(words))
    found = jnp.argmax(apply_model(model, tokens[:, :longest], batch=_BATCH), axis=-1)
    right = np.mean(np.asarray(found == products[:, :longest]), axis=0)
    return {length: float(right[length - 1]) for length in lengths}


@contract
def publish_lengths(
    runs: Mapping[str, Sequence[str | os.PathLike[str]]],
    *,
    folder: str | os.PathLike[str] | None = None,
    lengths: Sequence[int] = LENGTHS,
    words: int = _WORDS,
) -> Path:
    """Measures the models of runs, and writes `lengths.json`, with the figures of each seed, and `lengths.png` of it.

    **Arguments:** `runs`: for `scan-a5` and each of `rivals()` the folders that `reproduce` wrote, one for each seed;
    `folder`: where to, by default that of the entry; `lengths`, `words`: as for `accuracy_by_length`.
    **Returns:** the folder.
    **Raises:** `OSError`, `ModelFileError` for a folder without a model; `ImportError` without matplotlib, of the extra
    `viz`.
    """
    target = entry(NAME).folder if folder is None else Path(folder)
    models = {name: [io.load(Path(run) / MODEL_FILE, RNN) for run in runs[name]] for name in _LINES}
    measured = {
        name: [list(accuracy_by_length(model, lengths, words=words).values()) for model in each]
        for name, each in models.items()
    }
    target.mkdir(parents=True, exist_ok=True)
    told = {"words": words, "seed": _SEED, "lengths": lengths, "accuracy": measured}
    write_atomically(target / "lengths.json", [(json.dumps(told, indent=1) + "\n").encode()])
    draw_lengths(read_lengths(target)).savefig(target / "lengths.png", dpi=80)
    return target


@contract
def read_lengths(folder: str | os.PathLike[str] | None = None) -> dict[str, dict[int, list[float]]]:
    """What `publish_lengths` wrote: by name and by length, the accuracy of each seed.

    **Arguments:** `folder`: where it is, by default that of the entry.
    **Raises:** `OSError` if it is not there.
    """
    path = (entry(NAME).folder if folder is None else Path(folder)) / "lengths.json"
    told = json.loads(path.read_text())
    return {
        name: {length: [seed[at] for seed in seeds] for at, length in enumerate(told["lengths"])}
        for name, seeds in told["accuracy"].items()
    }


@contract
def draw_lengths(measured: Mapping[str, Mapping[int, Sequence[float]]]) -> Any:
    """Accuracy against length: the mean over seeds as a line, each seed as a dot, and what guessing gives.

    **Arguments:** `measured`: as `read_lengths` gives it.
    **Returns:** a `matplotlib.figure.Figure`.
    **Raises:** `ImportError` without matplotlib, of the extra `viz`.
    """
    figure = new_figure(7.5, 4.2)
    ax = figure.subplots()
    for name, by_length in measured.items():
        label, color = _LINES[name]
        ax.plot(list(by_length), [100 * fmean(each) for each in by_length.values()], color=color, label=label)
        for length, each in by_length.items():
            ax.plot([length] * len(each), [100 * one for one in each], ".", color=color, markersize=4)
    ax.axhline(100 / 60, color=GREY, linewidth=0.8, linestyle=(0, (3, 2)), label="guessing")
    ax.axvline(_LONGEST, color=GREY, linewidth=0.8)
    options = {"xytext": (3, 0), "textcoords": "offset points", "fontsize": 8, "rotation": 90}
    ax.annotate("longest in training", (_LONGEST, 50), **options)
    ax.set_xscale("log")
    ax.set_xlabel("tokens in a word", fontsize=9)
    ax.set_ylabel("products in A5 that are right, %", fontsize=9)
    ax.legend(fontsize=8, frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(which="both", labelsize=8)
    return figure
