import pytest

from matrinox import nn
from matrinox.bridge.walk import Unfit, Walk, beside, inside, refuse


def walk(**options):
    """A walk that gives text for what is known, and notes on its way how many layers it has seen."""

    def tell(walk, path, layer):
        walk.axes += 1
        return lambda x: f"{path}: {walk.axes}"

    def otherwise(walk, path, layer):
        raise Unfit("it is not known")

    kinds = {nn.Sequential: inside, nn.Residual: beside, list: Walk.tree, nn.ELU: refuse("it is cold")}
    return Walk({nn.Tanh: tell, **kinds}, otherwise, **options)


def test_layers_in_turn_know_what_flowed_before():
    model = walk().convert("", nn.Sequential([nn.Tanh(), nn.Sequential([nn.Tanh()])]))
    assert model.layers[1].layers[0](0) == ".layers[1].layers[0]: 2"


def test_branches_and_trees_start_alike():
    w = walk(axes=1)
    model = w.convert("", nn.Residual(nn.Tanh(), nn.Sequential([nn.Tanh(), nn.Tanh()])))
    assert type(model) is nn.Residual
    assert w.axes == 2
    w = walk()
    assert w.branches("", {"a": nn.Tanh(), "b": nn.Sequential([nn.Tanh(), nn.Tanh()])})[0] is not None
    assert w.axes == 1
    assert [type(part) for part in walk().convert("", [nn.Sequential([]), nn.Sequential([])])] == [nn.Sequential] * 2


def test_all_that_is_unfit_is_told_by_path_type_and_reason():
    w = walk()
    w.convert("", nn.Sequential([nn.ReLU(), nn.Tanh(), nn.ELU()]))
    with pytest.raises(ValueError, match="`layer` cannot be read, for what is in it:") as caught:
        w.require_all("read")
    assert str(caught.value).splitlines()[1:] == [
        "  layers[0]: ReLU: it is not known.",
        "  layers[2]: ELU: it is cold.",
    ]
    w = walk()
    w.convert("", nn.ReLU())
    with pytest.raises(ValueError, match="\n  layer: ReLU: it is not known"):
        w.require_all("read")


def test_nothing_unfit_is_no_error():
    w = walk()
    w.convert("", nn.Tanh())
    assert w.require_all("read") is None
