"""The one command. Each subcommand imports what it needs when it runs.

Exit codes: 0 done, 1 failed, 2 misused, 130 interrupted, 75 run the same command again: stopped on
request with a checkpoint, or another run of the recipe is at work. Progress goes to stderr; --json
prints one object at the end.
"""

import argparse
import errno
import importlib
import json
import logging
import os
import sys
from collections.abc import Sequence

from flows.commands.command import Argument, Command
from flows.commands.leftovers import no_leftovers
from flows.commands.parser import Parser
from flows.commands.shared_arguments import SET, SOURCES
from flows.commands.table import COMMANDS
from flows.environment import read_environment
from model.openmp import spin_briefly
from model.serve.arguments import from_environment
from pipeline import otlp
from pipeline.errors import ConfigError, Interrupted, RunAtWork, TextmillError
from pipeline.reading.addresses import refuse_address, without_secrets
from pipeline.store.disk_space import is_full
from pipeline.without_pandas import pass_by_pandas

EXIT_FAILED = 1
EXIT_MISUSED = 2
EXIT_RESUMABLE = 75  # EX_TEMPFAIL of sysexits.h: schedulers take it as "run it again"
EXIT_INTERRUPTED = 130

EXAMPLES = """\
examples:
  textmill run quickstart                    the whole chain on the quickstart corpus
  textmill run smoke --source my-texts/      the same on a folder of yours
  textmill plan quickstart --budget 10m      what training will take, what size suits
  textmill compare optimizer=adamw,muon      variants at equal tokens, side by side
  textmill explain quickstart                what would be made again, and why
  textmill clean my-texts/ --out cleaned     one stage on its own files
  textmill generate models:/quickstart@champion "人工智能"
  textmill evaluate models:/quickstart@champion --tasks sentiment,topic --shots 2
  textmill finetune models:/quickstart@champion chats.jsonl --out tuned
  textmill export models:/quickstart@champion --format onnx --int8 --out exported
  textmill trace my-texts/a.txt              where its documents went, which versions read them
  textmill forget my-texts/a.txt             never ingest it again, nor near copies
  textmill prune --all --dry-run             what could be removed from the store, and why
  textmill reproduce quickstart/1            make a version again, byte for byte
  textmill backup ../backup                  copy the store while everything runs
  textmill up                                Prefect, MLflow and a worker on this machine
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; the console script exits with it."""
    spin_briefly()
    parser = build_parser()
    given = sys.argv[1:] if arguments is None else arguments
    if not given:  # as git and docker do
        parser.print_help(sys.stderr)
        return EXIT_MISUSED
    if given[0] == "serve":
        given = ["serve", *from_environment(os.environ), *given[1:]]
    options = parser.parse_args(given)
    try:
        _begin_log(options)
        otlp.export_if_asked(os.environ)
        refuse_address(getattr(options, "out", None) or "", "--out")
        pass_by_pandas()
        module, function = options.row.target
        work = getattr(importlib.import_module(module), function)
        with no_leftovers(_out_folder(options)):
            result = work(options)
    except ConfigError as error:
        return _fail(error, EXIT_MISUSED, options)
    except (Interrupted, RunAtWork) as error:
        return _fail(error, EXIT_RESUMABLE, options)
    except TextmillError as error:
        return _fail(error, EXIT_FAILED, options)
    except OSError as error:
        return _fail(_named(error), EXIT_FAILED, options)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:
        if not is_full(error):
            raise
        return _fail(_named(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))), EXIT_FAILED, options)
    if options.json and result is not None:
        print(json.dumps(result, ensure_ascii=False, sort_keys=True))
    return 0


def _begin_log(options: argparse.Namespace) -> None:
    """Log to stderr: text from warnings on, or JSON, which has every event."""
    if (options.log_format or read_environment().log_format) == "json":
        from pipeline.json_log import write_json_log

        write_json_log(logging.DEBUG if options.verbose else logging.INFO)
        return
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


def _out_folder(options: argparse.Namespace) -> str | None:
    return None if options.row.out_is_file else getattr(options, "out", None)


def _named(error: OSError) -> TextmillError:
    location = error.filename or "the disk or the network"
    reason = error.strerror or str(error)
    if is_full(error):
        return TextmillError(
            f"{location}: {os.strerror(errno.ENOSPC)}; free some and run the same command again: "
            f"it goes on from what is finished"
        )
    return TextmillError(
        f"{location}: {reason}; check the path, its permissions and the free space"
    )


def _fail(error: TextmillError, code: int, options: argparse.Namespace) -> int:
    print(f"textmill: {without_secrets(str(error))}", file=sys.stderr)
    if "overrides" in options:
        from flows.commands.hints import set_line

        hint = set_line(str(error))
        if hint is not None:
            print(f"  {hint}", file=sys.stderr)
    return code


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every subcommand; a test freezes its help."""
    parser = Parser(
        prog="textmill",
        description="From raw text to a registered, served language model.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    common = Parser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    common.add_argument("--workers", type=int, metavar="N", help="processes (default: all CPUs)")
    common.add_argument("--store", metavar="DIR", help="where artifacts live (default: ./store)")
    common.add_argument("--verbose", action="store_true", help="log what happens to stderr")
    common.add_argument(
        "--log-format", choices=("text", "json"), help="json: stderr is a line of JSON per event"
    )
    for command in COMMANDS:
        subparser = commands.add_parser(
            command.name, help=command.help, description=command.help, parents=[common]
        )
        subparser.set_defaults(command=command.name, row=command)
        for wanted in _arguments_of(command):
            subparser.add_argument(*wanted.flags, **wanted.keywords)
    return parser


def _arguments_of(command: Command) -> tuple[Argument, ...]:
    """Return a command's own arguments and those it shares, in the order of its help."""
    sources = (SOURCES,) if command.takes_sources else ()
    settings = (SET,) if command.takes_set else ()
    return (*sources, *command.arguments, *settings)


if __name__ == "__main__":
    sys.exit(main())
