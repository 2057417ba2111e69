"""Serve models over HTTP: `python -m model.serve MODEL`."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from model.openmp import spin_briefly
from model.registry.tracking_settings import TrackingSettings
from model.serve.access.records import show_request_log
from model.serve.arguments import ARGUMENTS, from_environment
from model.serve.options import all_models, serve_limits, serve_options
from pipeline import otlp
from pipeline.errors import TextmillError
from pipeline.json_log import write_json_log


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and serve; return the exit code."""
    spin_briefly()
    from model.serve.server import serve  # late: they load torch
    from model.serve.shadow import show_shadow_log
    from model.serve.sources import source_of

    parser = argparse.ArgumentParser(prog="python -m model.serve", description=__doc__)
    parser.add_argument("model", nargs="+", help="model folder, models:/NAME@ALIAS, or NAME=either")
    for flags, keywords in ARGUMENTS:
        parser.add_argument(*flags, **keywords)
    parser.add_argument(
        "--mlflow-uri",
        default=os.environ.get("MLFLOW_TRACKING_URI", ""),
        help="where models:/ addresses are looked up; default: MLFLOW_TRACKING_URI",
    )
    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        default=os.environ.get("TEXTMILL_LOG_FORMAT") or "text",
        help="json: stderr is a line of JSON per event",
    )
    given = sys.argv[1:] if arguments is None else arguments
    options = parser.parse_args([*from_environment(os.environ), *given])
    if options.log_format == "json":
        write_json_log(logging.INFO)
    else:
        logging.basicConfig(level=logging.WARNING)
    show_request_log()
    show_shadow_log()
    try:
        otlp.export_if_asked(os.environ)
        tracking = tracking_at(options.mlflow_uri)
        named = all_models(options)
        sources = [source_of(name, address, tracking) for name, address in named.items()]
        serve(sources, serve_options(options), serve_limits(options))
    except TextmillError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def tracking_at(mlflow_uri: str) -> TrackingSettings | None:
    """Return where registered models are looked up; remote ones are kept in the user's cache."""
    if not mlflow_uri:
        return None
    return TrackingSettings(mlflow_uri, Path.home() / ".cache" / "textmill" / "mlflow")


if __name__ == "__main__":
    sys.exit(main())
