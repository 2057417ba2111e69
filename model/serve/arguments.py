"""The server's arguments: one table for both command lines, and for the environment."""

from collections.abc import Mapping
from typing import Any

from model.serve.access.records import RequestLogging
from model.serve.engines.engine_options import AUTO, ENGINES, PRECISIONS
from model.serve.limits import REQUEST_SECONDS

POLL_SECONDS = 10.0
SHADOW_SHARE = 0.1
# (flags, keywords) as `ArgumentParser.add_argument` takes them; MODEL stands before them.
ARGUMENTS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--host",), {"default": "127.0.0.1", "help": "address to listen on (127.0.0.1)"}),
    (("--port",), {"type": int, "default": 8000, "help": "port to listen on; 0 takes any (8000)"}),
    (("--name",), {"default": None, "help": "the model's name in the API, where there is one"}),
    (
        ("--alias",),
        {
            "action": "append",
            "default": [],
            "metavar": "ALIAS=NAME",
            "help": "answer under this name too (repeatable)",
        },
    ),
    (
        ("--allow-host",),
        {
            "action": "append",
            "default": [],
            "metavar": "NAME",
            "help": "answer requests addressed to this host name too (repeatable)",
        },
    ),
    (
        ("--allow-origin",),
        {
            "action": "append",
            "default": [],
            "metavar": "ORIGIN",
            "help": "let web pages of this origin ask, as https://example.org (repeatable)",
        },
    ),
    (
        ("--keys",),
        {
            "metavar": "FILE",
            "help": "answer only who sends a key of this file (`textmill key` makes one); "
            "required to listen on other addresses than this machine's own",
        },
    ),
    (("--tls-cert",), {"metavar": "FILE", "help": "certificate chain (PEM): serve HTTPS"}),
    (("--tls-key",), {"metavar": "FILE", "help": "the certificate's private key (PEM)"}),
    (
        ("--engine",),
        {
            "default": AUTO,
            "choices": ENGINES,
            "help": "what writes: llama.cpp where it says what the model says, else our networks "
            "(auto)",
        },
    ),
    (
        ("--precision",),
        {
            "default": AUTO,
            "choices": PRECISIONS,
            "help": "of llama.cpp's weights: 8 bits where a comparison allows it (auto)",
        },
    ),
    (
        ("--slots",),
        {
            "type": int,
            "metavar": "N",
            "help": "texts that llama.cpp writes at a time (16, fewer where memory is short)",
        },
    ),
    (
        ("--shadow",),
        {
            "metavar": "MODEL",
            "help": "let this model answer a share of the first one's requests too, and log how "
            "the answers compare; clients get the first one's",
        },
    ),
    (
        ("--shadow-share",),
        {
            "type": float,
            "default": SHADOW_SHARE,
            "metavar": "SHARE",
            "help": f"of the requests ({SHADOW_SHARE:g})",
        },
    ),
    (
        ("--poll",),
        {
            "type": float,
            "default": POLL_SECONDS,
            "metavar": "SECONDS",
            "help": "how often to ask whether a served alias means another version now "
            f"({POLL_SECONDS:g})",
        },
    ),
    (
        ("--webhook-secret",),
        {
            "metavar": "FILE",
            "help": "also look when MLflow says so: the secret of its webhook, which sends "
            "model_version_alias events to /webhooks/mlflow",
        },
    ),
    (
        ("--time-limit",),
        {
            "type": float,
            "default": REQUEST_SECONDS,
            "metavar": "SECONDS",
            "help": "of a request, until its last token; what is written by then is the answer "
            f"({REQUEST_SECONDS:g})",
        },
    ),
    (
        ("--log",),
        {
            "default": str(RequestLogging.REQUESTS),
            "choices": [str(level) for level in RequestLogging],
            "help": "a line of JSON per request on stderr; texts: also what was asked and answered "
            "(requests)",
        },
    ),
)
PREFIX = "TEXTMILL_SERVE_"
SERVICE_LINK = "tcp://"  # Kubernetes sets NAME_PORT to such an address for a service of that name


def from_environment(environment: Mapping[str, str]) -> list[str]:
    """Return the flags that variables stand for, to be put before those of a command line.

    TEXTMILL_SERVE_TIME_LIMIT is --time-limit; of what may be given more than once, commas stand
    between the values.
    """
    words = []
    for (flag, *_), keywords in ARGUMENTS:
        given = environment.get(PREFIX + flag.strip("-").upper().replace("-", "_"), "")
        repeated = keywords.get("action") == "append"
        values = given.split(",") if repeated else [given]
        words += [
            f"{flag}={value.strip()}"
            for value in values
            if value.strip() and not value.startswith(SERVICE_LINK)
        ]
    return words
