from layer_table.row import DENSE, WRONG_DENSE, Row, without
from matrinox import nn

ROWS = {
    "ReLU": Row(without(nn.ReLU), DENSE, WRONG_DENSE),
    "LeakyReLU": Row(without(nn.LeakyReLU, 0.1), DENSE, WRONG_DENSE),
    "ELU": Row(without(nn.ELU, 0.7), DENSE, WRONG_DENSE),
    "Sigmoid": Row(without(nn.Sigmoid), DENSE, WRONG_DENSE),
    "Tanh": Row(without(nn.Tanh), DENSE, WRONG_DENSE),
    "Softplus": Row(without(nn.Softplus), DENSE, WRONG_DENSE),
    "GELU": Row(without(nn.GELU), DENSE, WRONG_DENSE),
    "SiLU": Row(without(nn.SiLU), DENSE, WRONG_DENSE),
    "Softmax": Row(without(nn.Softmax), (4,), (), "at least 1 are due"),
}
