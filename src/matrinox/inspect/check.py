"""`check`: a dry run of a model that tells its shapes and costs, layer by layer, and where it does not fit.

It returns a `Report` (see `matrinox.inspect.report`): `report.rows`, one `Row` for each call of a layer in the order in
which they run, and the totals. `print(report)` gives a plain table.
"""

import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import PRNGKeyArray, PyTree

from matrinox.contract import contract
from matrinox.inspect.gradient import flops_of_gradient
from matrinox.inspect.observe import observed, recording
from matrinox.inspect.report import Report, Row
from matrinox.inspect.runs import Run, runs_of


@contract
def check(
    model: Callable[..., Any],
    *shapes: PyTree,
    key: PRNGKeyArray | None = None,
    state: eqx.nn.State | None = None,
    verbose: bool = True,
    **options: Any,
) -> Report:
    """A dry run of a model at no compute: shapes, parameters, bytes and FLOPs, layer by layer in order of execution.

    **Returns:** a `Report`.
    """
    given = {"key": key, "state": state}
    kwargs = {name: value for name, value in given.items() if value is not None} | options
    report = _report(model, tuple(_read(shape) for shape in shapes), kwargs)
    if verbose:
        print(report)
    return report


def _read(shape: Any) -> Any:
    if isinstance(shape, tuple) and all(isinstance(size, int) for size in shape):
        return jax.ShapeDtypeStruct(shape, jnp.zeros(()).dtype)
    return shape


def _report(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Report:
    with recording():
        program, _, _ = eqx.filter_make_jaxpr(lambda model, args, kwargs: model(*args, **kwargs))(
            observed(model), args, kwargs
        )
    rows = tuple(_row(run) for run in runs_of(program))
    first = rows[0]
    return Report(rows, first.parameters, first.bytes, first.flops_forward, first.flops_backward)


def _row(run: Run) -> Row:
    call = run.call
    layer, args, kwargs = call.skeleton
    parameters = [leaf for leaf in jax.tree.leaves(layer) if _is_inexact(leaf)]
    backward = flops_of_gradient(call.skeleton, call.method)
    return Row(
        run.path,
        type(layer).__name__ + ("" if call.method == "__call__" else f".{call.method}"),
        _shapes((args, kwargs)),
        _shapes(call.outputs),
        run.layers * sum(leaf.size for leaf in parameters),
        run.layers * sum(leaf.size * leaf.dtype.itemsize for leaf in parameters),
        run.forward,
        None if backward is None else backward * run.calls,
        run.depth,
        run.calls,
    )


def _is_inexact(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and hasattr(leaf, "shape") and jnp.issubdtype(leaf.dtype, jnp.inexact)


def _shapes(tree: Any) -> tuple[tuple[int, ...], ...]:
    is_state = lambda node: isinstance(node, eqx.nn.State)
    return tuple(
        tuple(leaf.shape)
        for leaf in jax.tree.leaves(tree, is_leaf=is_state)
        if not is_state(leaf) and hasattr(leaf, "shape") and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    )
