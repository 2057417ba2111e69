"""Hugging Face's tokenizer.json as a SentencePiece model with the same ids.

Possible where that file says what SentencePiece can: BPE or unigram over characters, spaces marked
in pieces, bytes as fallback. Everything else is refused with its reason, byte-level BPE (GPT-2,
Llama 3, Qwen) first of all: its pieces are made of bytes and its texts are cut by a regular
expression before any merge. Written by hand for the reason that `to_huggingface` gives.
"""

import json
import re
from collections.abc import Callable, Iterable
from itertools import zip_longest
from pathlib import Path
from typing import Any

from sentencepiece import sentencepiece_model_pb2 as proto

from pipeline.errors import ArtifactError, ConfigError
from pipeline.tokenizer import CONTROLS, SPACE_MARK
from pipeline.tokenizing.huggingface_form import check_config, check_form
from pipeline.tokenizing.to_huggingface import NEVER, TOKENIZER_CONFIG, merges
from pipeline.vocabulary import PieceType, read_vocabulary

ROLES = ("unk", "bos", "eos", "pad")
AGAIN = "write the file again with `save_pretrained` of transformers or `save` of tokenizers"
BYTE = re.compile(r"<0x[0-9A-F]{2}>")
BYTE_LEVEL = (
    "it is byte-level: its pieces are made of bytes, after a regular expression has cut the text, "
    "and SentencePiece joins characters only; train a tokenizer instead"
)


def read_tokenizer_json(file: Path) -> bytes:
    """Return the .model file of a tokenizer.json (and the tokenizer_config.json beside it, if any).

    Special tokens become controls, which no text contains; other added tokens stay symbols found in
    text. Where ids 0 to 3 are unk, bos, eos and pad they get textmill's names. Raises ConfigError,
    with the reason, for what SentencePiece cannot express, ArtifactError for a broken file.
    """
    beside = file.with_name(TOKENIZER_CONFIG)
    content = _read(file, "tokenizer.json", check_form)
    names = _read(beside, TOKENIZER_CONFIG, check_config) if beside.exists() else {}
    try:
        return to_model(content, names)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise ArtifactError(
            f"{file}: not a tokenizer.json that can be read ({error!r}); {AGAIN}"
        ) from error


def _read(file: Path, kind: str, check: Callable[[Any], None]) -> Any:
    try:
        content = json.loads(file.read_text("utf-8"))
        check(content)
    except ArtifactError as error:
        raise ArtifactError(f"{file}: not a {kind} to import: {error}; {AGAIN}") from error
    except (ValueError, RecursionError) as error:  # of JSON and of UTF-8
        raise ArtifactError(f"{file}: not JSON in UTF-8 ({error}); {AGAIN}") from error
    return content


def to_model(content: dict[str, Any], config: dict[str, Any]) -> bytes:
    """Return the SentencePiece model of a tokenizer.json's content; see `read_tokenizer_json`."""
    model = content["model"]
    _refuse_what_differs(content)
    prefix = _adds_prefix(content)
    names = _names(model)
    roles = _roles(content, config, names)
    stored = proto.ModelProto()  # type: ignore[attr-defined] # made at import
    trainer, normalizer = stored.trainer_spec, stored.normalizer_spec
    trainer.model_type = {"Unigram": 1, "BPE": 2}[model["type"]]
    trainer.vocab_size = len(names)
    trainer.byte_fallback = bool(model.get("byte_fallback"))
    trainer.unk_surface = "\ufffd"
    for role in ROLES:
        setattr(trainer, f"{role}_id", roles.get(role, -1))
    normalizer.name = "identity"
    normalizer.add_dummy_prefix = prefix
    normalizer.remove_extra_whitespaces = False
    normalizer.escape_whitespaces = True
    renamed = {i: n for i, n in enumerate(CONTROLS) if roles.get(ROLES[i]) == i}
    renamed = renamed if len(renamed) == len(CONTROLS) else {}
    kinds = _kinds(content, names, roles)
    for token_id, (name, score) in enumerate(zip(names, _scores(model, names), strict=True)):
        name = renamed.get(token_id, name.replace(" ", SPACE_MARK))
        stored.pieces.add(piece=name, score=score, type=kinds[token_id])
    for role, token_id in roles.items():
        setattr(trainer, f"{role}_piece", stored.pieces[token_id].piece)
    model_bytes = stored.SerializeToString(deterministic=True)
    if model["type"] == "BPE":
        _check_merges(model, model_bytes)
    return model_bytes


