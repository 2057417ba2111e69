"""Serve a model over HTTP: `python -m model.serve MODEL`."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from model.openmp import spin_briefly
from pipeline.errors import TextmillError


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and serve; return the exit code."""
    spin_briefly()
    from model.serve.server import serve  # late: it loads torch

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
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING)
    try:
        folder = served_folder(given.model, given.mlflow_uri)
        name = given.name or served_name(given.model)
        serve(folder, name, given.host, given.port, hosts=given.allow_host)
    except TextmillError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def served_folder(model: str, mlflow_uri: str) -> Path:
    """Return the folder of a path or of a `models:/` address in the store at `mlflow_uri`."""
    if not model.startswith("models:"):
        return Path(model)
    from model.registry import versions
    from model.registry.tracking import TrackingSettings

    cache = Path.home() / ".cache" / "textmill" / "mlflow"
    return versions.resolve(model, TrackingSettings(mlflow_uri, cache))


def served_name(model: str) -> str:
    """Return what clients call the model if nothing else was asked for."""
    if model.startswith("models:"):
        return model.removeprefix("models:").strip("/").partition("@")[0].partition("/")[0]
    return Path(model).resolve().name


if __name__ == "__main__":
    sys.exit(main())
