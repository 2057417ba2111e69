"""Every command of `textmill`: a row here, its work in a file beside this one."""

from flows.commands.command import Command, argument
from flows.commands.data_arguments import CLEAN, CONVERT, DEDUP, TOKENIZER, WHAT_IF
from flows.commands.model_arguments import (
    COMPARE,
    EVALUATE,
    EXPORT,
    FINETUNE,
    GENERATE,
    KEY,
    SAMPLING,
    SERVER,
    TRANSFER,
)
from flows.commands.shared_arguments import IN, LAUNCH, MODEL, OUT, RECIPE
from flows.commands.store_arguments import CARD, FORGET, PRUNE, REPORT, RETRAIN, SCHEDULE, TRACE

RUN = (
    argument("--dry-run", action="store_true", help="print the resolved recipe"),
    argument(
        "--data-docs",
        metavar="DIR",
        help="also build Great Expectations' own pages (they load assets from outside)",
    ),
)
NAME = argument("name", metavar="NAME", help="name of the registered model")
PLAN = (
    argument(
        "--budget",
        metavar="TIME",
        help="propose the size that uses this training time best: 90s, 30m, 2h, 1d",
    ),
    argument(
        "--price",
        type=float,
        metavar="PER_HOUR",
        help="what an hour of this machine costs, in your currency; the plan then says what "
        "training costs",
    ),
    argument("--seconds", type=float, default=4.0, help="how long to measure a size (4)"),
)
PORTS = (
    argument("--prefect-port", type=int, default=4200, help="Prefect's port (4200)"),
    argument("--mlflow-port", type=int, default=5000, help="MLflow's port (5000)"),
    argument(
        "--database",
        metavar="ADDRESS",
        help="keep Prefect's and MLflow's tables in PostgreSQL: postgresql://USER:${NAME}@HOST/DB; "
        "the store remembers it",
    ),
    argument("--no-deploy", action="store_true", help="start the servers, register no flows"),
)

REPRODUCE = (
    argument("model", metavar="VERSION", help="NAME/3, or models:/NAME@champion"),
    argument("--check", action="store_true", help="compare only: inputs, config, code, machine"),
    argument(
        "--out",
        metavar="DIR",
        help="keep what is made in this folder (default: in the store, until it is compared)",
    ),
)
ABLATE = (
    RECIPE,
    argument("--seeds", type=int, default=3, metavar="N", help="trainings of each arm (3)"),
    argument(
        "--arm",
        action="append",
        default=[],
        metavar="NAME",
        help="leave out this alone: a rule, all-rules, near-duplicates, source:NAME (repeatable)",
    ),
    *LAUNCH,
)

