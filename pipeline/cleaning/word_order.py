"""How likely words stand in the order they have: English and Chinese, by kinds of neighbours.

Every word and mark has a kind: articles, prepositions, 的, 了 ... are listed, others go by case,
length or being a number. LEVELS says, in quarter bits, how much oftener a kind follows another than
chance would have it (tallies over news, posts, speeches, manuals and dialogues; laws, articles,
reviews, meetings and chapters). Over a text these sum up to more than 0; where its words were
shuffled, to less. Latin words and numbers inside Chinese say nothing, nor what no text had.
"""

import functools
from typing import NamedTuple

import numpy as np
import polars as pl

from pipeline.characters import read_only
from pipeline.cleaning.word_pass import word_hash
from pipeline.cleaning.words import CAPITAL, ENDS_SENTENCE, HAS_ALPHA, IS_UNSPACED, IS_WORD
from pipeline.compiled import njit

# What published quality filters look for, compared as written: words that any prose holds.
FREQUENT = {
    "en": "the be to of and that have with",
    "zh": "的 年 在 月 是 和 日 了 於 · 為 有 被 人 中 为 他 與 後 也 而 由",
    "yue": "嘅 係 喺 唔 咗 有 同 佢 我 你 的 在 人 年 是 和 為 呢 都 冇",
    "wuu": "个 勒 是 勿 搭 伊 有 拉 人 侬 我 年 月 日 的 在",
    "ja": "の に は を た が で と し れ さ ある いる も する から な こと として い",
    "ko": "이 그 및 등 수 있는 것 한 있다 는 에 의 를 을 은 가 에서 으로 하는",
}
# Kinds 1, 2, ... of listed words, one line each; English ones with a capital too.
LISTED = {
    "en": """
a an the every each no
my your his its our their
this these those some any all both another such
of in on at by for from with into between under about
to
and or but nor
is are was were be been being am isn't aren't wasn't
has have had do does did
will would can could should may must might shall
I he she we they you it there
him us them me her
that which who when where what how why whose
as if because while since than until before after though although whether
not n't so also only very more most then just even too
'm 're 's 've 'll 'd
""",
    "zh": """
的 地 得 之
了 着 著 过 過
是 为 為 有 無 无
在 从 從 对 對 把 被 向 以 于 於 由 按 与 與 跟 给 給 将 將
和 及 或 以及 并 並 而 且 但 但是 而且
不 没 沒 没有 也 都 就 还 還 又 很 更 最 才 只 已 已经
这 這 那 该 該 其 此 每 各 哪
我 你 他 她 它 您 我们 你们 他们 她们 它们 我們 你們 他們 自己 谁
一 二 两 三 四 五 六 七 八 九 十 百 千 万 几 多 第一 一个 两个 三个
个 個 种 種 年 月 日 次 位 名 条 條 件 本 部 元 项 時 时 天 人 号
中 上 下 里 裡 内 後 后 前 等 所 外 间
能 会 會 可以 要 应当 应该 可 可能 必须 需要 想 让 使 使用
因为 因此 所以 如果 虽然 由于 当 若 然后 如 则 否则 即 例如
什么 怎么 如何 为什么 多少 吗 呢 吧 啊
说 到 来 去 做 看 作 出 起 用 進行 进行
""",
}
LISTED_KINDS = 17  # 0 for none of them
(_END, _MARK, _NUMBER, _CAPITAL, _OTHER, _ONE, _TWO, _LONG, LINE) = range(LISTED_KINDS, 26)
KINDS = 26
LANGUAGES = tuple(LISTED)
LEVELS_PER_BIT = 4
_EVEN = 18  # what stands for as often as by chance
_TABLES = {
    "en": """
iiiiiiiiiiiiiiiiiiiiiiiiii i0020000010000h0i0bckniiii i0000000040000d0i008foiiii
ifieh47ngl84ioc0ic88emiiii irsq112001cqj5d0i5ajjiiiii inol002mm0dqe490i1cedliiii
ikmjfg0fkkockjn0i0bfgkiiii imhhef2500f2hes0i78j6liiii ilknal4rf0ogecx0id4k8iiiii
i45c607wr0l034t2i6262kiiii i55dbe9twx00acjzih500iiiii igeklrkgihe0nmh0iped6hiiii
illmcf0prrs7affsia72ciiiii ipnndf7b6duifdh0i8cjfhiiii igeffg8knal8kol0ieac7liiii
iihhb16kk67afbs0i67cemiiii iiiiiiiiiiiiiiiiiiiiiiiiii immribk9hft9nrk0ihb8p0iiii
icbecdmdcej0iih0iekoliiiii i601cbfa47205bcbinnnghiiii if8chfjhjhcfeebnijlineiiii
ighgmmkigielkjeeimjc8hiiii iiiiiiiiiiiiiiiiiiiiiiiiii iiiiiiiiiiiiiiiiiiiiiiiiii
iiiiiiiiiiiiiiiiiiiiiiiiii ih9kea879ah6fkf0i0nkobiiii
""",
    "zh": """
iiiiiiiiiiiiiiiiiiiiiiiiii i08f63bb4jk6a1h8iegiiihlki i9k9c3hknqd8a7rdipiiiijihi
icgek2imnsi9icugi0aiiikjji i1d9e0croheed3jdi08iiiikmi i00fl4lklcaaiicfi08iiihlli
i2asm7oa7n88sdhni40iiinjfi i00njcohnqmahfjei20iiigkli io9pncrfed2erfnoie8iiiiici
iedeb8g58bk7c0a8i9niiijigi ihaehel586hggakhiijiiighhi imfhfal9ciibj9djihjiiiliei
idflqahhmed7magoi98iiijkfi i0bnlamnwg79mkali0eiiiiigi i58gg5g4d0e0m4rniwhiiige8i
iiufe5djlj6bd8mlieiiiiijgi iiiiiiiiiiiiiiiiiiiiiiiiii i00ckkeroe77evebi8diiigghi
i30hjljlln7bkocei9iiiihhii iiiiiiiiiiiiiiiiiiiiiiiiii iiiiiiiiiiiiiiiiiiiiiiiiii
iiiiiiiiiiiiiiiiiiiiiiiiii ijqgjfjdhiejeckkijiiiimihi illihjiggfglgbijikhiiiiiii
ilehilg9b9imjahiikjiiiiiji i05hhcemld88cphdibliiiigni
""",
}
_SLOTS = 2048  # a quarter full


