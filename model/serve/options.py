"""How a server is started: what its arguments mean."""

import ipaddress
import re
import ssl
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from model.serve.access.records import RequestLogging
from model.serve.arguments import POLL_SECONDS, SHADOW_SHARE
from model.serve.engines.engine_options import EngineOptions
from model.serve.limits import ServeLimits
from pipeline.errors import ConfigError

POLL_SECONDS_MIN = 0.1
NAMED = re.compile(r"([\w.@:-]+)=(.+)")


@dataclass(frozen=True)
class ServeOptions:
    """Where and for whom a server answers."""

    host: str = "127.0.0.1"
    port: int = 8000
    hosts: tuple[str, ...] = ()  # Host headers accepted beside the local ones
    origins: tuple[str, ...] = ()
    keys: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    log: RequestLogging = RequestLogging.NONE
    aliases: Mapping[str, str] = field(default_factory=dict)
    engine: EngineOptions = field(default_factory=EngineOptions)
    poll_seconds: float = POLL_SECONDS  # between two looks at an alias
    webhook_secret: Path | None = None  # MLflow says that an alias moved
    shadow: str | None = None  # name of the model that is compared with the first
    shadow_share: float = SHADOW_SHARE

    def __post_init__(self) -> None:
        if not self.poll_seconds >= POLL_SECONDS_MIN:
            raise ConfigError(f"--poll: {self.poll_seconds}, wanted at least {POLL_SECONDS_MIN}")
        if self.keys is None and not is_loopback(self.host):
            raise ConfigError(
                f"--host {self.host}: other machines could use the models without a key; give "
                f"--keys FILE (`textmill key NAME --keys FILE` makes one), or leave --host out"
            )
        if not 0 < self.shadow_share <= 1:
            raise ConfigError(f"--shadow-share: {self.shadow_share}, wanted above 0, at most 1")
        if (self.tls_cert is None) is not (self.tls_key is None):
            missing = "--tls-key" if self.tls_key is None else "--tls-cert"
            raise ConfigError(f"TLS needs a certificate and its key: {missing} is missing")
        for origin in self.origins:
            if not re.fullmatch(r"https?://[^/\s]+|null", origin):
                raise ConfigError(
                    f"--allow-origin {origin!r}: wanted an origin without a path, as "
                    f"https://example.org"
                )

    def check_certificate(self) -> None:
        """Raise ConfigError unless the certificate files are there and belong together."""
        if self.tls_cert is None:
            return
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls_cert, self.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"--tls-cert {self.tls_cert}, --tls-key {self.tls_key}: {error}; wanted a "
                f"certificate chain and its unencrypted key, both PEM"
            ) from error


def serve_options(arguments: Namespace) -> ServeOptions:
    """Return what a command line says of the server; raises ConfigError for what cannot be."""
    return ServeOptions(
        host=arguments.host,
        port=arguments.port,
        hosts=tuple(arguments.allow_host),
        origins=tuple(arguments.allow_origin),
        keys=_path(arguments.keys),
        tls_cert=_path(arguments.tls_cert),
        tls_key=_path(arguments.tls_key),
        log=RequestLogging(arguments.log),
        aliases=_aliases(arguments.alias),
        engine=EngineOptions(arguments.engine, arguments.precision, arguments.slots),
        poll_seconds=arguments.poll,
        webhook_secret=_path(arguments.webhook_secret),
        shadow=None if arguments.shadow is None else shadow_name(arguments.shadow),
        shadow_share=arguments.shadow_share,
    )


def serve_limits(arguments: Namespace) -> ServeLimits:
    """Return what a command line says of the limits; raises ConfigError for what cannot be."""
    return ServeLimits(request_seconds_max=arguments.time_limit)


def all_models(arguments: Namespace) -> dict[str, str]:
    """Return the address of each model of a command line by its name, the shadow's last."""
    models = named_models(arguments.model, arguments.name)
    if arguments.shadow is not None:
        name = shadow_name(arguments.shadow)
        if name in models:
            raise ConfigError(f"--shadow {arguments.shadow}: it is served as {name!r} already")
        models[name] = arguments.shadow
    return models


def shadow_name(address: str) -> str:
    """Return what the model behind `--shadow` is called, beside one of the same name."""
    if address.startswith("models:"):
        return address.removeprefix("models:").strip("/")
    return f"{served_name(address)}@shadow"


def named_models(addresses: Sequence[str], name: str | None) -> dict[str, str]:
    """Return the address of each model by the name that clients use.

    `NAME=MODEL` gives a name; else a folder is called as it is, a registered model by its name, the
    second of that name with its alias or version behind an @. Raises ConfigError for equal names.
    """
    if name is not None:
        if len(addresses) > 1:
            raise ConfigError("--name is for one model; write NAME=MODEL for each of several")
        return {name: addresses[0]}
    models: dict[str, str] = {}
    for address in addresses:
        match = NAMED.fullmatch(address)
        if match and not Path(address).is_dir():
            own, address = match.groups()
        else:
            own = served_name(address)
            if own in models and address.startswith("models:"):
                own += "@" + re.split("[@/]", address.removeprefix("models:").strip("/"))[-1]
        if own in models:
            raise ConfigError(
                f"two models are called {own!r}: {models[own]} and {address}; write NAME=MODEL"
            )
        models[own] = address
    return models


def served_name(model: str) -> str:
    """Return what clients call the model by default: its folder's or registered name."""
    if model.startswith("models:"):
        return model.removeprefix("models:").strip("/").partition("@")[0].partition("/")[0]
    return Path(model).resolve().name


def is_loopback(host: str) -> bool:
    """Tell whether only programs of this machine reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _path(given: str | None) -> Path | None:
    return None if given is None else Path(given)


def _aliases(given: Sequence[str]) -> dict[str, str]:
    aliases: dict[str, str] = {}
    for pair in given:
        match = NAMED.fullmatch(pair)
        if match is None:
            raise ConfigError(f"--alias {pair!r}: wanted ALIAS=NAME")
        alias, name = match.groups()
        if alias in aliases:
            raise ConfigError(f"--alias {alias!r} is given twice")
        aliases[alias] = name
    return aliases
