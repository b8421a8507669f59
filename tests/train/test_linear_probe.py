"""Linear probes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from matrinox import nn
from matrinox.contract import ContractError
from matrinox.data import DataSet, Loader
from matrinox.train import Classification, Probing, evaluate, linear_probe


@pytest.fixture(scope="module")
def encoder():
    return nn.Dense(p=2, q=3, n=2, key=jax.random.key(0))


def examples(seed: int, count: int, name: str = "data") -> DataSet:
    """Matrix neurons of three classes, around three centres."""
    random = np.random.RandomState(seed)
    targets = random.randint(0, 3, count)
    centres = np.random.RandomState(7).normal(size=(3, 2, 2, 2))
    return DataSet((centres[targets] + random.normal(size=(count, 2, 2, 2))).astype(np.float32), targets, name=name)


class Parts(Loader):
    """The same examples in minibatches of other sizes, the last smaller."""

    name = "parts"
    batch = 7

    def __init__(self, data: DataSet):
        self.data = data

    def __len__(self):
        return len(self.data) // self.batch

    def batches(self, first=0):
        raise AssertionError("a probe sees every example once, unshuffled")

    def fingerprint(self):
        return self.data.fingerprint()

    def once(self):
        for at in range(0, len(self.data), self.batch):
            yield np.asarray(self.data.inputs[at : at + 7]), np.asarray(self.data.targets[at : at + 7])


def by_sklearn(encoder, train, penalty):
    """Ridge on standardised features, whose penalty is of a sum over examples where ours is of a mean."""
    features = np.asarray(encoder(train.inputs), np.float64).reshape(len(train), -1)
    mean, scale = features.mean(0), features.std(0)
    due = np.asarray(train.targets)
    due = np.eye(3)[due] if due.dtype.kind in "iu" else due
    ridge = Ridge(alpha=penalty * len(train)).fit((features - mean) / scale, due)
    return lambda data: ridge.predict((np.asarray(encoder(data.inputs)).reshape(len(data), -1) - mean) / scale)


def test_a_probe_of_classes_equals_ridge_by_scikit_learn(encoder):
    train, test = examples(0, 90), examples(1, 60)
    probe = linear_probe(encoder, train, test=test, penalties=(0.03,), batch=32)
    predict = by_sklearn(encoder, train, 0.03)
    np.testing.assert_allclose(probe.model(test.inputs), predict(test), atol=1e-5)
    for figures, data in ((probe.train, train), (probe.test, test)):
        hits = predict(data).argmax(-1) == np.asarray(data.targets)
        assert figures["accuracy"] == pytest.approx(hits.mean())
        assert figures["loss"] == pytest.approx(np.mean((predict(data) - np.eye(3)[data.targets]) ** 2), rel=1e-5)
    assert evaluate(probe.model, test, Classification()).figures["accuracy"] == pytest.approx(probe.test["accuracy"])
    assert probe.validation is None


def test_a_probe_of_numbers_equals_ridge_by_scikit_learn(encoder):
    random = np.random.RandomState(3)
    train, test = (
        DataSet(
            x := examples(seed, 80).inputs,
            x.reshape(80, 8)[:, :2] ** 2 + random.normal(size=(80, 2)).astype(np.float32),
        )
        for seed in (0, 1)
    )
    probe = linear_probe(encoder, train, test=test, penalties=(0.1,))
    said = by_sklearn(encoder, train, 0.1)(test)
    np.testing.assert_allclose(probe.model(test.inputs), said, atol=1e-5)
    due = np.asarray(test.targets, np.float64)
    assert probe.test["loss"] == pytest.approx(np.mean((said - due) ** 2), rel=1e-5)
    assert probe.test["r2"] == pytest.approx(r2_score(due, said), rel=1e-5)
    one = linear_probe(encoder, DataSet(train.inputs, train.targets[:, 0]), penalties=(0.1,))
    assert one.train["r2"] == pytest.approx(r2_score(train.targets[:, 0], one.model(train.inputs)[:, 0]), rel=1e-4)


def test_a_loader_is_streamed_and_gives_the_same_probe(encoder):
    """The last class comes late, so that the sums grow; features that do not vary are left out."""
    order = np.argsort(np.asarray(examples(0, 40).targets), kind="stable")
    data = examples(0, 40).take(order)

    def features(x):
        return jnp.concatenate([encoder(x).reshape(len(x), -1), jnp.full((len(x), 1), 0.1)], axis=1)

    whole, parts = (linear_probe(features, each, penalties=(0.01,)) for each in (data, Parts(data)))
    np.testing.assert_allclose(parts.model.weight, whole.model.weight, atol=1e-6)
    assert parts.train == pytest.approx(whole.train)
    np.testing.assert_array_equal(whole.model.weight[:, -1], 0)
    due = linear_probe(encoder, data, penalties=(0.01,)).model(data.inputs)
    np.testing.assert_allclose(whole.model(data.inputs), due, atol=1e-5)


def test_the_penalty_is_chosen_on_validation_and_the_test_changes_nothing(encoder):
    """Validation examples of wrong classes make the largest penalty the best; other tests leave every digit."""
    train, held = examples(0, 60), examples(1, 40)
    wrong = DataSet(held.inputs, (held.targets + 1) % 3)
    penalties = (1e-4, 1e-1, 1e4)
    single = [linear_probe(encoder, train, held, penalties=(each,)).validation["loss"] for each in penalties]
    probe = linear_probe(encoder, train, held, test=wrong, penalties=penalties)
    assert probe.penalty == penalties[int(np.argmin(single))]
    assert probe.validation["loss"] == min(single)
    other = linear_probe(encoder, train, held, test=held, penalties=penalties)
    np.testing.assert_array_equal(probe.model.weight, other.model.weight)
    assert other.test == other.validation
    assert linear_probe(encoder, train, wrong, penalties=penalties).penalty == 1e4


def test_frozen_features_get_no_gradient_and_keep_every_bit(encoder):
    data = examples(0, 30)
    before = [np.asarray(leaf).copy() for leaf in jax.tree.leaves(encoder)]
    probe = linear_probe(encoder, data, penalties=(0.1,))
    for leaf, kept in zip(jax.tree.leaves(probe.model.features), before, strict=True):
        np.testing.assert_array_equal(leaf, kept)
    gradient = eqx.filter_grad(lambda model: Classification().loss(model(data.inputs), data.targets))(probe.model)
    for leaf in jax.tree.leaves(gradient.features):
        np.testing.assert_array_equal(leaf, 0)
    assert np.abs(gradient.weight).max() > 1e-3
    assert jnp.all(jax.grad(lambda x: probe.model(x).sum())(data.inputs) == 0)


def test_features_may_be_the_first_layers_of_a_model(encoder):
    data = examples(0, 30)
    model = nn.Sequential([encoder, nn.ReLU(), nn.Trace()])
    part, due = (linear_probe(each, data, penalties=(0.1,)) for each in (model[:1], encoder))
    np.testing.assert_array_equal(part.model.weight, due.model.weight)


def test_features_are_those_of_inference():
    """Dropout does nothing, and running statistics are read from the state and left."""
    data = examples(0, 30)
    norm, state = eqx.nn.make_with_state(nn.BatchNorm)(p=2, n=2)
    noisy = nn.Sequential([nn.Dropout(0.5)])
    plain = linear_probe(lambda x: x, data, penalties=(0.1,))
    np.testing.assert_array_equal(linear_probe(noisy, data, penalties=(0.1,)).model.weight, plain.model.weight)
    probe = linear_probe(norm, data, penalties=(0.1,), state=state)
    np.testing.assert_allclose(probe.model(data.inputs), plain.model(data.inputs), atol=1e-4)


def test_what_a_probe_cannot_read_out_is_refused(encoder):
    data = examples(0, 30)
    for penalties in ((), (0.0,), (1.0, float("nan"))):
        with pytest.raises(ValueError, match=r"`penalties` \(=.*\) must be above 0, one at least"):
            linear_probe(encoder, data, data, penalties=penalties)
    with pytest.raises(ValueError, match=r"`penalties` \(=.*\) must be one number without `validation`"):
        linear_probe(encoder, data)
    with pytest.raises(ValueError, match="'data' has no targets, which a probe is to read out"):
        linear_probe(encoder, DataSet(data.inputs), penalties=(0.1,))
    with pytest.raises(ValueError, match=r"the targets hold 3, which must be one of the 3 classes of `train`"):
        linear_probe(encoder, data, DataSet(data.inputs, data.targets + 1), penalties=(0.1,))
    with pytest.raises(
        ValueError, match=r"the targets of 'data' \(int32\[30, 1\]\) must be class numbers \(examples,\)"
    ):
        linear_probe(encoder, DataSet(data.inputs, data.targets[:, None]), penalties=(0.1,))
    numbers, pairs = (DataSet(data.inputs, data.inputs.reshape(30, 8)[:, :count]) for count in (1, 2))
    for other, told in ((data, "classes"), (numbers, "1 numbers")):
        with pytest.raises(ValueError, match=f"the targets are {told}, which must be 2 numbers as in `train`"):
            linear_probe(encoder, pairs, test=other, penalties=(0.1,))
    with pytest.raises(FloatingPointError, match="features or targets of 'data' are not finite: look for NaN"):
        linear_probe(lambda x: x * jnp.nan, data, penalties=(0.1,))
    none = DataSet(data.inputs[:0], data.targets[:0])
    with pytest.raises(ValueError, match="`train` has 0 examples, which must be 1 or more"):
        linear_probe(encoder, none, penalties=(0.1,))
    with pytest.raises(ValueError, match="the data have 0 examples, which must be 1 or more"):
        linear_probe(encoder, data, test=none, penalties=(0.1,))
    with pytest.raises(ContractError):
        Probing(encoder, jnp.ones((3, 4)), jnp.ones(2))
