"""`check`: a dry run of a model that tells its shapes and costs, layer by layer, and where it does not fit.

It returns a `Report` (see `matrinox.inspect.report`): `report.rows`, one `Row` for each call of a layer in the order in
which they run, and the totals. `print(report)` gives a plain table.
"""

import types
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray, PyTree

from matrinox.contract import contract
from matrinox.inspect.gradient import GradientCosts, is_inexact
from matrinox.inspect.named import report_by_names
from matrinox.inspect.observe import BoundMethod, Call, abstract, observed, recording
from matrinox.inspect.report import Report, Row, Shape, shapes_text
from matrinox.inspect.runs import Run, runs_of
from matrinox.nn.tracing import is_key, is_shaped, is_state, narrowed, table


@contract
def check(
    model: Callable[..., Any],
    *shapes: PyTree,
    key: PRNGKeyArray | None = None,
    state: eqx.nn.State | None = None,
    verbose: bool = True,
    **options: Any,
) -> Report:
    """A dry run at no compute: what each layer of a model takes and gives, holds and costs, in the order of execution.

    The model is traced, as under `jit`, and nothing is compiled or run: the arrays in it may be
    `jax.ShapeDtypeStruct`, as `eqx.filter_eval_shape` makes them, however large.

    FLOPs are counted as by XLA's cost analysis: two for a multiply-add, one for each entry of an elementwise operation,
    none for a transcendental function; a loop counts as often as it runs. Those of a layer include those of the layers
    in it. Backward is what the gradient by parameters and inputs takes beside the call.

    **Arguments:** `model`: any callable `eqx.Module`, or a method of one, such as `cell.step`; `shapes`: what it takes:
    a shape `(32, 2, 4, 4)` of floats, a `jax.ShapeDtypeStruct`, an array, or a list, tuple or dictionary of these;
    where the size of an axis is a name, as in `("t", 2, 4, 4)`, the report has formulas of `t`; `key`, `state`,
    `options`: handed on to the model; `verbose`: whether the report is printed.
    **Returns:** a `Report`, which prints as a table; `report.rows` has the figures.
    **Raises:** what the call raises, as `ContractError` with the path of the layer, with a note of the layers up to
    there; `TypeError` if `model` is neither a module nor a method of one; `ValueError` for a size below 0.

    >>> from matrinox import nn
    >>> k0, k1 = jax.random.split(jax.random.key(0))
    >>> model = nn.Sequential([nn.Dense(p=2, q=3, n=4, key=k0), nn.ReLU(), nn.Dense(p=3, q=5, n=4, key=k1)])
    >>> report = check(model, ("t", 2, 4, 4))
    path         type        input         output        calls  parameters  bytes  FLOPs forward  FLOPs backward
    model        Sequential  (t, 2, 4, 4)  (t, 5, 4, 4)      1         464  1,856        2,864·t   5,600·t - 128
      layers[0]  Dense       (t, 2, 4, 4)  (t, 3, 4, 4)      1         144    576          816·t    1,584·t - 48
      layers[1]  ReLU        (t, 3, 4, 4)  (t, 3, 4, 4)      1           0      0           48·t            96·t
      layers[2]  Dense       (t, 3, 4, 4)  (t, 5, 4, 4)      1         320  1,280        2,000·t    3,920·t - 80
    464 parameters, 1,856 bytes, FLOPs: 2,864·t forward, 5,600·t - 128 backward
    >>> report.at(t=32).flops_forward
    91648
    """
    layer, method = _layer_and_method(model)
    given = {"key": key, "state": state}
    kwargs = {name: value for name, value in given.items() if value is not None} | options
    call = ([_read(shape) for shape in shapes], {name: _read_option(value) for name, value in kwargs.items()})
    names = tuple(sorted({size for leaf in jax.tree.leaves(call) for size in _names_of(leaf)}))
    if names:
        report = report_by_names(
            names, lambda sizes: _report(layer, method, *jax.tree.map(lambda leaf: _at(leaf, sizes), call))
        )
    else:
        report = _report(layer, method, *call)
    if verbose:
        print(report)
    return report


def _layer_and_method(model: Any) -> tuple[eqx.Module, str]:
    layer, method = model, "__call__"
    if isinstance(model, BoundMethod | types.MethodType):
        layer, method = model.__self__, model.__func__.__name__
    if not isinstance(layer, eqx.Module):
        raise TypeError(
            f"`model` (={type(layer).__name__}) must be an eqx.Module, or a method of one: give a function in an "
            "eqx.nn.Lambda."
        )
    return layer, method


