"""How a model is to be served, as a command line says it."""

from dataclasses import dataclass

from pipeline.config_checks import require_name
from pipeline.errors import ConfigError

AUTO, LLAMA, TORCH = "auto", "llama", "torch"
ENGINES = (AUTO, LLAMA, TORCH)
FULL, INT8 = "float32", "int8"
PRECISIONS = (AUTO, FULL, "float16", "bfloat16", INT8)


@dataclass(frozen=True)
class EngineOptions:
    """Which engine writes, and how; `auto` takes what the model allows."""

    engine: str = AUTO
    precision: str = AUTO  # of llama.cpp's weights
    slots: int | None = None  # texts that llama.cpp writes at a time

    def __post_init__(self) -> None:
        require_name("--engine", self.engine, ENGINES)
        require_name("--precision", self.precision, PRECISIONS)
        if self.slots is not None and self.slots < 1:
            raise ConfigError(f"--slots: {self.slots}, wanted at least 1")
