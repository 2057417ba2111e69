"""Serving a 14M decoder: our whole API against llama.cpp's own server and transformers' generate.

`python tests/bench/bench_serve.py` serves `models:/bench@champion` from a SQLite store and asks
both servers for the same streams, 1, 16 and 64 at once, from the same file with the same slots,
context, batches, cache and threads; both take the likeliest token and keep no prompt. A machine's
speed changes by the second, so turns are short and come in pairs, one of each side right after the
other, the order changing from pair to pair; what counts is the median of the pairs' ratios, shown
with the middle half of them. CPU seconds are those of the servers' processes, to the nanosecond,
not of the client. It exits 1 where a bar of `BARS` is missed, and takes some four minutes the first
time.
"""

import asyncio
import gzip
import io
import itertools
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
os.environ["OMP_NUM_THREADS"] = "1"

import peers
import sentencepiece
import torch

from model.formats import model_folder
from model.network.architecture import ModelConfig
from model.network.networks import GPT
from model.registry import tracking
from model.registry.tracking import TrackingSettings
from model.serve.engines.engine_options import EngineOptions
from model.serve.engines.opening import open_engine, threads_for
from pipeline.tokenizer import CONTROLS

CONFIG = ModelConfig(layers=6, width=384, heads=6, kv_heads=6, hidden=1024, context=512)
VOCAB_SIZE = 8192
TEXTS = ("enzh_pydocs", "zh_lctt", "en_sotu")
PROMPT_TOKENS = 24
ROUNDS = 4  # of transformers and ours
PRECISIONS = ("int8", "float32")
NAME = "bench"
BARS = {
    "of transformers at one stream, tokens per CPU second": 5.0,
    "of transformers' batch of 16, tokens per CPU second": 1.0,
    "of llama.cpp's server, tokens per CPU second": 0.9,
    "of llama.cpp's server, tokens per second": 0.9,
    "times its time to the first token, at most": 1.3,
    "times its memory, at most": 2.0,
}


@dataclass(frozen=True)
class Level:
    """How much is asked at once: streams side by side, each so often, so many tokens each time."""

    streams: int
    times: int
    tokens: int
    pairs: int  # of turns

    @property
    def written(self) -> int:
        """Tokens of a turn."""
        return self.streams * self.times * self.tokens


LEVELS = {16: (Level(1, 2, 96, 11), Level(16, 1, 64, 7)), 64: (Level(64, 1, 40, 4),)}  # by slots


@dataclass(frozen=True)
class Turn:
    """What one turn of a server took."""

    tokens_per_cpu: float
    tokens_per_second: float
    first_ms: float  # median over its streams

    def of(self, other: "Turn") -> "Turn":
        """Each figure in times of another's."""
        return Turn(
            self.tokens_per_cpu / other.tokens_per_cpu,
            self.tokens_per_second / other.tokens_per_second,
            self.first_ms / other.first_ms,
        )


@dataclass
class Peer:
    """A server under way."""

    process: subprocess.Popen
    port: int
    model: str

    @property
    def pids(self) -> list[int]:
        """The process and its children."""
        own = self.process.pid
        listed = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [own, *map(int, listed)]

    def cpu_seconds(self) -> float:
        """CPU time so far, of all its processes: each has a clock of its own (Linux)."""
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self.pids)

    def resident_mb(self) -> float:
        """Memory of all its processes."""
        pattern = re.compile(r"VmRSS:\s+(\d+)")
        status = [Path(f"/proc/{pid}/status").read_text() for pid in self.pids]
        return sum(int(pattern.findall(text)[0]) for text in status) / 1024

    def end(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait()


def make_model(folder: Path) -> None:
    """Write an untrained model with a tokenizer of real text: speed knows no difference."""
    lines: list[str] = []
    for name in TEXTS:
        with gzip.open(peers.DATA / f"{name}.jsonl.gz", "rt") as rows:
            for row in itertools.islice(rows, 150):
                lines += [line for line in json.loads(row)["text"][:20000].split("\n") if line][:60]
    learned = io.BytesIO()
    unk, bos, eos, pad = CONTROLS
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=learned, model_type="bpe",
        vocab_size=VOCAB_SIZE, byte_fallback=True, normalization_rule_name="identity",
        add_dummy_prefix=False, remove_extra_whitespaces=False, unk_id=0, bos_id=1, eos_id=2,
        pad_id=3, unk_piece=unk, bos_piece=bos, eos_piece=eos, pad_piece=pad, minloglevel=2,
    )  # fmt: skip
    tokenizer = folder.parent / "tokenizer.model"
    tokenizer.write_bytes(learned.getvalue())
    torch.manual_seed(5)
    model_folder.write(GPT(CONFIG, VOCAB_SIZE), tokenizer, lambda name: folder / name)


