"""Built-in data sets."""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

from matrinox.contract import ContractError
from matrinox.data import list_builtin, load_builtin, split


def test_digits_are_scikit_learns_images_from_0_to_1():
    data, source = load_builtin("digits"), load_digits()
    assert data.inputs.shape == (1797, 8, 8, 1)
    assert data.inputs.dtype == jnp.float32
    assert np.array_equal(data.inputs[..., 0] * 16, source.images)
    assert np.array_equal(data.targets, source.target)
    assert float(data.inputs.min()) == 0
    assert float(data.inputs.max()) == 1


def test_digits_features_are_the_same_digits_row_by_row():
    images, rows = load_builtin("digits"), load_builtin("digits-features")
    assert jnp.array_equal(rows.inputs, images.inputs.reshape(1797, 64))
    assert jnp.array_equal(rows.targets, images.targets)


def test_every_builtin_set_can_be_split_by_class():
    for name in list_builtin():
        parts = split(load_builtin(name))
        assert (len(parts.train), len(parts.validation), len(parts.test)) == (1259, 179, 359)
        assert parts.test.name == name


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(ValueError, match=r"`name` \(='digit'\) must be one of .*: did you mean 'digits'\?"):
        load_builtin("digit")


def test_a_name_that_is_no_text_is_refused():
    with pytest.raises(ContractError, match=r"name.* 3 .*it takes a str"):
        load_builtin(3)  # pyright: ignore[reportArgumentType]


def test_without_scikit_learn_the_error_names_the_extra():
    program = (
        "import sys; sys.modules['sklearn'] = None; sys.modules['sklearn.datasets'] = None\n"
        "from matrinox.data import load_builtin\n"
        "try: load_builtin('digits')\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        "the data set 'digits' comes with scikit-learn, which is not installed: pip install \"matrinox[data]\""
    )
