"""Raw tables on disk: found in ``CFQ_DATA_DIR``, else in the cache, else downloaded; always checked.

A file is used only if its sha256 is the pinned one, wherever it came from.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pooch

from cfq_core.base.errors import BadTable, DataUnavailable
from cfq_core.base.identity import file_sha256

CONNECT_TIMEOUT = 10  # seconds; a closed network answers with this, not with a hang
EMBEDDED = ("toy", "diabetes", "digits")
UCI = "https://archive.ics.uci.edu/ml/machine-learning-databases/"
ZALANDO = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/"
    "b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion/"
)
#: Of the published files, as torchvision pins them (prototype/datasets, FashionMNIST); their order is used.
FASHION = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


@dataclass(frozen=True)
class RawFile:
    """One published file: where it is, and the sha256 of its bytes."""

    name: str
    url: str
    sha256: str


FILES = {
    "adult": (
        RawFile(
            "adult.data", UCI + "adult/adult.data", "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d"
        ),
        RawFile(
            "adult.test", UCI + "adult/adult.test", "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05"
        ),
    ),
    "german": (
        RawFile(
            "german.data",
            UCI + "statlog/german/german.data",
            "b21f3d81db8071257d5ff1deaeba1fd4303b62712e6fcc9715c7a86202cb5871",
        ),
    ),
    "compas": (
        RawFile(
            "compas-scores-two-years.csv",
            "https://raw.githubusercontent.com/propublica/compas-analysis/"
            "bafff5da3f2e45eca6c2d5055faad269defd135a/compas-scores-two-years.csv",
            "c451db85908b2f7fef1d83203bedf6b71ecda0d5af468d82ae62178f91d0cc7d",
        ),
    ),
    "fashion": tuple(RawFile(name, ZALANDO + name, sha256) for name, sha256 in FASHION.items()),
}


def cache_dir() -> Path:
    """Where downloads are kept: ``data/raw`` of a checkout, else the user's cache."""
    checkout = Path(__file__).parents[2] / "data"
    return checkout / "raw" if (checkout / "README.md").is_file() else Path(pooch.os_cache("cfq"))


def on_disk(file: RawFile) -> Path | None:
    """The file in ``CFQ_DATA_DIR`` or the cache, unchecked; None where it is in neither."""
    given = os.environ.get("CFQ_DATA_DIR")
    places = [Path(given)] if given else []
    return next((p / file.name for p in [*places, cache_dir()] if (p / file.name).is_file()), None)


@cache
def _checked(path: Path, sha256: str, stamp: tuple[int, int]) -> Path:
    found = file_sha256(path)
    if found != sha256:
        raise BadTable(
            f"{path}: sha256 is {found}, the published file's is {sha256}; remove it or name another CFQ_DATA_DIR"
        )
    return path


def checked(path: Path, file: RawFile) -> Path:
    """``path`` if its sha256 is the pinned one; raises `BadTable` with both hashes. Hashed once a process."""
    stat = path.stat()
    return _checked(path, file.sha256, (stat.st_size, stat.st_mtime_ns))


def fetch(file: RawFile) -> Path:
    """The checked file, downloaded where it is not on disk; raises `DataUnavailable` when offline."""
    path = on_disk(file)
    if path is None:
        path = _download(file)
    return checked(path, file)


def _download(file: RawFile) -> Path:
    pooch.get_logger().setLevel("ERROR")  # what there is to say, the error says
    downloader = pooch.HTTPDownloader(progressbar=False, timeout=CONNECT_TIMEOUT)
    try:
        got = pooch.retrieve(file.url, known_hash=None, fname=file.name, path=cache_dir(), downloader=downloader)
    except Exception as problem:  # requests raises a family of errors; every one of them means "not reachable"
        reason = type(problem).__name__
        raise DataUnavailable(
            f"{file.name} is not on disk and {file.url.split('/')[2]} cannot be reached ({reason}); put the file in a "
            f"folder and set CFQ_DATA_DIR to it, or use an embedded data set: {', '.join(EMBEDDED)}"
        ) from problem
    return Path(got)
