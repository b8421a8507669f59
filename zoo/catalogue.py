"""The one table of the zoo: what each entry is, on what it is trained, and how."""

from collections.abc import Mapping
from types import MappingProxyType

from matrinox.contract import contract
from matrinox.contract.nearest import nearest
from matrinox.data.augment import Gain, Noise, Roll, Shear, Shift, Stretch, Tilt
from matrinox.train import (
    Adam,
    AdamW,
    Classification,
    Cosine,
    Group,
    LanguageModelling,
    Momentum,
    Muon,
    Recipe,
    Regression,
    StateTracking,
)
from matrinox.zoo.architecture import Architecture
from matrinox.zoo.cnn import CNN
from matrinox.zoo.cnn import PRESETS as CNNS
from matrinox.zoo.data import BuiltIn, Characters, Words, Xor
from matrinox.zoo.mlp import MLP
from matrinox.zoo.mlp import PRESETS as MLPS
from matrinox.zoo.rnn import PRESETS as RNNS
from matrinox.zoo.rnn import RNN
from matrinox.zoo.row import Entry as Entry
from matrinox.zoo.transformer import PRESETS as TRANSFORMERS
from matrinox.zoo.transformer import Transformer

FAMILIES: Mapping[str, type[Architecture]] = MappingProxyType(
    {"CNN": CNN, "MLP": MLP, "RNN": RNN, "Transformer": Transformer}
)
"""Architecture by name: what a model file may hold."""

