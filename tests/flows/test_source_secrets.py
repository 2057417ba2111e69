"""Secrets of addresses: used to read, and nowhere in what a run writes."""

import json
import logging

import pytest

from flows import cli
from flows.config import Recipe
from flows.settings import read_settings
from flows.source_secrets import refuse_written_secrets, with_secrets
from pipeline.errors import ConfigError
from pipeline.sources.source_set import Source
from tests import small_world
from tests.leaks import leaks
from tests.pipeline.reading.test_remote import served

LOGIN, TOKEN, SIGNATURE = "reader:hunterSECRETlogin", "tokSECRETtok", "sigSECRETsig0123456789"
SECRETS = (LOGIN, LOGIN.partition(":")[2], TOKEN, SIGNATURE)


def corpus_lines() -> bytes:
    texts = small_world.english()[:40] + small_world.chinese()
    return "\n".join(json.dumps({"text": text}) for text in texts).encode()


@pytest.fixture
def site():
    with served() as site:
        site.files["/corpus.jsonl"] = corpus_lines()
        yield site


def address(site, login: str = LOGIN, token: str = TOKEN) -> str:
    base = site.url.replace("://", f"://{login}@")
    return f"{base}/corpus.jsonl?token={token}&X-Amz-Signature={SIGNATURE}"


def test_no_run_writes_the_secrets_of_its_sources(site, tmp_path, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    recipe = small_world.begin(tmp_path / "world")
    run = ["run", str(recipe), "--source", address(site), "--store", str(tmp_path / "store"),
           "--verbose", *small_world.SMALL]  # fmt: skip
    assert cli.main(run) == 0
    assert "Basic" in site.logins[-1]  # it was used
    assert cli.main([*run, "--set", "gates.dedup.duplicate_share.at_most=-1"]) == 1
    site.files.clear()
    assert cli.main([*run, "--set", "ingest.id_field=other"]) == 1  # the file is gone
    assert cli.main(["report", "world", "--store", str(tmp_path / "store"),
                     "--out", str(tmp_path / "store" / "again.html")]) == 0  # fmt: skip
    assert leaks(tmp_path / "store", SECRETS) == []
    said = "".join(capfd.readouterr()) + caplog.text
    assert [secret for secret in SECRETS if secret in said] == []


def test_a_recipe_names_its_secrets_and_reading_has_them(site, tmp_path, monkeypatch):
    named = address(site, login="reader:${CORPUS_LOGIN}", token="${CORPUS_TOKEN}")
    [hidden] = with_secrets([Source(path="/a/${CORPUS_LOGIN}")], read_settings(str(tmp_path)))
    assert hidden.path == "/a/${CORPUS_LOGIN}"  # a folder may be called so
    secrets = tmp_path / "secrets"
    secrets.write_text("# of the corpus\nCORPUS_TOKEN = from-a-file\nOTHER=1\n")
    secrets.chmod(0o600)
    monkeypatch.setenv("CORPUS_LOGIN", "from-the-environment")
    monkeypatch.setenv("TEXTMILL_SECRETS", str(secrets))
    [source] = with_secrets([Source(path=named)], read_settings(str(tmp_path)))
    assert "reader:from-the-environment@" in source.path
    assert "token=from-a-file&" in source.path
    ingest = ["ingest", named, "--out", str(tmp_path / "raw"), "--store", str(tmp_path)]
    assert cli.main(ingest) == 0
    secrets.chmod(0o644)
    with pytest.raises(ConfigError, match="others than its owner can read"):
        with_secrets([Source(path=named)], read_settings(str(tmp_path)))


def test_a_name_without_a_value_or_in_a_place_that_is_shown_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("TEXTMILL_SECRETS", raising=False)
    settings = read_settings(str(tmp_path))
    with pytest.raises(ConfigError, match="NO_SUCH is not set in the environment"):
        with_secrets([Source(path="https://u:${NO_SUCH}@h/a")], settings)
    for path in ("https://${NO_SUCH}/a", "https://h/${NO_SUCH}/a.jsonl"):
        with pytest.raises(ConfigError, match="stands in the host or path"):
            with_secrets([Source(path=path)], settings)


@pytest.mark.parametrize(
    ("path", "is_refused"),
    [("https://h/a", False), ("https://u:${K}@h/a", False), ("https://u:pw@h/a", True),
     ("https://h/a?token=${T}", False), ("https://h/a?token=abc", True),
     ("https://h/a?${Q}", False), ("https://h/a?page=1", False), ("https://ghp_abc@h/a", True),
     ("https://${K}@h/a", False),
     ("https://h/a?sig=x${T}", True), ("/data/x?token=a", False)],
)  # fmt: skip
def test_a_secret_that_prefect_would_keep_is_refused(path, is_refused):
    recipe = Recipe(sources=(Source(path=path),))
    if not is_refused:
        return refuse_written_secrets(recipe, "Prefect")
    with pytest.raises(ConfigError, match="which Prefect would keep") as refusal:
        refuse_written_secrets(recipe, "Prefect")
    assert not any(word in str(refusal.value) for word in ("pw@", "abc", "x$"))
    return None
