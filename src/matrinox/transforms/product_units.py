"""Units of products with derivatives: those of `y t / x` with tangents `t`, of `c y / x` with cotangents `c`."""

from typing import Any, Literal

import jax
import jax.tree_util as jtu
from jaxtyping import PyTree

from matrinox.transforms.leaf import is_quantity, magnitude

Side = Literal[1, -1]
"""1 for a cotangent, whose unit is multiplied by that of what it is of; -1 for a tangent, whose unit is divided."""


def aligned(given: PyTree, of: PyTree, what: str, side: Side) -> tuple[PyTree, Any]:
    """Tangents or cotangents in the units of what they are of, and the unit that is taken out of all of them.

    **Arguments:** `given`: called `what` in messages, with units or without, `None` for zeros; `of`: a tree whose
    quantities are leaves.
    **Raises:** `ValueError` if products with these would add different units, naming the path.
    """
    import saiunit

    common: list[Any] = []

    def align(path: tuple[Any, ...], leaf: Any, part: PyTree) -> PyTree:
        if leaf is None or part is None or not jtu.all_leaves([part], is_leaf=is_quantity):
            return leaf
        unit = saiunit.get_unit(part)
        common.append(saiunit.get_unit(leaf) * unit**side)
        due = common[0] * unit ** (-side)
        if due == saiunit.get_unit(leaf):
            number = magnitude(leaf)
        else:
            try:
                number = saiunit.Quantity(magnitude(leaf), unit=saiunit.get_unit(leaf)).to_decimal(due)
            except saiunit.UnitMismatchError as error:
                raise ValueError(
                    f"`{what}{jtu.keystr(path)}` is in {saiunit.get_unit(leaf)}, and must be in {due} for all "
                    "products to be added: give each its unit."
                ) from error
        return saiunit.Quantity(number, unit=unit) if is_quantity(part) else number

    tree = jtu.tree_map_with_path(align, given, of, is_leaf=lambda node: node is None or is_quantity(node))
    return tree, common[0] if common else saiunit.UNITLESS


def labelled(product: PyTree, like: PyTree, common: Any, side: Side) -> PyTree:
    """A product with the unit that was taken out, and that of what it is like: `y` for a tangent, `1 / x` otherwise."""
    import saiunit

    def label(leaf: Any, part: Any) -> Any:
        if leaf is None:
            return None
        unit = common * saiunit.get_unit(part) ** (-side)
        return saiunit.maybe_decimal(saiunit.Quantity(magnitude(leaf), unit=unit))

    return jax.tree.map(label, product, like, is_leaf=lambda node: node is None or is_quantity(node))
