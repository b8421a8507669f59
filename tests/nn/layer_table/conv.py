from layer_table.row import IMAGE, SEQUENCE, VOLUME, Row, with_weights
from matrinox import nn

ROWS = {
    "Conv1d": Row(
        with_weights(nn.Conv1d, p=2, q=5, n=3, kernel=3, padding="SAME"), SEQUENCE, (4, 2, 4, 4), "axis -2 is 4, n is 3"
    ),
    "Conv2d": Row(
        with_weights(nn.Conv2d, p=2, q=4, n=3, kernel=(3, 2), stride=2, groups=2),
        IMAGE,
        (4, 4, 2, 4, 4),
        "axis -2 is 4, n is 3",
    ),
    "Conv3d": Row(
        with_weights(nn.Conv3d, p=2, q=5, n=3, kernel=2, use_bias=False),
        VOLUME,
        (4, 2, 2, 2, 4, 4),
        "axis -2 is 4, n is 3",
    ),
}
