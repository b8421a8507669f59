import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from matrinox.contract import ContractError
from matrinox.data import DataSet, RowLoader
from matrinox.train import Regression, evaluate
from matrinox.train.shard.placement import placement

NAMES = ("height", "weight", "still")


def draw(mean):
    rng = np.random.default_rng(0)
    target = rng.normal(size=(11, 3)) + mean
    prediction = target + 0.3 * rng.normal(size=(11, 3))
    # Neither in float32 nor in a binary fraction is the mean of these exactly one of them.
    target[:, 2] = 1.1
    return prediction.astype(np.float32), target.astype(np.float32)


@pytest.mark.parametrize("mean", [0, 1e4])
def test_figures_of_a_loader_are_those_of_all_examples_at_once(mean):
    """Three minibatches, the last one smaller, against scikit-learn on the whole, also 10 000 spreads from 0.

    In float32, squares of 10 000 are known to 4 and the sum of squared deviations is 11.
    """
    prediction, target = draw(mean)
    data = DataSet(jnp.asarray(prediction), jnp.asarray(target))
    loader = RowLoader(data, batch=4, key=jax.random.key(0))
    seen = evaluate(lambda x: x, loader, Regression(names=NAMES), predictions=True)
    np.testing.assert_array_equal(seen.predictions, prediction)
    kept = evaluate(lambda x: x, data, Regression(), batch=4, records=True).records
    assert Regression().headline_of(kept, target) == pytest.approx(seen.figures["r2"], rel=1e-12)
    wide = target.astype(np.float64), prediction.astype(np.float64)
    each = sklearn.metrics.r2_score(*wide, multioutput="raw_values")
    mse = sklearn.metrics.mean_squared_error(*wide)
    figures = {"loss": mse, "rmse": mse**0.5, "mae": sklearn.metrics.mean_absolute_error(*wide), "r2": each.mean()}
    assert seen.figures == pytest.approx(figures | {f"r2_{n}": r2 for n, r2 in zip(NAMES, each, strict=True)}, rel=1e-6)
    assert each[2] == 0
    over_a_mesh = evaluate(lambda x: x, data, Regression(names=NAMES), placement=placement({"data": 1}, None))
    assert over_a_mesh.figures == pytest.approx(seen.figures, rel=1e-6)


def test_a_target_that_never_changes_is_predicted_exactly_or_not_at_all():
    target = jnp.full((1000, 1), 1234.1)
    for off, due in ((0.0, 1), (1e-3, 0)):
        seen = evaluate(lambda x, off=off: x + off, DataSet(target, target), Regression(), batch=96)
        assert seen.figures["r2"] == due
    assert np.isnan(evaluate(lambda x: x / 0 * 0, DataSet(target, target), Regression()).figures["r2"])


def test_nothing_counted_has_no_figure():
    task = Regression(names=NAMES)
    assert np.isnan(list(task.report(task.tally(np.ones((0, 3)), np.ones((0, 3)))).values())).all()


def test_the_error_is_chosen():
    prediction, target = draw(0)
    error = np.abs(prediction.astype(np.float64) - target)
    by_hand = {
        "mse": error**2,
        "mae": error,
        "huber": np.where(error < 0.2, error**2 / 2, 0.2 * (error - 0.1)),
    }
    for name, each in by_hand.items():
        task = Regression(name, delta=0.2)
        assert float(task.loss(prediction, target)) == pytest.approx(each.mean(), rel=1e-5)
        assert task.report(task.tally(prediction, target))["loss"] == pytest.approx(each.mean(), rel=1e-5)


def test_targets_of_one_number_or_of_matrices_are_taken():
    prediction, target = draw(0)
    matrices = prediction[:9].reshape(9, 1, 3), target[:9].reshape(9, 1, 3)
    due = sklearn.metrics.r2_score(target[:9], prediction[:9])
    assert Regression().report(Regression().tally(*matrices))["r2"] == pytest.approx(due, rel=1e-6)
    due = sklearn.metrics.r2_score(target[:, 0], prediction[:, 0])
    assert Regression().report(Regression().tally(prediction[:, 0], target[:, 0]))["r2"] == pytest.approx(due, rel=1e-6)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ContractError, match="targets"):
        Regression().loss(jnp.ones((5, 1)), jnp.ones(5))
    with pytest.raises(ContractError, match="targets"):
        Regression().tally(jnp.ones((5, 1)), jnp.ones(5))
    with pytest.raises(ValueError, match=r"`names` \(=\('a',\)\) must be as many as a target has numbers \(=2\)"):
        Regression(names=("a",)).tally(jnp.ones((5, 2)), jnp.ones((5, 2)))
    with pytest.raises(ValueError, match=r"`names` \(=\('a', 'a'\)\) must differ from one another"):
        Regression(names=("a", "a"))
    with pytest.raises(ValueError, match=r"`delta` \(=0\.0\) must be above 0"):
        Regression("huber", delta=0.0)
    with pytest.raises(ValueError, match="did you mean 'huber'"):
        Regression("hubr")  # pyright: ignore[reportArgumentType]
