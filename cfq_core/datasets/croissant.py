"""A table described for machines: Croissant 1.0 (JSON-LD over schema.org) with its responsible-AI fields.

Format: http://mlcommons.org/croissant/1.0 and http://mlcommons.org/croissant/RAI/1.0. The description holds what the
card says, the file's hash and size, what was counted over all rows, and no row and no person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cfq_core.datasets.card import Card
from cfq_core.tables.schema import Feature, Schema, Table

CONFORMS = ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]
FILE, RECORDS = "table", "people"
TEXT = "sc:Text"
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{k: f"cr:{k}" for k in (
        "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet",
        "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet",
        "references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
    )},
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "sc": "https://schema.org/",
}  # fmt: skip


def croissant(card: Card, table: Table, csv: Path) -> dict[str, Any]:
    """The JSON-LD object of a card's table; ``csv``: the file beside the card."""
    schema, content = table.schema, csv.read_bytes()
    file = {
        "@type": "cr:FileObject", "@id": FILE, "name": csv.name, "contentUrl": csv.name,
        "encodingFormat": _format(csv.name), "contentSize": f"{len(content)} B",
        "sha256": hashlib.sha256(content).hexdigest(),
    }  # fmt: skip
    made = {schema.features[i].name for i in schema.flags.values()}  # of no column of the file
    fields = [_field(f.name, _about(f), _type(f)) for f in schema.features if f.name not in made]
    fields.append(_field(card.target, f"The outcome: {schema.favourable}, or {schema.unfavourable}.", TEXT))
    if card.weights:
        fields.append(_field(card.weights, "How much the row counts in training: a sampling weight.", "sc:Float"))
    about = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": schema.name,
        "alternateName": schema.title,
        "description": f"{schema.title}. {schema.note}".strip(),
        "conformsTo": CONFORMS,
        **({"license": schema.licence} if schema.licence else {}),
        **({"citeAs": schema.source} if schema.source else {}),
        "url": csv.name,
        "version": "1.0.0",
        "distribution": [file],
        "recordSet": [{
            "@type": "cr:RecordSet", "@id": RECORDS, "name": RECORDS, "field": fields,
            "description": "One row a person." + (f" {len(table):,} of them are used." if len(table) else ""),
        }],
    }  # fmt: skip
    return about | _responsible(schema, table)


def _field(name: str, about: str, kind: str) -> dict[str, Any]:
    source = {"fileObject": {"@id": FILE}, "extract": {"column": name}}
    return {"@type": "cr:Field", "@id": f"{RECORDS}/{name}", "name": name, "description": about, "dataType": kind,
            "source": source}  # fmt: skip


def _format(name: str) -> str:
    plain = name.casefold().removesuffix(".gz")
    known = {
        "parquet": "application/vnd.apache.parquet",
        "tsv": "text/tab-separated-values",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    }
    return known.get(plain.rsplit(".", 1)[-1], "text/csv")


def _type(f: Feature) -> str:
    if f.reference:
        return "sc:Date"
    return TEXT if f.levels else "sc:Integer" if f.kind == "integer" else "sc:Float"


def _about(f: Feature) -> str:
    """What a column means, and what a person may do about it."""
    unit = f", {f.unit}" if f.unit else ""
    levels = f"; one of {', '.join(f.levels)}" if f.levels else ""
    may = {"any": "may change either way", "up": "may go up", "down": "may go down", "fixed": "is never told to change"}
    why = " (protected)" if f.protected else " (a fact about the person)" if f.immutable else ""
    return f"{f.words}{unit}{levels}. A person {may[f.move]}{why}."


def _responsible(schema: Schema, table: Table) -> dict[str, Any]:
    """The responsible-AI fields that a card can fill; what it does not know is left out."""
    share = 100 * float(table.outcome.mean()) if len(table) else 0.0
    groups = [f"{f.words}: {_groups(table, f.name)}" for f in schema.protected]
    never = _named([f for f in schema.features if f.immutable and not f.protected])
    limits = [schema.note] if schema.note else []
    limits += [f"Facts about a person that no action changes: {never}."] if never else []
    limits += ["A model's recourse says what would flip the model, not what would change a life."]
    use = "Auditing whether the recourse that a decision model promises survives its compression to few bits."
    biases = [f"{share:.1f} % of outcomes are favourable ({schema.favourable}).", *(f"{g}." for g in groups)]
    about: dict[str, Any] = {
        "rai:dataUseCases": use,
        "rai:dataLimitations": limits,
        "rai:dataBiases": biases,
        "rai:dataSocialImpact": (
            "The table is about decisions on people. Protected columns are in no advice and are group columns of every "
            "fairness table."
        ),
    }
    if schema.protected:
        about["rai:personalSensitiveInformation"] = [f.words for f in schema.protected]
    if schema.source:
        about["rai:dataCollection"] = schema.source
    return about


def _groups(table: Table, name: str) -> str:
    """Sizes of a protected column's groups, those under 30 people told as few."""
    labels = table.groups()[name]
    each = {level: labels.count(level) for level in dict.fromkeys(labels)}
    return ", ".join(f"{level} {n if n >= 30 else 'under 30'}" for level, n in sorted(each.items()))


def _named(features: Sequence[Feature]) -> str:
    return ", ".join(f.words for f in features)
