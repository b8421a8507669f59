from layer_table.row import DENSE, Row, with_weights
from matrinox import nn

ROWS = {
    "Dense": Row(with_weights(nn.Dense, p=2, q=5, n=3), DENSE, (2, 4, 4), "axis -2 is 4, n is 3"),
}