# As the signals of MNIST-1D differ from one another by how they were made.
_SIGNALS = (Stretch(factor=1.15), Roll(places=4), Tilt(rise=0.5), Gain(spread=0.15), Noise(scale=0.05))

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
        name="linear-diabetes",
        seeds=tuple(range(20)),
        architecture=MLP,
        config=MLPS["linear-diabetes"],
        data=BuiltIn("diabetes", by_seed=True),
        recipe=Recipe(
            steps=1000,
            batch=310,
            steps_per_round=200,
            task=Regression(),
            optimiser=Momentum(learning_rate=0.1, momentum=0.95, clip=None),
        ),
        summary="A linear model of 2 × 2 matrix neurons that foretells how far diabetes has gone a year later.",
        goal=0.4574,
        use="To see that a read-out of matrices is any linear map: it ends where least squares do. The goal is 0.02 "
        "less than the mean R² of scikit-learn's LinearRegression on the same 20 splits, 0.4774.",
        source="Efron, Hastie, Johnstone and Tibshirani 2004, as scikit-learn has it.",
        limits="The ten features as measured, not scaled; linear in each, it leaves half of the variance open.",
    ),
    Entry(
        name="mlp-3-breast-cancer",
        seeds=tuple(range(20)),
        architecture=MLP,
        config=MLPS["mlp-3-breast-cancer"],
        data=BuiltIn("breast-cancer", by_seed=True),
        recipe=Recipe(
            steps=400,
            batch=64,
            steps_per_round=60,
            task=Classification(label_smoothing=0.1),
            optimiser=AdamW(learning_rate=3e-3, weight_decay=0.05),
        ),
        summary="Three hidden layers of 2 × 2 matrix neurons that tell malignant from benign tumours by 30 measures.",
        goal=0.965,
        use="To compare with other methods on a small table, over 20 splits; raw measures go in.",
        source="Street, Wolberg and Mangasarian 1993 (UCI), as scikit-learn has it.",
        limits="One hospital's 569 tumours: no medical device, and no diagnosis.",
    ),
    Entry(
        name="mlp-7-digits",
        architecture=MLP,
        config=MLPS["mlp-7-digits"],
        data=BuiltIn("digits"),
        recipe=Recipe(
            steps=4000,
            batch=64,
            steps_per_round=250,
            augment=(Shift(pixels=1),),
            task=Classification(label_smoothing=0.1),
            optimiser=AdamW(learning_rate=5e-3, weight_decay=0.1),
            average=0.998,
        ),
        summary="Seven hidden layers of 4 × 4 matrix neurons that read handwritten digits of 8 × 8 pixels.",
        goal=0.975,
        use="To see a deep network of dense matrix layers trained in half a minute.",
        source="Alpaydin and Kaynak 1998 (UCI), the test part, as scikit-learn has it.",
        limits="As cnn-digits: one digit, centred, about as large as the frame, bright on dark, from 0 to 1.",
    ),
    Entry(
        name="cnn-mnist-4k",
        architecture=CNN,
        config=CNNS["cnn-mnist-4k"],
        data=BuiltIn("mnist"),
        recipe=Recipe(
            steps=20000,
            batch=64,
            steps_per_round=1000,
            steps_per_call=100,
            augment=(Shear(slope=0.1, pixels=1.0),),
            optimiser=Muon(learning_rate=1.5e-2, weight_decay=0.01, scheduler=Cosine(warmup=0.1)),
        ),
        summary="Four convolutions of 2 × 2 matrix neurons, in less than 4,000 parameters, for the digits of MNIST.",
        goal=0.99,
        use="To see how far a few thousand parameters go, and where memory is scarce.",
        source="LeCun, Cortes and Burges 1998, MNIST.",
        limits="As in its data set: one digit, centred by its mass in 28 × 28 pixels, bright on dark, from 0 to 1.",
    ),
    Entry(
        name="cnn-mnist-10k",
        architecture=CNN,
        config=CNNS["cnn-mnist-10k"],
        data=BuiltIn("mnist"),
        recipe=Recipe(
            steps=16000,
            batch=64,
            steps_per_round=1000,
            steps_per_call=100,
            augment=(Shear(slope=0.1, pixels=1.0),),
            optimiser=Muon(learning_rate=1.5e-2, weight_decay=0.01, scheduler=Cosine(warmup=0.1)),
        ),
        summary="Five convolutions of 2 × 2 matrix neurons, in less than 10,000 parameters, for the digits of MNIST.",
        goal=0.994,
        use="To read such digits with a model that is small and good.",
        source="LeCun, Cortes and Burges 1998, MNIST.",
        limits="As cnn-mnist-4k.",
    ),
    Entry(
        name="resnet-mnist",
        architecture=CNN,
        config=CNNS["resnet-mnist"],
        data=BuiltIn("mnist"),
        recipe=Recipe(
            steps=14000,
            batch=64,
            steps_per_round=1000,
            steps_per_call=50,
            augment=(Shear(slope=0.15, pixels=1.5),),
            optimiser=Muon(learning_rate=1e-2, weight_decay=0.01, scheduler=Cosine(warmup=0.1)),
        ),
        summary="A residual network of three blocks of 2 × 2 matrix neurons that reads the digits of MNIST.",
        goal=0.995,
        use="To read such digits as well as can be here, and to start from for other small grey images.",
        source="LeCun, Cortes and Burges 1998, MNIST; He et al. 2016, arXiv 1512.03385, with RMSNorm for BatchNorm.",
        limits="As cnn-mnist-4k.",
    ),
    Entry(
        name="matcnn-mnist",
        architecture=CNN,
        config=CNNS["matcnn-mnist"],
        data=BuiltIn("mnist"),
        recipe=Recipe(
            steps=2800,
            batch=64,
            steps_per_round=400,
            steps_per_call=40,
            optimiser=Muon(learning_rate=1e-2, weight_decay=0.01, scheduler=Cosine(warmup=0.1)),
        ),
        summary="MATNETS' MatCNN, five convolutions and three dense layers of 4 × 4 matrix neurons, narrower: "
        "convolutions of 2 to 4 neurons for 16 to 64, dense layers of 8 to 32 for 32 to 128, to train on one core.",
        goal=0.985,
        use="To compare with MATNETS: no column meets another before the head.",
        source="MATNETS 1.1.0, `examples/9_kaggle_cnn_mnist.ipynb`; LeCun, Cortes and Burges 1998, MNIST.",
        limits="As cnn-mnist-4k. It reads by the trace, where MATNETS takes the mean of all entries.",
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
    Entry(
        name="mlp-mnist",
        architecture=MLP,
        config=MLPS["mlp-mnist"],
        data=BuiltIn("mnist"),
        recipe=Recipe(
            steps=5000,
            batch=256,
            steps_per_round=500,
            augment=(Shift(pixels=1),),
            task=Classification(label_smoothing=0.1),
            optimiser=AdamW(learning_rate=4e-3, weight_decay=0.1),
            average=0.998,
        ),
        summary="A multilayer perceptron of 2 × 2 matrix neurons that reads the handwritten digits of MNIST.",
        goal=0.986,
        use="To compare dense layers of matrices with others on the best-known images.",
        source="LeCun, Cortes and Burges 1998, MNIST.",
        limits="As in its data set: one digit, centred by its mass in 28 × 28 pixels, bright on dark, from 0 to 1.",
    ),
    Entry(
        name="gpt-shakespeare",
        architecture=Transformer,
        config=TRANSFORMERS["gpt-shakespeare"],
        data=Characters("tinyshakespeare", length=128),
        recipe=Recipe(
            steps=4000,
            batch=8,
            steps_per_round=800,
            task=LanguageModelling(characters_per_token=1.0),
            optimiser=Muon(learning_rate=1e-2, weight_decay=0.0, b2=0.98, scheduler=Cosine(warmup=0.05)),
        ),
        summary="A causal transformer of 2 × 2 matrix neurons that writes like Shakespeare, character by character.",
        goal=1.8,
        use="To generate text on a laptop, and to see how a language model of matrix neurons is trained in minutes.",
        source="Karpathy, char-rnn and nanoGPT, whose split it is; its recipe for a CPU, at windows of 64: 1.88.",
        limits="It knows the 65 characters of its text and the 128 before the next; its words are often none.",
    ),
    Entry(
        name="lstm-rows-mnist",
        architecture=RNN,
        config=RNNS["lstm-rows-mnist"],
        data=BuiltIn("mnist"),
        recipe=Recipe(
            steps=5400,
            batch=100,
            steps_per_round=540,
            augment=(Shift(pixels=1),),
            task=Classification(label_smoothing=0.05),
            optimiser=AdamW(learning_rate=6e-3),
        ),
        summary="A recurrent network of 2 × 2 matrix neurons, two layers of LSTM, that reads a digit row by row.",
        goal=0.988,
        use="To compare recurrent layers of matrices with others where a sequence is short, and its data well known.",
        source="LeCun, Cortes and Burges 1998, MNIST; Hochreiter and Schmidhuber 1997, LSTM.",
        limits="As in its data set: one digit, centred by its mass in 28 × 28 pixels, bright on dark, from 0 to 1.",
    ),
    Entry(
        name="charlm-lstm",
        architecture=RNN,
        config=RNNS["charlm-lstm"],
        data=Characters("tinyshakespeare", length=128),
        recipe=Recipe(
            steps=1200,
            batch=32,
            steps_per_round=150,
            task=LanguageModelling(characters_per_token=1.0),
            optimiser=AdamW(learning_rate=6e-3, b2=0.99),
        ),
        summary="A recurrent network of 2 × 2 matrix neurons, two layers of LSTM, that writes like Shakespeare.",
        goal=1.75,
        use="To generate text of any length from a state of fixed size, and to compare recurrence with attention.",
        source="Karpathy 2015, char-rnn and its text; nanoGPT, whose split it is.",
        limits="It knows the 65 characters of its text and was trained on 128 at a time; not all its words are words.",
    ),
    Entry(
        name="transformer-xor",
        architecture=Transformer,
        config=TRANSFORMERS["transformer-xor"],
        data=Xor("xor-tokens"),
        recipe=Recipe(
            steps=2000,
            batch=256,
            steps_per_round=400,
            optimiser=Muon(learning_rate=2e-2, weight_decay=0.0, b2=0.99),
        ),
        summary="A transformer of 2 × 2 matrix neurons that tells the exclusive or of two signs from noisy examples.",
        goal=0.63,
        use="To check a transformer against the best rate that there can be, which is known here: 65%.",
        source="MATNETS 1.1.0, the example of a transformer, with examples that are drawn anew.",
        limits="Tokens of three neurons of standard normal entries; 35% of the classes it was trained on are wrong.",
    ),
    Entry(
        name="vit-digits",
        architecture=Transformer,
        config=TRANSFORMERS["vit-digits"],
        data=BuiltIn("digits"),
        recipe=Recipe(
            steps=1950,
            batch=32,
            steps_per_round=195,
            augment=(Shift(pixels=1),),
            task=Classification(label_smoothing=0.1),
            optimiser=Muon(learning_rate=1e-2, weight_decay=0.1),
            average=0.99,
        ),
        summary="A vision transformer whose tokens are the 64 overlapping 3 × 3 neighbourhoods of an 8 × 8 digit.",
        goal=0.985,
        use="To see attention between matrix neurons at work on images, each token one piece of the image as it is.",
        source="Alpaydin and Kaynak 1998 (UCI), the test part; Dosovitskiy et al. 2021, arXiv 2010.11929.",
        limits="As cnn-digits: one digit, centred, about as large as the frame, bright on dark, from 0 to 1.",
    ),
    Entry(
        name="cnn1d-mnist1d",
        architecture=CNN,
        config=CNNS["cnn1d-mnist1d"],
        data=BuiltIn("mnist1d"),
        recipe=Recipe(
            steps=3000,
            batch=128,
            steps_per_round=100,
            augment=_SIGNALS,
            optimiser=AdamW(learning_rate=1e-2, weight_decay=0.05),
        ),
        summary="A convolutional network of 2 × 2 matrix neurons that finds a digit's shape in a noisy signal.",
        goal=0.98,
        use="To compare convolutions of matrices with others on signals, where small models differ and runs are short.",
        source="Greydanus and Kobak 2020, MNIST-1D, arXiv 2011.14439, where a scalar one reaches 94% and people 96%.",
        limits="As in its data set, of variance 1 as a whole: 40 moments, a shape in 7 to 10 of them, noise elsewhere.",
    ),
    Entry(
        name="gru-mnist1d",
        architecture=RNN,
        config=RNNS["gru-mnist1d"],
        data=BuiltIn("mnist1d"),
        recipe=Recipe(
            steps=4000,
            batch=128,
            steps_per_round=100,
            augment=_SIGNALS,
            optimiser=AdamW(learning_rate=1e-2, weight_decay=0.05),
        ),
        summary="Two layers of gated recurrent units of 2 × 2 matrix neurons that read a noisy signal both ways.",
        goal=0.97,
        use="To compare recurrent cells of matrices: transposed between its layers, the columns of a neuron meet.",
        source="Greydanus and Kobak 2020, MNIST-1D, arXiv 2011.14439, where a scalar GRU reaches 91%; Cho et al. 2014.",
        limits="As rnn-mnist1d.",
    ),
    Entry(
        name="rnn-mnist1d",
        architecture=RNN,
        config=RNNS["rnn-mnist1d"],
        data=BuiltIn("mnist1d"),
        recipe=Recipe(
            steps=3000,
            batch=128,
            steps_per_round=100,
            augment=_SIGNALS,
            optimiser=AdamW(learning_rate=1e-2, weight_decay=0.05),
        ),
        summary="A plain recurrent network of 2 × 2 matrix neurons that reads a noisy signal both ways.",
        goal=0.93,
        use="To compare recurrent cells of matrices, as the smallest: it trains in half a minute.",
        source="Greydanus and Kobak 2020, MNIST-1D, arXiv 2011.14439; Schuster and Paliwal 1997, both ways.",
        limits="As cnn1d-mnist1d. It reads both ways: it needs the whole signal, and cannot go step by step.",
    ),
    Entry(
        name="scan-a5",
        architecture=RNN,
        config=RNNS["scan-a5"],
        data=Words("A5", length=4),
        recipe=Recipe(
            steps=800,
            batch=512,
            steps_per_round=200,
            task=StateTracking(commitment=0.1, until_wrong=True),
            optimiser=Adam(
                learning_rate=0.1,
                clip=None,
                scheduler=Cosine(),
                # Learnt too, it would mix neurons, and turn some rotations into mirrors, which stay mirrors.
                groups=(Group("**.transition_proj.weight", frozen=True),),
            ),
        ),
        summary="One scan of 3 × 3 rotations that multiplies words over the 60 elements of A5, of any length.",
        goal=0.99,
        use="To see what matrices that multiply can do and sums cannot: words of 4 tokens teach it to follow any.",
        source="Merrill, Petty and Sabharwal 2024 (arXiv 2404.08819), the word problem of A5; words are generated.",
        limits="It knows one group, and takes its elements as tokens, in the order of `group_table`.",
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
