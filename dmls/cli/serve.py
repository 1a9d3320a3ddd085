"""`dmls serve`: run the service beside one homeserver."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["app"]

app = typer.Typer(add_completion=False)


@app.command()
def serve(
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Directory of the key file and of a SQLite database.")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option("--database", metavar="URL", help="postgresql://user:password@host/name. [default: SQLite in --data]"),
    ] = None,
    server_name: Annotated[
        str | None, typer.Option("--server-name", metavar="NAME", help="Name of the homeserver, as in its users' ids.")
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="ADDRESS", help="host:port of this machine, or unix:path. [default: 127.0.0.1:0]"),
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option("--tls-certificate", metavar="FILE", help="Certificate chain, PEM; followed when it changes.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Its private key, PEM, mode 0600.")] = None,
    tls_client_authority: Annotated[
        Path | None,
        typer.Option("--tls-client-authority", metavar="FILE", help="Who certifies clients, PEM: they must have certificates."),
    ] = None,
    hosting: Annotated[
        bool | None,
        typer.Option("--hosting/--no-hosting", help="Hold devices' keys, encrypt and decrypt for them. [default: no]"),
    ] = None,
    port_file: Annotated[
        Path | None, typer.Option("--port-file", metavar="FILE", help="File that gets the ready line, too.")
    ] = None,
) -> None:
    """Run the service beside one homeserver, until SIGTERM.

    When it is ready it prints one line, {"listening": "127.0.0.1:PORT"}. Every option can also be given in the environment, by
    its name after DMLS_: DMLS_DATA, DMLS_DATABASE, DMLS_SERVER_NAME, DMLS_TLS_KEY and so on.
    """
    from pydantic import ValidationError

    from dmls.service.config import Settings
    from dmls.service.tls import forbid_tls_1_2

    given = {
        "data": data,
        "database": database,
        "server_name": server_name,
        "listen": listen,
        "tls_certificate": tls_certificate,
        "tls_key": tls_key,
        "tls_client_authority": tls_client_authority,
        "hosting": hosting,
        "port_file": port_file,
    }
    told: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    try:
        settings = Settings(**told)
    except ValidationError as error:
        for each in error.errors():
            name = "--" + "-".join(str(part) for part in each["loc"]).replace("_", "-") + ": " if each["loc"] else ""
            typer.echo(f"dmls: {name}{each['msg'].removeprefix('Value error, ')}", err=True)
        raise typer.Exit(2) from None
    if settings.tls is not None:
        forbid_tls_1_2(settings.tls)
    # Only now: grpc reads its environment when it is loaded.
    from dmls.service.app import serve as run
    from dmls.service.logs import configure_logs

    configure_logs()
    run(settings)
