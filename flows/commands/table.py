"""Arguments of commands that have many, as data for the command line."""

from typing import Any


def argument(*flags: str, **keywords: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return what `add_argument` is called with."""
    return flags, keywords


# written out: importing `model.evaluation.tasks.table` for `--help` would cost a second
EVALUATION_TASKS = (
    "sentiment", "topic", "qa", "translate_en_zh", "translate_zh_en", "summarisation", "arithmetic",
    "code",
)  # fmt: skip
EVALUATE = (
    argument("shards", nargs="?", metavar="SHARDS",
              help="the artifact of `shard`: score its held-out documents too"),
    argument("--tasks", metavar="NAMES",
              help=f"comma-separated, or all: {', '.join(EVALUATION_TASKS)}"),
    argument("--shots", type=int, default=0, metavar="K", help="solved examples in a prompt (0)"),
    argument("--examples", type=int, default=100, metavar="N", help="questions per task (100)"),
    argument("--data", action="append", default=[], metavar="TASK=FILE",
              help="rows to ask instead of the few that come along: JSON, CSV, TSV, "
              "Parquet (repeatable)"),
    argument("--seed", type=int, help="what is drawn: rows, shots, samples, resamples (0)"),
    argument("--recipe", metavar="FILE", help="take [evaluate] from this recipe"),
    argument("--out", metavar="DIR", help="also write report.md, figures and examples there"),
    argument("--log", action="store_true",
             help="add figures of probes and tasks to the MLflow run behind models:/NAME@ALIAS"),
    argument("--lm-eval", metavar="DIR",
              help="write the questions as tasks for EleutherAI's lm-eval, ask nothing"),
)  # fmt: skip
TOKENIZER = (
    argument("--out", metavar="DIR", help="folder to write (not needed with --check)"),
    argument("--vocab-size", type=int, metavar="N", help="pieces (default: by the text)"),
    argument("--type", choices=("bpe", "unigram"), help="algorithm (bpe)"),
    argument(
        "--check",
        metavar="OLD",
        help="train nothing: measure how the tokenizer OLD fits IN, and say keep or retrain",
    ),
    argument(
        "--use",
        metavar="MODEL",
        help="train nothing: take over this tokenizer (folder or .model) and measure it on IN",
    ),
    argument(
        "--sweep",
        metavar="N,N,...",
        help="compare BPE, unigram, byte-level BPE of these sizes on held-out text (page, plot)",
    ),
    argument(
        "--export",
        action="store_true",
        help="IN is a tokenizer: write tokenizer.json for Hugging Face, same ids",
    ),
    argument(
        "--import",
        action="store_true",
        dest="import_",
        help="IN is a tokenizer.json: write tokenizer.model, same ids",
    ),
)
# written out for the same reason, from `pipeline.prompts.task_templates`
TASK_NAMES = (
    "chat", "classification", "sentiment", "summarisation", "translation", "qa", "code",
)  # fmt: skip
FINETUNE = (
    argument("data", nargs="+", metavar="DATA",
             help="files or folders of records (JSON, CSV, TSV, Parquet) with messages, a question "
             "and its answer, or the task's fields; or an artifact of examples"),
    argument("--task", metavar="NAME",
             help=f"what the records are: {', '.join(TASK_NAMES)} (default: told by their fields)"),
    argument("--lora", type=int, metavar="RANK",
             help="train adapters of this rank only, merged into the weights at the end"),
    argument("--recipe", metavar="FILE", help="take [examples], [finetune] from this recipe"),
    argument("--register", metavar="NAME",
             help="register the result in MLflow under this name, its parent recorded"),
)  # fmt: skip
TRANSFER = (
    argument("data", nargs="+", metavar="DATA",
             help="a file per task, such as JSON lines; its fields tell which task it is"),
    argument("--seeds", type=int, default=3, metavar="N",
             help="fine-tune so many times each, with seeds 1 to N (3)"),
    argument("--recipe", metavar="FILE", help="take [transfer] from this recipe"),
)  # fmt: skip
LAUNCH = (
    argument("--processes", type=int, metavar="N",
             help="processes of this host that train together, one per GPU (1)"),
    argument("--parallel", choices=("ddp", "fsdp"),
             help="every process holds the model (ddp, default) or a share of it (fsdp)"),
    argument("--hosts", type=int, metavar="N",
             help="hosts that train together over a shared --out or --store (1)"),
    argument("--rendezvous", metavar="HOST:PORT",
             help="where further hosts find this one; the line they run is printed"),
)  # fmt: skip
SOURCES = argument(
    "--source", action="append", default=[], metavar="PATH",
    help="read this file, folder or glob instead of the recipe's sources (repeatable)",
)  # fmt: skip
COMPARE = (
    argument("settings", nargs="+", metavar="KEY=VALUES",
             help="a key of [train] or [train.model] with values to try, or seed=1,2,3"),
    argument("--recipe", default="quickstart", metavar="RECIPE",
             help="what all variants share: its data, model and number of tokens (quickstart)"),
    argument("--shards", metavar="DIR", help="train on these shards instead of the recipe's"),
    SOURCES,
    *LAUNCH,
)  # fmt: skip
GENERATE = (
    argument("--task", metavar="NAME",
             help=f"ask a model that was taught this task, in its words, and print the answer "
             f"alone: {', '.join(TASK_NAMES)}"),
    argument("--question", metavar="TEXT", help="with --task qa: what is asked about PROMPT"),
)  # fmt: skip
EXPORT = (
    argument("--format", required=True, action="append", choices=("hf", "gguf", "onnx"),
              help="hf: a folder for transformers; gguf: llama.cpp; onnx: onnxruntime "
              "(repeatable: a folder each)"),
    argument("--out", required=True, metavar="DIR",
              help="a new folder; README.md and export.json there say how well each agrees"),
    argument("--precision", default="float32", choices=("float32", "float16", "bfloat16"),
              help="of the weights (float32)"),
    argument("--int8", action="store_true", help="also write 8-bit weights (gguf, onnx)"),
    argument("--text", metavar="FILE", help="compare on the lines of this file (built-in texts)"),
    argument("--tolerance", type=float,
              help="how far log-probabilities of float32 weights may differ (0.001)"),
    argument("--name", default=None, help="the model's name in the files"),
)  # fmt: skip
