"""What a server takes and how long it waits."""

from dataclasses import dataclass

from pipeline.errors import ConfigError

REQUEST_SECONDS = 600.0  # as long as OpenAI's clients wait


@dataclass(frozen=True)
class ServeLimits:
    """Bounds on what a client may ask for, and on what runs at a time."""

    request_bytes_max: int = 1 << 20
    prompt_bytes_max: int = 64 << 10
    prompts_max: int = 16
    max_new_tokens_max: int = 2048
    choices_max: int = 16  # prompts times n
    messages_max: int = 256  # of a conversation; together they are bounded as a prompt is
    stop_max: int = 4
    stop_bytes_max: int = 1024  # of one stop text
    waiting_max: int = 1024  # texts that queue behind those written; more are refused with 429
    wait_seconds_max: float = 120.0  # in the queue; then a request is turned away with 429
    head_seconds_max: float = 10.0  # a client that sends its request slower is cut off
    body_seconds_max: float = 30.0
    drain_seconds_max: float = 30.0  # so long may texts go on after a stop was asked for
    stuck_seconds_max: float = 60.0  # so long may a client read nothing of its answer
    request_seconds_max: float = REQUEST_SECONDS  # then what is written is the answer

    def __post_init__(self) -> None:
        if not self.request_seconds_max > 0:
            raise ConfigError(f"--time-limit: {self.request_seconds_max}, wanted more than 0")
