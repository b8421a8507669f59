"""A row for every public layer, by family: what `test_every_layer.py` runs its laws over."""

from layer_table import (
    activation,
    attention,
    block,
    compose,
    conv,
    derived,
    determinant_activation,
    embedding,
    encode,
    equivariant,
    linear,
    lora,
    matrix_scan,
    norm,
    pool,
    readout,
    recurrent,
    ssm,
)

FAMILIES = (
    activation,
    attention,
    block,
    compose,
    conv,
    derived,
    determinant_activation,
    embedding,
    encode,
    equivariant,
    linear,
    lora,
    matrix_scan,
    norm,
    pool,
    readout,
    recurrent,
    ssm,
)
ROWS = {name: row for family in FAMILIES for name, row in family.ROWS.items()}
