import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table.row import drawn

from matrinox import nn
from matrinox.contract import ContractError

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (2, 4, 2, 2, 2))
VALID = jnp.array([[True, True, True, True], [True, True, False, False]])


def classifier(**options):
    options = {"layers": 1, "heads": 2, "hidden": 3, "initializer": drawn, **options}
    return nn.TransformerClassifier(p=2, n=2, classes=3, key=KEY, **options)


@pytest.mark.parametrize("readout", ["mean", "first", "flatten"])
def test_logits_are_the_heads_of_what_is_read_out(readout):
    model = classifier(readout=readout, position="learned", length=4)
    assert (model.p, model.n, model.classes) == (2, 2, 3)

    @eqx.filter_jit
    def run(model, x):
        y = model.encoder(model.position(x))
        read = {"mean": y.mean(axis=1), "first": y[:, 0], "flatten": y.reshape(2, 8, 2, 2)}[readout]
        return model(x), model.head(read), model(x, valid=VALID)

    logits, expected, short = run(model, X)
    assert logits.shape == (2, 3)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(short[0], logits[0], rtol=1e-5, atol=1e-6)
    assert np.abs(short[1] - logits[1]).max() > 1e-4


def test_padding_counts_for_nothing():
    model = classifier()

    @eqx.filter_jit
    def run(model, x):
        other = x.at[1, 2:].set(jnp.nan)
        shorter = model(x[1, :2])
        return model(x, valid=VALID), model(other, valid=VALID), shorter, model(x, valid=jnp.zeros((2, 4), bool))

    logits, other, shorter, empty = run(model, X)
    np.testing.assert_allclose(other, logits, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(logits[1], shorter, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(empty, jnp.zeros((2, 3)), atol=1e-6)


def test_the_order_of_tokens_counts_where_there_are_positions():
    @eqx.filter_jit
    def change(model, x):
        return jnp.abs(model(x) - model(x[:, ::-1])).max()

    assert change(classifier(), X) > 1e-3
    assert change(classifier(position=None), X) < 1e-5
    assert change(classifier(position=None, rotary=True), X) > 1e-4


def test_masks_and_keys_reach_the_blocks():
    model = classifier(dropout=0.5, position=jnp.tanh)
    k0, k1 = jax.random.split(KEY)
    run = eqx.filter_jit(lambda key, mask: model(X, mask=mask, valid=VALID, key=key))
    mask = jnp.tril(jnp.ones((4, 4), bool))
    assert jnp.abs(run(k0, mask) - run(k1, mask)).max() > 1e-3
    assert jnp.abs(run(k0, mask) - run(k0, ~jnp.triu(mask, 1))).max() > 1e-4
    with pytest.raises(ValueError, match=r"`key` \(=None\) is needed by"):
        model(X)


def test_its_sizes_may_be_those_of_the_first_input():
    for readout in ("mean", "flatten"):
        lazy = nn.Lazy(
            nn.TransformerClassifier, classes=3, layers=1, heads=2, readout=readout, length=4, initializer=drawn
        )
        model, found = nn.materialize(lazy, jax.ShapeDtypeStruct(X.shape, X.dtype), key=KEY)
        assert found[0].sizes == {"p": 2, "n": 2}
        assert eqx.filter_eval_shape(model, X).shape == (2, 3)


def test_what_cannot_be_a_classifier_is_refused():
    for options, message in [
        ({"readout": "flatten"}, r"`length` \(=None\) must be given for `readout` \(='flatten'\): count the tokens"),
        ({"position": "learned"}, r"`length` \(=None\) must be given for `position` \(='learned'\): count the tokens"),
    ]:
        with pytest.raises(ValueError, match=message):
            classifier(**options)
    with pytest.raises(ValueError, match=r"`length` \(=0\) must be at least 1"):
        classifier(readout="flatten", length=0)
    with pytest.raises(ValueError, match=r"`classes` \(=0\) must be at least 1"):
        nn.TransformerClassifier(p=2, n=2, classes=0, layers=1, heads=2, key=KEY)
    with pytest.raises(ContractError, match=r"TransformerClassifier got readout as 'last'"):
        classifier(readout="last")
    with pytest.raises(
        ContractError, match=r"TransformerClassifier\(.*got x float32\[2, 3, 2, 2, 2\].*axis -4 is 3, t is 4"
    ):
        classifier(readout="flatten", length=4)(X[:, :3])
    with pytest.raises(ContractError, match=r"got valid bool\[2, 3\]"):
        classifier()(X, valid=VALID[:, :3])
