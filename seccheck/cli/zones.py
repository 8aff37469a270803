"""Beyond one machine: the verbs worker and export, and the options that name a broker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seccheck.cli.progress import say

if TYPE_CHECKING:
    from seccheck.executors.broker import Broker
    from seccheck.executors.celery import CeleryExecutor
    from seccheck.runfolder import RunFolder

BrokerUrl = Annotated[
    str,
    typer.Option(
        "--broker",
        envvar="SECCHECK_BROKER",
        help="celery: the broker, such as rediss://broker.example:6379/0; without its password.",
    ),
]
BrokerPassword = Annotated[
    str, typer.Option("--broker-password", help="celery: where the password is: env:NAME or file:PATH.")
]
BrokerCa = Annotated[
    Path | None, typer.Option("--broker-ca", help="celery: who signed the broker's certificate (PEM).")
]
Passphrase = Annotated[
    str, typer.Option(help="Where the passphrase of --key is: env:NAME or file:PATH; default: asked for.")
]
Away = Callable[["RunFolder"], "CeleryExecutor"]
"""What makes the executor for a run."""


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    app.command()(worker)
    app.command()(export)


def _broker(url: str, password: str, ca: Path | None) -> Broker:
    from seccheck.cli.keeping import secret
    from seccheck.errors import InputError
    from seccheck.executors.broker import Broker

    if not url:
        raise InputError.at(
            "--broker", "missing: expected the address of the broker", hint="or set SECCHECK_BROKER"
        )
    given = secret("--broker-password", password).decode() if password else ""
    return Broker(url, given, ca)


def coordinator(
    executor: str,
    broker: str,
    password: str,
    ca: Path | None,
    key: Path | None,
    passphrase: str,
    workers: Path | None,
    patience: float,
) -> Away | None:
    """What makes the executor that these options ask for; None for the local one."""
    from seccheck.errors import InputError

    if executor not in {"local", "celery"}:
        raise InputError.at("--executor", f"expected local or celery, found {executor!r}")
    if executor == "local":
        return None
    from seccheck.cli.keeping import secret
    from seccheck.executors.celery import CeleryExecutor
    from seccheck.keys import read_keys, read_secret
    from seccheck.probes import load_probes
    from seccheck.touched import sessions

    place = _broker(broker, password, ca)
    if key is None:
        raise InputError.at(
            "--key",
            "missing: expected the secret key that signs jobs",
            hint="make one with: seccheck bundle keygen NAME --unit NAME",
        )
    if workers is None and not place.local:
        raise InputError.at(
            "--workers",
            "missing: expected a folder with the public keys of the workers, for the broker is on another"
            " machine and whoever reaches it could answer",
            hint="make a key for each worker with: seccheck bundle keygen NAME --unit ZONE",
        )
    known = read_keys(workers) if workers else None
    signer = read_secret(key, secret("--passphrase", passphrase))
    place.app  # noqa: B018  (says now that Celery is missing)

    def make(folder: RunFolder) -> CeleryExecutor:
        return CeleryExecutor(
            place,
            load_probes(),
            plan=folder.plan_digest,
            made=folder.plan.made,
            signer=signer,
            workers=known,
            again=bool(sessions(folder)),
            patience=patience,
            tell=say,
        )

    return make


def say_unreached(folder: RunFolder, executor: CeleryExecutor) -> None:
    """Which zones nobody looked from, and how to go on."""
    for zone, left in sorted(executor.unreached.items()):
        say(f"zone {zone}: {left} looks were not made; they count as not probed")
    say(f"nothing is lost. Continue with: seccheck scan --resume {folder.path} --executor celery …")


def worker(
    zone: Annotated[str, typer.Option(help="The zone that this machine looks from.")],
    trust: Annotated[
        list[Path], typer.Option(help="The public key (.pub.yaml) of a coordinator; may be repeated.")
    ],
    networks: Annotated[
        Path, typer.Option(help="What may be touched from here, and when (networks/1, YAML).")
    ],
    broker: BrokerUrl = "",
    broker_password: BrokerPassword = "",
    broker_ca: BrokerCa = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="This worker's secret key, which signs what it saw.")
    ] = None,
    passphrase: Passphrase = "",
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Orders carried out at once.")] = 8,
) -> None:
    """Look on behalf of coordinators that this machine trusts, within its own networks and hours."""
    from seccheck.boundary import load_networks
    from seccheck.cli.keeping import secret
    from seccheck.errors import InputError
    from seccheck.executors.station import Station, run_station
    from seccheck.keys import read_key, read_secret
    from seccheck.probes import load_probes

    place = _broker(broker, broker_password, broker_ca)
    if key is None and not place.local:
        raise InputError.at(
            "--key",
            "missing: the broker is on another machine, and what this worker saw must be signed",
            hint=f"make one with: seccheck bundle keygen NAME --unit {zone}",
        )
    trusted = {one.id: one for one in map(read_key, trust)}
    own = load_networks(networks)
    signer = read_secret(key, secret("--passphrase", passphrase)) if key else None
    place.app  # noqa: B018  (says now that Celery is missing)
    run_station(
        lambda: Station(place, zone, load_probes(), keys=trusted, own=own, signer=signer, slots=at_once)
    )


def export(
    runs: Annotated[list[Path], typer.Argument(help="One or more finished run folders.")],
    to: Annotated[
        str, typer.Option("--to", envvar="SECCHECK_DATABASE", help="The database; see docs/export.md.")
    ] = "sqlite:///seccheck.db",
    password: Annotated[
        str, typer.Option("--password", help="Where its password is: env:NAME or file:PATH.")
    ] = "",
) -> None:
    """Write finished runs into a database for analysts; a run that is there already is replaced."""
    from seccheck.cli.keeping import secret
    from seccheck.export import Database

    given = secret("--password", password).decode() if password else ""
    with Database(to, given) as database:
        for run in runs:
            systems, findings = database.export(run)
            typer.echo(f"{run}\t{systems} systems\t{findings} findings")
