"""`cfq card`: what a card says, as it is read, and as a Croissant description."""

from __future__ import annotations

import json
from pathlib import Path

import click

from cfq_core.base.errors import BadInput
from cfq_core.commands.options import json_option, print_json, print_table
from cfq_core.tables.schema import Feature


@click.command()
@click.argument("card", type=click.Path(path_type=Path))
@click.option("--croissant", is_flag=True, help="Write a Croissant description (JSON-LD, with responsible-AI fields).")
@click.option("-o", "out", type=click.Path(path_type=Path), help="File to write it to, instead of printing it.")
@json_option
def card(card: Path, croissant: bool, out: Path | None, as_json: bool) -> None:
    """Show what a card says of its table, as it is read; or write it as a Croissant description."""
    from cfq_core.datasets.card import card_of, read_card
    from cfq_core.datasets.draft import open_questions

    if out is not None and not croissant:
        raise BadInput("-o is of --croissant")
    table = read_card(card)
    if croissant:
        from cfq_core.datasets.croissant import croissant as described
        from cfq_core.report.files import write_whole

        about = described(card_of(card), table, card.parent / card_of(card).csv)
        text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
        if out is None:
            click.echo(text, nl=False)
        else:
            write_whole(out, text.encode())
            click.echo(f"{out}: Croissant description of {table.schema.title}")
        return
    rows = [(f.name, f.kind, f.move, _apart(f), ", ".join(f.levels) or f.unit) for f in table.schema.features]
    head = ["feature", "kind", "move", "", "levels or unit"]
    good = int(table.outcome.sum())
    asked = open_questions(card.read_text(encoding="utf-8"))
    if as_json:
        features = [dict(zip(["name", "kind", "move", "apart", "levels_or_unit"], row, strict=True)) for row in rows]
        print_json({"name": table.schema.name, "rows": len(table), "favourable": good, "features": features,
                    "warnings": [*table.warnings], "questions": [*asked]})  # fmt: skip
        return
    click.echo(f"{table.schema.title}: {len(table):,} people, {good:,} {table.schema.favourable}")
    print_table(head, [list(r) for r in rows])
    for warning in table.warnings:
        click.echo(f"note: {warning}", err=True)
    if asked:
        cure = f"remove the line of each that is answered at the top of {card.name}"
        click.echo(f"note: questions of the draft still open: {len(asked)}; {cure}", err=True)


def _apart(f: Feature) -> str:
    """What sets a column apart."""
    why = "protected" if f.protected else "immutable" if f.immutable else ""
    return ", ".join(filter(None, [why, "no model sees it" if f.aside else ""]))


COMMANDS = (card,)
