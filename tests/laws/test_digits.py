"""Images in a latent space: a table like any other, whose rows can be looked at."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits

from cfq_core.actions.action_set import ActionSet
from cfq_core.datasets import digits


def test_the_decoder_shows_the_image_a_row_was_made_of() -> None:
    table = digits.PLUGIN.load()
    shown, images = digits.pictures(table.values), load_digits().images / digits.BRIGHTEST
    assert shown.shape == images.shape and shown.min() >= 0 and shown.max() <= 1
    assert ((shown - images) ** 2).mean() < 0.35 * images.var(axis=0).mean(), "eight numbers keep two thirds of it"
    nearest = ((shown[:200, None] - images[None, :200]) ** 2).mean((2, 3)).argmin(1)
    assert (nearest == np.arange(200)).mean() > 0.9, "a picture is nearest to its own image"


def test_the_latent_grid_is_far_coarser_than_a_machine_rounds() -> None:
    """The same rows on every machine: training again with another order of summation moves no cell."""
    table = digits.PLUGIN.load()
    digits.autoencoder.cache_clear()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert digits.PLUGIN.load().fingerprint() == table.fingerprint()
    finally:
        torch.set_num_threads(threads)


def test_only_the_latent_numbers_are_actionable() -> None:
    table = digits.PLUGIN.load()
    actions = ActionSet.fit(table.schema, table.values)
    assert [table.schema.features[i].name for i in actions.numbers] == [f"z{i}" for i in range(1, 9)]
    assert not actions.switches and "no protected groups" in table.schema.note
