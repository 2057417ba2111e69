"""Keys of a server: hashed at rest, limited by the minute, read again when the file changes."""

import pytest

from model.serve.access.keys import KeyRing, add_key, read_keys, remove_key
from model.serve.access.rates import KeyRates
from pipeline.errors import ConfigError


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keys.json"


def test_the_file_holds_a_hash_and_is_its_owners_alone(path):
    secret = add_key(path, "ann", 60, None)
    assert secret not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(secret) > 40
    assert KeyRing(path).find(secret).name == "ann"
    assert KeyRing(path).find(secret + "x") is None
    assert KeyRing(path).find("") is None


def test_a_ring_follows_its_file(path):
    ann = add_key(path, "ann", None, None)
    ring = KeyRing(path)
    ben = add_key(path, "ben", None, None)
    assert ring.find(ben) is None
    ring.refresh()
    assert ring.find(ben).name == "ben"
    remove_key(path, "ann")
    ring.refresh()
    assert ring.find(ann) is None
    path.write_text("{broken")
    with pytest.raises(ConfigError, match=r"keys\.json"):
        ring.refresh()
    assert ring.find(ben).name == "ben"
    path.unlink()
    ring.refresh()
    assert ring.find(ben) is None


def test_what_cannot_be_a_key_is_refused(path):
    with pytest.raises(ConfigError, match="textmill key"):
        read_keys(path)
    for name in ("", "a b", "x" * 65, "a\n", "名字 "):
        with pytest.raises(ConfigError, match="key"):
            add_key(path, name, None, None)
    with pytest.raises(ConfigError, match="tokens-per-minute"):
        add_key(path, "ann", None, 0)
    add_key(path, "ann", None, None)
    with pytest.raises(ConfigError, match="--remove"):
        add_key(path, "ann", None, None)
    with pytest.raises(ConfigError, match="there are: ann"):
        remove_key(path, "ben")
    path.write_text('{"keys": [{"name": "ann", "sha256": "short"}]}')
    with pytest.raises(ConfigError, match=r"keys\.0\.sha256"):
        read_keys(path)


def test_requests_are_spread_over_the_minute(path):
    add_key(path, "ann", 2, None)
    (key,), clock = read_keys(path), Clock()
    rates = KeyRates(clock)
    assert [rates.admit(key) for _ in range(3)] == [0, 0, 30]
    clock.now = 29.0
    assert rates.admit(key) == pytest.approx(1.0)  # a refused request costs nothing
    clock.now = 30.0
    assert rates.admit(key) == 0
    clock.now = 1e6
    assert [rates.admit(key) for _ in range(3)] == [0, 0, 30]


def test_tokens_that_were_overdrawn_are_waited_off(path):
    add_key(path, "ann", None, 60)
    (key,), clock = read_keys(path), Clock()
    rates = KeyRates(clock)
    assert rates.admit(key) == 0
    rates.spend_tokens(key, 90)
    assert rates.admit(key) == pytest.approx(31)
    clock.now = 31.0
    assert rates.admit(key) == 0
