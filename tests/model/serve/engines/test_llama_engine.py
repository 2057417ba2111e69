"""llama.cpp in its own process: it says what our networks say, ends with us, is started again."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from model.formats import model_folder
from model.generation.completion import complete, load_model, prompt_ids
from model.generation.sampling_config import SamplingConfig
from model.network.architecture import PRESETS, ModelConfig
from model.network.families import build
from model.serve.engines.engine_options import EngineOptions
from model.serve.engines.interface import EngineFailed, GeneratedText, TextRequest
from model.serve.engines.llama_engine import LlamaEngine
from model.serve.engines.opening import open_engine
from model.serve.engines.torch_engine import TorchEngine
from pipeline.errors import ConfigError
from pipeline.tokenizer import MODEL_FILE

PROMPTS = ("The model", "机器学习 naïve", "数据 🙂 def")
FULL = EngineOptions(precision="float32", slots=3)
GREEDY = SamplingConfig(max_new_tokens=40, temperature=0)
PARENT = """
import asyncio, sys
from pathlib import Path
from model.serve.engines.engine_options import EngineOptions
from model.serve.engines.opening import open_engine

async def main():
    engine = open_engine(Path(sys.argv[1]), EngineOptions(precision="float32", slots=3))
    await engine.start()
    print(engine.helper.process.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def running(model: Path, work):
    """Run `work(engine)` while llama.cpp serves the model."""

    async def main():
        engine = open_engine(model, FULL)
        assert isinstance(engine, LlamaEngine)
        await engine.start()
        try:
            async with asyncio.timeout(60):
                return await work(engine)
        finally:
            await engine.close()

    return asyncio.run(main())


async def read(text: GeneratedText) -> str:
    return "".join([piece.text async for piece in text.pieces()])


def test_it_writes_what_our_network_writes_alone_or_beside_others(tiny_model):
    loaded = load_model(tiny_model)
    wanted = [complete(loaded, prompt, GREEDY) for prompt in PROMPTS]

    async def work(engine):
        ids = [prompt_ids(loaded, prompt) for prompt in PROMPTS]
        whole = [GeneratedText(TextRequest(row, GREEDY, whole=True)) for row in ids]
        engine.begin(whole)
        streamed = [GeneratedText(TextRequest(row, GREEDY)) for row in ids]
        engine.begin(streamed)
        return [(text, await read(text)) for text in (*whole, *streamed)]

    for (text, written), expected in zip(running(tiny_model, work), wanted * 2, strict=True):
        assert written.rstrip("\ufffd") == expected.text.rstrip("\ufffd")
        assert text.completion_tokens == expected.completion_tokens
        assert text.prompt_tokens == expected.prompt_tokens
        assert text.finish_reason == expected.finish_reason


def test_its_log_probabilities_are_the_models(tiny_model):
    async def work(engine):
        ids = prompt_ids(load_model(tiny_model), PROMPTS[0])
        text = GeneratedText(TextRequest(ids, GREEDY, top_logprobs=2))
        engine.begin([text])
        tokens = [token async for piece in text.pieces() for token in piece.tokens]
        scored = await engine.score([*ids, *(token.id for token in tokens)], 2)
        return tokens, scored[len(ids) :]

    tokens, wanted = running(tiny_model, work)
    assert len(tokens) == len(wanted) == 40
    for token, other in zip(tokens, wanted, strict=True):
        assert token.logprob == pytest.approx(other.logprob, abs=2e-3)
        assert max(token.top.values()) == token.logprob  # greedy


def test_a_stop_text_and_penalties_of_the_text_are_kept(tiny_model):
    async def work(engine):
        ids = prompt_ids(load_model(tiny_model), PROMPTS[0])
        plain = GeneratedText(TextRequest(ids, GREEDY))
        engine.begin([plain])
        whole = await read(plain)
        stop = whole[4:6]
        stopped = GeneratedText(
            TextRequest(ids, SamplingConfig(max_new_tokens=40, temperature=0, stop=(stop,)))
        )
        searched = GeneratedText(
            TextRequest(ids, SamplingConfig(max_new_tokens=9, temperature=0, frequency_penalty=2))
        )
        engine.begin([stopped])
        engine.begin([searched])
        return whole, stop, await read(stopped), stopped.finish_reason, await read(searched)

    whole, stop, stopped, reason, penalised = running(tiny_model, work)
    assert (stopped, reason) == (whole[: whole.index(stop)], "stop")
    alone = complete(
        load_model(tiny_model),
        PROMPTS[0],
        SamplingConfig(max_new_tokens=9, temperature=0, frequency_penalty=2),
    )
    assert penalised == alone.text


@pytest.mark.parametrize("penalty", [None, 1.5])
def test_biases_of_tokens_move_both_engines_the_same_way(tiny_model, penalty):
    """One token is out, another is likelier; what they would be likeliest without changes."""
    loaded = load_model(tiny_model)
    ids = prompt_ids(loaded, PROMPTS[0])
    plain = complete(loaded, PROMPTS[0], GREEDY)
    [first, second] = loaded.tokenizer.encode(plain.text)[:2]
    out = SamplingConfig(
        max_new_tokens=30,
        temperature=0,
        repetition_penalty=penalty,
        logit_bias=((first, -100.0), (second, 1.5)),
    )
    one = SamplingConfig(max_new_tokens=5, temperature=1.5, logit_bias=((second, 100.0),))

    async def work(engine):
        texts = [GeneratedText(TextRequest(ids, sampling)) for sampling in (out, one)]
        for text in texts:
            engine.begin([text])
        return [await read(text) for text in texts]

    written = running(tiny_model, work)
    wanted = [complete(loaded, PROMPTS[0], sampling).text for sampling in (out, one)]
    assert [text.rstrip("\ufffd") for text in written] == [text.rstrip("\ufffd") for text in wanted]
    assert first not in loaded.tokenizer.encode(written[0])
    assert wanted[1] == loaded.tokenizer.decode([second] * 5)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_penalties_need_no_memory_beyond_the_texts(tiny_model):
    async def work(engine):
        ids = prompt_ids(load_model(tiny_model), PROMPTS[0])
        peaks = []
        for penalty in (None, 1.5):
            sampling = SamplingConfig(max_new_tokens=40, temperature=0, repetition_penalty=penalty)
            text = GeneratedText(TextRequest(ids, sampling))
            engine.begin([text])
            await read(text)
            status = Path(f"/proc/{engine.helper.process.pid}/status").read_text()
            peaks.append(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]))
        return peaks

    plain, penalised = running(tiny_model, work)
    assert penalised < 1.2 * plain


