"""`fingerprint`: what identifies a model by its weights."""

import hashlib

from jaxtyping import PyTree

from matrinox.contract import contract
from matrinox.io.leaves import bytes_of, check_storable, leaf_of, named_leaves
from matrinox.io.plain import dump


@contract
def fingerprint(tree: PyTree) -> str:
    """The SHA-256 of a model's arrays: of the path, dtype, shape and bytes of each, in the order of the tree.

    It is the same in every process and on every machine, for a model and for what `load` gives of its file. What is no
    array has no part in it, so that `eqx.nn.inference_mode` changes nothing: numbers, functions, static fields. Nor has
    the container: a NumPy array counts as the JAX array of its dtype.

    **Arguments:** `tree`: any pytree; arrays of any shape, keys among them.
    **Returns:** 64 hexadecimal digits.
    **Raises:** `ModelFileError` for an array that a model file could not hold: without numbers, traced, or of a dtype
    unknown to it.

    >>> import jax.numpy as jnp
    >>> fingerprint({"weight": jnp.ones(3)})[:12]
    '1d0d8bd53a2e'
    """
    digest = hashlib.sha256()
    for path, value in named_leaves(tree):
        leaf = leaf_of(path, value)
        if leaf is not None and leaf.is_array:
            check_storable(leaf, value)
            # JSON, which says where it ends, and so how many bytes belong to what was before.
            digest.update(dump([path, leaf.kind, leaf.dtype, leaf.shape]).encode())
            digest.update(bytes_of(leaf, value))
    return digest.hexdigest()
