"""Which files an address stands for: itself, or what a list of paths such as Common Crawl's names.

A list (`warc.paths.gz`, `wet.paths`) holds one path per line, taken from the root of its server.
"""

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urljoin, urlsplit

from pipeline.errors import SourceError
from pipeline.reading.addresses import WEB, without_secrets
from pipeline.reading.remote import RemoteFile, look_up
from pipeline.reading.streams import EXPANSION_MAX, DamagedInput, open_bytes, read_whole

LIST_SUFFIXES = (".paths", ".paths.gz", ".paths.zst")
LIST_BYTES_MAX = 64 << 20
LOOKUPS_AT_ONCE = 8


def remote_files(url: str, first: int | None) -> list[tuple[str, RemoteFile]]:
    """Return (relative name, file) of an address, in order; of a list the `first` files.

    Raises SourceError where something is not there, or a list leads to another server.
    """
    if not urlsplit(url).path.lower().endswith(LIST_SUFFIXES):
        file = look_up(url)
        return [(file.name, file)]
    addresses = _listed(url)[:first]
    with ThreadPoolExecutor(LOOKUPS_AT_ONCE) as pool:
        files = list(pool.map(look_up, addresses))
    return [(urlsplit(file.url).path.lstrip("/"), file) for file in files]


def _listed(url: str) -> list[str]:
    name = without_secrets(url)
    try:
        content = read_whole(open_bytes(look_up(url), EXPANSION_MAX), LIST_BYTES_MAX)
    except DamagedInput as damage:
        raise SourceError(f"{name}: {damage.detail}") from damage
    if content is None:
        raise SourceError(f"{name}: a list of more than {LIST_BYTES_MAX} bytes; cut it in parts")
    root = urljoin(url, "/")
    addresses: list[str] = []
    for number, line in enumerate(content.decode("utf-8", "backslashreplace").splitlines(), 1):
        if not (path := line.strip()):
            continue
        address = urljoin(root, path)
        if not address.startswith(root) or not address.lower().startswith(WEB):
            raise SourceError(
                f"{name}: line {number} leads to {without_secrets(path[:200])!r}; "
                f"wanted paths below {without_secrets(root)}"
            )
        addresses.append(address)
    if not addresses:
        raise SourceError(f"{name}: the list names no file")
    return addresses
