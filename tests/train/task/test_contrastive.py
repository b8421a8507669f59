"""Contrastive learning."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import Noise, Shift, two_views
from matrinox.functional import info_nce
from matrinox.train import Contrastive
from matrinox.train.recipe import Recipe

KEY = jax.random.key(0)
NOISE = Contrastive((Noise(0.1),))


def reported(task, outputs, targets):
    return task.report({name: np.asarray(each, np.float64) for name, each in task.tally(outputs, targets).items()})


def test_both_views_go_through_the_model_in_one_batch():
    x = np.random.RandomState(0).normal(size=(4, 6)).astype(np.float32)
    views, own = jax.jit(lambda x, key: NOISE.prepare(x, None, key=key))(x, KEY)
    np.testing.assert_allclose(views, two_views(KEY, x, augment=NOISE.augment), rtol=1e-6)
    np.testing.assert_array_equal(own, np.arange(4))
    np.testing.assert_array_equal(NOISE.predict(views), views[:4])


def test_partners_take_the_place_of_a_second_view():
    x = np.random.RandomState(0).normal(size=(4, 6)).astype(np.float32)
    pairs = Contrastive(pairs=True)
    views, _ = pairs.prepare(x, -x, key=KEY)
    np.testing.assert_array_equal(views, np.concatenate([x, -x]))
    with pytest.raises(ValueError, match=r"`targets` \(=None\) must be the partners of the inputs"):
        pairs.prepare(x, None, key=KEY)
    with pytest.raises(ContractError):
        pairs.prepare(x, x[:, :2], key=KEY)


def test_loss_is_info_nce_and_accuracy_counts_both_directions():
    """Matrix neurons; which view is most similar, by loops in float64."""
    random = np.random.RandomState(1)
    first = random.normal(size=(9, 2, 3, 3)).astype(np.float32)
    second = (first + 1.5 * random.normal(size=first.shape)).astype(np.float32)
    outputs, own = np.concatenate([first, second]), np.arange(9)
    x, y = (view.reshape(9, -1).astype(np.float64) for view in (first, second))
    cosine = np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in y] for a in x])
    hits = sum(cosine[i].argmax() == i for i in range(9)) + sum(cosine[:, i].argmax() == i for i in range(9))
    assert 4 < hits < 18
    figures = reported(NOISE, outputs, own)
    assert figures["accuracy"] == pytest.approx(hits / 18)
    assert figures["loss"] == pytest.approx(float(info_nce(first, second, temperature=0.1)), rel=1e-6)
    assert float(NOISE.loss(outputs, own)) == pytest.approx(figures["loss"], rel=1e-6)
    warm = Contrastive((Noise(0.1),), temperature=1.0)
    assert float(warm.loss(outputs, own)) == pytest.approx(float(info_nce(first, second, temperature=1.0)), rel=1e-6)


def test_a_model_that_says_the_same_of_all_is_at_chance():
    """The log of the number of examples, and one hit in each direction; its opposite, telling all apart, is right."""
    figures = reported(NOISE, jnp.ones((10, 3)), jnp.arange(5))
    assert figures["loss"] == pytest.approx(np.log(5), rel=1e-6)
    assert figures["accuracy"] == pytest.approx(1 / 5)
    assert reported(NOISE, jnp.tile(jnp.eye(5), (2, 1)), jnp.arange(5))["accuracy"] == 1


def test_nothing_counted_has_no_figure():
    assert np.isnan(list(NOISE.report(dict.fromkeys(("loss", "hits", "examples"), np.float64(0))).values())).all()


def test_a_recipe_tells_the_augmentation():
    told = Recipe(steps=1, task=Contrastive((Shift(2), Noise(0.1)))).described()["task"]
    assert told["augment"] == [{"kind": "Shift", "pixels": 2}, {"kind": "Noise", "scale": 0.1}]
    assert (told["temperature"], told["pairs"]) == (0.1, False)


def test_what_cannot_be_contrasted_is_refused():
    with pytest.raises(ValueError, match=r"`augment` \(=\(\)\) must change something without `pairs`"):
        Contrastive()
    for augment in (Noise(0.1), (0.1,)):
        with pytest.raises(ValueError, match=r"`augment` \(=.*\) must be a tuple of augmentations"):
            Contrastive(augment)  # pyright: ignore[reportArgumentType]
    for temperature in (0.0, -1.0, float("nan"), "1"):
        with pytest.raises(ValueError, match=r"`temperature` \(=.*\) must be a number above 0"):
            Contrastive((Noise(),), temperature=temperature)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"`pairs` \(=1\) must be True or False"):
        Contrastive(pairs=1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"`outputs` has 9 rows, which must be two for each of the 5 examples"):
        NOISE.loss(jnp.ones((9, 3)), jnp.arange(5))
