"""Requests that schemathesis makes from /openapi.json, valid and broken: no answer is a 5xx.

Every answer also is one that the document promises: its status, its type and its shape.
"""

import os
from contextlib import suppress
from unittest import SkipTest

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from tests.model.serve.test_app import START_SECONDS, start

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")
GenerationMode = schemathesis.GenerationMode


@pytest.fixture(scope="module")
def described(tiny_model, chat_model):
    process, address = start(f"base={tiny_model}", f"talker={chat_model}", "--alias", "gpt=talker")
    before = dict(os.environ)
    os.environ["NO_PROXY"] = "127.0.0.1"
    yield schemathesis.openapi.from_url(f"{address}/openapi.json")
    os.environ.clear()
    os.environ.update(before)
    process.terminate()
    process.wait(timeout=START_SECONDS)


def break_nothing(described, examples: int) -> None:
    """Ask every operation in ways that its description allows, and in others."""
    few = settings(max_examples=examples, database=None,
                   suppress_health_check=list(HealthCheck))  # fmt: skip
    operations = [result.ok() for result in described.get_all_operations()]
    assert len(operations) >= 11
    # A prompt may be past the context of a model that no document knows, and be refused.
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    for operation in operations:
        for mode in GenerationMode:

            @few
            @given(case=operation.as_strategy(generation_mode=mode))
            def check(case):
                # the first request for vectors loads torch, which takes a busy machine long
                case.call_and_validate(excluded_checks=[positive_data_acceptance], timeout=100)

            with suppress(Unsatisfiable, SkipTest):  # some can be asked in no wrong way
                check()


def test_a_few_requests_of_every_kind_break_nothing(described):
    break_nothing(described, 6)


@pytest.mark.slow
def test_many_requests_of_every_kind_break_nothing(described):
    break_nothing(described, 300)
