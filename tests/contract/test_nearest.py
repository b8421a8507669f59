import pytest

from matrinox.contract.nearest import guess, nearest


@pytest.mark.parametrize(
    ("word", "name"), [("cnn-digit", "cnn-digits"), ("CNN-DIGITS", "cnn-digits"), ("mlp", "mlp-digits"), (3, "SAME")]
)
def test_nearest_is_the_likest_name_whatever_its_case(word, name):
    known = ["SAME"] if word == 3 else ["mlp-digits", "cnn-digits"]
    assert nearest(word, known) == name


def test_a_near_name_is_guessed_and_a_far_one_is_not():
    assert guess("Dept", ["depth", "width"]) == ": did you mean 'depth'?"
    assert guess("lr", ["clip", "learning_rate"]) == ": did you mean 'learning_rate'?"
    for word in ("x", 3, "x" * 10**6):
        assert guess(word, ["depth", "width"]) == ""
