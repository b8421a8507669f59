from layer_table.row import IMAGE, SEQUENCE, VOLUME, WRONG_IMAGE, WRONG_SEQUENCE, WRONG_VOLUME, Row, without
from matrinox import nn

ROWS = {
    "MaxPool1d": Row(without(nn.MaxPool1d, 2), SEQUENCE, WRONG_SEQUENCE),
    "MaxPool2d": Row(without(nn.MaxPool2d, 2), IMAGE, WRONG_IMAGE),
    "MaxPool3d": Row(without(nn.MaxPool3d, 2), VOLUME, WRONG_VOLUME),
    "AvgPool1d": Row(without(nn.AvgPool1d, 2, stride=1), SEQUENCE, WRONG_SEQUENCE),
    "AvgPool2d": Row(without(nn.AvgPool2d, 3, stride=2, padding="SAME"), IMAGE, WRONG_IMAGE),
    "AvgPool3d": Row(without(nn.AvgPool3d, (2, 1, 2)), VOLUME, WRONG_VOLUME),
    "SumPool1d": Row(without(nn.SumPool1d, 2), SEQUENCE, WRONG_SEQUENCE),
    "SumPool2d": Row(without(nn.SumPool2d, (2, 1), stride=(1, 2)), IMAGE, WRONG_IMAGE),
    "SumPool3d": Row(without(nn.SumPool3d, 2), VOLUME, WRONG_VOLUME),
    "GlobalAvgPool1d": Row(without(nn.GlobalAvgPool1d), SEQUENCE, WRONG_SEQUENCE),
    "GlobalAvgPool2d": Row(without(nn.GlobalAvgPool2d), IMAGE, WRONG_IMAGE),
    "GlobalAvgPool3d": Row(without(nn.GlobalAvgPool3d), VOLUME, WRONG_VOLUME),
    "GlobalMaxPool1d": Row(without(nn.GlobalMaxPool1d), SEQUENCE, WRONG_SEQUENCE),
    "GlobalMaxPool2d": Row(without(nn.GlobalMaxPool2d), IMAGE, WRONG_IMAGE),
    "GlobalMaxPool3d": Row(without(nn.GlobalMaxPool3d), VOLUME, WRONG_VOLUME),
}
