"""1,797 handwritten digits (scikit-learn, offline) in the latent space of a small autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.datasets import load_digits
from torch import Tensor

from cfq_core.base.seeds import torch_stream
from cfq_core.tables.schema import Feature, Schema, Table

LATENT = 8
HIDDEN = 32
PIXELS = 64
BRIGHTEST = 16.0  # of a pixel in the source
STEP = 0.01  # grid of a latent number, in standard deviations of all images
PASSES = 300  # over all images
LEARNING_RATE = 0.01
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
    """64-32-8-32-64, tanh inside, float64: a machine's rounding is far below the grid its latents are put on."""

    weights: tuple[Float[Tensor, "i o"], ...]
    biases: tuple[Float[Tensor, "o"], ...]
    spread: Float[Tensor, "l"]  # standard deviation of each latent number over all images

    def encode(self, images: Float[Tensor, "n p"]) -> Float[Tensor, "n l"]:
        """Latent numbers in their standard deviations."""
        return _latent(self.weights, self.biases, images) / self.spread

    def decode(self, latent: Float[Tensor, "n l"]) -> Float[Tensor, "n p"]:
        """Pixels from 0 to 1."""
        return _pixels(self.weights, self.biases, latent * self.spread).clamp(0, 1)


def _latent(weights: tuple[Tensor, ...], biases: tuple[Tensor, ...], images: Tensor) -> Tensor:
    return torch.tanh(images @ weights[0] + biases[0]) @ weights[1] + biases[1]


def _pixels(weights: tuple[Tensor, ...], biases: tuple[Tensor, ...], latent: Tensor) -> Tensor:
    return torch.tanh(latent @ weights[2] + biases[2]) @ weights[3] + biases[3]


@cache
def autoencoder() -> Autoencoder:
    """Trained on all images by full-batch Adam on the squared error; about a second, once a process."""
    generator = torch_stream(0, "datasets/digits")
    sizes = ((PIXELS, HIDDEN), (HIDDEN, LATENT), (LATENT, HIDDEN), (HIDDEN, PIXELS))
    weights = tuple(torch.randn(*s, generator=generator, dtype=torch.float64) / s[0] ** 0.5 for s in sizes)
    biases = tuple(torch.zeros(s[1], dtype=torch.float64) for s in sizes)
    images = _images()
    with torch.enable_grad():
        optimizer = torch.optim.Adam([p.requires_grad_() for p in (*weights, *biases)], lr=LEARNING_RATE)
        for _ in range(PASSES):
            loss = (_pixels(weights, biases, _latent(weights, biases, images)) - images).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    weights, biases = (tuple(p.detach() for p in group) for group in (weights, biases))
    return Autoencoder(weights, biases, _latent(weights, biases, images).std(0, correction=0))


def _images() -> Float[Tensor, "n p"]:
    return torch.tensor(load_digits().data / BRIGHTEST)


@dataclass(frozen=True)
class Digits:
    """Favourable: the image shows a 5, 6, 7, 8 or 9."""

    schema: Schema = SCHEMA

    def load(self) -> Table:
        """Every image as its latent numbers; the same rows on every machine."""
        images = _images()
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
