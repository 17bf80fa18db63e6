"""Images in a latent space: a table like any other, whose rows can be looked at."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from cfq_core.actions.action_set import ActionSet
from cfq_core.datasets import digits
from cfq_core.datasets.latent import LATENT


def test_the_decoder_shows_the_digit_a_row_was_made_of() -> None:
    table, digits_of = digits.PLUGIN.load(), load_digits().target
    shown, images = digits.autoencoder().pictures(table.values), load_digits().images / digits.BRIGHTEST
    assert shown.shape == images.shape and shown.min() >= 0 and shown.max() <= 1
    assert ((shown - images) ** 2).mean() < 0.25 * images.var(axis=0).mean(), "eight numbers keep three quarters of it"
    far = ((shown[:300, None] - images[None]) ** 2).mean((2, 3))
    far[np.arange(300), np.arange(300)] = np.inf
    assert (digits_of[far.argmin(1)] == digits_of[:300]).mean() > 0.9, "the nearest other image shows the same digit"


def test_the_latent_grid_is_far_coarser_than_a_machine_rounds() -> None:
    """The same rows on every machine: another rounding of the encoder's sums moves no cell."""
    table, machine = digits.PLUGIN.load(), digits.autoencoder()
    images = digits.images_of()
    for noise in (1e-13, -1e-13):
        latent = machine.encode(images * (1 + noise)).numpy()
        for i, f in enumerate(table.schema.features[:LATENT]):
            np.testing.assert_array_equal(f.counts(latent[:, i]), table.values[:, i])


def test_only_the_latent_numbers_are_actionable() -> None:
    table = digits.PLUGIN.load()
    actions = ActionSet.fit(table.schema, table.values)
    assert [table.schema.features[i].name for i in actions.numbers] == [f"z{i}" for i in range(1, 9)]
    assert not actions.switches and "no protected groups" in table.schema.note
