"""What Prefect keeps of runs on its server holds no secret of their sources, failed ones too."""

import subprocess
import sys

from tests import small_world
from tests.e2e.servers import prefect_server
from tests.flows.test_source_secrets import SECRETS, address, corpus_lines
from tests.leaks import leaks
from tests.pipeline.reading.test_remote import served


def test_prefects_records_of_a_run_hold_no_secret(tmp_path):
    recipe = small_world.begin(tmp_path / "world")
    server = tmp_path / "prefect"
    server.mkdir()
    with served() as site, prefect_server(server) as environment:
        site.files["/corpus.jsonl"] = corpus_lines()

        def run(*more: str) -> subprocess.CompletedProcess:
            command = [sys.executable, "-m", "flows.cli", "run", str(recipe), "--source",
                       address(site), "--store", str(tmp_path / "store"), "--verbose",
                       *small_world.SMALL, *more]  # fmt: skip
            return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True,
                                  text=True, check=False)  # fmt: skip

        ran = run()
        assert ran.returncode == 0, ran.stderr
        site.files.clear()
        failed = run("--set", "ingest.id_field=other")
        assert failed.returncode == 1, failed.stderr
    database = next(server.rglob("*.db")).read_bytes()
    assert b"***@127.0.0.1" in database  # the parameter as it is shown
    assert b"textmill-world" in database
    assert leaks(server, SECRETS) == []
    assert leaks(tmp_path / "store", SECRETS) == []
    told = ran.stdout + ran.stderr + failed.stdout + failed.stderr
    assert [secret for secret in SECRETS if secret in told] == []
