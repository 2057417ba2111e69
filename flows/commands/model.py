"""The commands that let a trained model write: generate, serve."""

import sys
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from flows.settings import read_settings
from flows.steps import tracking_settings
from model.registry.versions import resolve
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from model.generation.completion import LoadedModel, Prompt


def generate(options: Namespace) -> dict[str, Any] | None:
    """Continue a prompt; the text is printed as it is made."""
    from model.generation.completion import complete, load_model, prompt_ids, stream
    from model.generation.generate import SamplingConfig

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
    """Serve a model over HTTP until Ctrl-C."""
    from model.serve.__main__ import served_name
    from model.serve.server import serve as serve_model

    settings = read_settings(options.store, options.workers)
    folder = resolve(options.model, tracking_settings(settings))
    name = options.name or served_name(options.model)
    serve_model(folder, name, options.host, options.port, hosts=options.allow_host)
