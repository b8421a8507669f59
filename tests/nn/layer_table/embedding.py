from layer_table.row import SEQUENCE, WRONG_SEQUENCE, Row, with_weights, without
from matrinox import nn

ROWS = {
    # Of distributions over the tokens; tests/nn/test_embedding.py has the ids.
    "Embedding": Row(
        with_weights(nn.Embedding, vocabulary=5, p=2, n=3),
        (5,),
        (4,),
        "axis -1 is 4, vocabulary is 5",
        takes_integers=True,
    ),
    "LearnedPosition": Row(
        with_weights(nn.LearnedPosition, length=6, p=2, n=3), SEQUENCE, (4, 2, 4, 4), "axis -2 is 4, n is 3"
    ),
    "SinusoidalPosition": Row(without(nn.SinusoidalPosition), SEQUENCE, WRONG_SEQUENCE),
    "RotaryPosition": Row(without(nn.RotaryPosition), SEQUENCE, WRONG_SEQUENCE),
}
