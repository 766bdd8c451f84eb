"""`sublingual nearest`: which languages are typologically nearest (section 4.5)."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from sublingual import languages
from sublingual.cli.common import Json, say, table


def nearest(
    language: Annotated[str, typer.Argument(help="A code, a name, or a UD treebank: fo, Faroese, UD_Faroese-OFT.")],
    as_json: Json = False,
    among: Annotated[str, typer.Option("--among", help="Candidates, by code, with commas between.")] = ",".join(
        languages.TRAINING_CODES
    ),
) -> None:
    """Rank languages by the cosine similarity of their URIEL syntax vectors to LANGUAGE's."""
    record = languages.nearest_record(language, among=[code.strip() for code in among.split(",") if code.strip()])
    if as_json:
        print(json.dumps(record, ensure_ascii=False))
        return
    if record["note"]:
        say(str(record["note"]))
    ranked = record["nearest"]
    assert isinstance(ranked, list)
    table(
        ["code", "language", "similarity"],
        [[n["code"], n["language"], f"{n['similarity']:.4f}"] for n in ranked],
        title=f"Nearest to {record['language']} ({record['code']})",
    )