def register(folder: Path, store: Path) -> str:
    """Make the model a version of a store, its champion; return the store's address."""
    version = store / "version"
    shutil.copytree(folder, version / "artifacts" / "model")
    settings = TrackingSettings(f"sqlite:///{store / 'mlflow.db'}", store / "artifacts")
    client = tracking.connect(settings)
    client.create_registered_model(NAME)
    made = client.create_model_version(NAME, source=version.as_uri())
    client.set_registered_model_alias(NAME, "champion", made.version)
    return settings.uri


def start_ours(address: str, store: str, precision: str, slots: int) -> Peer:
    """Start `textmill serve` as a person does."""
    command = [sys.executable, "-m", "model.serve", address, "--name", NAME, "--port", "0",
               "--mlflow-uri", store, "--precision", precision, "--slots", str(slots), "--log",
               "none"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    port = re.search(r"http://[^:]+:(\d+)", process.stdout.readline())
    return Peer(process, int(port[1]), NAME)


def start_llama(file: Path, slots: int, threads: int) -> Peer:
    """Start llama.cpp's server on the same file; its threads wait as ours do."""
    command = [sys.executable, str(Path(__file__).parent / "peer_serve.py"), str(file)]
    given = [str(CONFIG.context), str(slots), str(threads)]
    env = {**os.environ, "GOMP_SPINCOUNT": "1000"}
    process = subprocess.Popen(
        [*command, *given], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    return Peer(process, int(process.stdout.readline()), "any")


async def ask(peer: Peer, number: int, tokens: int) -> float:
    """Read one stream to its end; return the seconds to its first token."""
    prompt = [1, *((number * 37 + i * 11) % 4000 + 300 for i in range(PROMPT_TOKENS - 1))]
    fields = {"model": peer.model, "prompt": prompt, "max_tokens": tokens, "temperature": 0,
              "stream": True, "cache_prompt": False}  # fmt: skip
    if peer.model == NAME:
        del fields["cache_prompt"]
    body = json.dumps(fields).encode()
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", peer.port)
    head = (
        f"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"connection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
    received, first = b"", 0.0
    while data := await reader.read(65536):
        received += data
        if not first and b"data: {" in received:
            first = time.monotonic() - began
    writer.close()
    assert b" 200 OK" in received[:20], received[:500]
    assert received.rstrip().endswith((b"[DONE]", b"0")), received[-200:]
    return first


async def take_turn(peer: Peer, level: Level) -> Turn:
    """Ask for a level's streams."""

    async def stream(number: int) -> list[float]:
        return [await ask(peer, number + 64 * i, level.tokens) for i in range(level.times)]

    cpu, began = peer.cpu_seconds(), time.monotonic()
    firsts = await asyncio.gather(*map(stream, range(level.streams)))
    wall, spent = time.monotonic() - began, peer.cpu_seconds() - cpu
    first_ms = statistics.median(itertools.chain(*firsts)) * 1e3
    return Turn(level.written / spent, level.written / wall, first_ms)


def median_of(turns: list[Turn]) -> Turn:
    """Return the median of each figure."""
    return Turn(*(statistics.median(getattr(turn, name) for turn in turns) for name in FIGURES))


FIGURES = ("tokens_per_cpu", "tokens_per_second", "first_ms")


def in_pairs(ours: Peer, theirs: Peer, level: Level) -> Turn:
    """Take turns and print them; return the medians of what ours are in times of theirs."""
    own, other = list[Turn](), list[Turn]()
    sides = [(ours, own), (theirs, other)]
    for _ in range(level.pairs + 1):
        for peer, turns in sides:
            turns.append(asyncio.run(take_turn(peer, level)))
        sides.reverse()
    own, other = own[1:], other[1:]  # the first warms
    ratios = [mine.of(its) for mine, its in zip(own, other, strict=True)]
    print(f"{level.streams} streams: ours {shown(own)}; llama.cpp's server {shown(other)}")
    for name in FIGURES:
        low, middle, high = statistics.quantiles(getattr(ratio, name) for ratio in ratios)
        print(f"    {name}, ours in times of its: {middle:.2f} ({low:.2f} to {high:.2f})")
    return median_of(ratios)


def shown(turns: list[Turn]) -> str:
    """Return the medians of a side's turns, for people."""
    turn = median_of(turns)
    return (
        f"{turn.tokens_per_cpu:.0f} tokens per CPU second, {turn.tokens_per_second:.0f} per second,"
        f" the first after {turn.first_ms:.0f} ms"
    )


def of_transformers(folder: Path, ours: Peer, level: Level) -> float:
    """Return what ours are in times of `generate` in float32, alone or in a batch, in pairs."""
    import transformers

    network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.randint(300, 4000, (level.streams, PROMPT_TOKENS))
    ratios, rates = [], []
    for _ in range(ROUNDS + 1):
        began = time.process_time()
        written = network.generate(
            ids, max_new_tokens=level.tokens, min_new_tokens=level.tokens, do_sample=False
        )
        assert written.shape[1] == PROMPT_TOKENS + level.tokens
        rates.append(level.streams * level.tokens / (time.process_time() - began))
        ratios.append(asyncio.run(take_turn(ours, level)).tokens_per_cpu / rates[-1])
    rate = statistics.median(rates[1:])
    print(f"{level.streams} streams: transformers {rate:.0f} tokens per CPU second", flush=True)
    return statistics.median(ratios[1:])


def compare(folder: Path, store: str, precision: str) -> list[tuple[str, float, str]]:
    """Print the figures of a precision; return each with its bar and where it was taken."""
    engine = open_engine(folder, EngineOptions(precision=precision, slots=1))
    file = engine.settings.model
    figures: list[tuple[str, float, str]] = []
    transformers_bar, batch_bar, cpu_bar, wall_bar, first_bar, memory_bar = BARS
    for slots, levels in LEVELS.items():
        ours = start_ours(f"models:/{NAME}@champion", store, precision, slots)
        theirs = start_llama(file, slots, threads_for(file.stat().st_size))
        try:
            idle = ours.resident_mb() / theirs.resident_mb()
            figures.append((memory_bar, idle, f"{precision}, {slots} slots, idle"))
            for level in levels:
                where = f"{precision}, {level.streams} streams"
                print(f"{precision}, ", end="")
                ratio = in_pairs(ours, theirs, level)
                figures.append((cpu_bar, ratio.tokens_per_cpu, where))
                figures.append((wall_bar, ratio.tokens_per_second, where))
                figures.append((first_bar, ratio.first_ms, where))
                if level.streams <= 16 and precision == PRECISIONS[0]:
                    bar = transformers_bar if level.streams == 1 else batch_bar
                    figures.append((bar, of_transformers(folder, ours, level), where))
            memory = ours.resident_mb(), theirs.resident_mb()
            print(f"{precision}, {slots} slots: {memory[0]:.0f} MB, llama.cpp's {memory[1]:.0f} MB")
            figures.append((memory_bar, memory[0] / memory[1], f"{precision}, {slots} slots"))
        finally:
            ours.end()
            theirs.end()
    return figures


def main() -> int:
    """Compare; return 1 if a bar is missed."""
    missed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        folder.mkdir()
        make_model(folder)
        store = register(folder, Path(temporary) / "store")
        for precision in PRECISIONS:
            for bar, figure, where in compare(folder, store, precision):
                least = BARS[bar]
                passed = figure <= least if bar.endswith("at most") else figure >= least
                missed += not passed
                verdict = "ok" if passed else "MISSED"
                print(f"{verdict}: {figure:.2f} {bar} (bar {least}), {where}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
