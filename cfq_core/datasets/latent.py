"""Images as rows of a table: the latent numbers of a small autoencoder, in which actions move them.

What the data sets of images share. Images have no protected groups; the group column says how much ink there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cfq_core.base.seeds import torch_stream
from cfq_core.tables.schema import Feature, Schema, Table

LATENT = 8
HIDDEN = 32
STEP = 0.01  # grid of a latent number, in standard deviations of the images it was learned from
STROKES = ("thin", "bold")

NOTE = (
    "Images, not people: nobody is granted or refused anything. An action moves an image in the latent space of a "
    "small autoencoder, trained on {learned_from}, and its decoder shows where that leads. Images have no protected "
    "groups; the group column says whether the original has less or more ink than the median, so that tables by group "
    "have something to show."
)
FEATURES = (
    *(Feature(f"z{i}", "number", f"latent {i}", step=STEP, easy=True) for i in range(1, LATENT + 1)),
    Feature("stroke", "category", "ink of the original", levels=STROKES, move="fixed", protected=True),
)


@dataclass(frozen=True)
class Autoencoder:
    """pixels-32-8-32-pixels, tanh inside, in float64: far finer than the grid that its latent numbers are put on."""

    weights: Sequence[Float[Tensor, "_ _"]]
    biases: Sequence[Float[Tensor, "_"]]
    spread: Float[Tensor, "l"]  # standard deviation of each latent number over the images it was learned from

    def encode(self, images: Float[Tensor, "n p"]) -> Float[Tensor, "n l"]:
        """Latent numbers in their standard deviations."""
        return latent_of(self.weights, self.biases, images) / self.spread

    def decode(self, latent: Float[Tensor, "n l"]) -> Float[Tensor, "n p"]:
        """Pixels from 0 to 1."""
        return pixels_of(self.weights, self.biases, latent * self.spread).clamp(0, 1)

    def pictures(self, values: Int[np.ndarray, "n f"]) -> Float[np.ndarray, "n side side"]:
        """What the decoder shows of rows of a table, before or after an action; pixels from 0 (paper) to 1 (ink)."""
        pixels = self.decode(torch.tensor(values[:, :LATENT] * STEP, dtype=torch.float64)).numpy()
        side = round(pixels.shape[1] ** 0.5)
        return pixels.reshape(-1, side, side)


def latent_of(weights: Sequence[Tensor], biases: Sequence[Tensor], images: Tensor) -> Float[Tensor, "n l"]:
    """The encoder."""
    return torch.tanh(images @ weights[0] + biases[0]) @ weights[1] + biases[1]


def pixels_of(weights: Sequence[Tensor], biases: Sequence[Tensor], latent: Tensor) -> Float[Tensor, "n p"]:
    """The decoder."""
    return torch.tanh(latent @ weights[2] + biases[2]) @ weights[3] + biases[3]


def table_of_images(
    schema: Schema,
    images: Float[Tensor, "n p"],
    favourable: Bool[np.ndarray, "n"],
    machine: Autoencoder,
    published_test: Bool[np.ndarray, "n"] | None = None,
) -> Table:
    """Every image as its latent numbers, and its ink."""
    latent, ink = machine.encode(images).numpy(), images.sum(1).numpy()
    numbers = [f.counts(latent[:, i]) for i, f in enumerate(schema.features[:LATENT])]
    stroke = (ink > np.median(ink)).astype(np.int64)
    return Table(schema, np.stack([*numbers, stroke], axis=1), favourable, published_test)


# ---------------------------------------------------------------------- learned where it is used
SPAN = 64  # principal directions that the first and last layer lie in: what is outside of them is not drawn
GENTLE = 0.5  # standard deviation of what enters a tanh at the start: nearly linear
PASSES = 400  # over all images
RATE, MOMENTUM = 0.1, 0.97


def learned(images: Float[Tensor, "n p"]) -> Autoencoder:
    """An autoencoder of these images that every machine finds alike, for data that cannot be shipped with its weights.

    Starts as the best linear one (principal components, signs fixed by their largest entry), then plain gradient
    descent with momentum on all images in float64. That damps rounding (1e-13 of it stays under 1e-12 in the latent
    numbers), where Adam from a random start carries it up to their grid.
    """
    mean = images.mean(0)
    size = (images - mean).square().sum(1).mean().sqrt()  # so that one learning rate serves all sizes of image
    centred = (images - mean) / size
    variance, directions = torch.linalg.eigh(centred.T @ centred / len(images))
    span = min(SPAN, images.shape[1])
    spread, axes = variance.flip(0)[:span].clamp(min=1e-12).sqrt(), directions.flip(1)[:, :span]
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    weights, biases = _descended(*_linear(spread), centred @ axes)
    weights = [axes @ weights[0] / size, *weights[1:3], weights[3] @ axes.T * size]
    biases = [biases[0] - mean @ weights[0], *biases[1:3], biases[3] @ axes.T * size + mean]
    return Autoencoder(weights, biases, latent_of(weights, biases, images).std(0, correction=0))


def _linear(spread: Float[Tensor, "s"]) -> tuple[list[Tensor], list[Tensor]]:
    """Nearly the projection on the first principal components; the other hidden units look, and draw nothing yet."""
    hidden, every = min(HIDDEN, len(spread)), torch.arange(LATENT)
    at_once = torch.arange(hidden)
    weights = [torch.zeros(s, dtype=torch.float64) for s in _sizes(len(spread), hidden)]
    weights[0][at_once, at_once] = GENTLE / spread[:hidden]
    weights[1][every, every] = 1 / GENTLE
    weights[2] += (
        2
        * GENTLE
        * torch.randn(LATENT, hidden, generator=torch_stream(0, "datasets/latent"), dtype=torch.float64)
        / (LATENT**0.5)
    )
    weights[2][:, :LATENT] = GENTLE * torch.eye(LATENT, dtype=torch.float64)
    weights[3][every, every] = spread[:LATENT] / GENTLE
    return weights, [torch.zeros(w.shape[1], dtype=torch.float64) for w in weights]


def _sizes(span: int, hidden: int) -> tuple[tuple[int, int], ...]:
    return (span, hidden), (hidden, LATENT), (LATENT, hidden), (hidden, span)


def _descended(
    weights: list[Tensor], biases: list[Tensor], seen: Float[Tensor, "n s"]
) -> tuple[list[Tensor], list[Tensor]]:
    """Gradient descent on the squared error, as a share of the images' variance."""
    learned = [t.requires_grad_() for t in (*weights, *biases)]
    speed = [torch.zeros_like(t) for t in learned]
    for _ in range(PASSES):
        shown = pixels_of(weights, biases, latent_of(weights, biases, seen))
        slopes = torch.autograd.grad((shown - seen).square().sum(1).mean(), learned)
        with torch.no_grad():
            for t, v, slope in zip(learned, speed, slopes, strict=True):
                t -= RATE * v.mul_(MOMENTUM).add_(slope)
    return [w.detach() for w in weights], [b.detach() for b in biases]
