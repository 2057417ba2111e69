"""Arguments of commands that work on text: rules to tokens."""

from flows.commands.command import argument
from flows.commands.shared_arguments import OUT

TOKEN_FORMATS = ("nanogpt", "megatron", "datatrove")
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
CLEAN = (
    argument("--profile", help="set of thresholds; see `textmill rules`"),
    argument(
        "--rethreshold",
        action="store_true",
        help="IN is a clean artifact: judge it again by its measures, reading no text",
    ),
)
WHAT_IF = (
    argument("artifact", metavar="CLEANED", help="the artifact of `clean`"),
    argument("--out", metavar="FILE", help="the page to write (default: beside the artifact)"),
    argument("--profile", help="thresholds to start from (default: the artifact's own)"),
    argument("--rule", action="append", metavar="NAME", help="only this rule (repeatable)"),
)
DEDUP = (
    argument("--threshold", type=float, help="Jaccard similarity of a copy (0.8)"),
    argument(
        "--add-to",
        metavar="DEDUPED",
        help="an earlier result: what it knows of these parts is not computed again",
    ),
)
CONVERT = (
    argument("input", metavar="IN", help="shards, or with --from a folder of token files"),
    OUT,
    argument(
        "--to",
        dest="to_format",
        metavar="FORMAT",
        choices=TOKEN_FORMATS,
        help=f"write IN, the artifact of `shard`, as {', '.join(TOKEN_FORMATS)}",
    ),
    argument(
        "--from",
        dest="from_format",
        metavar="FORMAT",
        choices=TOKEN_FORMATS,
        help="make shards of IN: train.bin, val.bin (nanogpt), SPLIT_text_document.bin and "
        ".idx (megatron), SPLIT/00000.ds (datatrove); SPLIT is train or validation",
    ),
    argument(
        "--tokenizer",
        metavar="DIR",
        help="with --from: what the tokens were made with (default: the folder's own)",
    ),
    argument("--source", metavar="NAME", help="with --from: the source (the folder's name)"),
    argument("--lang", help="with --from: the documents' language (und)"),
)
