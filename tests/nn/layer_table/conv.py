from layer_table.row import IMAGE, SEQUENCE, VOLUME, Row, with_weights
from matrinox import nn

WRONG_N = "axis -2 is 4, n is 3"

ROWS = {
    "Conv1d": Row(with_weights(nn.Conv1d, p=2, q=5, n=3, kernel=3, padding="SAME"), SEQUENCE, (4, 2, 4, 4), WRONG_N),
    "Conv2d": Row(
        with_weights(nn.Conv2d, p=2, q=4, n=3, kernel=(3, 2), stride=2, groups=2), IMAGE, (4, 4, 2, 4, 4), WRONG_N
    ),
    "Conv3d": Row(
        with_weights(nn.Conv3d, p=2, q=5, n=3, kernel=2, use_bias=False), VOLUME, (4, 2, 2, 2, 4, 4), WRONG_N
    ),
    "ConvTranspose1d": Row(
        with_weights(nn.ConvTranspose1d, p=2, q=5, n=3, kernel=3, stride=2, padding=1), SEQUENCE, (4, 2, 4, 4), WRONG_N
    ),
    "ConvTranspose2d": Row(
        with_weights(
            *(nn.ConvTranspose2d, 2, 4, 3, (3, 2)), stride=2, output_padding=(0, 1), groups=2, layout="channel_first"
        ),
        (2, 4, 4, 3, 3),
        (3, 4, 4, 3, 3),
        "axis -5 is 3, p is 2",
    ),
    "ConvTranspose3d": Row(
        with_weights(nn.ConvTranspose3d, p=2, q=3, n=3, kernel=2, use_bias=False), VOLUME, (4, 2, 2, 2, 4, 4), WRONG_N
    ),
}
