"""Trains the autoencoder of the data set `digits` and writes cfq_core/datasets/digits.safetensors.

python -m benchmarks.digits_autoencoder

Its weights are kept, not trained anew where they are used: 300 steps of training carry a machine's rounding up to the
grid of the latent numbers, and the table would not be the same everywhere.
"""

from __future__ import annotations

import torch
from safetensors.torch import save_file

from cfq_core.base.seeds import torch_stream
from cfq_core.datasets.digits import PIXELS, WEIGHTS, images_of
from cfq_core.datasets.latent import HIDDEN, LATENT, latent_of, pixels_of

PASSES = 1000  # over all images, without their digits
LEARNING_RATE = 0.01


def main() -> None:
    torch.set_num_threads(1)
    generator = torch_stream(0, "datasets/digits")
    sizes = ((PIXELS, HIDDEN), (HIDDEN, LATENT), (LATENT, HIDDEN), (HIDDEN, PIXELS))
    weights = [torch.randn(*s, generator=generator, dtype=torch.float64) / s[0] ** 0.5 for s in sizes]
    biases = [torch.zeros(s[1], dtype=torch.float64) for s in sizes]
    images = images_of()
    optimizer = torch.optim.Adam([p.requires_grad_() for p in (*weights, *biases)], lr=LEARNING_RATE)
    for _ in range(PASSES):
        loss = (pixels_of(weights, biases, latent_of(weights, biases, images)) - images).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    named = {
        f"{k}.{i}": p.detach().float() for k, g in (("weights", weights), ("biases", biases)) for i, p in enumerate(g)
    }
    save_file(named, WEIGHTS)
    print(
        f"{WEIGHTS}: mean squared error {float(loss.detach()):.4f} of a variance of {float(images.var(0).mean()):.4f}"
    )


if __name__ == "__main__":
    main()
