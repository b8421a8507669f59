"""Over which axes of a mesh of devices each array of a model is cut, by the letters of its axes."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import equinox as eqx
import jax.tree_util as jtu
from jax.sharding import PartitionSpec
from jaxtyping import PyTree

from matrinox.contract import contract
from matrinox.contract.nearest import guess
from matrinox.paths import show
from matrinox.train.shard.letters import Letters, Path, axis_letters

_NAME = re.compile(r"[^\W\d]\w*")
BATCH = "batch"
"""The letter of the leading axis of what is trained on."""

Rules = Mapping[str, str | tuple[str, ...]]
"""From the letter of an axis to the axis of the mesh, or those, over which it is cut."""

RULES: Mapping[str, tuple[str, ...]] = MappingProxyType({BATCH: ("data",), "q": ("model",)})
"""The batch over `data`, and the neurons out over `model`."""


@dataclass(frozen=True)
class ArraySpec:
    """How one array of a model is cut: `spec` has an entry for each of its axes.

    **Arguments:** `path`: as JAX gives it; `shape`; `letters`: of its axes, `""` where nothing says; `spec`; `remark`:
    why an axis for which there is a rule is not cut, `""` if there is none.
    """

    path: Path
    shape: tuple[int, ...]
    letters: Letters
    spec: PartitionSpec
    remark: str


@contract
def partition_specs(model: PyTree, mesh: Mapping[str, int], rules: Rules | None = None) -> PyTree[PartitionSpec | None]:
    """Over which axes of the mesh each array of a model is cut: for `NamedSharding`, `jax.jit` and the like.

    The letters are those in the annotations of the modules' fields: of `weight: Float[Array, "q p n n"]` the rule for
    `q` cuts the first axis. A rule holds for multiples too, such as the `4 * q` rows of fused gates, and not for sums,
    such as their `q + p` columns. An axis that the mesh does not divide is not cut: every device holds all of it, as it
    does of arrays without letters. `print(placement(…))` says so.

    **Arguments:** `model`: any pytree; `mesh`: the size of each of its axes, such as `{"data": 4, "model": 2}`;
    `rules`: from letters to axes of the mesh, by default `{"batch": "data", "q": "model"}` as far as the mesh has them.
    **Returns:** a tree like `model`, with a `PartitionSpec` in place of every array, and `None` of all else.
    **Raises:** `ValueError` for a rule of an axis that the mesh does not have, or of a letter that the model does not
    have, and for an axis of the mesh that no rule names.

    >>> import jax
    >>> from matrinox import nn
    >>> layer = nn.Dense(p=3, q=4, n=2, key=jax.random.key(0))
    >>> tuple(partition_specs(layer, {"data": 4, "model": 2}).weight)
    ('model', None, None, None)
    """
    specs = {row.path: row.spec for row in array_specs(model, mesh, read_rules(model, mesh, rules))}

    def spec(path: Path, leaf: Any) -> PartitionSpec | None:
        return specs.get(path, PartitionSpec()) if eqx.is_array(leaf) else None

    return jtu.tree_map_with_path(spec, model)


def read_rules(model: PyTree, mesh: Mapping[str, int], rules: Rules | None) -> dict[str, tuple[str, ...]]:
    """The rules, each with the axes of the mesh as a tuple; by default those of `RULES` that the mesh has axes for.

    **Arguments, Raises:** as `partition_specs`.
    """
    spelt = {
        letter: (axes,) if isinstance(axes, str) else axes
        for letter, axes in (RULES if rules is None else rules).items()
    }
    if rules is None:
        spelt = {letter: axes for letter, axes in spelt.items() if set(axes) <= set(mesh)}
    known = {*RULES, *(name for *_, letters in axis_letters(model) for name in _NAME.findall(" ".join(letters)))}
    for letter, axes in spelt.items():
        if letter not in known:
            raise ValueError(
                f"`rules` names the letter {letter!r}, which no axis of the model has: choose from {_listed(known)}"
                f"{guess(letter, known) or '.'}"
            )
        for axis in axes:
            if axis not in mesh:
                raise ValueError(
                    f"`rules[{letter!r}]` names the axis {axis!r}, which the mesh does not have: choose from "
                    f"{_listed(mesh)}{guess(axis, mesh) or '.'}"
                )
    for axis in mesh:
        if not any(axis in axes for axes in spelt.values()):
            raise ValueError(
                f"`mesh` has the axis {axis!r}, which no rule names: give it one in `rules`, such as {{'p': {axis!r}}}"
                f"{guess(axis, (name for names in RULES.values() for name in names)) or '.'}"
            )
    return spelt


def array_specs(model: PyTree, mesh: Mapping[str, int], rules: Mapping[str, tuple[str, ...]]) -> tuple[ArraySpec, ...]:
    """What `partition_specs` gives, array by array.

    **Arguments:** `rules`: as `read_rules` gives them.
    """
    return tuple(_array_spec(path, array.shape, letters, mesh, rules) for path, array, letters in axis_letters(model))


def _array_spec(
    path: Path, shape: tuple[int, ...], letters: Letters, mesh: Mapping[str, int], rules: Mapping[str, tuple[str, ...]]
) -> ArraySpec:
    spec: list[str | tuple[str, ...] | None] = [None] * len(shape)
    taken: set[str] = set()
    remarks = []
    for place, (size, label) in enumerate(zip(shape, letters, strict=True)):
        axes = next((rules[factor] for factor in label.split("*") if factor in rules), None)
        if axes is None:
            continue
        parts = math.prod(mesh[axis] for axis in axes)
        if taken.intersection(axes):
            remarks.append(f"{label} is whole: {' · '.join(axes)} cuts another axis")
        elif size % parts:
            remarks.append(f"{label} is whole: {size} is not divisible by {parts}")
        else:
            taken.update(axes)
            spec[place] = axes[0] if len(axes) == 1 else axes
    return ArraySpec(path, shape, letters, PartitionSpec(*spec), ", ".join(remarks))


def table_rows(specs: tuple[ArraySpec, ...]) -> Iterator[tuple[str, ...]]:
    """The text of each array: path, shape, its letters, over what they are cut, and the remark."""
    for row in specs:
        cut = ["·".join((axes,) if isinstance(axes, str) else axes) if axes else "–" for axes in row.spec]
        shape, letters = " ".join(map(str, row.shape)), " ".join(letter or "–" for letter in row.letters)
        yield show(row.path), shape, letters, " ".join(cut), row.remark


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
