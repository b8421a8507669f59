from layer_table.row import SEQUENCE, Row, drawn
from matrinox import nn

ROWS = {
    "Mamba": Row(
        lambda key, dtype: nn.Mamba(
            *(2, 3, 3), state=2, inner=3, kernel=3, use_bias=True, initializer=drawn, dtype=dtype, key=key
        ),
        SEQUENCE,
        wrong=(4, 2, 4, 4),
        why="axis -2 is 4, n is 3",
    ),
}