def _refuse_what_differs(content: dict[str, Any]) -> None:
    model = content["model"]
    steps = [*_steps(content, "pre_tokenizer"), *_steps(content, "decoder")]
    byte_level = any(step["type"] == "ByteLevel" for step in steps)
    kind = model.get("type")
    for wrong, reason in (
        (byte_level, BYTE_LEVEL),
        (kind not in ("BPE", "Unigram"), f"its model is {kind!r}; wanted BPE or Unigram"),
        (model.get("continuing_subword_prefix"), "its pieces mark what continues a word"),
        (model.get("end_of_word_suffix"), "its pieces mark the end of a word"),
        (model.get("ignore_merges"), "it takes whole words before any merge"),
        (
            not model.get("byte_fallback") and model.get("fuse_unk") is False and kind == "BPE",
            "unknown characters in a row are one token in SentencePiece, several here",
        ),
    ):
        if wrong:
            raise ConfigError(f"SentencePiece cannot give these ids: {reason}")
    for token in content.get("added_tokens", []):
        odd = [key for key in ("single_word", "lstrip", "rstrip") if token.get(key)]
        if odd and not token.get("special"):
            raise ConfigError(
                f"SentencePiece cannot give these ids: {token['content']!r} has {', '.join(odd)}"
            )


def _adds_prefix(content: dict[str, Any]) -> bool:
    """Tell whether a space goes before a text; refuse what changes text in other ways."""
    prefix = False
    for step in [*_steps(content, "normalizer"), *_steps(content, "pre_tokenizer")]:
        kind = step["type"]
        if kind == "Prepend" and step["prepend"] in (" ", SPACE_MARK):
            prefix = True
        elif kind == "Metaspace" and step.get("replacement", SPACE_MARK) == SPACE_MARK:
            scheme = step.get("prepend_scheme", "always" if step.get("add_prefix_space") else "")
            prefix = prefix or scheme in ("always", "first")
            if step.get("split", True):
                _refuse_pieces_across_words(content)
        elif kind != "Replace" or (step["pattern"], step["content"]) not in SPACE_RULES:
            raise ConfigError(
                f"SentencePiece cannot give these ids: the step {kind} changes or cuts text in "
                f"ways of its own; only spaces written as U+2581 can be taken over"
            )
    return prefix


SPACE_RULES = (({"String": " "}, SPACE_MARK), ({"String": SPACE_MARK}, " "))


def _refuse_pieces_across_words(content: dict[str, Any]) -> None:
    for name in _names(content["model"]):
        if SPACE_MARK in name[1:]:
            raise ConfigError(
                f"SentencePiece cannot give these ids: words are cut apart first, but the piece "
                f"{name!r} has a space inside"
            )


def _steps(content: dict[str, Any], part: str) -> list[dict[str, Any]]:
    """Return the steps of a part of the file, nested sequences laid out flat."""

    def flat(step: dict[str, Any] | None) -> Iterable[dict[str, Any]]:
        if step is None:
            return
        if step["type"] == "Sequence":
            inner = next(value for key, value in step.items() if isinstance(value, list))
            for one in inner:
                yield from flat(one)
        else:
            yield step

    return list(flat(content.get(part)))


def _names(model: dict[str, Any]) -> list[str]:
    if model["type"] == "Unigram":
        return [name for name, _ in model["vocab"]]
    by_id = {token_id: name for name, token_id in model["vocab"].items()}
    if sorted(by_id) != [*range(len(by_id))]:
        raise ConfigError("SentencePiece cannot give these ids: some between 0 and the last lack")
    return [by_id[token_id] for token_id in range(len(by_id))]


