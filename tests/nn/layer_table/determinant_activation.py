from layer_table.row import DENSE, WRONG_DENSE, Row, without
from matrinox import nn

ROWS = {
    "ReLUd": Row(without(nn.ReLUd), DENSE, WRONG_DENSE),
    "LeakyReLUd": Row(without(nn.LeakyReLUd, 0.1), DENSE, WRONG_DENSE),
    "ELUPowered": Row(without(nn.ELUPowered, 0.7), DENSE, WRONG_DENSE),
    "ELUd": Row(without(nn.ELUd, 0.7), DENSE, WRONG_DENSE),
    "Sigmoidd": Row(without(nn.Sigmoidd), DENSE, WRONG_DENSE),
    "Tanhd": Row(without(nn.Tanhd), DENSE, WRONG_DENSE),
    "Softplusd": Row(without(nn.Softplusd), DENSE, WRONG_DENSE),
    "SST": Row(without(nn.SST), DENSE, WRONG_DENSE),
    "SSS": Row(without(nn.SSS), DENSE, WRONG_DENSE),
}