class OrderTables(NamedTuple):
    """The slots in which `find_word` finds words of FREQUENT and LISTED, and LEVELS."""

    keys: np.ndarray  # uint64: hash of a word and its language's number
    bits: np.ndarray  # uint64: one per frequent word of a language
    kinds: np.ndarray  # uint8: kind of a listed word, else 0
    levels: np.ndarray  # int8: `levels`


@functools.cache
def levels() -> np.ndarray:
    """Return quarter bits by language of LANGUAGES, kind of a word and kind of the next (int8)."""
    rows = [
        [[int(level, 36) - _EVEN for level in row] for row in _TABLES[lang].split()]
        for lang in LANGUAGES
    ]
    table = np.array(rows, np.int8)
    table.flags.writeable = False
    return table


def order_of(langs: pl.Series) -> np.ndarray:
    """Return the place in LANGUAGES of each tag (int64), -1 for others."""
    places = {lang: place for place, lang in enumerate(LANGUAGES)}
    return langs.replace_strict(places, default=-1, return_dtype=pl.Int64).to_numpy()


@functools.cache
def language_salts() -> dict[str, int]:
    """Return a number per language of FREQUENT, which parts its words from those of others."""
    return {lang: 0x9E3779B97F4A7C15 * (i + 1) % 2**64 for i, lang in enumerate(FREQUENT)}


@functools.cache
def order_tables() -> OrderTables:
    """Return the tables, read-only."""
    salts = language_salts()
    keys, bits = np.zeros((2, _SLOTS), np.uint64)
    kinds = np.zeros(_SLOTS, np.uint8)

    def slot(lang: str, word: str) -> int:
        key = word_hash(word) ^ salts[lang]
        at = key % _SLOTS
        while keys[at] and keys[at] != key:
            at = (at + 1) % _SLOTS
        keys[at] = key
        return at

    for lang, frequent in FREQUENT.items():
        for index, word in enumerate(frequent.split()):
            bits[slot(lang, word)] |= np.uint64(1 << index)
    for lang, lines in LISTED.items():
        for kind, line in enumerate(lines.strip().split("\n"), 1):
            for word in line.split():
                for form in {word, word[0].upper() + word[1:]}:
                    kinds[slot(lang, form)] = kind
    return OrderTables(read_only(keys), read_only(bits), read_only(kinds), levels())


@njit(inline="always")
def find_word(keys, key):
    """Slot of a word by its hash and its language's number, an empty one if it is not listed."""
    at = key & np.uint64(_SLOTS - 1)
    while keys[at] != 0 and keys[at] != key:
        at = (at + np.uint64(1)) & np.uint64(_SLOTS - 1)
    return at


@njit(inline="always")
def word_kind(listed, flag, length):
    """Kind of a word from that in its slot, its flags and its length in characters."""
    if listed:
        return listed
    if not flag & IS_WORD:
        return _END if flag & ENDS_SENTENCE else _MARK
    if not flag & HAS_ALPHA:
        return _NUMBER
    if flag & IS_UNSPACED:
        return _ONE if length == 1 else _TWO if length == 2 else _LONG
    return _CAPITAL if flag & CAPITAL else _OTHER
