"""Configs that name the nearest option to one that they do not know."""

import inspect
from abc import abstractmethod
from dataclasses import dataclass

import pytest

from matrinox.contract.options import Options


@dataclass(frozen=True)
class Base(metaclass=Options):
    learning_rate: float = 1.0
    batch: int = 2

    def __post_init__(self):
        if self.batch == 13:
            raise TypeError("13 brings bad luck")


@dataclass(frozen=True)
class Derived(Base):
    steps: int = 3


class Unwritten(metaclass=Options):
    @abstractmethod
    def run(self): ...


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"batch_size": 3}, r"^Derived: got an unexpected keyword argument 'batch_size': did you mean 'batch'\?$"),
        ({"lr": 3}, r"^Derived: got an unexpected keyword argument 'lr': did you mean 'learning_rate'\?$"),
        ({"zzz": 3}, r"^Derived: got an unexpected keyword argument 'zzz': it takes learning_rate, batch, steps$"),
        ({"batch": 13}, "^13 brings bad luck$"),
    ],
)
def test_an_unknown_option_is_told_with_the_nearest_or_all(options, match):
    with pytest.raises(TypeError, match=match):
        Derived(**options)


def test_too_many_options_are_told_and_a_class_without_its_methods_is_refused_as_ever():
    with pytest.raises(
        TypeError, match="Derived: too many positional arguments: `learning_rate`, `batch`, `steps` can"
    ):
        Derived(1.0, 2, 3, 4)  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="abstract"):
        Unwritten()  # pyright: ignore[reportAbstractUsage]


def test_the_signature_is_that_of_the_options():
    assert list(inspect.signature(Derived).parameters) == ["learning_rate", "batch", "steps"]
    assert Derived(batch=5) == Derived(1.0, 5, 3)
