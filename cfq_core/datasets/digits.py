"""1,797 handwritten digits (scikit-learn, offline) in the latent space of a small autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from torch import Tensor

from cfq_core.tables.schema import Feature, Schema, Table

LATENT = 8
HIDDEN = 32
PIXELS = 64
BRIGHTEST = 16.0  # of a pixel in the source
STEP = 0.01  # grid of a latent number, in standard deviations of all images
WEIGHTS = Path(__file__).with_suffix(".safetensors")
STROKES = ("thin", "bold")

SCHEMA = Schema(
    name="digits",
    title="Handwritten digits in a latent space (1,797 images of 8 x 8 pixels)",
    favourable="reads as 5 to 9",
    unfavourable="reads as 0 to 4",
    note=(
        "Images, not people: nobody is granted or refused anything. An action moves an image in the latent space of a "
        "small autoencoder, trained on all images without their digits, and its decoder shows where that leads. Images "
        "have no protected groups; the group column says whether the original has less or more ink than the median, so "
        "that tables by group have something to show."
    ),
    source="UCI optical recognition of handwritten digits (Alpaydin, Kaynak 1998), test part; as in scikit-learn",
    licence="CC BY 4.0",
    features=(
        *(Feature(f"z{i}", "number", f"latent {i}", step=STEP, easy=True) for i in range(1, LATENT + 1)),
        Feature("stroke", "category", "ink of the original", levels=STROKES, move="fixed", protected=True),
    ),
)


@dataclass(frozen=True)
class Autoencoder:
    """64-32-8-32-64, tanh inside, computed in float64: far finer than the grid its latent numbers are put on."""

    weights: Sequence[Float[Tensor, "_ _"]]
    biases: Sequence[Float[Tensor, "_"]]
    spread: Float[Tensor, "l"]  # standard deviation of each latent number over all images

    def encode(self, images: Float[Tensor, "n p"]) -> Float[Tensor, "n l"]:
        """Latent numbers in their standard deviations."""
        return latent_of(self.weights, self.biases, images) / self.spread

    def decode(self, latent: Float[Tensor, "n l"]) -> Float[Tensor, "n p"]:
        """Pixels from 0 to 1."""
        return pixels_of(self.weights, self.biases, latent * self.spread).clamp(0, 1)


def latent_of(weights: Sequence[Tensor], biases: Sequence[Tensor], images: Tensor) -> Float[Tensor, "n l"]:
    """The encoder."""
    return torch.tanh(images @ weights[0] + biases[0]) @ weights[1] + biases[1]


def pixels_of(weights: Sequence[Tensor], biases: Sequence[Tensor], latent: Tensor) -> Float[Tensor, "n p"]:
    """The decoder."""
    return torch.tanh(latent @ weights[2] + biases[2]) @ weights[3] + biases[3]


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
        images = images_of()
        latent = autoencoder().encode(images).numpy()
        ink = images.sum(1).numpy()
        numbers = [f.counts(latent[:, i]) for i, f in enumerate(self.schema.features[:LATENT])]
        stroke = (ink > np.median(ink)).astype(np.int64)
        return Table(self.schema, np.stack([*numbers, stroke], axis=1), load_digits().target >= 5)


def pictures(values: Int[np.ndarray, "n f"]) -> Float[np.ndarray, "n 8 8"]:
    """What the decoder shows of rows of the table, before or after an action; pixels from 0 (paper) to 1 (ink)."""
    latent = torch.tensor(values[:, :LATENT] * STEP, dtype=torch.float64)
    return autoencoder().decode(latent).numpy().reshape(-1, 8, 8)


PLUGIN = Digits()
