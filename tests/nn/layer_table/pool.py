import jax.numpy as jnp

from layer_table.row import IMAGE, SEQUENCE, VOLUME, WRONG_IMAGE, WRONG_SEQUENCE, WRONG_VOLUME, Row, without
from matrinox import nn

ROWS = {
    "MaxPool1d": Row(without(nn.MaxPool1d, 2), SEQUENCE, WRONG_SEQUENCE),
    "MaxPool2d": Row(without(nn.MaxPool2d, 2, dilation=2), IMAGE, WRONG_IMAGE),
    "MaxPool3d": Row(without(nn.MaxPool3d, 2), VOLUME, WRONG_VOLUME),
    "AvgPool1d": Row(without(nn.AvgPool1d, 2, stride=1), SEQUENCE, WRONG_SEQUENCE),
    "AvgPool2d": Row(without(nn.AvgPool2d, 3, stride=2, padding="SAME"), IMAGE, WRONG_IMAGE),
    "AvgPool3d": Row(without(nn.AvgPool3d, (2, 1, 2)), VOLUME, WRONG_VOLUME),
    "SumPool1d": Row(without(nn.SumPool1d, 2, input_dilation=2), SEQUENCE, WRONG_SEQUENCE),
    "SumPool2d": Row(without(nn.SumPool2d, (2, 1), stride=(1, 2)), IMAGE, WRONG_IMAGE),
    "SumPool3d": Row(without(nn.SumPool3d, 2), VOLUME, WRONG_VOLUME),
    "Pool1d": Row(without(nn.Pool1d, jnp.median, 3), SEQUENCE, WRONG_SEQUENCE),
    "Pool2d": Row(without(nn.Pool2d, jnp.min, 2, 1, "SAME", fill=jnp.inf), IMAGE, WRONG_IMAGE),
    "Pool3d": Row(without(nn.Pool3d, jnp.multiply.reduce, (2, 1, 2)), VOLUME, WRONG_VOLUME),
    "MaxdPool1d": Row(without(nn.MaxdPool1d, 2), SEQUENCE, WRONG_SEQUENCE),
    "MaxdPool2d": Row(without(nn.MaxdPool2d, 3, stride=2, padding="SAME"), IMAGE, WRONG_IMAGE),
    "MaxdPool3d": Row(without(nn.MaxdPool3d, 2), VOLUME, WRONG_VOLUME),
    # Few matrices: among many, one is so close to singular that finite differences are no measure.
    "AvgdPool1d": Row(without(nn.AvgdPool1d, 2), (3, 1, 3, 3), WRONG_SEQUENCE),
    "AvgdPool2d": Row(without(nn.AvgdPool2d, 2, stride=1, padding="SAME"), (3, 1, 1, 3, 3), WRONG_IMAGE),
    "AvgdPool3d": Row(without(nn.AvgdPool3d, 2, padding="SAME"), (3, 1, 1, 1, 3, 3), WRONG_VOLUME),
    "AdaptiveAvgPool1d": Row(without(nn.AdaptiveAvgPool1d, 3), SEQUENCE, WRONG_SEQUENCE),
    "AdaptiveAvgPool2d": Row(without(nn.AdaptiveAvgPool2d, (3, 2)), IMAGE, WRONG_IMAGE),
    "AdaptiveAvgPool3d": Row(without(nn.AdaptiveAvgPool3d, (2, 1, 2)), VOLUME, WRONG_VOLUME),
    "AdaptiveMaxPool1d": Row(without(nn.AdaptiveMaxPool1d, 3), SEQUENCE, WRONG_SEQUENCE),
    "AdaptiveMaxPool2d": Row(without(nn.AdaptiveMaxPool2d, (3, 2)), IMAGE, WRONG_IMAGE),
    "AdaptiveMaxPool3d": Row(without(nn.AdaptiveMaxPool3d, (2, 1, 2)), VOLUME, WRONG_VOLUME),
    "GlobalAvgPool1d": Row(without(nn.GlobalAvgPool1d), SEQUENCE, WRONG_SEQUENCE),
    "GlobalAvgPool2d": Row(without(nn.GlobalAvgPool2d), IMAGE, WRONG_IMAGE),
    "GlobalAvgPool3d": Row(without(nn.GlobalAvgPool3d), VOLUME, WRONG_VOLUME),
    "GlobalMaxPool1d": Row(without(nn.GlobalMaxPool1d), SEQUENCE, WRONG_SEQUENCE),
    "GlobalMaxPool2d": Row(without(nn.GlobalMaxPool2d), IMAGE, WRONG_IMAGE),
    "GlobalMaxPool3d": Row(without(nn.GlobalMaxPool3d), VOLUME, WRONG_VOLUME),
    "GlobalSumPool1d": Row(without(nn.GlobalSumPool1d), SEQUENCE, WRONG_SEQUENCE),
    "GlobalSumPool2d": Row(without(nn.GlobalSumPool2d), IMAGE, WRONG_IMAGE),
    "GlobalSumPool3d": Row(without(nn.GlobalSumPool3d), VOLUME, WRONG_VOLUME),
}
