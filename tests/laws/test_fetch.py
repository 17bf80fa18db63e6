"""A raw table is the published one, or it is refused; offline says what to do. No test here uses a network."""

from __future__ import annotations

import hashlib
import io
import socket
from pathlib import Path

import pooch
import pytest

from cfq_core.base import plugins
from cfq_core.base.errors import BadTable, DataUnavailable
from cfq_core.datasets import fetch as fetching
from cfq_core.datasets.fetch import EMBEDDED, FILES, RawFile, cache_dir, checked, fetch, on_disk

CONTENT = b"39, State-gov\n"
FILE = RawFile("made.data", "https://example.invalid/made.data", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture(autouse=True)
def nothing_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, an empty cache, and no way out of this machine."""

    def refused(*_: object, **__: object) -> None:
        raise ConnectionError("no network in tests")

    monkeypatch.setenv("CFQ_DATA_DIR", str(tmp_path / "given"))
    monkeypatch.setattr(fetching, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(socket, "create_connection", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    (tmp_path / "given").mkdir()
    return tmp_path


def _put(folder: Path, content: bytes = CONTENT, name: str = FILE.name) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


class Downloads:
    """pooch's downloader, replaced: writes given bytes, counts its calls."""

    def __init__(self, content: bytes | Exception) -> None:
        self.content, self.calls = content, 0

    def __call__(self, url: str, output_file: str, _: pooch.Pooch) -> None:
        self.calls += 1
        if isinstance(self.content, Exception):
            raise self.content
        Path(output_file).write_bytes(self.content)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> Downloads:
        monkeypatch.setattr(pooch, "HTTPDownloader", lambda **_: self)
        return self


def test_a_file_in_the_data_folder_is_used_before_the_cache(nothing_on_disk: Path) -> None:
    cached = _put(nothing_on_disk / "cache")
    assert fetch(FILE) == cached
    ours = _put(nothing_on_disk / "given")
    assert fetch(FILE) == ours == on_disk(FILE)


def test_a_wrong_file_is_refused_by_name_with_both_hashes(nothing_on_disk: Path) -> None:
    path = _put(nothing_on_disk / "given", b"not the published bytes")
    with pytest.raises(BadTable) as refused:
        fetch(FILE)
    line = refused.value.line()
    assert str(path) in line
    assert FILE.sha256 in line and hashlib.sha256(b"not the published bytes").hexdigest() in line
    assert refused.value.exit_code == 2


def test_a_file_that_changes_is_checked_again(nothing_on_disk: Path) -> None:
    path = _put(nothing_on_disk / "given")
    assert checked(path, FILE) == path
    path.write_bytes(CONTENT + b"one more row\n")
    with pytest.raises(BadTable):
        checked(path, FILE)


def test_a_download_is_checked_and_kept(nothing_on_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    downloads = Downloads(CONTENT).install(monkeypatch)
    path = fetch(FILE)
    assert path.read_bytes() == CONTENT and path.parent == nothing_on_disk / "cache"
    assert fetch(FILE) == path
    assert downloads.calls == 1


def test_a_download_of_other_bytes_is_refused_with_both_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    Downloads(b"<html>moved</html>").install(monkeypatch)
    with pytest.raises(BadTable) as refused:
        fetch(FILE)
    assert FILE.sha256 in str(refused.value)


@pytest.mark.parametrize("problem", [ConnectionError("refused"), TimeoutError("slow"), OSError("no route")])
def test_offline_names_the_folder_to_set_and_the_embedded_tables(
    problem: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    Downloads(problem).install(monkeypatch)
    with pytest.raises(DataUnavailable) as refused:
        fetch(FILE)
    line = refused.value.line()
    assert "CFQ_DATA_DIR" in line and "example.invalid" in line and FILE.name in line
    assert all(name in line for name in EMBEDDED)
    assert "\n" not in line and refused.value.exit_code == 1


@pytest.mark.parametrize("name", FILES)
def test_a_data_set_that_must_be_fetched_says_offline_what_to_do(name: str) -> None:
    with pytest.raises(DataUnavailable) as refused:
        plugins.load("datasets", name).load()
    line = refused.value.line()
    assert FILES[name][0].name in line and "CFQ_DATA_DIR" in line and all(e in line for e in EMBEDDED)
    assert "\n" not in line and refused.value.exit_code == 1


def test_a_failed_download_says_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line is the command line's to print; pooch's logger writes its own to stderr."""
    Downloads(ConnectionError("refused")).install(monkeypatch)
    said = io.StringIO()
    for handler in pooch.get_logger().handlers:
        monkeypatch.setattr(handler, "stream", said)
    with pytest.raises(DataUnavailable):
        fetch(FILE)
    assert said.getvalue() == ""


@pytest.mark.parametrize("name", FILES)
def test_every_raw_file_is_pinned_and_listed_in_the_readme(name: str) -> None:
    readme = (Path(__file__).parents[2] / "data" / "README.md").read_text(encoding="utf-8")
    for file in FILES[name]:
        assert len(file.sha256) == 64 and int(file.sha256, 16) >= 0
        assert file.url.startswith("https://")
        assert file.name in readme and file.sha256 in readme


def test_a_data_set_is_embedded_or_has_raw_files() -> None:
    assert set(plugins.names("datasets")) == {*FILES, *EMBEDDED}


@pytest.mark.parametrize("name", EMBEDDED)
def test_an_embedded_data_set_loads_offline(name: str) -> None:
    assert len(plugins.load("datasets", name).load()) > 100


def test_the_cache_of_a_checkout_is_ignored_by_git() -> None:
    ignored = (Path(__file__).parents[2] / ".gitignore").read_text().split()
    assert "data/raw/" in ignored
    assert cache_dir().name in ("raw", "cfq")
