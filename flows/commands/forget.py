"""`textmill forget`: what was named is never ingested again; a receipt says who holds it."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from flows.provenance.forgetting import Forgetting, documents_that_fit, keep
from flows.provenance.purging import Purge
from flows.provenance.recalling import open_receipt, recalled, texts_of
from flows.provenance.receipts import Asked, receipt_of, receipts_folder, write_receipt
from flows.reports.forget_words import memorisation_lines, receipt_lines
from flows.settings import Settings, read_settings
from pipeline.errors import ConfigError
from pipeline.inputs import InputFile
from pipeline.store.tombstones import Tombstones
from pipeline.tracing.documents import text_of

STDIN = "-"


def forget(options: Namespace) -> dict[str, Any] | None:
    """Keep tombstones of what was named, or with --dry-run say what that would be."""
    settings = read_settings(options.store, options.workers)
    if options.check:
        return _check(options, settings)
    forgetting = Forgetting(settings)
    named = [*options.what, *(InputFile(options.list).lines() if options.list else ())]
    if not named:
        raise ConfigError(
            "forget: nothing is named; give ids, files or addresses, or --list FILE with one a line"
        )
    for what in named:
        if what == STDIN:
            forgetting.name_text(_standard_input())
        elif options.text:
            forgetting.name_text(what)
        else:
            forgetting.name(what)
    wanted = forgetting.wanted
    found = list(documents_that_fit(forgetting.tracer, wanted))
    if options.dry_run:
        asked = Asked(wanted, forgetting.asked, options.reason)
        receipt = receipt_of(forgetting.tracer, asked, found)
        return _shown(receipt, None, forgetting, options)
    receipt = keep(forgetting, found, options.reason)
    if options.purge and receipt["versions"] and found:  # while the text is known
        parts = forgetting.tracer.documents.parts
        texts = sorted({text_of(parts[f.found.part], f.found.row) for f in found})
        receipt["memorisation"] = recalled(settings, receipt, texts)
        write_receipt(settings.store, receipt)
    path = receipts_folder(settings.store) / f"{receipt['receipt']}.json"
    if options.purge:
        _purge(settings, wanted, receipt)
    return _shown(receipt, path, forgetting, options)


def _check(options: Namespace, settings: Settings) -> dict[str, Any] | None:
    """Measure what versions give back of a receipt's text, and enter it into the receipt."""
    receipt = open_receipt(settings.store, options.check)
    given = [_standard_input() if what == STDIN else what for what in options.what]
    receipt["memorisation"] = recalled(settings, receipt, texts_of(settings, receipt, given))
    path = write_receipt(settings.store, receipt)
    if options.json:
        return {**receipt, "path": str(path)}
    print("\n".join(memorisation_lines(receipt)))
    return None


def _standard_input() -> str:
    return sys.stdin.buffer.read().decode("utf-8", "replace")


def _purge(settings: Settings, wanted: Tombstones, receipt: dict[str, Any]) -> None:
    """Take out of the store what fits, and enter it into the receipt before and after."""

    def enter(purged: dict[str, Any]) -> None:
        receipt["purged"] = purged
        write_receipt(settings.store, receipt)

    enter(Purge(settings, wanted).run(receipt["receipt"], enter))


def _shown(
    receipt: dict[str, Any], path: Path | None, forgetting: Forgetting, options: Namespace
) -> dict[str, Any] | None:
    if options.json:
        where = None if path is None else str(path)
        return {**receipt, "path": where, "not_in_the_store": forgetting.not_there}
    lists = forgetting.settings.second_list
    print("\n".join(receipt_lines(receipt, path, forgetting.not_there, lists)))
    return None
