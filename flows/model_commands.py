"""The commands that let a trained model write: generate, serve."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from flows.settings import Settings, read_settings
from flows.steps import tracking_settings


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
