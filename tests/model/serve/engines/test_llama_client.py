"""Calls to llama.cpp whose server hangs up: before it has answered, or in the middle of a text."""

import asyncio

import pytest

from model.serve.engines.llama_client import LlamaAnswer, LlamaCall, completion_request

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'15\r\ndata: {"content":"a"}\r\n'


def heard(sent: bytes, folder) -> tuple[list[str], list[dict]]:
    """Return what a call reports of a server that sends some bytes and hangs up, and its events."""

    async def main():
        reports, events, over = [], [], asyncio.Event()

        def report(what: str) -> None:
            reports.append(what)
            over.set()

        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(sent)
            writer.close()

        answer = LlamaAnswer(
            events.append, lambda why: report(str(why)), lambda: report("lost"), int
        )
        call = LlamaCall(completion_request("key", {}), answer, lambda: 0.01)
        async with await asyncio.start_unix_server(serve, folder / "s"):
            call.start(folder / "s")
            await asyncio.wait_for(over.wait(), 10)
            await asyncio.sleep(0.05)  # nothing more is reported
        return reports, events

    return asyncio.run(main())


def test_a_server_that_hangs_up_before_it_answers_is_told_from_one_that_breaks_off(tmp_path):
    assert heard(b"", tmp_path) == (["lost"], [])


@pytest.mark.parametrize("sent", [HEAD[:20], HEAD, HEAD + EVENT])
def test_a_broken_answer_is_an_error(sent, tmp_path):
    [report], events = heard(sent, tmp_path)
    assert "in the middle of a text" in report
    assert events == [{"content": "a"}] * sent.endswith(EVENT)


def test_a_slow_text_is_looked_at_for_several_of_its_tokens_at_a_time(tmp_path):
    """All events come; each look costs as much as a token, so that there are fewer looks."""
    events, looks, total = [], [], 120

    async def main():
        over = asyncio.Event()

        async def serve(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD)
            for _ in range(total):
                writer.write(EVENT)
                await asyncio.sleep(0.004)
            writer.write(b"0\r\n\r\n")
            writer.close()

        answer = LlamaAnswer(events.append, lambda why: over.set(), over.set, lambda: total)
        call = LlamaCall(completion_request("key", {}), answer, lambda: looks.append(1) or 0.001)
        async with await asyncio.start_unix_server(serve, tmp_path / "s"):
            call.start(tmp_path / "s")
            await asyncio.wait_for(over.wait(), 20)

    asyncio.run(main())
    assert len(events) == total
    assert len(looks) < total / 2
