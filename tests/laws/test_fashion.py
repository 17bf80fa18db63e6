"""Fashion-MNIST: read from files in the published format, which these tests write; the real ones are not needed."""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cfq_core.base.errors import BadTable
from cfq_core.base.seeds import numpy_stream
from cfq_core.datasets import digits, fashion
from cfq_core.datasets.fetch import FILES, RawFile
from cfq_core.datasets.idx import read_idx
from cfq_core.datasets.latent import LATENT, Autoencoder, learned
from cfq_core.pipeline import Setting
from cfq_core.study.plan import Plan
from cfq_core.study.runner import run_plan
from cfq_core.study.store import Store
from cfq_core.tables.split import split
from cfq_core.training.loop import TeacherTraining

TRAINING, TEST = 240, 120
IMAGES, LABELS = 0x00000803, 0x00000801  # as on the data set's page


def drawn(rows: int, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes whose place and size tell their class; class by class in turn."""
    random, at = numpy_stream(first, "tests/fashion"), np.arange(28)
    classes = np.arange(rows) % 10
    images = np.zeros((rows, 28, 28), np.uint8)
    for image, c in zip(images, classes, strict=True):
        top, left, tall, wide = np.array([4 + c, 20 - c, 4 + c % 3 * 5, 5 + c % 4 * 4]) + random.integers(-1, 2, 4)
        inside = (abs(at - top) < tall)[:, None] & (abs(at - left) < wide)[None]
        image[inside] = random.integers(120, 256)
    return images, classes.astype(np.uint8)


def idx(array: np.ndarray, magic: int, shape: tuple[int, ...] | None = None) -> bytes:
    """The published format: magic number and dimensions big-endian, then the bytes, all in gzip."""
    shape = array.shape if shape is None else shape
    return gzip.compress(struct.pack(f">I{len(shape)}I", magic, *shape) + array.tobytes())


Put = Callable[[int, bytes], Path]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Small files in place of the four published ones; gives one other bytes, with the hash that belongs to them."""
    pinned = list(FILES["fashion"])

    def write(number: int, content: bytes) -> Path:
        path = tmp_path / pinned[number].name
        path.write_bytes(content)
        pinned[number] = RawFile(path.name, pinned[number].url, hashlib.sha256(content).hexdigest())
        monkeypatch.setitem(FILES, "fashion", tuple(pinned))
        return path

    monkeypatch.setenv("CFQ_DATA_DIR", str(tmp_path))
    for part, (rows, first) in enumerate(((TRAINING, 0), (TEST, TRAINING))):
        images, classes = drawn(rows, first)
        write(2 * part, idx(images, IMAGES))
        write(2 * part + 1, idx(classes, LABELS))
    return write


def test_rows_are_the_images_in_their_order_and_the_published_split_is_kept(put: Put) -> None:
    table = fashion.PLUGIN.load()
    shown = np.concatenate([drawn(TRAINING, 0)[1], drawn(TEST, TRAINING)[1]])
    np.testing.assert_array_equal(table.outcome, shown >= 5)
    assert table.published_test is not None
    np.testing.assert_array_equal(np.flatnonzero(table.published_test), np.arange(TRAINING, TRAINING + TEST))
    np.testing.assert_array_equal(split(table, 3).test, np.arange(TRAINING, TRAINING + TEST))
    assert table.fingerprint() == fashion.PLUGIN.load().fingerprint()
    assert "no protected groups" in table.schema.note


def test_only_the_first_training_images_are_taken_and_all_test_images(
    put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fashion.PLUGIN.load()
    monkeypatch.setattr(fashion, "TRAINING", 100)
    part = fashion.PLUGIN.load()
    assert len(part) == 100 + TEST
    np.testing.assert_array_equal(part.values[100:, :LATENT], whole.values[TRAINING:, :LATENT])


def test_the_decoder_shows_the_image_a_row_was_made_of(put: Put) -> None:
    table, (images, classes) = fashion.PLUGIN.load(), drawn(TEST, TRAINING)
    shown, there = fashion.autoencoder().pictures(table.values[TRAINING:]), images / 255.0
    assert shown.shape == there.shape and shown.min() >= 0 and shown.max() <= 1
    assert ((shown - there) ** 2).mean() < 0.35 * there.var(axis=0).mean(), "of images it was not learned from"
    training, known = drawn(TRAINING, 0)
    nearest = ((shown[:, None] - training[None] / 255.0) ** 2).mean((2, 3)).argmin(1)
    assert (known[nearest] == classes).mean() > 0.9


def error_of(machine: Autoencoder) -> float:
    """Mean squared error on the digits, as a share of their variance."""
    images = digits.images_of()
    return float((machine.decode(machine.encode(images)) - images).square().mean() / images.var(0).mean())


@pytest.mark.gate
def test_what_is_learned_where_it_is_used_is_as_good_as_what_is_shipped_and_every_machine_learns_it() -> None:
    """On real images: of the digits the best linear encoder loses a third, the shipped autoencoder a fifth.

    Another rounding of all pixels stays far under the grid of the latent numbers, so no cell of a table moves.
    """
    images = digits.images_of()
    lost = np.sort(np.linalg.eigvalsh(np.cov(images.numpy().T)))[::-1]
    linear = lost[LATENT:].sum() / lost.sum()
    one, other = (learned(images * (1 + noise)) for noise in (0.0, 1e-13))
    assert linear > 0.3 > error_of(one) and error_of(one) < 1.05 * error_of(digits.autoencoder())
    assert float((one.encode(images) - other.encode(images)).abs().max()) < 1e-9


def test_a_study_runs_on_it_as_on_any_table(put: Put, tmp_path: Path) -> None:
    setting = Setting(
        hidden=(8,), people=20, n_reaudited=5, teacher_training=TeacherTraining(epochs=60, rows_per_step=32)
    )
    store = Store(tmp_path / "store")
    runs = store.runs(run_plan(Plan(("fashion",), ("ptq",), (8.0,), (0,), setting), store, workers=0))
    measures = store.measures(runs[0]["id"])
    store.close()
    assert runs[0]["dataset"] == "fashion" and measures["accuracy"]["count"] == TEST
    assert measures["accuracy"]["value"] > 0.8 and measures["vd"]["count"] > 0


GOOD, NAMES = drawn(12, 0)
DAMAGED = {
    "not gzip": (0, b"\x00\x00\x08\x03" + bytes(40), "not a whole gzip file"),
    "cut short": (0, idx(GOOD, IMAGES)[:-20], "not a whole gzip file"),
    "a changed byte": (0, idx(GOOD, IMAGES)[:-6] + b"\x00" + idx(GOOD, IMAGES)[-5:], "not a whole gzip file"),
    "empty": (0, gzip.compress(b""), "0 bytes when unpacked; the header alone takes 16"),
    "half a header": (1, gzip.compress(b"\x00\x00\x08\x01\x00"), "5 bytes when unpacked; the header alone takes 8"),
    "labels for images": (0, idx(np.zeros(100, np.uint8), LABELS), "magic number 0x00000801;"),
    "images for labels": (1, idx(GOOD, IMAGES), "in 1 dimensions has 0x00000801"),
    "little-endian": (1, gzip.compress(struct.pack("<II", LABELS, 12) + NAMES.tobytes()), "magic number 0x01080000"),
    "numbers of two bytes": (0, idx(GOOD.astype(">i2"), 0x00000B03), "magic number 0x00000b03"),
    "a row too few": (0, idx(GOOD, IMAGES, (13, 28, 28)), "its header says 13 x 28 x 28 = 10,192"),
    "a row too many": (1, idx(NAMES, LABELS, (11,)), "12 bytes of data; its header says 11 = 11"),
    "a header without end": (0, idx(GOOD, IMAGES, (2**32 - 1,) * 3), "its header says 4,294,967,295 x"),
    "no image": (0, idx(GOOD[:0], IMAGES), "one at least"),
    "another size": (0, idx(GOOD.reshape(12, 14, 56), IMAGES), "images of 28 x 28 pixels"),
    "labels of other images": (3, idx(NAMES, LABELS), f"12 labels; t10k-images-idx3-ubyte.gz holds {TEST} images"),
    "an eleventh class": (1, idx(np.full(TRAINING, 10, np.uint8), LABELS), "class 10; from 0 to 9"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_refused_in_one_line_that_names_it(damage: str, put: Put) -> None:
    number, content, said = DAMAGED[damage]
    path = put(number, content)
    with pytest.raises(BadTable) as refused:
        fashion.PLUGIN.load()
    line = refused.value.line()
    assert said in line and str(path) in line
    assert "\n" not in line and refused.value.exit_code == 2


def test_other_bytes_than_the_pinned_ones_are_refused_before_they_are_read(put: Put) -> None:
    path = put(0, idx(GOOD, IMAGES))
    path.write_bytes(idx(GOOD[::-1], IMAGES))
    with pytest.raises(BadTable, match="sha256 is"):
        fashion.PLUGIN.load()


def test_a_small_file_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(struct.pack(">II", LABELS, 2**27) + bytes(2**27), 1))
    with pytest.raises(BadTable, match="more than 100,000,000 bytes"):
        read_idx(path, 1)


def test_favourable_classes_are_said_by_name() -> None:
    assert all(c in fashion.SCHEMA.favourable for c in fashion.CLASSES[5:])
    assert all(c in fashion.SCHEMA.unfavourable for c in fashion.CLASSES[:5])
    assert replace(fashion.SCHEMA, name="digits").features == digits.SCHEMA.features
