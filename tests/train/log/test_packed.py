"""Arrays as text."""

import base64
import zlib

import jax
import ml_dtypes
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.train import pack, unpack


@pytest.mark.parametrize(("largest", "kind"), [(0, "u1"), (255, "u1"), (256, "u2"), (70000, "u4")])
def test_unpack_gives_back_whole_numbers(largest, kind):
    numbers = np.random.RandomState(0).randint(0, largest + 1, (50, 2))
    numbers[0] = largest
    assert pack(numbers).startswith(f"{kind}[50,2]:")
    assert np.array_equal(unpack(pack(numbers)), numbers)
    assert unpack(pack(jax.numpy.zeros(0, int))).tolist() == []


def test_unpack_gives_back_every_bit_of_a_float32():
    numbers = np.random.RandomState(0).normal(size=(7, 3, 1)).astype(np.float32)
    numbers[0] = np.inf
    assert np.array_equal(unpack(pack(numbers)), numbers)
    assert np.array_equal(unpack(pack(numbers[::2, ::-1])), numbers[::2, ::-1])
    half = numbers.astype(ml_dtypes.bfloat16)
    assert np.array_equal(unpack(pack(half)), half.astype(np.float32))
    assert unpack(pack(np.array(0.1))).shape == ()
    assert unpack(pack(np.array([True, False]))).tolist() == [1, 0]


def test_the_classes_of_ten_thousand_examples_take_a_few_thousand_letters():
    assert len(pack(np.random.RandomState(0).randint(0, 10, 10_000))) < 6_000


def test_pack_refuses_what_it_could_not_give_back():
    with pytest.raises(ValueError, match=r"`array` holds -1, which must be 0 or more"):
        pack(np.array([3, -1]))
    with pytest.raises(ValueError, match=r"`array` \(=complex128\[1\]\) must be numbers: give integers or floats"):
        pack(np.ones(1, complex))
    with pytest.raises(ContractError):
        pack([1, 2])  # pyright: ignore[reportArgumentType]


def text_of(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


REFUSED = {
    **dict.fromkeys(("", "u1:AAAA", "f8[1]:AAAA", "u1[-1]:", "u1[1]:?", "u1[1,]:AA"), "must be such as u1"),
    **dict.fromkeys(("u1[1]:AAAA", "u1[1]:A", f"u1[4]:{text_of(b'four')[:-8]}"), "damaged"),
    **dict.fromkeys((f"u1[3]:{text_of(b'four')}", f"f4[2]:{text_of(b'four')}"), "must be of . bytes, and is not"),
    f"u1[3]:{text_of(bytes(10**7))}": "must be of 3 bytes, and is not",
}


@pytest.mark.parametrize("text", REFUSED)
def test_unpack_refuses_what_pack_did_not_write(text):
    with pytest.raises(ValueError, match=REFUSED[text]):
        unpack(text)


def test_unpack_takes_text_alone():
    with pytest.raises(ContractError, match=r"text.*it takes a str"):
        unpack(3)  # pyright: ignore[reportArgumentType]
