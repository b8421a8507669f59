from layer_table.row import DENSE, WRONG_DENSE, Row, with_weights, without
from matrinox import nn

WRONG, WHY = (2, 4, 4), "axis -2 is 4, n is 3"

ROWS = {
    # As an untransposed layer it is tested in every model of Dense layers.
    "Dense": Row(with_weights(nn.Dense, p=2, q=5, n=3, transposed=True), DENSE, WRONG, WHY),
    "BilinearDense": Row(with_weights(nn.BilinearDense, p=2, q=4, n=3, rank=2), DENSE, WRONG, WHY),
    "Transpose": Row(without(nn.Transpose), DENSE, WRONG_DENSE),
    "Bias": Row(with_weights(nn.Bias, p=2, n=3, per="row"), DENSE, WRONG, WHY),
    "Scaler": Row(with_weights(nn.Scaler, p=2, n=3), DENSE, WRONG, WHY),
}
