"""The command line: `cfq run | study | ls | show | report | data | export | audit | parts | doctor | ...`, joined here.

Exit code 0; or one line on stderr and 2 for bad input, 1 for a failure.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import traceback
from pathlib import Path

import click

from cfq_core import __version__
from cfq_core.base.errors import CfqError
from cfq_core.base.memory import collect_seldom
from cfq_core.base.whole import system_refused
from cfq_core.commands import card, data, files, installed, log, papers, serve, studies


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cfq")
def cli() -> None:
    """Does the recourse we promised survive at b bits?"""


for command in (
    *studies.COMMANDS,
    *data.COMMANDS,
    *card.COMMANDS,
    *files.COMMANDS,
    *papers.COMMANDS,
    *installed.COMMANDS,
    *serve.COMMANDS,
    *log.COMMANDS,
):
    cli.add_command(command)


def main() -> None:
    """Entry point: one line on stderr instead of a traceback for whatever a user can cause."""
    collect_seldom()
    try:
        cli(standalone_mode=False)
    except CfqError as problem:
        click.echo(problem.line(), err=True)
        sys.exit(problem.exit_code)
    except click.exceptions.NoArgsIsHelpError as problem:
        click.echo(problem.format_message())
    except click.UsageError as problem:
        click.echo(f"BadInput: {problem.format_message()}", err=True)
        sys.exit(2)
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped; finished runs are stored, run the same command to go on", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except (OSError, sqlite3.Error) as problem:
        click.echo(system_refused(problem).line(), err=True)
        sys.exit(1)
    except MemoryError:
        click.echo("SystemRefused: not enough memory; ask for fewer people, or a smaller table", err=True)
        sys.exit(1)
    except Exception as problem:
        if os.environ.get("CFQ_TRACE"):
            raise
        click.echo(_fault(problem), err=True)
        sys.exit(1)


def _fault(problem: Exception) -> str:
    """A mistake of ours in one line: what, and where."""
    ours = [f for f in traceback.extract_tb(problem.__traceback__) if "cfq_core" in f.filename]
    where = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    said = " ".join(str(problem).split())[:200]
    return f"Fault: {type(problem).__name__}: {said}{where}; this is a mistake of cfq: CFQ_TRACE=1 shows it whole"


if __name__ == "__main__":
    main()
