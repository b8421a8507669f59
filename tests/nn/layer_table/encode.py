from layer_table.row import Row, without
from matrinox import nn

ROWS = {
    "Fold": Row(without(nn.Fold, n=3), (20,), (), "it has 0 axes"),
    "Frames": Row(without(nn.Frames, n=2, shape=(3, 8), length=6), (3, 8), (3, 7), "axis -1 is 7, not 8"),
    "Patches": Row(without(nn.Patches, n=2), (4, 4, 2), (4, 4), "it has 2 axes"),
    "EmbedPixels": Row(without(nn.EmbedPixels, n=3, interleave=True), (4, 4, 2), (4, 4), "it has 2 axes"),
    "EmbedSequence": Row(without(nn.EmbedSequence, n=3), (4, 2), (4,), "it has 1 axis"),
    "Tile": Row(without(nn.Tile, n=3), (2,), (), "it has 0 axes"),
}