COMMANDS = (
    Command(
        "run",
        "run",
        "Run the whole chain of a recipe.",
        (RECIPE, *LAUNCH, *RUN),
        takes_set=True,
        takes_sources=True,
    ),
    Command(
        "explain",
        "run",
        "Say what a run would make again, and why.",
        (RECIPE,),
        takes_set=True,
        takes_sources=True,
    ),
    Command(
        "plan",
        "plan",
        "Measure a few steps; predict time, memory, disk, FLOPs and money of training.",
        (RECIPE, *PLAN),
        takes_set=True,
        takes_sources=True,
    ),
    Command(
        "report",
        "report",
        "Write the page of a run or version from its records; compare two.",
        REPORT,
        out_is_file=True,
    ),
    Command(
        "card",
        "card",
        "Write a card that others ask for, from the records of a run or version.",
        CARD,
        out_is_file=True,
    ),
    Command("prune", "prune", "Remove what no kept run or model version needs.", PRUNE),
    Command(
        "retrain",
        "retrain",
        "Say whether a recipe's files are new since its last run; retrain on them now.",
        RETRAIN,
        takes_set=True,
        takes_sources=True,
    ),
    Command(
        "reproduce",
        "reproduce",
        "Make a registered version again, byte for byte, or name the first thing that differs.",
        REPRODUCE,
        takes_set=True,
        takes_sources=True,
    ),
    Command(
        "schedule",
        "schedule",
        "List what starts runs by itself; pause or resume it.",
        SCHEDULE,
    ),
    Command(
        "deploy",
        "deploy",
        "Register work pool, deployments and automations on a Prefect server.",
        (argument("--server", metavar="URL", help="default: PREFECT_API_URL, or that of `up`"),),
    ),
    Command(
        "backup",
        "backup",
        "Copy the store while it is in use.",
        (argument("folder", metavar="DIR", help="folder of the copy: empty, or not there yet"),),
    ),
    Command(
        "trace",
        "trace",
        "Say where a document went, and which versions read it; or what a version was made of.",
        TRACE,
    ),
    Command(
        "forget",
        "forget",
        "Never ingest a document again, nor near copies of it; say who holds it, in a receipt.",
        FORGET,
    ),
    Command("up", "up", "Start Prefect, MLflow and a worker here; Ctrl-C ends them.", PORTS),
    Command(
        "rules",
        "rules",
        "List profiles, rules with bounds, repairs, edits, readers.",
        (argument("--profile", help="whose bounds to show (web)"),),
    ),
    Command("ingest", "stages", "Read files into documents with ids.", (IN, OUT), takes_set=True),
    Command("clean", "stages", "Repair and filter documents.", (IN, OUT, *CLEAN), takes_set=True),
    Command(
        "what-if",
        "what_if",
        "Show what a clean artifact would keep as each threshold moves.",
        WHAT_IF,
        takes_set=True,
        out_is_file=True,
    ),
    Command("dedup", "stages", "Remove exact and near copies.", (IN, OUT, *DEDUP), takes_set=True),
    Command(
        "tokenizer",
        "tokenizer",
        "Train a SentencePiece tokenizer; check, take over or convert one.",
        (IN, *TOKENIZER),
        takes_set=True,
    ),
    Command(
        "shard",
        "stages",
        "Turn documents into tokens, split in two.",
        (IN, OUT, argument("--tokenizer", required=True, metavar="DIR", help="its artifact")),
        takes_set=True,
    ),
    Command(
        "convert",
        "convert",
        "Write shards for nanoGPT, Megatron-LM or datatrove, or make shards of their token files.",
        CONVERT,
    ),
    Command(
        "train",
        "stages",
        "Train a model on shards.",
        (
            argument("input", nargs=1, metavar="SHARDS", help="the artifact of `shard`"),
            OUT,
            argument("--recipe", metavar="FILE", help="take [train] from this recipe"),
            *LAUNCH,
        ),
        takes_set=True,
    ),
    Command(
        "compare",
        "compare",
        "Train variants at equal tokens: optimizer=adamw,muon learning_rate=1e-3,3e-3 seed=1,2.",
        COMPARE,
        takes_set=True,
    ),
    Command(
        "ablate",
        "ablate",
        "Say what each rule, kind of dedup and source is worth: train with one left out each.",
        ABLATE,
        takes_set=True,
        takes_sources=True,
    ),
    Command(
        "finetune",
        "finetune",
        "Teach a model from prompts with answers, or conversations.",
        (MODEL, OUT, *FINETUNE),
        takes_set=True,
    ),
    Command(
        "transfer",
        "transfer",
        "Report what a model's training is worth: transferred, from scratch, linear baseline.",
        (MODEL, OUT, *TRANSFER),
        takes_set=True,
    ),
    Command(
        "evaluate",
        "evaluate",
        "Score a model on held-out documents, under probes and on tasks.",
        (MODEL, *EVALUATE),
        takes_set=True,
    ),
    Command(
        "generate",
        "model",
        "Continue a prompt.",
        (
            MODEL,
            argument("prompt", metavar="PROMPT", help="the text to continue"),
            *GENERATE,
            *SAMPLING,
        ),
    ),
    Command("serve", "model", "Serve models over HTTP, as OpenAI's API does.", SERVER),
    Command("key", "model", "Make a key for a server that other machines may use.", KEY),
    Command(
        "promote",
        "champion",
        "Make a version champion by hand, or refuse one that waits for a person.",
        (
            NAME,
            argument("version", type=int, metavar="VERSION", help="its number"),
            argument("--because", required=True, metavar="TEXT", help="why; kept with the version"),
            argument(
                "--over",
                type=int,
                metavar="VERSION",
                help="the champion it takes over from, if not the one it was held against",
            ),
            argument("--refuse", action="store_true", help="the champion stays, for this reason"),
        ),
    ),
    Command(
        "rollback",
        "champion",
        "Put the previous champion back.",
        (
            NAME,
            argument(
                "--because",
                default="no reason was given",
                metavar="TEXT",
                help="why; kept with both versions",
            ),
        ),
    ),
    Command(
        "export",
        "export",
        "Write a model for transformers, llama.cpp or onnxruntime, compared with it.",
        (MODEL, *EXPORT),
    ),
)
