"""How much a key may ask for: requests and tokens by the minute, filled evenly."""

import time
from collections.abc import Callable

from model.serve.access.keys import AccessKey

MINUTE = 60.0
Clock = Callable[[], float]


class RateBudget:
    """So much by the minute: a minute's worth may be spent at once, then it fills evenly.

    What is spent afterwards, when it is known, may make it a debt that is waited off.
    """

    def __init__(self, per_minute: int, clock: Clock):
        self._per_second, self._most, self._clock = per_minute / MINUTE, float(per_minute), clock
        self._left, self._at = self._most, clock()

    def wait_seconds(self, amount: float) -> float:
        """Return in how many seconds `amount` may be spent; 0 if it may be now."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        return max(0.0, (amount - self._left) / self._per_second)

    def spend(self, amount: float) -> None:
        """Take this away."""
        self._left -= amount


class KeyRates:
    """The budgets of every key that has limits."""

    def __init__(self, clock: Clock = time.monotonic):
        self._clock = clock
        self._budgets: dict[tuple[str, str, int], RateBudget] = {}

    def admit(self, key: AccessKey) -> float:
        """Count a request and return 0, or return after how many seconds one would be let in.

        Of tokens something must be left; how many a request costs is known when it has ended.
        """
        requests = self._budget(key, "requests", key.requests_per_minute)
        tokens = self._budget(key, "tokens", key.tokens_per_minute)
        waits = [requests.wait_seconds(1) if requests else 0.0]
        waits.append(tokens.wait_seconds(1) if tokens else 0.0)
        if max(waits) == 0 and requests:
            requests.spend(1)
        return max(waits)

    def spend_tokens(self, key: AccessKey, tokens: int) -> None:
        """Count what a request has read and written."""
        budget = self._budget(key, "tokens", key.tokens_per_minute)
        if budget:
            budget.spend(tokens)

    def _budget(self, key: AccessKey, kind: str, per_minute: int | None) -> RateBudget | None:
        """Return the key's budget; another limit in the file begins another one."""
        if per_minute is None:
            return None
        return self._budgets.setdefault(
            (key.sha256, kind, per_minute), RateBudget(per_minute, self._clock)
        )
