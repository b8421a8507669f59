"""What a row of the table tells of itself."""

import equinox as eqx
import jax

from matrinox import zoo


def test_a_row_counts_the_parameters_of_the_model_that_it_builds():
    row = zoo.entry("mlp-digits")
    model = row.architecture(row.config, key=jax.random.key(0))
    assert row.parameters == sum(leaf.size for leaf in jax.tree.leaves(model) if eqx.is_inexact_array(leaf))
    assert row.parameters == 4 * 16 * 16 + 16 * 16 + 16 * 16 * 16 + 16 * 16 + 2720


def test_a_row_names_its_family_its_task_and_its_folder():
    row = zoo.entry("cnn-digits")
    assert (row.family, row.task, row.folder.name) == ("CNN", "classification", "cnn-digits")
    assert row.folder.parent.name == "entries"
