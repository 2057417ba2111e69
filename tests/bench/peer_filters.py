"""Run in the peers' environment: datatrove's Gopher, C4 and FineWeb filters over a file of texts.

`python peer_filters.py texts.jsonl en|zh [decisions.jsonl]` prints {"seconds", "documents", "kept"}
where seconds are CPU time of the filters alone. Documents pass the filters in FineWeb's order and
leave at the first that drops them; with a third argument each filter judges every document, and its
decisions are written there.
"""

import json
import sys
import time
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)

# FineWeb2's settings for Mandarin; C4 has none of its own there.
_CMN_FREQUENT = "的 年 在 月 是 和 日 了 於 · 為 有 被 人 中 为 他 與 後 也 而 由"
_CMN_STOP_WORDS = _CMN_FREQUENT.split()
_CMN_TOP = ((2, 0.256), (3, 0.201), (4, 0.171))
_CMN_DUPLICATE = ((5, 0.198), (6, 0.182), (7, 0.167), (8, 0.154), (9, 0.140), (10, 0.127))


def filters(language):
    if language == "en":
        return {
            "gopher_repetition": GopherRepetitionFilter(),
            "gopher_quality": GopherQualityFilter(),
            "c4_quality": C4QualityFilter(),
            "fineweb_quality": FineWebQualityFilter(),
        }
    return {
        "gopher_repetition": GopherRepetitionFilter(
            dup_line_frac=0.287, dup_para_frac=None, dup_para_char_frac=None,
            dup_line_char_frac=None, top_n_grams=_CMN_TOP, dup_n_grams=_CMN_DUPLICATE,
            language="cmn_Hani",
        ),
        "gopher_quality": GopherQualityFilter(
            min_avg_word_length=1, max_avg_word_length=5, max_non_alpha_words_ratio=0.735,
            stop_words=_CMN_STOP_WORDS, language="cmn_Hani",
        ),
        "c4_quality": C4QualityFilter(language="cmn_Hani"),
        "fineweb_quality": FineWebQualityFilter(
            line_punct_thr=0.106, short_line_thr=999, char_duplicates_ratio=0.1,
            new_line_ratio=0.178, language="cmn_Hani",
        ),
    }  # fmt: skip


def main():
    path, language, *decisions = sys.argv[1:]
    texts = [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]
    chain = filters(language)
    warm = "这是一个句子。" if language == "zh" else "This is a sentence."
    for step in chain.values():
        step.filter(Document(text=warm * 100, id="warm"))
    if decisions:
        _decide(texts, chain, Path(decisions[0]))
    documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
    kept = 0
    began = time.process_time()
    for document in documents:
        kept += all(step.filter(document) is True for step in chain.values())
    seconds = time.process_time() - began
    print(json.dumps({"seconds": seconds, "documents": len(texts), "kept": kept}))


def _decide(texts, chain, out):
    with out.open("w", encoding="utf-8") as file:
        for number, text in enumerate(texts):
            found = {"number": number}
            for name, step in chain.items():
                result = step.filter(Document(text=text, id=""))
                found[name] = "pass" if result is True else f"drop:{result[1]}"
            file.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
