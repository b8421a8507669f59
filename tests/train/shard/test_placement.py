"""Placements: what they refuse, and the curves of models over 8 virtual devices, which a program of its own draws."""

import json
import os
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from matrinox import nn
from matrinox.train import placement
from matrinox.train.shard.placement import NOWHERE

MESHES = ["data=8", "data=4 model=2", "model=8"]
# What one rounding to bfloat16 may change: sums of parts are rounded in another order.
HALF = 2.0**-8


@pytest.fixture(scope="module")
def dense():
    return nn.Dense(p=2, q=3, n=2, key=jax.random.key(0))


@pytest.fixture(scope="module")
def curves():
    """By model and mesh, what `curves.py` writes."""
    environment = {
        **os.environ,
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, str(Path(__file__).parent / "curves.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["images", "sequences"])
@pytest.mark.parametrize("mesh", MESHES)
def test_over_eight_devices_the_curve_is_that_of_one(curves, model, mesh):
    """Convolution, batch norm, dropout and a dense layer; attention and an LSTM with accumulated gradients."""
    alone, cut = curves[model]["one device"]["losses"], curves[model][mesh]["losses"]
    assert len(alone) == 20
    assert alone[-1] < alone[0]
    assert cut == pytest.approx(alone, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("mesh", MESHES)
def test_statistics_of_a_batch_norm_are_of_the_whole_batch(curves, mesh):
    alone, cut = (curves["images"][name]["statistics"] for name in ("one device", mesh))
    batches, mean, variance = map(np.asarray, alone)
    assert batches == 20
    assert np.ptp(mean) > 0.1
    assert np.asarray(cut[1]) == pytest.approx(mean, abs=1e-5)
    assert np.asarray(cut[2]) == pytest.approx(variance, abs=1e-5)


@pytest.mark.slow
def test_in_bfloat16_the_curve_is_that_of_one_device_to_a_rounding(curves):
    alone, cut = (curves["bfloat16"][name]["losses"] for name in ("one device", "data=4 model=2"))
    assert alone != curves["images"]["one device"]["losses"]
    assert cut == pytest.approx(alone, rel=HALF)


@pytest.mark.slow
def test_each_device_holds_its_part_of_weights_moments_and_averages_behind_twenty_steps(curves):
    held = curves["sequences"]["data=4 model=2"]["held"]
    for tree in ("model", "average", "optimiser_state[1].mu", "optimiser_state[1].nu"):
        assert held[f"{tree}.attention.query_proj.weight"] == [4, 8, 2, 2]
        assert held[f"{tree}.lstm.cell.weight"] == [16, 16, 2, 2]
        assert held[f"{tree}.lstm.cell.bias"] == [16, 2, 2]
        assert held[f"{tree}.head.weight"] == [4, 8, 2, 2]
    assert curves["sequences"]["model=8"]["held"]["model.lstm.cell.weight"] == [4, 16, 2, 2]
    assert curves["sequences"]["data=8"]["held"]["model.lstm.cell.weight"] == [32, 16, 2, 2]
    assert held["batch put"] == held["batch constrained"] == [4, 3]
    assert held["batch of stacked steps"] == [5, 4, 3]
    assert held["batch of a size that does not fit"] == [15, 3]
    assert held["examples"] == [64, 5, 8, 2, 2]


@pytest.mark.slow
def test_evaluation_over_eight_devices_gives_the_figures_and_predictions_of_one(curves):
    alone = curves["images"]["one device"]["evaluation"]
    for mesh in MESHES:
        figures, predictions = curves["images"][mesh]["evaluation"]
        assert figures == pytest.approx(alone[0], abs=1e-5)
        assert predictions == alone[1]


@pytest.mark.slow
def test_fit_over_eight_devices_reads_a_loader_keeps_what_is_frozen_and_names_a_nan_as_one_device_does(curves):
    alone, cut = (curves["read"][name] for name in ("one device", "data=4 model=2"))
    assert len(alone["losses"]) == 6
    assert cut["losses"] == pytest.approx(alone["losses"], abs=1e-5)
    assert cut["frozen is kept"]
    assert cut["places"] == alone["places"] == ["SingleDeviceSharding"]
    assert cut["said"] == alone["said"]
    assert "the loss is nan at step 1" in cut["said"]
    assert "`inputs[0]`" in cut["said"]


def test_a_placement_over_one_device_puts_constrains_and_fetches_what_it_is_given(dense):
    where = placement({"data": 1, "model": 1}, dense)
    state = {"model": dense, "key": jax.random.key(1), "step": jnp.zeros((), int), "name": "a"}
    placed = where.put(state)
    assert placed["model"].weight.sharding.spec == PartitionSpec("model", None, None, None)
    assert placed["key"].sharding.spec == placed["step"].sharding.spec == PartitionSpec()
    moved = eqx.filter_jit(where.constrain)(placed)
    assert moved["model"].weight.sharding.is_equivalent_to(placed["model"].weight.sharding, 4)
    fetched = where.fetch(moved)
    assert eqx.tree_equal(fetched, state)
    assert isinstance(fetched["step"].sharding, jax.sharding.SingleDeviceSharding)
    assert where.put_batch(np.ones((4, 2))).sharding.spec[0] == "data"
    assert where.put_batch(np.ones((4, 2)), axis=1).sharding.spec == PartitionSpec(None, "data")
    assert where.replicate(np.ones((4, 2))).sharding.spec == PartitionSpec()


def test_without_a_mesh_everything_stays_where_it_is(dense):
    where = placement(None, dense)
    assert where is NOWHERE
    batch = (np.ones(3), None)
    for act in (where.put, where.constrain, where.replicate, where.fetch, where.put_batch, where.constrain_batch):
        assert act(batch) is batch
    where.check_batch(7)
    assert str(where) == "one device"


def test_a_placement_prints_as_a_table_of_what_is_cut_over_what(dense):
    assert str(placement({"data": 1, "model": 1}, dense)).splitlines() == [
        "mesh data=1 · model=1, 1 devices, batch cut over data",
        "path    shape    axes     cut over",
        "weight  3 2 2 2  q p n n  model – – –",
        "bias    3 2 2    q n n    model – –",
    ]


def test_a_mesh_of_jax_may_be_given_if_its_axes_are_automatic(dense):
    mesh = jax.make_mesh((1,), ("data",), (AxisType.Auto,))
    assert placement(mesh, dense).mesh is mesh
    with pytest.raises(ValueError, match=r"`mesh` has the axis 'data', which must be Auto: build it with"):
        placement(jax.make_mesh((1,), ("data",), (AxisType.Explicit,)), dense)


def test_a_mesh_that_cannot_be_is_refused(dense):
    with pytest.raises(ValueError, match=r"`mesh\['data'\]` \(=0\) must be at least 1"):
        placement({"data": 0}, dense)
    message = r"`mesh` \(=\{'data': 512\}\) takes 512 devices, and there are \d+: choose smaller sizes"
    with pytest.raises(ValueError, match=message):
        placement({"data": 512}, dense)
    with pytest.raises(ValueError, match=r"`rules` \(=\{'q': 'data'\}\) must come with a `mesh`"):
        placement(None, dense, {"q": "data"})


@pytest.mark.slow
def test_a_batch_that_the_mesh_does_not_divide_is_refused(curves):
    assert curves["refused"] == "`batch` (=30) must be divisible by the mesh's data (=4): choose 32."
