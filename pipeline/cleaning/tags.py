"""Tags of pages, as a pattern for Python's and for Rust's expressions."""

_NAMES = (
    "html|head|body|div|p|br|span|table|tr|td|th|tbody|ul|ol|li|h[1-6]|script|style|nav|article|"
    "section|header|footer|img|a|b|i|em|strong|font|center|meta|title|link|form|input|iframe|hr|"
    "blockquote"
)
TAG = rf"(?i)</?(?:{_NAMES})(?:\s[^<>]{{0,500}})?/?>"
