"""Who is champion, moved by hand and killed in between: one at any instant, with its story."""

import json
import multiprocessing
import shutil
import signal
import subprocess
import sys

import pytest

from model.promotion.ledger import HOLD, REJECT
from model.registry import by_hand, succession, tracking, versions
from model.registry.model_record import BITS_PER_BYTE, ModelRecord
from model.registry.succession import BECAUSE, CHAMPION, EARLIER, ENDED, FROM, LINE, MOVE, UNTIL
from model.registry.tracking import TrackingSettings
from model.reports import plots, promotion_plot
from pipeline.errors import ChampionChanged, ConfigError
from pipeline.store.artifact import load_artifact
from tests.model.scores import costs

FIGURES = {"first": 2.2, "second": 2.0, "third": 1.8, "fourth": 1.6}


@pytest.fixture(scope="module")
def chains(made_chain, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chains")
    made = {
        name: made_chain(folder / name, tiny_model, bits_per_byte=figure, seed=seed)
        for seed, (name, figure) in enumerate(FIGURES.items())
    }
    more = {"bits_per_byte": 1.7, "seed": 9, "zh_more": 0.5}
    return made | {"worse in zh": made_chain(folder / "zh", tiny_model, **more)}


def champion_of(client, name):
    return str(client.get_model_version_by_alias(name, CHAMPION).version)


def tags_of(client, name, number):
    return client.get_model_version(name, str(number)).tags


def test_the_versions_tell_who_was_champion_from_when_to_when_and_why(register, client):
    for which in ("first", "second"):
        register("story", which)
    first, second = (tags_of(client, "story", number) for number in (1, 2))
    assert first[BECAUSE].startswith("champion: the first one")
    assert first[UNTIL] == second[FROM] >= first[FROM]
    assert first[ENDED].startswith("version 2 took over: champion: 2.0")
    assert UNTIL not in second
    assert json.loads(client.get_registered_model("story").tags[LINE]) == ["1", "2"]


def test_rollback_goes_one_champion_back_each_time_and_then_no_further(register, client, settings):
    for which in ("first", "second", "third"):
        register("back", which)
    once = by_hand.rollback(settings, "back", "it swears")
    assert (once.version, once.before) == ("2", "3")
    assert once.aliases == {"challenger": "3", "champion": "2"}
    assert once.folder == str(versions.resolve("models:/back@champion", settings))
    assert tags_of(client, "back", 3)[ENDED] == "rolled back to version 2: it swears"
    second = tags_of(client, "back", 2)
    assert second[BECAUSE] == "rollback from version 3: it swears"
    assert UNTIL not in second
    assert " to " in second[EARLIER]
    twice = by_hand.rollback(settings, "back", "still")
    assert (twice.version, twice.before) == ("1", "2")
    with pytest.raises(ConfigError, match="version 1 is the first champion"):
        by_hand.rollback(settings, "back", "and on")
    assert champion_of(client, "back") == "1"


def test_a_better_model_takes_over_after_a_rollback_and_goes_back_to_it(register, client, settings):
    for which in ("first", "second"):
        register("onward", which)
    by_hand.rollback(settings, "onward", "")
    assert register("onward", "second").aliases == ["challenger"]  # what was taken back stays so
    assert register("onward", "third").promoted
    assert by_hand.rollback(settings, "onward", "").version == "1"


def test_rollback_passes_over_a_champion_whose_files_are_gone(register, client, settings):
    for which in ("first", "second", "third"):
        register("gone", which)
    folder = versions.resolve("models:/gone/2", settings)
    folder.rename(folder.with_name("elsewhere"))
    back = by_hand.rollback(settings, "gone", "")
    assert (back.version, back.before) == ("1", "3")
    assert "version 2: models:/gone/2: no model folder" in back.passed_over[0]


def test_a_person_promotes_what_was_held_with_a_reason(register, client, settings):
    register("hand", "second")
    held = register("hand", "worse in zh")
    assert (held.promoted, held.verdict) == (False, HOLD)
    assert "lang zh: worse by" in held.reason
    assert "until a person decides" in held.reason
    with pytest.raises(ConfigError, match="--because"):
        by_hand.promote(settings, "hand", "2", " ")
    done = by_hand.promote(settings, "hand", "2", "Chinese is retired")
    assert (done.version, done.before) == ("2", "1")
    again = register("hand", "worse in zh")
    assert (again.promoted, again.verdict) == (True, "promote")
    assert again.reason == "promoted by a person: Chinese is retired"
    assert by_hand.promote(settings, "hand", "2", "once more").because == ""
    assert by_hand.rollback(settings, "hand", "").version == "1"


def test_a_person_refuses_what_was_held(register, client, settings):
    register("no", "second")
    register("no", "worse in zh")
    kept = by_hand.refuse(settings, "no", "2", "Chinese matters")
    assert (kept.version, kept.before) == ("1", None)
    again = register("no", "worse in zh")
    assert (again.verdict, again.reason) == (REJECT, "refused by a person: Chinese matters")
    with pytest.raises(ConfigError, match="textmill rollback no"):
        by_hand.refuse(settings, "no", "1", "why not")


@pytest.mark.parametrize("call", [
    lambda settings: by_hand.promote(settings, "story", "99", "why"),
    lambda settings: by_hand.promote(settings, "nobody", "1", "why"),
    lambda settings: by_hand.rollback(settings, "nobody", "why"),
])  # fmt: skip
def test_what_is_not_there_is_refused(register, settings, call):
    with pytest.raises(ConfigError, match="models:/"):
        call(settings)


def test_an_approval_of_what_was_held_against_an_earlier_champion_promotes_nothing(
    register, client, settings
):
    register("moved on", "second")
    assert register("moved on", "worse in zh").verdict == HOLD
    register("moved on", "fourth")
    with pytest.raises(ChampionChanged, match=r"take over from version 1, and version 3 is") as no:
        by_hand.promote(settings, "moved on", "2", "looks fine")
    assert "champion since 20" in str(no.value)
    assert '`textmill promote moved on 2 --over 3 --because "..."`' in str(no.value)
    assert champion_of(client, "moved on") == "3"
    with pytest.raises(ChampionChanged):
        by_hand.promote(settings, "moved on", "2", "looks fine", over="1")
    assert by_hand.promote(settings, "moved on", "2", "looked at both", over="3").before == "3"


def test_what_was_held_against_an_earlier_champion_is_judged_anew(register, client):
    register("anew", "second")
    assert "version 1" in register("anew", "worse in zh").reason
    register("anew", "fourth")
    again = register("anew", "worse in zh")
    assert (again.verdict, again.champion_before[0]) == (REJECT, "3")
    assert champion_of(client, "anew") == "3"


# Each command in a process of its own, forked from one that has loaded everything, with another
# store; the registry is looked at from one more.
COMMANDS = """
import json, os, signal, sys
from mlflow import MlflowClient
from flows import cli
from model.registry import by_hand, succession

uri, store, other, steps = *sys.argv[1:4], json.loads(sys.argv[4])
assert cli.main(["rollback", "nobody", "--store", other]) == 2

def arm(method, when, count):
    real, calls = getattr(MlflowClient, method), []
    def deadly(*arguments, **named):
        calls.append(method)
        last = len(calls) == count
        if last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **named)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(MlflowClient, method, deadly)

def command(arguments, instant):
    if instant:
        arm(*instant)
    os.dup2(2, 1)
    return cli.main([*arguments, "--store", store])

def look(name, code):
    client = MlflowClient(uri, uri)
    model = client.get_registered_model(name)
    tags = [client.get_model_version(name, str(number)).tags for number in (1, 2)]
    champion = str(model.aliases[succession.CHAMPION])
    print(json.dumps({"code": code, "champion": champion, "model": model.tags, "versions": tags}))
    return sys.stdout.flush()

def forked(work, *arguments):
    child = os.fork()
    if not child:
        os._exit(work(*arguments) or 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

for arguments, instant in steps:
    forked(look, arguments[1], forked(command, arguments, instant))
"""
ROLLBACK = ("rollback", "killed", "--because", "killed")
PROMOTE = ("promote", "killed", "1", "--because", "killed")
BACK = ("promote", "killed", "2", "--because", "as before")  # leads to where all began
INSTANTS = {  # command, when it is killed, whether the alias had moved
    "rollback-begun": (ROLLBACK, ("set_registered_model_tag", "before", 1), False),
    "rollback-intended": (ROLLBACK, ("set_registered_model_tag", "after", 1), False),
    "rollback-moved": (ROLLBACK, ("set_registered_model_alias", "after", 1), True),
    "rollback-half-told": (ROLLBACK, ("set_model_version_tag", "after", 2), True),
    "rollback-all-told": (ROLLBACK, ("delete_registered_model_tag", "before", 1), True),
    "promote-decided": (PROMOTE, ("set_model_version_tag", "after", 1), False),
    "promote-intended": (PROMOTE, ("set_registered_model_tag", "after", 1), False),
    "promote-moved": (PROMOTE, ("set_registered_model_alias", "after", 1), True),
    "promote-half-told": (PROMOTE, ("set_model_version_tag", "after", 3), True),
}


@pytest.fixture(scope="module")
def seen(register, settings, tmp_path_factory):
    """What each command left of two champions, for each instant one was killed at.

    First the same command comes next, then, killed again, another one.
    """
    register("killed", "first")
    register("killed", "second")
    steps = []
    for command, instant, _ in INSTANTS.values():
        steps += [(command, instant), (command, None), (BACK, None)]
        steps += [(command, instant), (BACK, None)]
    store, other = settings.artifact_root.parent.parent, tmp_path_factory.mktemp("other")
    (other / "mlflow").mkdir()
    shutil.copy(settings.database, other / "mlflow")
    program = [sys.executable, "-c", COMMANDS, settings.uri, str(store), str(other)]
    program.append(json.dumps(steps))
    ran = subprocess.run(program, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    looks = [json.loads(line) for line in ran.stdout.splitlines()]
    return {name: looks[5 * at : 5 * at + 5] for at, name in enumerate(INSTANTS)}


def assert_one_champion(look: dict, number: str) -> None:
    assert (look["code"], look["champion"]) == (0, number)
    reigning = [FROM in tags and UNTIL not in tags for tags in look["versions"]]
    assert reigning == [number == "1", number == "2"]
    assert MOVE not in look["model"]
    assert json.loads(look["model"][LINE])[-1] == number


@pytest.mark.parametrize("name", INSTANTS)
def test_a_command_that_was_killed_leaves_one_champion_and_the_same_one_goes_on(name, seen):
    command, _, moved = INSTANTS[name]
    killed, again, back, *_ = seen[name]
    assert (killed["code"], killed["champion"]) == (-signal.SIGKILL, "1" if moved else "2")
    assert_one_champion(again, "1")
    line = json.loads(again["model"][LINE])
    assert line[-2:] == (["1"] if command == ROLLBACK else ["2", "1"])  # not a step further
    assert_one_champion(back, "2")


@pytest.mark.parametrize("name", INSTANTS)
def test_another_command_settles_what_one_that_was_killed_left(name, seen):
    *_, killed, back = seen[name]
    assert killed["code"] == -signal.SIGKILL
    assert_one_champion(back, "2")
    assert json.loads(back["model"][LINE])[-2:] == ["1", "2"]


def _register_in_a_process(uri, root, name, folder, barrier) -> None:
    plots.draw = promotion_plot.draw = lambda *_: []
    parts = {path.name: load_artifact(path) for path in folder.iterdir() if path.is_dir()}
    training, evaluation = parts.pop("train"), parts.pop("evaluate")
    record = ModelRecord(
        training=training, evaluation=evaluation, data=[parts[stage] for stage in
        ("ingest", "clean", "dedup", "tokenizer", "shard")], verdict_files=[], params={},
        card="",
    )  # fmt: skip
    where = TrackingSettings(uri, root, "lab")

    def champion_costs(folder):
        rival = tracking.connect(where).get_model_version_by_alias(name, CHAMPION)
        return costs(float(rival.tags[BITS_PER_BYTE]))

    barrier.wait()
    versions.register(where, name, training.path, record, champion_costs)


def test_registrations_at_once_make_one_champion_the_best(register, client, settings, chains):
    register("rush", "first")
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(3)
    racers = [
        spawn.Process(
            target=_register_in_a_process,
            args=(settings.uri, settings.artifact_root, "rush", folder, barrier),
        )
        for folder in (chains[w].training.path.parent for w in ("second", "third", "fourth"))
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert [racer.exitcode for racer in racers] == [0, 0, 0]
    champion = client.get_model_version_by_alias("rush", CHAMPION)
    assert champion.tags[BITS_PER_BYTE] == "1.6"
    reigning = [v.version for v in client.search_model_versions("name = 'rush'")
                if FROM in v.tags and UNTIL not in v.tags]  # fmt: skip
    assert reigning == [champion.version]


def test_an_alias_that_other_hands_moved_is_seen(register, client, settings, monkeypatch):
    register("foreign", "first")
    register("foreign", "second")
    client.set_registered_model_alias("foreign", CHAMPION, "1")  # in MLflow's own page
    assert succession.champions(client, "foreign") == ("1", "2", "1")
    assert by_hand.rollback(settings, "foreign", "").version == "2"
