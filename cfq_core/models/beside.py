"""Weights in a file beside the graph, as torch's exporter writes them: read where that file lies in the same folder."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto

from cfq_core.models.provenance import BadModel


def taken_in(proto: onnx.ModelProto, folder: Path | None, name: str, most: int) -> bool:
    """Put the numbers of files in ``folder`` into the graph itself; whether there were any. Raises `BadModel`.

    Names hold no path parts, links are not followed, sizes are checked before anything is read.
    """
    away = [t for t in proto.graph.initializer if t.data_location == TensorProto.EXTERNAL]
    if not away:
        return False
    if folder is None:
        raise BadModel(
            f"{name}: keeps its weights in another file; export one self-contained file "
            "(torch.onnx.export(..., external_data=False))"
        )
    held: dict[str, bytes] = {}
    for tensor in away:
        said = {e.key: e.value for e in tensor.external_data}
        location = said.get("location", "")
        if location not in held:
            held[location] = _content(folder, location, name, most - sum(map(len, held.values())))
        try:
            offset = int(said.get("offset", 0))
            length = int(said["length"]) if "length" in said else len(held[location]) - offset
        except ValueError:
            raise BadModel(f"{name}: says where its weights lie in no numbers") from None
        if offset < 0 or length < 0 or offset + length > len(held[location]):
            raise BadModel(
                f'{name}: its weights lie outside of "{location[:60]}", which has {len(held[location])} bytes'
            )
        tensor.raw_data = held[location][offset : offset + length]
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]
    return True


def _content(folder: Path, location: str, name: str, most: int) -> bytes:
    if (
        not location
        or location != Path(location).name
        or location in (".", "..")
        or "\\" in location
        or "\0" in location
    ):
        raise BadModel(f'{name}: keeps its weights in "{location[:60]}"; a file name without a path is needed')
    path = folder / location
    try:
        if path.is_symlink() or not path.is_file():
            raise BadModel(f'{name}: keeps its weights in "{location[:60]}", which does not lie beside it')
        if path.stat().st_size > most:
            raise BadModel(f'{name}: with "{location[:60]}" has more than {most / 1e6:g} MB')
        return path.read_bytes()
    except OSError as problem:
        raise BadModel(f'{name}: "{location[:60]}" cannot be read ({type(problem).__name__})') from None
