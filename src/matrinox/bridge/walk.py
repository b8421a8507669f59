"""A walk over a model, layer by layer: what each becomes by a table, and all at once what cannot become anything."""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import equinox as eqx
import jax.tree_util as jtu
from jaxtyping import PyTree


class Unfit(Exception):
    """Why a layer cannot be converted: raised by what converts it, told with its path by the walk."""


class Walk:
    """Converts the layers of one model, and knows what flows between them.

    **Arguments:** `table`: by the type of a layer, what makes another of it, called as `convert(walk, path, layer)`;
    `otherwise`: the same for types that are not in the table, which refuses most; `axes`: space axes of what flows;
    `n`: side of its matrices, `None` for numbers or where it is not known; `argument`: what messages call the model.
    """

    def __init__(
        self,
        table: Mapping[type, "Convert"],
        otherwise: "Convert",
        *,
        axes: int = 0,
        n: int | None = None,
        state: eqx.nn.State | None = None,
        argument: str = "layer",
    ):
        self.table = table
        self.otherwise = otherwise
        self.axes = axes
        self.n = n
        self.state = state
        self.argument = argument
        self.unfit: list[str] = []

    def convert(self, path: str, layer: Any) -> Any:
        """What the layer becomes; `None` where it cannot, which is noted."""
        try:
            return self.table.get(type(layer), self.otherwise)(self, path, layer)
        except Unfit as reason:
            self.note(path, layer, reason)

    def note(self, path: str, layer: Any, reason: Unfit) -> None:
        """Notes why a layer cannot be converted."""
        self.unfit.append(f"  {path.removeprefix('.') or self.argument}: {type(layer).__name__}: {reason}.")

    def tell_side(self, n: int) -> None:
        """Notes the side of its matrices that a layer tells, which must be that of those that flow here.

        **Raises:** `Unfit`.
        """
        before, self.n = self.n, n
        if before not in (None, n):
            flows = f"those that flow in of side n={before}"
            raise Unfit(f"its matrices are of side {n}, and {flows}: leave out `n` where layers tell it")

    def each(self, path: str, layers: tuple[Any, ...]) -> list[Any]:
        """What layers in a row become, each by its index behind `path`."""
        return [self.convert(f"{path}[{index}]", layer) for index, layer in enumerate(layers)]

    def branches(self, path: str, layers: Mapping[str, Any]) -> list[Any]:
        """What layers become that all take what flows here; behind them flows what the first one gives."""
        before, after = (self.axes, self.n), None
        converted = []
        for name, layer in layers.items():
            self.axes, self.n = before
            converted.append(self.convert(f"{path}.{name}", layer))
            after = after or (self.axes, self.n)
        self.axes, self.n = after or before
        return converted

    def tree(self, path: str, tree: PyTree) -> PyTree:
        """What the layers of a list, a tuple or a dict become, each taken by itself."""
        before = self.axes, self.n

        def one(where: tuple[Any, ...], layer: Any) -> Any:
            self.axes, self.n = before
            return self.convert(path + jtu.keystr(where), layer)

        return jtu.tree_map_with_path(one, tree, is_leaf=lambda node: node is not tree)

    def require_all(self, verb: str) -> None:
        """Refuses the model if any layer of it cannot be converted, naming every one of them.

        **Raises:** `ValueError`.
        """
        if self.unfit:
            raise ValueError(f"`{self.argument}` cannot be {verb}, for what is in it:\n" + "\n".join(self.unfit))


# The walk is one of the table's own kind, which may know more.
Convert = Callable[[Any, str, Any], Any]


def refuse(reason: str) -> Convert:
    """What converts a layer that cannot be converted, for a table."""

    def convert(walk: Walk, path: str, layer: Any) -> NoReturn:
        raise Unfit(reason)

    return convert


def inside(walk: Walk, path: str, layer: Any) -> Any:
    """What becomes of a layer that calls others in turn, and adds nothing of its own: it calls what these become."""
    return _with_parts(walk, path, layer, restart=False)


def beside(walk: Walk, path: str, layer: Any) -> Any:
    """The same for a layer that calls all others on what it is given; the first tells what flows on."""
    return _with_parts(walk, path, layer, restart=True)


def _with_parts(walk: Walk, path: str, layer: Any, *, restart: bool) -> Any:
    def is_part(node: Any) -> bool:
        return node is not layer and (isinstance(node, eqx.Module) or callable(node))

    nodes, structure = jtu.tree_flatten_with_path(layer, is_leaf=is_part)
    before, flows = (walk.axes, walk.n), []
    for index, (where, node) in enumerate(nodes):
        if is_part(node):
            if restart:
                walk.axes, walk.n = before
            nodes[index] = (where, walk.convert(path + jtu.keystr(where), node))
            flows.append((walk.axes, walk.n))
    if restart and flows:
        walk.axes, walk.n = flows[0]
    return structure.unflatten([node for _, node in nodes])
