"""The commands about a trained model: evaluate, generate, serve."""

import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

from flows.settings import Settings, read_settings
from flows.steps import tracking_settings
from flows.summary import rows_of
from flows.terminal import progress_bars, stdout


def evaluate(options: Namespace) -> dict[str, Any] | None:
    """Score a model on the held-out documents of a shard artifact."""
    from model import evaluate as evaluation
    from pipeline import artifact as artifacts
    from pipeline.stage import run_stage

    settings = read_settings(options.store, options.workers)
    shards = artifacts.load(Path(options.shards), contract="shard")
    model = artifacts.load(model_folder(options.model, settings))
    with tempfile.TemporaryDirectory() as folder, progress_bars() as (progress, _):
        config = evaluation.EvaluateConfig()
        destination = Path(folder) / "evaluation"
        run = run_stage(evaluation.STAGE, config, [model, shards], destination, progress=progress)
        rows = rows_of(run.artifact)
    if options.json:
        return {"slices": rows}
    for row in rows:
        stdout().print(
            f"{row['name']:<20} perplexity {row['perplexity']:.1f}, token accuracy "
            f"{row['accuracy']:.1%}, {row['bits_per_byte']:.3f} bits per byte "
            f"(unigram {row['unigram_bits_per_byte']:.3f}), {row['documents']:,} documents"
        )
    return None


def generate(options: Namespace) -> dict[str, Any] | None:
    """Continue a prompt; the text is printed as it is made."""
    from model.generate import SamplingConfig
    from model.text import complete, load_model, stream

    settings = read_settings(options.store, options.workers)
    loaded = load_model(model_folder(options.model, settings))
    sampling = SamplingConfig(
        max_new_tokens=options.max_tokens,
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        min_p=options.min_p,
        repetition_penalty=options.repetition_penalty,
        beams=options.beams,
        stop=tuple(options.stop),
        seed=options.seed,
    )
    if options.json:
        done = complete(loaded, options.prompt, sampling)
        return {"prompt": options.prompt, "text": done.text, "finish_reason": done.finish_reason}
    print(options.prompt, end="", flush=True)
    for piece in stream(loaded, options.prompt, sampling):
        print(piece, end="", flush=True)
    print()
    return None


def serve(options: Namespace) -> None:
    """Serve a model over HTTP until Ctrl-C."""
    from model.serve.__main__ import served_name
    from model.serve.app import serve as serve_model

    settings = read_settings(options.store, options.workers)
    folder = model_folder(options.model, settings)
    name = options.name or served_name(options.model)
    serve_model(folder, name, options.host, options.port, hosts=options.allow_host)


def model_folder(model: str, settings: Settings) -> Path:
    """Return the folder of a model given as a folder or a models:/ address."""
    if not model.startswith("models:/"):
        return Path(model)
    from model import registry

    return registry.resolve(model, tracking_settings(settings))
