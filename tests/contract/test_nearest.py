import pytest

from matrinox.contract.nearest import nearest


@pytest.mark.parametrize(
    ("word", "name"), [("cnn-digit", "cnn-digits"), ("CNN-DIGITS", "cnn-digits"), ("mlp", "mlp-digits"), (3, "SAME")]
)
def test_nearest_is_the_likest_name_whatever_its_case(word, name):
    known = ["SAME"] if word == 3 else ["mlp-digits", "cnn-digits"]
    assert nearest(word, known) == name
