"""`materialize`, which puts real layers in the place of the `Lazy` ones, with the sizes that an example tells."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import PRNGKeyArray, PyTree

from matrinox.contract import ContractError, contract
from matrinox.contract.message import callable_name
from matrinox.nn.child import is_stateful
from matrinox.nn.compose import Sequential
from matrinox.nn.lazy import Lazy, name_of, open_sizes
from matrinox.nn.lazy_sizes import options_of, read_sizes
from matrinox.nn.tracing import is_state, narrowed, shape_of, table
from matrinox.rand import KeyStream

# Whether a layer is stateful may depend on its options, but hardly on its sizes: one that most groups and heads divide.
_ANY_SIZE = 48


class FoundLayer(NamedTuple):
    """What stands in the place of a `Lazy`: where, which layer, the sizes that were found, the shapes in and out."""

    path: str
    layer: str
    sizes: dict[str, int]
    input: Any
    output: Any


class Found(tuple[FoundLayer, ...]):
    """The layers that `materialize` made, in the order in which the example reached them; prints as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        rows = [("path", "layer", "found", "input", "output")]
        rows += [(row.path, row.layer, _sizes_text(row.sizes), str(row.input), str(row.output)) for row in self]
        return table(rows)


@contract
def materialize(
    model: PyTree, *examples: PyTree, key: PRNGKeyArray, state: eqx.nn.State | None = None
) -> tuple[PyTree, Found]:
    """Puts the real layer in the place of every `Lazy` of a model, with the sizes that an example tells.

    The model is traced on the example, at no compute. Then each layer is drawn with a key of its own, by its path in
    the model: another `Lazy` elsewhere changes nothing. The joints of every `Sequential` are checked again.

    A model with a stateful `Lazy`, such as one of BatchNorm, gets its state afterwards:
    `model, state = eqx.nn.make_with_state(lambda: model)()`.

    **Arguments:** `model`: what is called, with `Lazy` anywhere in it; `examples`: its arguments, arrays or
    `jax.ShapeDtypeStruct`, such as one x `(*batch, p, n, n)`; `key`: one key; `state`: that of a model made by
    `eqx.nn.make_with_state`.
    **Returns:** `(model, found)`: the model, an ordinary one, and a report with a row
    `(path, layer, sizes, input, output)` for each `Lazy`, which prints as a table.
    **Raises:** `ContractError` for an input that a layer does not take, or that tells other sizes than an earlier one;
    `ValueError` for a `Lazy` that the example does not reach, and for a `state` that is missing or comes too early.

    >>> import jax, jax.numpy as jnp
    >>> from matrinox.nn.linear import Dense
    >>> example = jax.ShapeDtypeStruct((32, 2, 4, 4), jnp.float32)
    >>> model, found = materialize(Lazy(Dense, q=3), example, key=jax.random.key(0))
    >>> model.weight.shape, found[0].sizes
    ((3, 2, 4, 4), {'p': 2, 'n': 4})
    """
    trace = _Trace(KeyStream(key))
    probed = _replaced(model, "", trace.probe)
    options = _call_options(model, state, trace)

    def call(probed: Any, examples: tuple[Any, ...], options: dict[str, Any]) -> None:
        probed(*examples, **options)

    eqx.filter_eval_shape(call, probed, jax.tree.map(narrowed, examples), options)
    for path, lazy in trace.probed.items():
        if path not in trace.reached:
            raise ValueError(
                f"{_path_text(path)}: {name_of(lazy)} is not reached by the example: call it in the model, or give an "
                "example that passes through it."
            )
    filled = _replaced(model, "", trace.fill)
    _check_joints(filled, "")
    return filled, Found(trace.row(path) for path in trace.reached)


class _Reached(NamedTuple):
    sizes: dict[str, int]
    skeleton: Any
    input: Any
    output: Any


class _Trace:
    """What one tracing of a model tells of the `Lazy` in it, by path."""

    def __init__(self, stream: KeyStream):
        self.stream = stream
        self.probed: dict[str, Lazy] = {}
        self.stateful: set[str] = set()
        self.reached: dict[str, _Reached] = {}

    def probe(self, path: str, lazy: Lazy) -> eqx.Module:
        self.probed[path] = lazy
        kind: Any = _Probe
        if self._is_stateful(path, lazy):
            self.stateful.add(path)
            kind = _StatefulProbe
        return kind(lazy, path, self)

    def _is_stateful(self, path: str, lazy: Lazy) -> bool:
        if not issubclass(lazy.layer_class, eqx.nn.StatefulLayer):
            return False
        try:
            built = eqx.filter_eval_shape(lambda: self.build(path, lazy, dict.fromkeys(open_sizes(lazy), _ANY_SIZE)))
            return is_stateful(_replaced(built, path, self.probe))
        except Exception:
            # Of a layer that takes no such size, the class alone tells.
            return True

    def build(self, path: str, lazy: Lazy, sizes: dict[str, int]) -> Any:
        options = dict(lazy.options)
        for name, inner in lazy.options.items():
            if isinstance(inner, Lazy) and set(open_sizes(inner)) <= set(sizes):
                options[name] = self.build(f"{path}.{name}", inner, {size: sizes[size] for size in open_sizes(inner)})
        known = options_of(lazy.layer_class)
        options |= {name: size for name, size in sizes.items() if name in known}
        if "key" in known:
            options["key"] = self.stream.key(_path_text(path))
        try:
            return lazy.layer_class(**options)
        except Exception as error:
            error.add_note(f"{_path_text(path)}: {name_of(lazy)} found {_sizes_text(sizes)}.")
            raise

    def fill(self, path: str, lazy: Lazy) -> Any:
        return _replaced(self.build(path, lazy, self.reached[path].sizes), path, self.fill)

    def row(self, path: str) -> FoundLayer:
        sizes, skeleton, taken, given = self.reached[path]
        return FoundLayer(_path_text(path), callable_name("__call__", skeleton), sizes, taken, given)


