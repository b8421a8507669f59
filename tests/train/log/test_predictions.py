"""Predicted classes as text."""

import jax
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.train import pack, unpack


@pytest.mark.parametrize(("largest", "kind"), [(0, "u1"), (255, "u1"), (256, "u2"), (70000, "u4")])
def test_unpack_gives_back_what_pack_took(largest, kind):
    numbers = np.random.RandomState(0).randint(0, largest + 1, 100)
    numbers[0] = largest
    assert pack(numbers).startswith(kind + ":")
    assert unpack(pack(numbers)).tolist() == numbers.tolist()
    assert unpack(pack(jax.numpy.zeros(0, int))).tolist() == []


def test_pack_refuses_what_is_no_row_of_class_numbers():
    with pytest.raises(ValueError, match="`predictions` holds -1, which must be 0 or more"):
        pack(np.array([3, -1]))
    for refused in (np.zeros((2, 2), int), np.zeros(2)):
        with pytest.raises(ContractError):
            pack(refused)


@pytest.mark.parametrize("text", ["", "u1", "f4:AAAA", "u3:AAAA", "u1:?"])
def test_unpack_refuses_what_pack_did_not_write(text):
    with pytest.raises(ValueError, match=r"must be u1|base64"):
        unpack(text)
    with pytest.raises(ContractError, match=r"text.*it takes a str"):
        unpack(3)  # pyright: ignore[reportArgumentType]
