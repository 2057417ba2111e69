"""Addresses: kinds that are read, secrets that are never shown, machines nobody named."""

import pytest

from pipeline.errors import ConfigError
from pipeline.reading.addresses import is_private, refuse_address, without_secrets
from pipeline.sources.source_set import Source


@pytest.mark.parametrize(
    "address",
    ["s3://b/a", "gs://b", "hf://datasets/a", "file:///tmp/a", "ftp://h/a", "az://c", "S3://b/a"],
)
def test_other_kinds_of_addresses_are_refused_with_what_is_supported(address):
    with pytest.raises(ConfigError, match=r"not supported, wanted a local path, an http:// or"):
        Source(address)
    with pytest.raises(ConfigError, match=r"--out .* not supported, wanted a folder of this"):
        refuse_address(address, "--out")


@pytest.mark.parametrize("path", ["a/b.txt", "c:/x", "quickstart:", "a:b", "/data/s3:/x", "~/a"])
def test_paths_are_paths(path):
    Source(path)
    refuse_address(path, "--out")


def test_nothing_is_written_to_the_web():
    Source("https://example.com/a.txt")
    with pytest.raises(ConfigError, match="wanted a folder"):
        refuse_address("https://example.com/a", "--out")


SECRETS = [
    ("https://jane:pa55@h.example/a.txt", "https://***@h.example/a.txt"),
    ("https://t0ken@h.example/a.txt", "https://***@h.example/a.txt"),
    ("https://h.example/a?token=abc&page=2", "https://h.example/a?token=***&page=2"),
    (
        "https://h.example/a?X-Amz-Signature=00ff&X-Amz-Expires=60&v=1",
        "https://h.example/a?X-Amz-Signature=***&X-Amz-Expires=***&v=1",
    ),
    ("https://h.example/a?sv=2020&sig=x%2Fy%3D&sr=b", "https://h.example/a?sv=***&sig=***&sr=***"),
    ("https://h.example/a?d=0123456789abcdef0123", "https://h.example/a?d=***"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "shown"), SECRETS)
def test_secrets_are_hidden_and_the_rest_is_not(text, shown):
    assert without_secrets(text) == shown
    assert without_secrets(shown) == shown
    assert without_secrets(f"source '{text}': no") == f"source '{shown}': no"
    assert without_secrets(f"{text}: no") == f"{shown}: no"


@pytest.mark.parametrize(
    "text", ["what is it? a=b", "mail to a@b.example", "https://h.example/a/b.txt", "x ? y = 1 : 2"]
)
def test_other_text_is_left(text):
    assert without_secrets(text) == text


PRIVATE = [
    "127.0.0.1", "127.8.9.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0",
    "100.64.0.1", "100.100.100.200", "168.63.129.16", "224.0.0.1", "255.255.255.255", "::1", "::",
    "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "::ffff:10.0.0.1", "::ffff:7f00:1", "2002:7f00:1::",
    "64:ff9b::169.254.169.254", "ff02::1", "no address",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_of_this_network_are_private(address):
    assert is_private(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "1.1.1.1"])
def test_addresses_of_the_internet_are_not(address):
    assert not is_private(address)
