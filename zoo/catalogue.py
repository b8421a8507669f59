"""The one table of the zoo: what each entry is, on what it is trained, and how."""

from collections.abc import Mapping
from types import MappingProxyType

from matrinox.contract import contract
from matrinox.contract.nearest import nearest
from matrinox.data.augment import Shift
from matrinox.train import AdamW, Classification, Recipe
from matrinox.zoo.architecture import Architecture
from matrinox.zoo.cnn import CNN
from matrinox.zoo.cnn import PRESETS as CNNS
from matrinox.zoo.data import BuiltIn
from matrinox.zoo.mlp import MLP
from matrinox.zoo.mlp import PRESETS as MLPS
from matrinox.zoo.rnn import RNN
from matrinox.zoo.row import Entry as Entry
from matrinox.zoo.transformer import Transformer

FAMILIES: Mapping[str, type[Architecture]] = MappingProxyType(
    {"CNN": CNN, "MLP": MLP, "RNN": RNN, "Transformer": Transformer}
)
"""Architecture by name: what a model file may hold."""

_ROWS = (
    Entry(
        name="cnn-digits",
        seeds=(0, 1, 2, 3, 4),
        architecture=CNN,
        config=CNNS["cnn-digits"],
        data=BuiltIn("digits"),
        recipe=Recipe(
            steps=1140,
            batch=64,
            steps_per_round=38,
            augment=(Shift(pixels=1),),
            task=Classification(label_smoothing=0.1),
            optimiser=AdamW(learning_rate=6e-3, weight_decay=0.05),
        ),
        summary="A convolutional network of 2 × 2 matrix neurons that reads handwritten digits of 8 × 8 pixels.",
        goal=0.99,
        use="To read digits of that size, and to begin with: it trains in seconds, and is small.",
        source="Alpaydin and Kaynak 1998 (UCI), the test part, as scikit-learn has it.",
        limits="As in its data set: one digit, centred, about as large as the frame, bright on dark, from 0 to 1.",
    ),
    Entry(
        name="mlp-digits",
        seeds=(0, 1, 2, 3, 4),
        architecture=MLP,
        config=MLPS["mlp-digits"],
        data=BuiltIn("digits-features"),
        recipe=Recipe(
            steps=1140,
            batch=64,
            steps_per_round=38,
            task=Classification(label_smoothing=0.1),
            optimiser=AdamW(learning_rate=1e-2, weight_decay=0.1),
        ),
        summary="A multilayer perceptron of 4 × 4 matrix neurons that reads handwritten digits as rows of 64 pixels.",
        goal=0.975,
        use="To read digits as rows of features, and to begin with: it trains in a few seconds.",
        source="Alpaydin and Kaynak 1998 (UCI), the test part, as scikit-learn has it.",
        limits="As cnn-digits, but not trained on shifts: many digits off their place by a pixel are misread.",
    ),
)

CATALOGUE: Mapping[str, Entry] = MappingProxyType({entry.name: entry for entry in _ROWS})
"""Entry by name."""


@contract
def entry(name: str) -> Entry:
    """The row of that name.

    **Raises:** `ValueError` for an unknown name, naming the nearest.
    """
    if name not in CATALOGUE:
        known, close = ", ".join(CATALOGUE), nearest(name, CATALOGUE)
        raise ValueError(f"`name` (={name!r}) must be one of {known}: did you mean {close!r}?")
    return CATALOGUE[name]
