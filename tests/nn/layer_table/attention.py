from layer_table.row import Row, with_weights
from matrinox import nn

ROWS = {
    # Without positions the bias of the keys would add the same to all scores of a query, and get no gradient.
    "MultiheadAttention": Row(
        with_weights(nn.MultiheadAttention, 4, 2, heads=2, kv_heads=1, causal=True, rotary=True),
        (3, 4, 2, 2),
        (3, 4, 2, 1),
    ),
}
