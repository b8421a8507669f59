"""Where a run's arrays are: on one device, or over a mesh of them, of this process and of others."""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jax import Array
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from matrinox.contract import contract
from matrinox.nn.tracing import table
from matrinox.train.shard.specs import BATCH, ArraySpec, Rules, array_specs, read_rules, table_rows

_Tree = TypeVar("_Tree")


@dataclass(frozen=True, eq=False, repr=False)
class Placement:
    """Where a run's arrays are; `print` gives the table of a model's. What `placement` gives.

    What is cut over a mesh is computed as one array all the same: losses, gradients and statistics are of the whole
    batch, and the numbers are those of one device but for the order of sums. Every process of a run makes the same
    calls in the same order: those marked "together" wait for the others.

    **Arguments:** `mesh`: of devices, `None` for none; `batch`: the axes of the mesh over which a batch is cut;
    `specs`: how each array of the model is.
    """

    mesh: Mesh | None
    batch: tuple[str, ...] = ()
    specs: tuple[ArraySpec, ...] = ()
    _by_path: Mapping[Any, ArraySpec] = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "_by_path", {row.path: row for row in self.specs})

    def put(self, tree: _Tree) -> _Tree:
        """The tree on the mesh: a model, or a state around it.

        An array whose path ends with that of one of the model's, of the same shape, is cut as that one is: so are the
        moments of an optimiser and moving averages. What else there is goes whole to every device.

        **Arguments:** `tree`: any pytree, the same in every process.
        """
        return self._mapped(_put, tree, self._spec)

    def constrain(self, tree: _Tree) -> _Tree:
        """While tracing: the tree, kept where `put` would have it."""
        return self._mapped(jax.lax.with_sharding_constraint, tree, self._spec)

    def replicate(self, tree: _Tree) -> _Tree:
        """The tree whole on every device of the mesh, as the examples are of which a compiled step picks its batch."""
        return self._mapped(_put, tree, lambda *_: PartitionSpec())

    def put_batch(self, batch: _Tree, *, axis: int = 0) -> _Tree:
        """A batch on the mesh, cut along one axis of each array if the mesh divides it.

        **Arguments:** `batch`: any pytree, the same in every process, of which each hands on its own part; `axis`: that
        of the examples.
        """
        return self._mapped(_put, batch, functools.partial(self._batch_spec, axis=axis))

    def constrain_batch(self, batch: _Tree) -> _Tree:
        """While tracing: the batch, cut as by `put_batch`."""
        return self._mapped(jax.lax.with_sharding_constraint, batch, self._batch_spec)

    def check_batch(self, batch: int) -> None:
        """Refuses a batch that the mesh cannot cut.

        **Raises:** `ValueError` if `batch` is not divisible by the sizes of its axes of the mesh.
        """
        if batch % self._parts:
            raise ValueError(
                f"`batch` (={batch}) must be divisible by the mesh's {' · '.join(self.batch)} (={self._parts}): choose "
                f"{-(-batch // self._parts) * self._parts}."
            )

    def fetch(self, tree: _Tree) -> _Tree:
        """Together: the tree with every array whole and of this process alone, on its default device.

        **Arguments:** `tree`: any pytree on the mesh.
        """
        if self.mesh is None:
            return tree
        return jax.tree.map(lambda leaf: _fetch(leaf) if isinstance(leaf, Array) else leaf, tree)

    def __str__(self) -> str:
        if self.mesh is None:
            return "one device"
        sizes = " · ".join(f"{name}={size}" for name, size in self.mesh.shape.items())
        among = f" of {jax.process_count()} processes" if jax.process_count() > 1 else ""
        rows = [("path", "shape", "axes", "cut over", ""), *table_rows(self.specs)]
        title = f"mesh {sizes}, {self.mesh.size} devices{among}, batch cut over {' · '.join(self.batch) or 'none'}"
        return f"{title}\n{table(rows)}"

    __repr__ = __str__

    @property
    def _parts(self) -> int:
        return 1 if self.mesh is None else math.prod(self.mesh.shape[axis] for axis in self.batch)

    def _spec(self, path: tuple[Any, ...], leaf: Array) -> PartitionSpec:
        for start in range(len(path) + 1):
            row = self._by_path.get(path[start:])
            if row is not None and row.shape == leaf.shape:
                return row.spec
        return PartitionSpec()

    def _batch_spec(self, path: tuple[Any, ...], leaf: Array | np.ndarray, axis: int = 0) -> PartitionSpec:
        del path
        fits = axis < leaf.ndim and leaf.shape[axis] % self._parts == 0
        return PartitionSpec(*(None,) * axis, self.batch or None) if fits else PartitionSpec()

    def _mapped(
        self, act: Callable[[Any, NamedSharding], Any], tree: _Tree, spec: Callable[[Any, Any], PartitionSpec]
    ) -> _Tree:
        mesh = self.mesh
        if mesh is None:
            return tree

        def placed(path: Any, leaf: Any) -> Any:
            return act(leaf, NamedSharding(mesh, spec(path, leaf))) if isinstance(leaf, Array | np.ndarray) else leaf

        return jtu.tree_map_with_path(placed, tree)


