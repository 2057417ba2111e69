"""The commands that move the champion by hand: promote, rollback."""

from argparse import Namespace
from dataclasses import asdict
from typing import Any

from flows.reports.terminal import stdout
from flows.server import running_server, talk_to
from flows.settings import Settings, read_settings
from flows.steps import tracking_settings
from model.registry import by_hand, held
from model.registry.by_hand import Succession
from model.registry.succession import CHAMPION


def promote(options: Namespace) -> dict[str, Any] | None:
    """Make a version champion, or with --refuse note that it is not to be."""
    settings = read_settings(options.store, options.workers)
    where = tracking_settings(settings)
    name, number, because = options.name, str(options.version), options.because
    if options.refuse:
        champion = by_hand.refuse(where, name, number, because)
    else:
        over = None if options.over is None else str(options.over)
        champion = by_hand.promote(where, name, number, because, over)
    _tell_waiting_run(settings, options)
    return _show(champion, options)


def _tell_waiting_run(settings: Settings, options: Namespace) -> None:
    """Let a run that was suspended for this answer end, where its server is up."""
    run = held.waiting_run(tracking_settings(settings), options.name, str(options.version))
    server = running_server(settings) if run else None
    if run is None or server is None:
        return
    talk_to(server, settings)
    from flows.orchestration.approval import (  # after the environment: Prefect reads it
        APPROVE,
        REJECT,
        PromotionAnswer,
        answer_waiting,
    )

    answer = PromotionAnswer(
        decision=REJECT if options.refuse else APPROVE, because=options.because
    )
    if not answer_waiting(options.name, str(options.version), run, answer):
        held.end_wait(tracking_settings(settings), options.name, str(options.version))


def rollback(options: Namespace) -> dict[str, Any] | None:
    """Put the previous champion back."""
    settings = read_settings(options.store, options.workers)
    return _show(
        by_hand.rollback(tracking_settings(settings), options.name, options.because), options
    )


def _show(champion: Succession, options: Namespace) -> dict[str, Any] | None:
    if options.json:
        return asdict(champion)
    for line in lines(champion):
        stdout().print(line, soft_wrap=True, markup=False, highlight=False)
    return None


def lines(champion: Succession) -> list[str]:
    """Return what moved, what it served on, and who sees it."""
    name, number = champion.name, champion.version
    address = f"models:/{name}@{CHAMPION}"
    moved = (
        f"{name}: version {number} is champion as before"
        if champion.before in (None, number)
        else f"{name}: version {champion.before} was champion, now version {number} is"
    )
    said = [moved, *(f"  passed over: {words}" for words in champion.passed_over)]
    if champion.because:
        said.append(f"  because: {champion.because}")
    said.append(f"  {address} leads to version {number}: {champion.folder}")
    others = {alias: version for alias, version in champion.aliases.items() if alias != CHAMPION}
    said += [
        f"  models:/{name}@{alias} leads to version {version}" for alias, version in others.items()
    ]
    if champion.before not in (None, number):
        said += [
            f"  models:/{name}/{champion.before} leads to version {champion.before} as before",
            f"  a server of {address} that is running goes on with version {champion.before} until "
            f"it is started again",
        ]
    return said
