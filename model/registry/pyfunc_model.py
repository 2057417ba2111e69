"""The registered model's code: MLflow runs this file when it loads a version (models from code).

No pickle is involved: weights are safetensors, the tokenizer is SentencePiece's own format. The
package textmill must be installed where the model is loaded, with the versions in requirements.txt.
"""

from pathlib import Path
from typing import Any

from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc import PythonModel
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

from model.generation.completion import complete_batch, load_model, stream
from model.generation.generate import SamplingConfig

MODEL_ARTIFACT = "model"
# Name, type and default of what `params` may hold; None leaves a limit out.
DEFAULT = SamplingConfig()
PARAMS = (
    ("max_new_tokens", "integer", DEFAULT.max_new_tokens),
    ("temperature", "double", DEFAULT.temperature),
    ("top_k", "integer", DEFAULT.top_k),
    ("top_p", "double", DEFAULT.top_p),
    ("min_p", "double", DEFAULT.min_p),
    ("repetition_penalty", "double", DEFAULT.repetition_penalty),
    ("beams", "integer", DEFAULT.beams),
    ("seed", "integer", DEFAULT.seed),
)


# Not itself a PythonModel, since MLflow warns of each such class whose `predict` has no type hints;
# with hints it would derive the signature from them and drop `params`.
class Prompting:
    """Continues prompts; one string in, its continuation (without the prompt) out."""

    def load_context(self, context):
        """Load the exported folder that was registered as the artifact 'model'."""
        self.loaded = load_model(Path(context.artifacts[MODEL_ARTIFACT]))

    def predict(self, context, model_input, params=None):
        """Return one continuation per prompt of a list, a Series or a one-column frame."""
        texts = prompts(model_input)
        done = complete_batch(self.loaded, texts, [sampling(params)] * len(texts))
        return [generation.text for generation in done]

    def predict_stream(self, context, model_input, params=None):
        """Yield the continuation of the first prompt, piece by piece."""
        yield from stream(self.loaded, prompts(model_input)[0], sampling(params))


class Continuation(Prompting, PythonModel):
    """The same as MLflow wants it."""


def prompts(model_input: Any) -> list[str]:
    """Return the prompts in what MLflow hands over: str, list, Series or one-column frame."""
    if isinstance(model_input, str):
        return [model_input]
    if hasattr(model_input, "iloc"):
        column = model_input.iloc[:, 0] if model_input.ndim == 2 else model_input
        return [str(value) for value in column]
    return [str(value) for value in model_input]


def sampling(params: dict[str, Any] | None) -> SamplingConfig:
    """Return the sampling settings that `params` ask for; absent or None means the default."""
    given = {key: value for key, value in (params or {}).items() if value is not None}
    return SamplingConfig(**given)


def signature() -> ModelSignature:
    """Return what the registered model takes and gives: prompts in, continuations out."""
    return ModelSignature(
        inputs=Schema([ColSpec("string")]),
        outputs=Schema([ColSpec("string")]),
        params=ParamSchema([ParamSpec(*row) for row in PARAMS]),
    )


set_model(Continuation())
