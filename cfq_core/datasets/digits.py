"""1,797 handwritten digits (scikit-learn, offline) in the latent space of a small autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from torch import Tensor

from cfq_core.datasets.latent import FEATURES, NOTE, Autoencoder, latent_of, table_of_images
from cfq_core.tables.schema import Schema, Table

PIXELS = 64
BRIGHTEST = 16.0  # of a pixel in the source
WEIGHTS = Path(__file__).with_suffix(".safetensors")

SCHEMA = Schema(
    name="digits",
    title="Handwritten digits in a latent space (1,797 images of 8 x 8 pixels)",
    favourable="reads as 5 to 9",
    unfavourable="reads as 0 to 4",
    note=NOTE.format(learned_from="all images without their digits"),
    source="UCI optical recognition of handwritten digits (Alpaydin, Kaynak 1998), test part; as in scikit-learn",
    licence="CC BY 4.0",
    features=FEATURES,
)


@cache
def autoencoder() -> Autoencoder:
    """The shipped weights, trained by ``benchmarks/digits_autoencoder.py`` on all images without their digits."""
    held = {name: t.double() for name, t in load_file(WEIGHTS).items()}
    weights, biases = ([held[f"{kind}.{i}"] for i in range(4)] for kind in ("weights", "biases"))
    return Autoencoder(weights, biases, latent_of(weights, biases, images_of()).std(0, correction=0))


def images_of() -> Float[Tensor, "n p"]:
    """All images, pixels from 0 to 1."""
    return torch.tensor(load_digits().data / BRIGHTEST)


@dataclass(frozen=True)
class Digits:
    """Favourable: the image shows a 5, 6, 7, 8 or 9."""

    schema: Schema = SCHEMA

    def load(self) -> Table:
        """Every image as its latent numbers; the same rows on every machine."""
        return table_of_images(self.schema, images_of(), load_digits().target >= 5, autoencoder())


PLUGIN = Digits()
