"""`Derived`: a model whose weights are computed from what is stored whenever it is called."""

import abc
from collections.abc import Mapping
from typing import Any

import jax.tree_util as jtu
from jaxtyping import PRNGKeyArray, PyTree

from matrinox.contract import contract
from matrinox.nn.child import Layer, takes_key
from matrinox.nn.joint import Axes, Composite, Flow, demands, pass_through
from matrinox.paths import show


@contract
class Derived(Composite):
    """A model that is stored in another form, and called, checked and joined as what `whole` makes of it."""

    model: PyTree

    def __call__(self, *args: Any, key: PRNGKeyArray | None = None, **options: Any) -> Any:
        """Calls the model with every weight in its place.

        **Arguments:** as the model takes them; `key`: handed on to a model that takes one.
        **Returns:** what the model gives.
        **Raises:** what the model raises; the path of the layer that refuses begins with `model`.
        """
        model = self.whole()
        return model(*args, **options, **({"key": key} if takes_key(model) else {}))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "model":
            raise AttributeError(name)
        raise AttributeError(
            f"`{type(self).__name__}` has no `{name}` of its own: take that of the model, from `whole()`, as in "
            f"`model.whole().{name}`."
        )

    @abc.abstractmethod
    def whole(self) -> Any:
        """The model with every weight in its place: of the kind that was given, for its methods and its layers."""

    def laws(self) -> Mapping[str, Any]:
        """What makes a weight of what is stored, by its path in `model`, where this is a matter of that leaf alone."""
        return {}

    def children(self) -> Mapping[str, Layer]:
        """The model, by its path from here: one of which shapes and annotations are those of `whole`."""
        return {"model": self.whole()}

    def passes(self, path: str, came: Flow) -> Flow:
        """What the model gives of what came."""
        return pass_through(f"{path}.model".removeprefix("."), self.children()["model"], came)

    def demands(self) -> Axes | None:
        """What the model takes, as far as its annotations tell."""
        return demands(self.children()["model"])


def laws_within(model: PyTree) -> dict[str, Any]:
    """What makes each weight of what is stored, by its path in the model, where that is something."""
    laws: dict[str, Any] = {}
    for place, node in jtu.tree_flatten_with_path(model, is_leaf=lambda node: isinstance(node, Derived))[0]:
        for path, law in {**laws_within(node.model), **node.laws()}.items() if isinstance(node, Derived) else ():
            laws[f"{show(place)}.model.{path}".removeprefix(".")] = law
    return laws
