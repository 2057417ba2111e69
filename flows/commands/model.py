"""The commands that let a trained model write: generate, serve."""

import sys
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from flows.settings import read_settings
from flows.steps import tracking_settings
from pipeline.errors import ConfigError
from pipeline.store.storage import expanded

if TYPE_CHECKING:
    from model.generation.completion import LoadedModel, Prompt


def generate(options: Namespace) -> dict[str, Any] | None:
    """Continue a prompt; the text is printed as it is made."""
    from model.generation.completion import complete, load_model, prompt_ids, stream
    from model.generation.generate import SamplingConfig
    from model.registry.versions import resolve

    settings = read_settings(options.store, options.workers)
    loaded = load_model(resolve(options.model, tracking_settings(settings)))
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
    prompt = _prompt(options, loaded)
    read, context = len(prompt_ids(loaded, prompt)), loaded.network.config.context
    if read > context:
        warning = f"the prompt has {read:,} tokens; the model reads the last {context:,} of them"
        print(warning, file=sys.stderr)
    if options.json:
        done = complete(loaded, prompt, sampling)
        return {
            "prompt": options.prompt,
            "text": done.text,
            "finish_reason": done.finish_reason,
            "prompt_tokens": read,
            "prompt_tokens_read": min(read, context),
        }
    print(options.prompt if isinstance(prompt, str) else "", end="", flush=True)
    for piece in stream(loaded, prompt, sampling):
        print(piece, end="", flush=True)
    print()
    return None


def _prompt(options: Namespace, loaded: "LoadedModel") -> "Prompt":
    """Return the text as it is, or with --task the ids that fine-tuning put before the answer."""
    if options.task is None and options.question is None:
        return str(options.prompt)
    from model.data.chat import encode_prompt, spells_a_role
    from pipeline.prompts.task_templates import CHAT, asked_turn

    turn = asked_turn(options.task or CHAT, options.prompt, options.question)
    if spells_a_role([turn], loaded.tokenizer):
        raise ConfigError("the prompt spells the beginning of another speaker's turn; take it out")
    return encode_prompt([turn], loaded.tokenizer)


def serve(options: Namespace) -> None:
    """Serve models over HTTP until Ctrl-C."""
    from model.serve.access.records import show_request_log
    from model.serve.options import all_models, serve_limits, serve_options
    from model.serve.server import serve as serve_models
    from model.serve.shadow import show_shadow_log
    from model.serve.sources import source_of

    where, limits = serve_options(options), serve_limits(options)
    tracking = tracking_settings(read_settings(options.store, options.workers))
    named = all_models(options)
    show_request_log()
    show_shadow_log()
    sources = [source_of(name, address, tracking) for name, address in named.items()]
    serve_models(sources, where, limits)


def key(options: Namespace) -> dict[str, Any] | None:
    """Add a key to the file and print it, this once; or take one out."""
    from model.serve.access.keys import add_key, remove_key

    path = expanded(options.keys)
    if options.remove:
        remove_key(path, options.name)
        return {"name": options.name, "removed": True}
    secret = add_key(path, options.name, options.requests_per_minute, options.tokens_per_minute)
    if options.json:
        return {"name": options.name, "key": secret}
    print(secret)
    print(f"the key of {options.name!r}; {path} keeps only its hash", file=sys.stderr)
    return None
