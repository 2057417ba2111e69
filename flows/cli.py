"""The one command. Each subcommand imports what it needs when it runs.

Exit codes: 0 done, 1 failed, 2 misused, 75 stopped on request with a checkpoint (the same command
goes on), 130 interrupted elsewhere. Progress goes to stderr; --json prints one object at the end.
"""

import argparse
import errno
import importlib
import json
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

from flows.commands.leftovers import no_leftovers
from flows.commands.parser import Parser
from flows.commands.table import (
    COMPARE,
    EVALUATE,
    EXPORT,
    FINETUNE,
    GENERATE,
    LAUNCH,
    SOURCES,
    TOKENIZER,
    TRANSFER,
)
from flows.commands.table import argument as _argument
from pipeline.errors import ConfigError, Interrupted, TextmillError
from pipeline.reading.addresses import refuse_address, without_secrets
from pipeline.store.disk_space import is_full

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
  textmill export models:/quickstart@champion --format gguf --int8 --out exported
  textmill up                                Prefect, MLflow and a worker on this machine
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; the console script exits with it."""
    parser = build_parser()
    given = sys.argv[1:] if arguments is None else arguments
    if not given:  # as git and docker do
        parser.print_help(sys.stderr)
        return EXIT_MISUSED
    options = parser.parse_args(given)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        refuse_address(getattr(options, "out", None) or "", "--out")
        command = importlib.import_module(options.module)
        with no_leftovers(_out_folder(options)):
            result = getattr(command, options.function)(options)
    except ConfigError as error:
        return _fail(error, EXIT_MISUSED, options)
    except Interrupted as error:
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


def _out_folder(options: argparse.Namespace) -> str | None:
    return None if options.command in FILE_OUT else getattr(options, "out", None)


def _named(error: OSError) -> TextmillError:
    place = error.filename or "the disk or the network"
    reason = error.strerror or str(error)
    if is_full(error):
        return TextmillError(
            f"{place}: {os.strerror(errno.ENOSPC)}; free some and run the same command again: it "
            f"goes on from what is finished"
        )
    return TextmillError(f"{place}: {reason}; check the path, its permissions and the free space")


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
    recipe = Parser(add_help=False)
    _add_set(recipe)
    recipe.add_argument(*SOURCES[0], **SOURCES[1])
    for name, module, function, helptext, arguments in COMMANDS:
        parents = [common, recipe] if name in ("run", "explain", "plan") else [common]
        command = commands.add_parser(name, help=helptext, description=helptext, parents=parents)
        command.set_defaults(module=module, function=function, command=name)
        for flags, keywords in arguments:
            command.add_argument(*flags, **keywords)
        if name in STAGE_COMMANDS:
            _add_set(command)
    return parser


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="change one setting, as in --set train.steps=100 (repeatable)",
    )  # fmt: skip


_OUT = _argument("--out", required=True, metavar="DIR", help="folder of the artifact to write")
_IN = _argument(
    "input", nargs="+", metavar="IN", help="an artifact folder, or files and folders of raw text"
)
_MODEL = _argument("model", metavar="MODEL", help="a model folder, or models:/name@alias")
_SAMPLING = (
    _argument("--max-tokens", type=int, default=64, metavar="N", help="tokens to add (64)"),
    _argument("--temperature", type=float, default=0.8, help="0 takes the likeliest (0.8)"),
    _argument("--top-k", type=int, default=None, help="sample among the K likeliest"),
    _argument("--top-p", type=float, default=None, help="sample within this probability"),
    _argument(
        "--min-p",
        type=float,
        default=None,
        help="sample what is at least this many times as likely as the likeliest",
    ),
    _argument(
        "--repetition-penalty",
        type=float,
        default=None,
        metavar="X",
        help="above 1: tokens that were there before are less likely",
    ),
    _argument(
        "--beams",
        type=int,
        default=None,
        metavar="N",
        help="search for the likeliest text among N at a time instead of sampling",
    ),
    _argument(
        "--stop",
        action="append",
        default=[],
        metavar="TEXT",
        help="end before this text (repeatable)",
    ),
    _argument("--seed", type=int, default=0, help="same seed, same text (0)"),
)
_SERVER = (
    _argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)"),
    _argument("--port", type=int, default=8000, help="port to listen on (8000)"),
    _argument("--name", default=None, help="the model's name in the API"),
    _argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="answer requests addressed to this host name too (repeatable)",
    ),
)
_PLAN = (
    _argument("--budget", metavar="TIME",
              help="propose the size that uses this training time best: 90s, 30m, 2h, 1d"),
    _argument("--price", type=float, metavar="PER_HOUR",
              help="what an hour of this machine costs, in your currency; the plan then says what "
              "training costs"),
    _argument("--seconds", type=float, default=4.0, help="how long to measure a size (4)"),
)  # fmt: skip
_PORTS = (
    _argument("--prefect-port", type=int, default=4200, help="Prefect's port (4200)"),
    _argument("--mlflow-port", type=int, default=5000, help="MLflow's port (5000)"),
    _argument("--no-deploy", action="store_true", help="start the servers, register no flows"),
)
_RECIPE = _argument("recipe", metavar="RECIPE", help="a recipe's name or a .toml file")

FILE_OUT = ("what-if",)  # whose --out is a file
TOKEN_FORMATS = ("nanogpt", "megatron", "datatrove")
STAGE_COMMANDS = (
    "ingest", "clean", "what-if", "dedup", "tokenizer", "shard", "train", "compare", "finetune",
    "transfer", "evaluate",
)  # fmt: skip
COMMANDS: tuple[tuple[str, str, str, str, tuple[Any, ...]], ...] = (  # name, module, function, help
    ("run", "flows.commands.run", "run", "Run the whole chain of a recipe.",
     (_RECIPE, *LAUNCH,
      _argument("--dry-run", action="store_true", help="print the resolved recipe"),
      _argument("--data-docs", metavar="DIR",
                help="also build Great Expectations' own pages (they load assets from outside)"))),
    ("explain", "flows.commands.run", "explain", "Say what a run would make again, and why.",
     (_RECIPE,)),
    ("plan", "flows.commands.plan", "plan",
     "Measure a few steps; predict time, memory, disk, FLOPs and money of training.",
     (_RECIPE, *_PLAN)),
    ("up", "flows.commands.up", "up",
     "Start Prefect, MLflow and a worker here; Ctrl-C ends them.", _PORTS),
    ("rules", "flows.commands.rules", "rules",
     "List profiles, rules with bounds, repairs, edits, readers.",
     (_argument("--profile", help="whose bounds to show (web)"),)),
    ("ingest", "flows.commands.stages", "ingest", "Read files into documents with ids.",
     (_IN, _OUT)),
    ("clean", "flows.commands.stages", "clean", "Repair and filter documents.",
     (_IN, _OUT, _argument("--profile", help="set of thresholds; see `textmill rules`"),
      _argument("--rethreshold", action="store_true",
                help="IN is a clean artifact: judge it again by its measures, reading no text"))),
    ("what-if", "flows.commands.what_if", "what_if",
     "Show what a clean artifact would keep as each threshold moves.",
     (_argument("artifact", metavar="CLEANED", help="the artifact of `clean`"),
      _argument("--out", metavar="FILE", help="the page to write (default: beside the artifact)"),
      _argument("--profile", help="thresholds to start from (default: the artifact's own)"),
      _argument("--rule", action="append", metavar="NAME", help="only this rule (repeatable)"))),
    ("dedup", "flows.commands.stages", "dedup", "Remove exact and near copies.",
     (_IN, _OUT, _argument("--threshold", type=float, help="Jaccard similarity of a copy (0.8)"),
      _argument("--add-to", metavar="DEDUPED",
                help="add IN to this artifact, as if all had been deduplicated at once"))),
    ("tokenizer", "flows.commands.tokenizer", "tokenizer",
     "Train a SentencePiece tokenizer; check, take over or convert one.", (_IN, *TOKENIZER)),
    ("shard", "flows.commands.stages", "shard", "Turn documents into tokens, split in two.",
     (_IN, _OUT, _argument("--tokenizer", required=True, metavar="DIR", help="its artifact"))),
    ("convert", "flows.commands.convert", "convert",
     "Write shards for nanoGPT, Megatron-LM or datatrove, or make shards of their token files.",
     (_argument("input", metavar="IN", help="shards, or with --from a folder of token files"), _OUT,
      _argument("--to", dest="to_format", metavar="FORMAT", choices=TOKEN_FORMATS,
                help=f"write IN, the artifact of `shard`, as {', '.join(TOKEN_FORMATS)}"),
      _argument("--from", dest="from_format", metavar="FORMAT", choices=TOKEN_FORMATS,
                help="make shards of IN: train.bin, val.bin (nanogpt), SPLIT_text_document.bin and "
                     ".idx (megatron), SPLIT/00000.ds (datatrove); SPLIT is train or validation"),
      _argument("--tokenizer", metavar="DIR",
                help="with --from: what the tokens were made with (default: the folder's own)"),
      _argument("--source", metavar="NAME", help="with --from: the source (the folder's name)"),
      _argument("--lang", help="with --from: the documents' language (und)"))),
    ("train", "flows.commands.stages", "train", "Train a model on shards.",
     (_argument("input", nargs=1, metavar="SHARDS", help="the artifact of `shard`"), _OUT,
      _argument("--recipe", metavar="FILE", help="take [train] from this recipe"), *LAUNCH)),
    ("compare", "flows.commands.compare", "compare",
     "Train variants at equal tokens: optimizer=adamw,muon learning_rate=1e-3,3e-3 seed=1,2.",
     COMPARE),
    ("finetune", "flows.commands.finetune", "finetune",
     "Teach a model from prompts with answers, or conversations.", (_MODEL, _OUT, *FINETUNE)),
    ("transfer", "flows.commands.transfer", "transfer",
     "Report what a model's training is worth: transferred, from scratch, linear baseline.",
     (_MODEL, _OUT, *TRANSFER)),
    ("evaluate", "flows.commands.evaluate", "evaluate",
     "Score a model on held-out documents, under probes and on tasks.", (_MODEL, *EVALUATE)),
    ("generate", "flows.commands.model", "generate", "Continue a prompt.",
     (_MODEL, _argument("prompt", metavar="PROMPT", help="the text to continue"), *GENERATE,
      *_SAMPLING)),
    ("serve", "flows.commands.model", "serve", "Serve a model over HTTP, as OpenAI's API does.",
     (_MODEL, *_SERVER)),
    ("export", "flows.commands.export", "export",
     "Write a model for transformers, llama.cpp or onnxruntime, compared with it.",
     (_MODEL, *EXPORT)),
)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