NOWHERE = Placement(None)
"""Where arrays are without a mesh: wherever JAX has them."""


@contract
def placement(mesh: Mapping[str, int] | Mesh | None, model: PyTree, rules: Rules | None = None) -> Placement:
    """Where the arrays of a run go: over a mesh of all processes' devices, by the letters of the model's axes.

    **Arguments:** `mesh`: the size of each of its axes, such as `{"data": 4, "model": 2}`, a mesh of JAX's whose axes
    are `AxisType.Auto`, or `None` for one device; `model`, `rules`: as for `partition_specs`.
    **Returns:** `Placement`.
    **Raises:** `ValueError` for a size below 1, more devices than there are, some processes' devices only, a mesh with
    explicit or manual axes, several processes without a mesh, rules without one, and as `partition_specs`.
    """
    if mesh is None:
        if (processes := jax.process_count()) > 1:
            remedy = f"such as {{'data': {jax.device_count()}}}"
            raise ValueError(f"`mesh` (=None) must be given to a run of {processes} processes: {remedy}.")
        if rules is not None:
            raise ValueError(f"`rules` (={dict(rules)}) must come with a `mesh`: give one, such as {{'data': 1}}.")
        return NOWHERE
    built = mesh if isinstance(mesh, Mesh) else _built(mesh)
    by_hand = [name for name, kind in zip(built.axis_names, built.axis_types, strict=True) if kind != AxisType.Auto]
    if by_hand:
        raise ValueError(f"`mesh` has the axis {by_hand[0]!r}, which must be Auto: build it with `AxisType.Auto`.")
    if len({device.process_index for device in built.devices.flat}) < jax.process_count():
        raise ValueError(
            f"`mesh` (={dict(built.shape)}) must have devices of all {jax.process_count()} processes: choose sizes "
            f"that make {jax.device_count()}."
        )
    read = read_rules(model, built.shape, rules)
    return Placement(built, read.get(BATCH, ()), array_specs(model, built.shape, read))


def _built(sizes: Mapping[str, int]) -> Mesh:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"`mesh[{name!r}]` (={size}) must be at least 1: choose a larger number.")
    count, there = math.prod(sizes.values()), jax.device_count()
    if count > there:
        flag = f"XLA_FLAGS=--xla_force_host_platform_device_count={count}"
        remedy = (
            f"smaller sizes, or more devices ({flag} for a CPU's)"
            if jax.default_backend() == "cpu"
            else "smaller sizes"
        )
        raise ValueError(f"`mesh` (={dict(sizes)}) takes {count} devices, and there are {there}: choose {remedy}.")
    devices = jax.devices()[:count]
    return jax.make_mesh(tuple(sizes.values()), tuple(sizes), (AxisType.Auto,) * len(sizes), devices=devices)


def _put(leaf: Any, sharding: NamedSharding) -> Any:
    if sharding.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    if _is_key(leaf):
        return jax.random.wrap_key_data(_put(jax.random.key_data(leaf), sharding), impl=jax.random.key_impl(leaf))
    if isinstance(leaf, Array) and not leaf.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(whole.shape, sharding, lambda part: whole[part])


def _fetch(leaf: Any) -> Any:
    if _is_key(leaf):
        return jax.random.wrap_key_data(_fetch(jax.random.key_data(leaf)), impl=jax.random.key_impl(leaf))
    # What a task counts in 64 bits stays so.
    with jax.enable_x64(True):
        if isinstance(leaf, Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated):
            leaf = multihost_utils.process_allgather(leaf, tiled=True)
        return jnp.asarray(np.asarray(leaf))


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
