from typing import Any

from layer_table.row import SEQUENCE, Row, drawn
from matrinox import nn

ROWS: dict[str, Any] = {
    "MatrixScan": Row(
        lambda key, dtype: nn.MatrixScan(
            p=2, q=2, n=3, noise=0.5, initial="learned", reverse=True, initializer=drawn, dtype=dtype, key=key
        ),
        SEQUENCE,
        wrong=(4, 2, 4, 4),
        why="axis -2 is 4, n is 3",
    )
}
