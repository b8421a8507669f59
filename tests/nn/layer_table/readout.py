from layer_table.row import DENSE, WRONG_DENSE, Row, without
from matrinox import nn

ROWS = {
    "Mean": Row(without(nn.Mean), DENSE, WRONG_DENSE),
    "Trace": Row(without(nn.Trace), DENSE, WRONG_DENSE),
    "FrobeniusNorm": Row(without(nn.FrobeniusNorm), DENSE, WRONG_DENSE),
    "Flatten": Row(without(nn.Flatten), DENSE, WRONG_DENSE),
}
