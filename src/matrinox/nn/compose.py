"""`Sequential`: layers in a row whose joints are checked when it is built."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, PRNGKeyArray, PyTree

from matrinox.contract import contract
from matrinox.nn.child import Layer, call_child, require_callable, require_state, split_key
from matrinox.nn.joint import pass_through
from matrinox.nn.linear import check_sizes
from matrinox.nn.stepping import initial_caches, require_parts, step_child


@contract
class Sequential(eqx.nn.Sequential):
    """Layers applied one after another: `y = layers[-1](… layers[0](x))`. `Series` is another name of it.

    What one layer gives is compared with what the next one takes as soon as they are put together, from their
    annotations alone; it is passed on through a `Residual`, a `BranchSum` or a `Parallel` among them. What an
    unannotated layer gives (a function, a Lambda, an `eqx.nn.Linear`) is unknown until a shape is given.

    **Arguments:** `layers`: layers and functions, called as `layer(x, key=key)`, or as `layer(x)` if they take no key;
    stateful ones as in `eqx.nn.Sequential`.
    **Raises:** `ContractError`, when built, naming both layers of a joint that does not fit; `TypeError` for
    what is not callable.
    **Source:** `eqx.nn.Sequential`; mlax, `Series` and `SeriesRng`.

    >>> import jax
    >>> from matrinox.nn.linear import Dense
    >>> k0, k1 = jax.random.split(jax.random.key(0))
    >>> model = Sequential([Dense(p=2, q=3, n=4, key=k0), Dense(p=3, q=5, n=4, key=k1)])
    >>> model.shapes((2, 4, 4))
    ((2, 4, 4), (3, 4, 4), (5, 4, 4))
    """

    def __init__(self, layers: Sequence[Layer]):
        super().__init__(layers)
        require_callable(self._named())
        pass_through("", self, None)

    def __call__(self, x: PyTree, state: eqx.nn.State | None = None, *, key: PRNGKeyArray | None = None) -> Any:
        """Applies the layers in turn; `state` is passed to, and updated by, the stateful ones.

        **Arguments:** `x`: what the first layer takes; `state`: needed if a layer is stateful; `key`: split over the
        layers.
        **Returns:** what the last layer gives, `(output, state)` if `state` was given.
        **Raises:** `ValueError` if a layer is stateful and `state` is missing.
        """
        require_state(self._named(), state)
        after = state
        for layer, layer_key in zip(self.layers, split_key(key, len(self.layers)), strict=True):
            x, after = call_child(layer, x, after, layer_key)
        return x if state is None else (x, after)

    def initial_cache(
        self, length: int, batch_shape: tuple[int, ...] = (), dtype: DTypeLike | None = None
    ) -> tuple[PyTree, ...]:
        """What the layers keep of a sequence that is taken by `step`, before its first token.

        **Arguments:** `length`: how many tokens there is room for; `batch_shape`: their leading axes; `dtype`: of what
        is kept, where `None` that of the weights, and of a recurrent state at least float32.
        **Returns:** one for each layer, empty where it takes each token by itself.
        **Raises:** `ValueError` for a `length` below 1, or beyond the positions of a layer; `TypeError`, with its path,
        for a layer that cannot step: one that is stateful, that runs in reverse, or of which nothing tells how.
        """
        check_sizes(length=length)
        return initial_caches(self._named(), length, batch_shape, dtype)

    def step(
        self, cache: tuple[PyTree, ...], x: PyTree, *, key: PRNGKeyArray | None = None
    ) -> tuple[tuple[PyTree, ...], Any]:
        """The next tokens of a sequence, one or more: portion by portion, this gives what a call gives for the whole.

        **Arguments:** `cache`: as `initial_cache` gives it, or the step before; `x`: what the first layer takes,
        `(*batch, t, p, n, n)`; `key`: split over the layers.
        **Returns:** `(cache, y)`, y being what the last layer gives.
        **Raises:** `ContractError` for another cache; what the layers raise; `TypeError` as for `initial_cache`.
        """
        parts, keys = require_parts(cache, len(self.layers)), split_key(key, len(self.layers))
        after = []
        for (path, layer), part, layer_key in zip(self._named().items(), parts, keys, strict=True):
            part, x = step_child(path, layer, part, x, layer_key)
            after.append(part)
        return tuple(after), x

    def __getitem__(self, i: int | slice) -> Any:
        return Sequential(self.layers[i]) if isinstance(i, slice) else self.layers[i]

    def shapes(
        self,
        shape: tuple[int, ...],
        state: eqx.nn.State | None = None,
        *,
        dtype: DTypeLike = jnp.float32,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Any, ...]:
        """Traces the chain at no compute: the shape of the input and that behind every layer.

        **Arguments:** `shape`, `dtype`: of the input; `state`, `key`: as for a call.
        **Returns:** `len(layers) + 1` shapes; a tree of them behind a layer that gives more than one array.
        **Raises:** what the first layer that refuses raises, with a note of the shapes up to there.
        """
        keys = split_key(key, len(self.layers))
        shapes = [shape]

        def trace(x: Array, state: eqx.nn.State | None) -> None:
            for layer, layer_key in zip(self.layers, keys, strict=True):
                x, state = call_child(layer, x, state, layer_key)
                shapes.append(jax.tree.map(jnp.shape, x))

        try:
            eqx.filter_eval_shape(trace, jax.ShapeDtypeStruct(shape, dtype), state)
        except Exception as error:
            error.add_note(f"Shapes up to layers[{len(shapes) - 1}]: {' -> '.join(map(str, shapes))}.")
            raise
        return tuple(shapes)

    def _named(self) -> dict[str, Layer]:
        return {f"layers[{index}]": layer for index, layer in enumerate(self.layers)}


Series = Sequential
