"""`dmls token`: the bearer tokens of a service."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from devicestore import Connection

__all__ = ["app"]

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Make, list and revoke the bearer tokens of a service.")

T = TypeVar("T")
Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", envvar="DMLS_DATA", help="The service's data directory.")]
Database = Annotated[
    str | None, typer.Option("--database", metavar="URL", envvar="DMLS_DATABASE", help="The service's PostgreSQL, if it has one.")
]
_HOUR_MS = 3_600_000


@app.command()
def create(
    scope: Annotated[str, typer.Argument(help="homeserver, operator or device.")],
    subject: Annotated[str, typer.Argument(help="For a device: '@user:server DEVICE'.")] = "",
    server_name: Annotated[
        str, typer.Option("--server-name", metavar="NAME", envvar="DMLS_SERVER_NAME", help="The homeserver served.")
    ] = "",
    hours: Annotated[int | None, typer.Option("--hours", min=1, help="How long it is good for. [default: until revoked]")] = None,
    data: Data = None,
    database: Database = None,
) -> None:
    """Make a token and print it. It is shown this once: the store has a digest of it only."""
    from devicestore import tokens
    from devicestore.tokens import TokenRow
    from dmls.ids import ServerName
    from dmls.service.tokens import check_subject, digest_of, make_token

    check_subject(scope, subject, ServerName(server_name))
    token, now_ms = make_token(), time.time_ns() // 1_000_000
    expires_at_ms = None if hours is None else now_ms + hours * _HOUR_MS
    row = TokenRow(digest_of(token) or b"", scope, subject, now_ms, expires_at_ms)
    _write(data, database, lambda conn: tokens.create(conn, row))
    typer.echo(token)


@app.command(name="list")
def list_tokens(data: Data = None, database: Database = None) -> None:
    """List the tokens: the beginning of each one's digest, what its bearer may be, and whether it is good."""
    from devicestore import tokens

    now_ms = time.time_ns() // 1_000_000
    for row in _write(data, database, tokens.list_tokens):
        state = "revoked" if row.revoked_at_ms is not None else "good" if row.is_valid(now_ms) else "over"
        typer.echo(f"{row.digest.hex()[:16]}  {row.scope:10}  {state:7}  {row.subject}".rstrip())


@app.command()
def revoke(
    digest: Annotated[str, typer.Argument(help="The beginning of its digest, as `list` shows it; or the token.")],
    data: Data = None,
    database: Database = None,
) -> None:
    """Let a token be worth nothing from now on; a running service knows of it within five seconds."""
    from devicestore import tokens
    from dmls.errors import NotFoundError
    from dmls.service.tokens import digest_of

    now_ms = time.time_ns() // 1_000_000
    wanted = digest_of(digest)
    prefix = digest.lower() if wanted is None else wanted.hex()

    def work(conn: Connection) -> int:
        found = [row.digest for row in tokens.list_tokens(conn) if row.digest.hex().startswith(prefix)]
        return sum(tokens.revoke(conn, each, now_ms=now_ms) for each in found) if len(found) == 1 else -len(found)

    revoked = _write(data, database, work)
    if revoked < 0:
        raise NotFoundError("several tokens begin so; give more of the digest")
    typer.echo("revoked" if revoked else "there is no such token, or it was revoked before")
    if not revoked:
        raise typer.Exit(1)


def _write(data: Path | None, database: str | None, work: Callable[[Connection], T]) -> T:
    from devicestore import write_beside
    from devicestore.errors import StoreError
    from dmls.errors import InvalidArgumentError, StateError
    from dmls.rooms.public import SERVICE_DATABASE

    if data is None and database is None:
        raise InvalidArgumentError("say where the service's store is, by --data or --database")
    url = database or f"sqlite:///{((data or Path()) / SERVICE_DATABASE).resolve()}"
    try:
        return write_beside(url, work)
    except StoreError as error:
        raise StateError(str(error)) from None
