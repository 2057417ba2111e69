"""Serve a model over HTTP: `python -m model.serve MODEL`."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from model.openmp import spin_briefly
from model.registry.tracking_settings import TrackingSettings
from pipeline.errors import TextmillError


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and serve; return the exit code."""
    spin_briefly()
    from model.registry.versions import resolve  # late: they load torch
    from model.serve.server import serve

    parser = argparse.ArgumentParser(prog="python -m model.serve", description=__doc__)
    parser.add_argument("model", help="model folder, or models:/NAME@ALIAS")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument(
        "--name", help="model name that clients use; default: the folder's or model's"
    )
    parser.add_argument("--allow-host", action="append", default=[], help="Host header to accept")
    parser.add_argument(
        "--mlflow-uri",
        default=os.environ.get("MLFLOW_TRACKING_URI", ""),
        help="where models:/ addresses are looked up; default: MLFLOW_TRACKING_URI",
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING)
    try:
        folder = resolve(options.model, tracking_at(options.mlflow_uri))
        name = options.name or served_name(options.model)
        serve(folder, name, options.host, options.port, hosts=options.allow_host)
    except TextmillError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def tracking_at(mlflow_uri: str) -> TrackingSettings | None:
    """Return where registered models are looked up; remote ones are kept in the user's cache."""
    if not mlflow_uri:
        return None
    return TrackingSettings(mlflow_uri, Path.home() / ".cache" / "textmill" / "mlflow")


def served_name(model: str) -> str:
    """Return what clients call the model by default: its folder's or registered name."""
    if model.startswith("models:"):
        return model.removeprefix("models:").strip("/").partition("@")[0].partition("/")[0]
    return Path(model).resolve().name


if __name__ == "__main__":
    sys.exit(main())
