"""Arguments that several commands share."""

from flows.commands.command import argument

OUT = argument("--out", required=True, metavar="DIR", help="folder of the artifact to write")
IN = argument(
    "input", nargs="+", metavar="IN", help="an artifact folder, or files and folders of raw text"
)
MODEL = argument("model", metavar="MODEL", help="a model folder, or models:/name@alias")
RECIPE = argument("recipe", metavar="RECIPE", help="a recipe's name or a .toml file")
SOURCES = argument(
    "--source",
    action="append",
    default=[],
    metavar="PATH",
    help="read this file, folder or glob instead of the recipe's sources (repeatable)",
)
LAUNCH = (
    argument(
        "--processes",
        type=int,
        metavar="N",
        help="processes of this host that train together, one per GPU (1)",
    ),
    argument(
        "--parallel",
        choices=("ddp", "fsdp"),
        help="every process holds the model (ddp, default) or a share of it (fsdp)",
    ),
    argument(
        "--hosts",
        type=int,
        metavar="N",
        help="hosts that train together over a shared --out or --store (1)",
    ),
    argument(
        "--rendezvous",
        metavar="HOST:PORT",
        help="where further hosts find this one; the line they run is printed",
    ),
)
SET = argument(
    "--set",
    action="append",
    default=[],
    metavar="KEY=VALUE",
    dest="overrides",
    help="change one setting, as in --set train.steps=100 (repeatable)",
)
