from layer_table.row import DENSE, WRONG_DENSE, Row, with_weights, without
from matrinox import nn

WRONG, WHY = (2, 4, 4), "axis -2 is 4, n is 3"

ROWS = {
    "ConjugationDense": Row(with_weights(nn.ConjugationDense, p=2, q=5, n=3), DENSE, WRONG, WHY),
    "ConjugationBilinear": Row(with_weights(nn.ConjugationBilinear, p=2, q=4, n=3, rank=2), DENSE, WRONG, WHY),
    "InvariantGate": Row(with_weights(nn.InvariantGate, p=2, n=3), DENSE, WRONG, WHY),
    "BiMap": Row(with_weights(nn.BiMap, p=2, q=4, n=3, eps=0.1), DENSE, WRONG, WHY),
    "ReEig": Row(without(nn.ReEig, 0.1), DENSE, WRONG_DENSE),
    "LogEig": Row(without(nn.LogEig, 0.1), DENSE, WRONG_DENSE),
    "TracePowers": Row(without(nn.TracePowers), DENSE, WRONG_DENSE),
    "CharacteristicPolynomial": Row(without(nn.CharacteristicPolynomial), DENSE, WRONG_DENSE),
    "DeterminantRatios": Row(without(nn.DeterminantRatios), DENSE, WRONG_DENSE),
}
