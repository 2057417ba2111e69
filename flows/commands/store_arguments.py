"""Arguments of the commands that look after a store, or tell of it."""

from flows.commands.command import argument
from flows.setting_types import REPORT_LANGUAGES

PRUNE = (
    argument("recipe", nargs="?", metavar="RECIPE", help="prune what runs of this recipe made"),
    argument("--all", action="store_true", help="prune the whole store and the compiled loops"),
    argument(
        "--keep",
        type=int,
        default=3,
        metavar="N",
        help="keep what the last N runs of a recipe and N versions of a model need (3)",
    ),
    argument(
        "--unfinished-days",
        type=float,
        default=14.0,
        metavar="DAYS",
        help="give up unfinished work that nobody has touched for so long (14)",
    ),
    argument("--dry-run", action="store_true", help="only say what would be removed, and why"),
)
TRACE = (
    argument(
        "what",
        nargs="+",
        metavar="WHAT",
        help="a document's id, a file, an address (http...), '-' for a text on standard input, "
        "or models:/NAME/VERSION",
    ),
    argument("--text", action="store_true", help="WHAT is a text, or a piece of one"),
    argument(
        "--limit",
        type=int,
        default=20,
        metavar="N",
        help="documents told in detail where there are many (20)",
    ),
)
REPORT = (
    argument("run", metavar="RUN", help="NAME (its last run), NAME/NUMBER, models:/NAME/VERSION"),
    argument("other", nargs="?", metavar="OTHER", help="a second one, compared with the first"),
    argument("--language", choices=REPORT_LANGUAGES, help="default: that of the recipe"),
    argument("--out", metavar="FILE", help="the page to write (report-NAME-NUMBER.html)"),
)
FORGET = (
    argument(
        "what",
        nargs="*",
        metavar="WHAT",
        help="a document's id, a file, an address (http...), or '-' for a text on standard input",
    ),
    argument("--text", action="store_true", help="WHAT is a whole text"),
    argument("--list", metavar="FILE", help="more of them, one a line"),
    argument("--reason", metavar="TEXT", help="kept in the receipt as it stands"),
    argument(
        "--purge",
        action="store_true",
        help="also take every byte of it out of the store, but for what weights have learned",
    ),
    argument("--dry-run", action="store_true", help="only say what would be forgotten"),
    argument(
        "--check",
        metavar="RECEIPT",
        help="measure what versions give back of a receipt's text; WHAT is the text, once purged",
    ),
)
SCHEDULE = (
    argument(
        "action",
        metavar="ACTION",
        choices=("list", "pause", "resume"),
        help="list, pause or resume",
    ),
    argument("name", nargs="?", metavar="NAME", help="a deployment, as the list names it"),
)
CARD = (
    argument("run", metavar="RUN", help="NAME (its last run), NAME/NUMBER, models:/NAME/VERSION"),
    argument(
        "--kind",
        required=True,
        choices=("model", "dataset", "croissant", "bom", "training-summary"),
        help="README.md of a model or dataset hub, Croissant 1.1, CycloneDX ML-BOM, or the "
        "EU's public summary",
    ),
    argument("--out", metavar="FILE", help="the file to write (the kind's usual name)"),
)
RETRAIN = (
    argument(
        "recipe",
        nargs="?",
        metavar="RECIPE",
        help="name or file (default: that of the deployment, else quickstart)",
    ),
    argument("--now", action="store_true", help="retrain: on the server if one is up, else here"),
)
