"""Fashion-MNIST (30,000 of its images) in the latent space of a small autoencoder learned from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from cfq_core.base.errors import BadTable
from cfq_core.base.seeds import repeatable
from cfq_core.datasets.fetch import FILES, fetch
from cfq_core.datasets.idx import read_idx
from cfq_core.datasets.latent import FEATURES, NOTE, Autoencoder, learned, table_of_images
from cfq_core.tables.schema import Schema, Table

SIDE = 28  # pixels
BRIGHTEST = 255.0  # of a pixel in the source
CLASSES = (
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
FAVOURABLE = 5  # the first favourable class: the same cut as in `digits`
TRAINING = 20_000  # of the 60,000 published training images, which lie in random order: the first so many
LEARNED_FROM = 5_000  # of those, for the autoencoder: ample for its 32 hidden units

SCHEMA = Schema(
    name="fashion",
    title="Fashion-MNIST in a latent space (30,000 images of 28 x 28 pixels)",
    favourable=f"shows a {', '.join(CLASSES[FAVOURABLE:-1])} or {CLASSES[-1]}",
    unfavourable=f"shows a {', '.join(CLASSES[: FAVOURABLE - 1])} or {CLASSES[FAVOURABLE - 1]}",
    note=NOTE.format(learned_from=f"the first {LEARNED_FROM:,} training images without their classes"),
    source=f"Zalando Research (Xiao, Rasul, Vollgraf 2017): the first {TRAINING:,} training images, all test images",
    licence="MIT",
    features=FEATURES,
)


@dataclass(frozen=True)
class Fashion:
    """Favourable: the image shows a sandal, shirt, sneaker, bag or ankle boot; half of all do."""

    schema: Schema = SCHEMA

    def load(self) -> Table:
        """Every image as its latent numbers, the published split kept; raises `DataUnavailable` offline."""
        paths = [fetch(file) for file in FILES["fashion"]]
        (training, classes), (test, test_classes) = _part(*paths[:2]), _part(*paths[2:])
        images = np.concatenate([training[:TRAINING], test])
        shown = np.concatenate([classes[:TRAINING], test_classes])
        published = np.arange(len(images)) >= len(images) - len(test)
        return table_of_images(self.schema, _pixels(images), shown >= FAVOURABLE, autoencoder(), published)


def autoencoder() -> Autoencoder:
    """Learned from the first training images, once a process."""
    file = FILES["fashion"][0]
    return _autoencoder(fetch(file), file.sha256)


@lru_cache(maxsize=1)
def _autoencoder(path: Path, sha256: str) -> Autoencoder:
    with repeatable():
        return learned(_pixels(_images(path)[:LEARNED_FROM]))


def _part(path: Path, labels: Path) -> tuple[UInt8[np.ndarray, "n 28 28"], UInt8[np.ndarray, "n"]]:
    """The images of one published part, and the class of each."""
    images, classes = _images(path), read_idx(labels, 1)
    if len(images) != len(classes):
        raise BadTable(f"{labels}: {len(classes):,} labels; {path.name} holds {len(images):,} images")
    if classes.max() >= len(CLASSES):
        raise BadTable(f"{labels}: class {classes.max()}; from 0 to {len(CLASSES) - 1}")
    return images, classes


def _images(path: Path) -> UInt8[np.ndarray, "n 28 28"]:
    images = read_idx(path, 3)
    if images.shape[1:] != (SIDE, SIDE) or not len(images):
        raise BadTable(f"{path}: {' x '.join(map(str, images.shape))}; images of {SIDE} x {SIDE} pixels, one at least")
    return images


def _pixels(images: UInt8[np.ndarray, "n 28 28"]) -> Float[Tensor, "n p"]:
    """From 0 to 1."""
    return torch.tensor(images.reshape(len(images), -1) / BRIGHTEST)


PLUGIN = Fashion()