def test_a_text_that_is_cancelled_at_once_ends(tiny_model):
    async def work(engine):
        texts = [GeneratedText(TextRequest([1, 9], GREEDY)) for _ in range(3)]
        engine.begin(texts)
        texts[0].cancel()  # before anything was asked
        await asyncio.sleep(0)
        texts[1].cancel()
        return [await read(text) for text in texts], [text.finish_reason for text in texts]

    written, reasons = running(tiny_model, work)
    assert written[:2] == ["", ""]
    assert written[2]
    assert reasons == ["cancelled", "cancelled", "length"]


def test_a_killed_process_fails_its_texts_alone_and_is_started_again(tiny_model):
    async def work(engine):
        ids = prompt_ids(load_model(tiny_model), PROMPTS[0])
        endless = SamplingConfig(max_new_tokens=1_000_000, temperature=0)
        lost = [GeneratedText(TextRequest(ids, endless)) for _ in range(2)]
        engine.begin(lost)
        await anext(lost[0].pieces())
        first = engine.helper.process.pid
        os.kill(first, signal.SIGKILL)
        for text in lost:
            with pytest.raises(EngineFailed, match="ask again"):
                await read(text)
        after = GeneratedText(TextRequest(ids, GREEDY))
        engine.begin([after])
        written = await read(after)
        return first, engine.helper.process.pid, written

    first, second, written = running(tiny_model, work)
    assert first != second
    assert written == complete(load_model(tiny_model), PROMPTS[0], GREEDY).text


def test_the_process_does_not_outlive_a_killed_server(tiny_model):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tiny_model)], stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    os.kill(child, 0)
    parent.kill()
    parent.wait()
    for _ in range(600):
        if not Path(f"/proc/{child}/cmdline").exists() or is_zombie(child):
            return
        time.sleep(0.1)
    pytest.fail("llama.cpp is still there")


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_what_llama_cpp_cannot_serve_is_served_by_ours_with_the_reason(tiny_model, tmp_path):
    small = {"layers": 1, "width": 32, "heads": 2, "kv_heads": 2, "hidden": 48, "context": 64}
    config = ModelConfig(**{**PRESETS["vaswani2017"], **small})
    folder = tmp_path / "model"
    tokenizer = tmp_path / MODEL_FILE
    shutil.copy(tiny_model / MODEL_FILE, tokenizer)
    model_folder.write(build(config, 380), tokenizer, lambda name: folder / name)
    engine = open_engine(folder)
    assert isinstance(engine, TorchEngine)
    assert "encoder_decoder" in engine.capabilities.reason
    with pytest.raises(ConfigError, match=r"--engine llama: .*decoders"):
        open_engine(folder, EngineOptions(engine="llama"))


def test_a_prepared_file_that_was_damaged_is_made_again(tiny_model):
    first = open_engine(tiny_model, FULL)
    file = first.settings.model
    before = file.read_bytes()
    file.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    open_engine(tiny_model, FULL)
    assert file.read_bytes() == before
