import numpy as np
import pytest

from matrinox import nn


def test_last_step_is_what_the_sequence_ends_with():
    x = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 1, 2, 2)
    assert np.array_equal(nn.LastStep()(x), x[:, 2])


def test_a_sequence_of_no_steps_has_no_last_one():
    with pytest.raises(ValueError, match="`x` has 0 steps, and must have at least 1: there is no last one"):
        nn.LastStep()(np.ones((0, 2, 2, 2), np.float32))
