"""The address of a document, written so that spellings of one page compare equal.

Scheme and `www.` are left out, host and port follow RFC 3986 section 6 (lower case, no default
port), parameters that only track visitors are dropped, the others sorted, the fragment goes.
"""

from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import polars as pl

# Names, or beginnings of names that end in '_', that say where a visitor came from.
TRACKING = (
    "fbclid",
    "gclid",
    "dclid",
    "msclkid",
    "yclid",
    "igshid",
    "spm",
    "scm",
    "from",
    "ref",
    "referer",
    "referrer",
    "share_token",
    "utm_",
    "mc_",
    "hsa_",
    "pk_",
)
INDEX_PAGES = ("index.html", "index.htm", "index.php", "default.aspx", "index.jsp")
DEFAULT_PORTS = (None, 80, 443)


def canonical_addresses(meta: pl.Series, field: str) -> pl.Series:
    """Return the canonical address in `field` of each JSON object of `meta`, or null."""
    stated = meta.str.json_path_match(f"$['{field}']")
    urls = stated.drop_nulls().unique(maintain_order=True)
    addresses = {url: canonical_address(url) for url in urls}
    return stated.replace_strict(addresses, default=None, return_dtype=pl.String).alias("address")


def canonical_address(url: str) -> str | None:
    """Return the canonical form of an http(s) address without scheme; None for anything else."""
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").rstrip("."), parts.port
        host = host.encode("idna").decode() if not host.isascii() else host
    except (ValueError, UnicodeError):
        return None
    if parts.scheme.lower() not in ("http", "https") or not host:
        return None
    host = host.removeprefix("www.") + ("" if port in DEFAULT_PORTS else f":{port}")
    path = quote(unquote(parts.path), safe="/~!$&'()*+,;=:@-._")
    folder, _, page = path.rpartition("/")
    path = folder if page.lower() in INDEX_PAGES else path.rstrip("/")
    query = sorted(
        p for p in parse_qsl(parts.query, keep_blank_values=True) if not _is_tracking(p[0])
    )
    return host + path + (f"?{urlencode(query)}" if query else "")


def _is_tracking(name: str) -> bool:
    name = name.lower()
    return any(name == t or (t.endswith("_") and name.startswith(t)) for t in TRACKING)