def _read(shape: Any) -> Any:
    """Shapes as what stands for an array, in whatever they are held."""
    return jax.tree.map(
        lambda leaf: _of_floats(leaf) if _is_shape(leaf) else narrowed(leaf),
        shape,
        is_leaf=_is_shape,
    )


def _of_floats(shape: tuple[Any, ...]) -> jax.ShapeDtypeStruct:
    if any(isinstance(size, int) and size < 0 for size in shape):
        raise ValueError(f"`shapes` (={shape}) must have no size below 0: give each axis its size or a name.")
    if any(isinstance(size, str) and not size.isidentifier() for size in shape):
        raise ValueError(f"`shapes` (={shape}) must name each axis by one word, such as 't': name one axis for each.")
    return jax.ShapeDtypeStruct(shape, jnp.result_type(float))


def _is_shape(node: Any) -> bool:
    return isinstance(node, tuple) and all(isinstance(size, int | str) and not isinstance(size, bool) for size in node)


def _read_option(value: Any) -> Any:
    # A tuple of numbers may be one to the model: it has options that are no arrays.
    return jax.tree.map(narrowed, value, is_leaf=is_state)


def _names_of(leaf: Any) -> set[str]:
    return {size for size in leaf.shape if isinstance(size, str)} if isinstance(leaf, jax.ShapeDtypeStruct) else set()


def _at(leaf: Any, sizes: Mapping[str, int]) -> Any:
    if not _names_of(leaf):
        return leaf
    return jax.ShapeDtypeStruct(tuple(sizes.get(size, size) for size in leaf.shape), leaf.dtype)


def _report(model: Any, method: str, args: list[Any], kwargs: dict[str, Any]) -> Report:
    costs, whole = GradientCosts(), observed(model)

    def call(model: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        return getattr(model, method)(*args, **kwargs)

    with recording() as record:
        try:
            program, _, _ = eqx.filter_make_jaxpr(call)(whole, args, kwargs)
        except Exception as error:
            _note_the_layers(error, record.calls)
            raise
    runs, forward = runs_of(program)
    parameters, size = _weights(model)
    return Report(
        rows=tuple(_row(run, costs) for run in runs),
        parameters=parameters,
        bytes=size,
        flops_forward=forward,
        flops_backward=costs.of(abstract((whole, tuple(args), kwargs)), method),
    )


def _row(run: Run, costs: GradientCosts) -> Row:
    call = run.call
    parameters, size = _weights(call.layer)
    backward = costs.of(call.skeleton, call.method)
    return Row(
        path=run.path,
        kind=_kind(call),
        inputs=_shapes(call.skeleton[1:]),
        outputs=_shapes(call.outputs),
        parameters=parameters * run.layers,
        bytes=size * run.layers,
        flops_forward=run.forward,
        flops_backward=None if backward is None else backward * run.calls,
        depth=run.depth,
        calls=run.calls,
    )


def _kind(call: Call) -> str:
    return type(call.layer).__name__ + ("" if call.method == "__call__" else f".{call.method}")


def _weights(layer: Any) -> tuple[int, int]:
    """How many parameters a layer has, and how many bytes all its arrays take."""
    arrays = [leaf for leaf in jax.tree.leaves(layer) if is_shaped(leaf)]
    return sum(leaf.size for leaf in arrays if is_inexact(leaf)), sum(
        leaf.size * leaf.dtype.itemsize for leaf in arrays
    )


def _shapes(tree: Any) -> tuple[Shape, ...]:
    leaves = jax.tree.leaves(tree, is_leaf=is_state)
    return tuple(tuple(leaf.shape) for leaf in leaves if is_shaped(leaf) and not is_key(leaf))


def _note_the_layers(error: Exception, calls: list[Call]) -> None:
    """Adds what was called up to an error."""
    done = [call for call in calls if call.is_layers_work]
    if done:
        trees = [(call.path, _kind(call), call.skeleton[1:], call.outputs) for call in done]
        rows = [
            (path, kind, shapes_text(_shapes(taken)), shapes_text(_shapes(given))) for path, kind, taken, given in trees
        ]
        error.add_note(f"Layers up to there:\n{table(rows)}")
