"""Arguments of commands that make, try or hand over a model."""

from flows.commands.command import argument
from flows.commands.shared_arguments import LAUNCH, SOURCES
from model.serve.arguments import ARGUMENTS

# written out: importing `model.evaluation.tasks.table` for `--help` would cost a second
EVALUATION_TASKS = (
    "sentiment",
    "topic",
    "qa",
    "translate_en_zh",
    "translate_zh_en",
    "summarisation",
    "arithmetic",
    "code",
)
# written out for the same reason, from `pipeline.prompts.task_templates`
TASK_NAMES = (
    "chat",
    "preference",
    "classification",
    "sentiment",
    "summarisation",
    "translation",
    "qa",
    "arithmetic",
    "code",
)
EVALUATE = (
    argument(
        "shards",
        nargs="?",
        metavar="SHARDS",
        help="the artifact of `shard`: score its held-out documents too",
    ),
    argument(
        "--tasks", metavar="NAMES", help=f"comma-separated, or all: {', '.join(EVALUATION_TASKS)}"
    ),
    argument("--shots", type=int, default=0, metavar="K", help="solved examples in a prompt (0)"),
    argument("--examples", type=int, default=100, metavar="N", help="questions per task (100)"),
    argument(
        "--data",
        action="append",
        default=[],
        metavar="TASK=FILE",
        help="rows to ask instead of the few that come along: JSON, CSV, TSV, Parquet (repeatable)",
    ),
    argument("--seed", type=int, help="what is drawn: rows, shots, samples, resamples (0)"),
    argument("--recipe", metavar="FILE", help="take [evaluate] from this recipe"),
    argument("--out", metavar="DIR", help="also write report.md, figures and examples there"),
    argument(
        "--log",
        action="store_true",
        help="add figures of probes and tasks to the MLflow run behind models:/NAME@ALIAS",
    ),
    argument(
        "--lm-eval",
        metavar="DIR",
        help="write the questions as tasks for EleutherAI's lm-eval, ask nothing",
    ),
)
FINETUNE = (
    argument(
        "data",
        nargs="+",
        metavar="DATA",
        help="files or folders of records (JSON, CSV, TSV, Parquet) with messages, a question "
        "and its answer, or the task's fields; or an artifact of examples",
    ),
    argument(
        "--task",
        metavar="NAME",
        help=f"what the records are: {', '.join(TASK_NAMES)} (default: told by their fields)",
    ),
    argument(
        "--lora",
        type=int,
        metavar="RANK",
        help="train adapters of this rank only, merged into the weights at the end",
    ),
    argument("--recipe", metavar="FILE", help="take [examples], [finetune] from this recipe"),
    argument(
        "--register",
        metavar="NAME",
        help="register the result in MLflow under this name, its parent recorded",
    ),
)
TRANSFER = (
    argument(
        "data",
        nargs="+",
        metavar="DATA",
        help="a file per task, such as JSON lines; its fields tell which task it is",
    ),
    argument(
        "--seeds",
        type=int,
        default=3,
        metavar="N",
        help="fine-tune so many times each, with seeds 1 to N (3)",
    ),
    argument("--recipe", metavar="FILE", help="take [transfer] from this recipe"),
)
COMPARE = (
    argument(
        "settings",
        nargs="+",
        metavar="KEY=VALUES",
        help="a key of [train] or [train.model] with values to try, or seed=1,2,3",
    ),
    argument(
        "--recipe",
        default="quickstart",
        metavar="RECIPE",
        help="what all variants share: its data, model and number of tokens (quickstart)",
    ),
    argument("--shards", metavar="DIR", help="train on these shards instead of the recipe's"),
    argument(
        "--keep",
        action="store_true",
        help="write what seeds alone cause into the recipe's file, for promotion",
    ),
    SOURCES,
    *LAUNCH,
)
GENERATE = (
    argument(
        "--task",
        metavar="NAME",
        help=f"ask a model that was taught this task, in its words, and print the answer "
        f"alone: {', '.join(TASK_NAMES)}",
    ),
    argument("--question", metavar="TEXT", help="with --task qa: what is asked about PROMPT"),
)
SAMPLING = (
    argument("--max-tokens", type=int, default=64, metavar="N", help="tokens to add (64)"),
    argument("--temperature", type=float, default=0.8, help="0 takes the likeliest (0.8)"),
    argument("--top-k", type=int, default=None, help="sample among the K likeliest"),
    argument("--top-p", type=float, default=None, help="sample within this probability"),
    argument(
        "--min-p",
        type=float,
        default=None,
        help="sample what is at least this many times as likely as the likeliest",
    ),
    argument(
        "--repetition-penalty",
        type=float,
        default=None,
        metavar="X",
        help="above 1: tokens that were there before are less likely",
    ),
    argument(
        "--beams",
        type=int,
        default=None,
        metavar="N",
        help="search for the likeliest text among N at a time instead of sampling",
    ),
    argument(
        "--stop",
        action="append",
        default=[],
        metavar="TEXT",
        help="end before this text (repeatable)",
    ),
    argument("--seed", type=int, default=0, help="same seed, same text (0)"),
)
SERVER = (
    argument(
        "model",
        nargs="+",
        metavar="MODEL",
        help="a model folder, models:/name@alias, or NAME=either to give it a name",
    ),
    *(argument(*flags, **keywords) for flags, keywords in ARGUMENTS),
)
KEY = (
    argument("name", metavar="NAME", help="whose key it is; stands in metrics and in the log"),
    argument("--keys", required=True, metavar="FILE", help="the file of keys (made if missing)"),
    argument(
        "--requests-per-minute", type=int, metavar="N", help="refuse more than that (no limit)"
    ),
    argument(
        "--tokens-per-minute",
        type=int,
        metavar="N",
        help="refuse more than that, read and written together (no limit)",
    ),
    argument("--remove", action="store_true", help="take the key out; a running server notices"),
)
EXPORT = (
    argument(
        "--format",
        required=True,
        action="append",
        choices=("hf", "gguf", "onnx"),
        help="hf: a folder for transformers; gguf: llama.cpp; onnx: onnxruntime "
        "(repeatable: a folder each)",
    ),
    argument(
        "--out",
        required=True,
        metavar="DIR",
        help="a new folder; README.md and export.json there say how well each agrees",
    ),
    argument(
        "--precision",
        default="float32",
        choices=("float32", "float16", "bfloat16"),
        help="of the weights (float32)",
    ),
    argument("--int8", action="store_true", help="also write 8-bit weights (gguf, onnx)"),
    argument("--text", metavar="FILE", help="compare on the lines of this file (built-in texts)"),
    argument(
        "--tolerance",
        type=float,
        help="how far log-probabilities of float32 weights may differ (0.001)",
    ),
    argument("--name", default=None, help="the model's name in the files"),
)