class _Probe(eqx.Module):
    """Plays a `Lazy` while its model is traced: it knows the layer's shapes, and gives zeros."""

    lazy: Lazy
    path: str = eqx.field(static=True)
    trace: _Trace = eqx.field(static=True)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = f"{_path_text(self.path)}: {name_of(self.lazy)}"
        sizes = read_sizes(name, self.lazy.layer_class, self.lazy.options, open_sizes(self.lazy), args, kwargs)
        before = self.trace.reached.get(self.path)
        if before is not None and before.sizes != sizes:
            raise ContractError(
                f"{name} is reached with {_sizes_text(before.sizes)}, then with {_sizes_text(sizes)}: "
                "a layer has one size, so give each place a Lazy of its own."
            )
        # Shapes alone: arrays made here would be of this call's trace, which may be that of a loop's body.
        skeleton = before.skeleton if before else self._skeleton(sizes)
        given = eqx.filter_eval_shape(_call_with_own_state, skeleton, args, kwargs)
        if before is None:
            taken = next(iter((*args, *kwargs.values())), None)
            self.trace.reached[self.path] = _Reached(
                sizes, skeleton, jax.tree.map(shape_of, taken), jax.tree.map(shape_of, _output(given))
            )
        states = [node for node in jax.tree.leaves((args, kwargs), is_leaf=is_state) if is_state(node)]
        return jax.tree.map(lambda node: states[0] if is_state(node) else _zeros(node), given, is_leaf=is_state)

    def _skeleton(self, sizes: dict[str, int]) -> Any:
        built = eqx.filter_eval_shape(lambda lazy: self.trace.build(self.path, lazy, sizes), self.lazy)
        return _replaced(built, self.path, self.trace.probe)


class _StatefulProbe(_Probe, eqx.nn.StatefulLayer):
    pass


# The messages of what calls it name the class of what was called.
_Probe.__name__ = _StatefulProbe.__name__ = Lazy.__name__


def _call_options(model: Any, state: eqx.nn.State | None, trace: _Trace) -> dict[str, Any]:
    if not callable(model):
        raise TypeError(f"`model` (={type(model).__name__}) must be callable: give what takes the example.")
    early = next((path for path in trace.probed if path in trace.stateful), None)
    if early is not None and state is not None:
        raise ValueError(
            f"`state` comes too early for {_path_text(early)}, {name_of(trace.probed[early])}, which is stateful: "
            "materialize the model first, then `model, state = eqx.nn.make_with_state(lambda: model)()`."
        )
    indices = [node for node in jax.tree.leaves(model, is_leaf=_is_index) if _is_index(node)]
    if state is None and (indices or early is not None):
        try:
            state = eqx.nn.State(model)
        except ValueError:
            raise ValueError(
                "`state` (=None) is needed, as the model is one of eqx.nn.make_with_state: give the state it came with."
            ) from None
    called = model.layer_class.__call__ if isinstance(model, Lazy) else model
    options = {"key": trace.stream.key(0), "state": state}
    parameters = inspect.signature(called).parameters
    return {name: value for name, value in options.items() if name in parameters and value is not None}


def _call_with_own_state(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    own = eqx.nn.State(layer)
    args, kwargs = jax.tree.map(lambda node: own if is_state(node) else node, (args, kwargs), is_leaf=is_state)
    return layer(*args, **kwargs)


def _check_joints(tree: Any, prefix: str) -> None:
    nodes, _ = jtu.tree_flatten_with_path(tree, is_leaf=lambda node: isinstance(node, Sequential))
    for path, node in nodes:
        if isinstance(node, Sequential):
            where = prefix + jtu.keystr(path)
            try:
                Sequential(node.layers)
            except ContractError as error:
                raise ContractError(f"{_path_text(where)}: {error}") from None
            _check_joints(node.layers, where + ".layers")


def _replaced(tree: Any, prefix: str, new: Callable[[str, Lazy], Any]) -> Any:
    """`tree` with `new(path, lazy)` for every `Lazy`, `prefix` being the path of the tree itself."""
    return jtu.tree_map_with_path(
        lambda path, node: new(prefix + jtu.keystr(path), node) if isinstance(node, Lazy) else node,
        tree,
        is_leaf=lambda node: isinstance(node, Lazy),
    )


def _path_text(path: str) -> str:
    return path.removeprefix(".") or "model"


def _sizes_text(sizes: dict[str, int]) -> str:
    return ", ".join(f"{name}={size}" for name, size in sizes.items()) or "nothing"


def _is_index(node: Any) -> bool:
    return isinstance(node, eqx.nn.StateIndex)


def _output(given: Any) -> Any:
    return given[0] if isinstance(given, tuple) and len(given) == 2 and is_state(given[1]) else given


def _zeros(leaf: Any) -> Any:
    return jnp.zeros(leaf.shape, leaf.dtype) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf
