"""Figures as people read them."""


def number(value: float | None) -> str:
    """Return a figure for people: whole numbers with separators, others to three digits."""
    if value is None:
        return "missing"
    if value == int(value) if abs(value) < 1e15 else False:
        return f"{int(value):,}"
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"
