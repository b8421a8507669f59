import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.contract import ContractError
from matrinox.train import Classification, Probe, predict, predict_one, run_probes

ROWS = np.random.default_rng(0).normal(size=(5, 2, 3, 3)).astype(np.float32)
CLASSES = Classification()


class Dropped(eqx.Module):
    """A head behind dropout."""

    head: nn.ClassificationHead
    dropout: nn.Dropout

    def __call__(self, x, *, key=None):
        return self.head(self.dropout(x, key=key))


@pytest.fixture(scope="module")
def model():
    head = nn.ClassificationHead(p=2, classes=4, n=3, key=jax.random.key(0))
    return Dropped(head, nn.Dropout(0.5))


def test_one_is_predicted_as_among_many_and_without_dropout(model):
    expected = eqx.nn.inference_mode(model)(ROWS)
    many = predict(model, ROWS, batch=2)
    np.testing.assert_allclose(many, expected, rtol=1e-5)
    np.testing.assert_allclose(predict_one(model, ROWS[3]), expected[3], rtol=1e-5)
    classes = predict(model, ROWS, CLASSES)
    assert classes.tolist() == np.argmax(expected, axis=-1).tolist()
    one = predict_one(model, ROWS[3], CLASSES)
    assert (one.shape, one.item()) == ((), classes[3])


def test_probes_are_a_table_of_what_is_predicted_and_what_is_expected():
    logits = {"a seven": [0.0, 0.5, 3.0], "a one": [1.0, 2.0, 1.25], "noise": [4.0, 0.0, 0.0]}
    expected = {"a seven": 2, "a one": 0, "noise": None}
    probes = [Probe(name, np.array(row), expected[name]) for name, row in logits.items()]
    found = run_probes(lambda x: x, probes)
    assert [(row.predicted, row.hit) for row in found.rows] == [(2, True), (1, False), (0, None)]
    assert found.hits == 1
    assert str(found).splitlines() == [
        "probe    predicted  expected",
        "a seven  2          2",
        "a one    1          0         wrong",
        "noise    0          -",
        "1 of 2 as expected",
    ]
    assert str(run_probes(lambda x: x, probes, logits=True)).splitlines()[2].split()[-4:] == ["wrong", "1", "2", "1.25"]
    assert str(run_probes(lambda x: x, probes[2:])).splitlines()[1:] == ["noise  0          -"]


def test_probes_of_a_model_are_what_it_predicts(model):
    found = run_probes(model, [Probe(str(at), row, 0) for at, row in enumerate(ROWS)])
    assert [row.predicted for row in found.rows] == predict(model, ROWS, CLASSES).tolist()
    np.testing.assert_allclose([row.logits for row in found.rows], predict(model, ROWS), rtol=1e-5)


def test_a_model_with_running_statistics_is_given_its_state():
    norm, state = eqx.nn.make_with_state(nn.BatchNorm)(p=2, n=3)
    x = jnp.asarray(ROWS)
    np.testing.assert_allclose(predict_one(norm, x[0], state=state), predict(norm, x, state=state)[0], rtol=1e-6)


def test_probes_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="`probes` holds none, which must be 1 or more"):
        run_probes(lambda x: x, [])
    with pytest.raises(ValueError, match=r"the probe 'b' has shape \(2,\), which must be that of 'a', \(3,\)"):
        run_probes(lambda x: x, [Probe("a", np.ones(3)), Probe("b", np.ones(2))])
    with pytest.raises(ContractError, match="logits"):
        run_probes(lambda x: x, [Probe("a", np.ones((3, 2)))])
    with pytest.raises(ContractError, match="inputs"):
        predict(lambda x: x, jnp.ones(()))
    with pytest.raises(ValueError, match="`inputs` has 0 examples"):
        predict(lambda x: x, jnp.ones((0, 2)))