def _roles(content: dict[str, Any], config: dict[str, Any], names: list[str]) -> dict[str, int]:
    """Return the ids of unk, bos, eos and pad as far as the files name them."""
    model, ids = content["model"], {name: token_id for token_id, name in enumerate(names)}
    roles: dict[str, int] = {}
    for role, usual in zip(ROLES, (("<unk>",), ("<s>",), ("</s>",), ("<pad>",)), strict=True):
        stated = config.get(f"{role}_token")
        stated = stated["content"] if isinstance(stated, dict) else stated
        unk = model.get("unk_token") if role == "unk" else None
        for name in (stated, unk, CONTROLS[ROLES.index(role)], *usual):
            if name in ids:
                roles.setdefault(role, ids[name])
    if "unk" not in roles and model.get("unk_id") is not None:
        roles["unk"] = model["unk_id"]
    if "unk" not in roles:
        raise ConfigError("SentencePiece needs a token for what is unknown, and none is named")
    return roles


def _kinds(content: dict[str, Any], names: list[str], roles: dict[str, int]) -> list[int]:
    model = content["model"]
    if model["type"] == "BPE":  # what no merge makes is in no text
        merged = {left + right for left, right in _pairs(model)}
        is_normal = [len(name) == 1 or name in merged for name in names]
    else:
        is_normal = [score > NEVER for _, score in model["vocab"]]
    kinds = [int(PieceType.NORMAL if normal else PieceType.CONTROL) for normal in is_normal]
    if model.get("byte_fallback"):
        named = zip(names, kinds, strict=True)
        kinds = [int(PieceType.BYTE) if BYTE.fullmatch(name) else kind for name, kind in named]
    for token in content.get("added_tokens", []):
        if token["id"] >= len(names) or names[token["id"]] != token["content"]:
            raise ConfigError(
                f"SentencePiece cannot give these ids: the added token {token['content']!r} is not "
                f"in the model's vocabulary"
            )
        kinds[token["id"]] = int(PieceType.CONTROL if token["special"] else PieceType.USER_DEFINED)
    for role, token_id in roles.items():
        kinds[token_id] = int(PieceType.UNKNOWN if role == "unk" else PieceType.CONTROL)
    return kinds


def _scores(model: dict[str, Any], names: list[str]) -> list[float]:
    """Return scores by which SentencePiece prefers what this file prefers."""
    if model["type"] == "Unigram":
        return [score for _, score in model["vocab"]]
    ranks: dict[str, int] = {}
    for left, right in _pairs(model):
        ranks.setdefault(left + right, len(ranks))
    return [-float(ranks.get(name, len(ranks) + i)) for i, name in enumerate(names)]


def _pairs(model: dict[str, Any]) -> list[tuple[str, str]]:
    pairs = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
    return [(left, right) for left, right in pairs]


def _check_merges(model: dict[str, Any], model_bytes: bytes) -> None:
    """Refuse merges that are not all the ways to make each piece, in the order of pieces."""

    def by_piece(pairs: Iterable[tuple[str, str]]) -> list[set[tuple[str, str]]]:
        groups: list[set[tuple[str, str]]] = []
        last = None
        for left, right in pairs:
            if left + right != last:
                groups.append(set())
                last = left + right
            groups[-1].add((left, right))
        return groups

    spelled = [(a.replace(SPACE_MARK, " "), b.replace(SPACE_MARK, " ")) for a, b in _pairs(model)]
    given, ours = by_piece(spelled), by_piece(merges(read_vocabulary(model_bytes)))
    nothing: set[tuple[str, str]] = set()
    for merge, wanted in zip_longest(given, ours, fillvalue=nothing):
        if merge != wanted:
            odd = min(merge ^ wanted)
            raise ConfigError(
                f"SentencePiece cannot give these ids: it joins two pieces wherever they make a "
                f"third, in the order of the third, and this file's merges do not ({odd})"
            )
