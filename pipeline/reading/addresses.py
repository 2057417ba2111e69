"""Addresses: which kinds are read, how one is shown, and which machines nobody names by accident.

Sources are local paths, http:// and https://; the store and every output are folders of this
machine. Secrets in an address (login, tokens, signatures of a query) are used and never shown:
`without_secrets` is applied to all that leaves for a message, a record or a tracking server.
"""

import ipaddress
import re

from pipeline.errors import ConfigError

WEB = ("http://", "https://")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HELP = {
    "file": "give the path itself, without file://",
    "s3": "copy it here (`aws s3 cp --recursive`), mount it, or give a signed https address",
    "gs": "copy it here (`gcloud storage cp -r`), mount it, or give a signed https address",
    "hf": "download it (`hf download`), or give https://huggingface.co/.../resolve/main/FILE",
}
_LOGIN = re.compile(r"(?<=://)[^\s/@?#'\"]+@")
_PARAMETER = re.compile(
    r"(?P<lead>[?&;])(?P<key>[^=&;\s#'\"<>]*+)(?P<equals>=?)(?P<value>(?<==)[^&\s#'\"<>]*+)?"
)
_SENTENCE_ENDS = ":,.;)]"  # after an address they are not part of it
_SECRET_KEY = re.compile(
    r"tok|key|secret|sig|pass|pwd|auth|cred|sess|code|jwt|hash|hmac|^x-|^(?:se|sp|sr|st|sv|ss|srt|"
    r"spr|skoid|sktid|ske|sks|skt|skv|policy|expires)$",
    re.I,
)
_SECRET_LENGTH = 16  # a value that long is a signature or a token whatever its name
HIDDEN = "***"
# Addresses of clouds that tell a machine's own secrets, beyond those that are link-local.
_METADATA = frozenset({"168.63.129.16", "100.100.100.200"})
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def scheme_of(path: str) -> str | None:
    """Return the scheme of an address in lower case, None of a path."""
    match = _SCHEME.match(path)
    return match[0][:-3].lower() if match else None


def refuse_address(path: str, what: str, *, web: bool = False) -> None:
    """Raise ConfigError for an address of a kind that is not read or written; `web` are allowed."""
    scheme = scheme_of(path)
    if scheme is None or (web and scheme in ("http", "https")):
        return
    refusal = f"{what} {without_secrets(path)!r}: {scheme}:// is not supported, wanted"
    if web:
        copying = _HELP.get(scheme, "copy it here and give the path")
        raise ConfigError(f"{refusal} a local path, an http:// or an https:// address; {copying}")
    raise ConfigError(
        f"{refusal} a folder of this machine; write to one and copy from there, or mount the bucket"
    )


def without_secrets(text: str) -> str:
    """Return a text with the logins and the secret parameters of addresses in it hidden."""
    if "://" not in text and "?" not in text:
        return text
    return _PARAMETER.sub(_hide, _LOGIN.sub(f"{HIDDEN}@", text))


def _hide(match: re.Match[str]) -> str:
    lead, key, equals, value = match.group("lead", "key", "equals", "value")
    if not equals:
        return f"{lead}{HIDDEN}" if len(key) >= _SECRET_LENGTH else match[0]
    bare = (value or "").rstrip(_SENTENCE_ENDS)
    secret = bare and (len(bare) >= _SECRET_LENGTH or _SECRET_KEY.search(key))
    return f"{lead}{key}={HIDDEN}{value[len(bare) :]}" if secret else match[0]


def is_private(address: str) -> bool:
    """Tell whether an IP address is none of the public internet, whatever form it is wrapped in."""
    try:
        ip_address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return True
    if isinstance(ip_address, ipaddress.IPv6Address):
        inner = (
            ip_address.ipv4_mapped or ip_address.sixtofour or (ip_address.teredo or (None, None))[1]
        )
        if ip_address in _NAT64:
            inner = ipaddress.IPv4Address(int(ip_address) & 0xFFFFFFFF)
        if inner is not None:
            return is_private(str(inner))
    return not ip_address.is_global or ip_address.is_multicast or str(ip_address) in _METADATA
