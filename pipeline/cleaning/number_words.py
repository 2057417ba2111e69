"""Numbers that the words beside them call something else: versions, sections, articles, orders.

A number of the right shape is no address of a machine after "version", nor one in a chain of such
numbers ("from version 1.2.3.4 to 1.2.4.0"), and no telephone or card after "order no.", ISBN or a
sign of money. Only words right before it (and a few right after it) count; what stands further off
is about something else.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

CONTEXT = 100  # characters before a number that are looked at
AFTER = 24


@dataclass(frozen=True)
class OtherNumbers:
    """What stands right before or right after a number that is none of a kind."""

    before: re.Pattern[str]
    after: re.Pattern[str]

    def are(self, text: str, start: int, end: int) -> bool:
        """Tell whether the number at `start` to `end` is called something else."""
        return bool(
            self.before.search(text[max(0, start - CONTEXT) : start])
            or self.after.match(text[end : end + AFTER])
        )


def _words(*groups: str) -> str:
    return "|".join(" ".join(groups).split())


def _beside(before: Sequence[str], after: Sequence[str]) -> OtherNumbers:
    return OtherNumbers(
        re.compile(f"(?:{'|'.join(before)})\\Z", re.I), re.compile("|".join(after), re.I)
    )


_VERSIONS = _words(
    "versions? ver\\.? vers\\.? v\\.? releases? rel\\.? builds? revisions? rev\\.? firmware patch",
    "versión versión(?:es)? versao versão versione versie wersja версия версии version(?:en|s)",
)
_SECTIONS = _words(
    "sections? sec\\.? sect\\.? subsections? chapters? chap\\.? ch\\.? clauses? paragraphs?",
    "paras?\\.? articles? art\\.? rules? annex appendix app\\.? figures? fig\\.? tables? tab\\.?",
    "steps? items? exercises? ex\\.? examples? theorem lemma proposition corollary",
    "definitions? def\\.? equations? eq\\.? requirements? req\\.? controls? standards? parts? §+",
    "abschnitt kapitel absatz anhang abbildung tabelle sección capítulo apartado artículo cláusula",
    "chapitre paragraphe annexe seção capitolo sezione раздел раздела глава пункт пункта",
)
_CHANGES = _words(
    "update[sd]? updating upgrade[sd]? upgrading downgrade[sd]? bump(?:ed|s)? migrat(?:e|ed|ing)",
)
_NO_WORDS_OF_MACHINES = (
    r"(?!\S*(?:address|host|server|gateway|subnet|network|router|dns|\bip|record|node|peer|client))"
)
_CHINESE_VERSIONS = "版本|版|固件|补丁|補丁|升级到|升级至|更新到|更新至|升級到|バージョン|버전"
_CHINESE_SECTIONS = "章节|小节|章節|第|节|節|章|条|條|款|附录|附錄|图|圖|表|步骤|步驟"
_TITLE = r"[\"'“”‘’(\[（【《:：#=]*"
# A chain of further numbers: "sections 1.2.3.4, 1.2.3.5 and 2.1.1.1", "1.2.3.4 to 1.2.4.0".
_CHAIN = (
    r"(?:[\s,;、，/&~–—()（）-]|\d{1,5}(?:\.\d{1,5}){1,4}|"
    r"\b(?:to|and|or|through|thru|from|until|till|bis|und|à|et|y|a|vs|is|was|number|no)\b\.?|"
    r"至|到|和|及|与|或|号|为|是){0,12}"
)
VERSIONS = _beside(
    (
        rf"(?<![^\W\d_])(?:{_VERSIONS}|{_SECTIONS}){_TITLE}\s?{_TITLE}{_CHAIN}",
        rf"(?:{_CHINESE_VERSIONS}|{_CHINESE_SECTIONS}){_TITLE}\s?{_CHAIN}",
        rf"(?<![^\W\d_])(?:{_CHANGES})(?:\s{_NO_WORDS_OF_MACHINES}[^\s.;:!?]{{1,24}}){{0,4}}\s(?:to|from)\s{_CHAIN}",
        r"(?:^|\n)[ \t#*]{0,8}(?:\d{1,2}\.){1,3}\d{1,2}[ \t].{0,40}\n\s*",
    ),
    (
        r"\s?(?:版本|版|节|節|章|条|條|款)",
        r"[ -](?:release|version|build|firmware|update|section|clause|edition)\b",
        r"(?:-(?:alpha|beta|rc|rev|dev|snapshot|final|ga|sp|r)\b|(?:alpha|beta|rc)\d)",
    ),
)
_NUMBERED = _words(
    "order invoice part item article product model serial tracking shipment parcel ticket case",
    "patent sku asin isbn(?:-1[03])? issn ean(?:-?13)? upc gtin doi pmid lot batch catalog(?:ue)?",
    "reference ref\\.? docket bug issue commit revision transaction txn voucher coupon receipt",
    "bestellnummer artikelnummer rechnungsnummer teilenummer pedido factura commande facture",
    "sha-?\\d* md5 hash checksum digest uuid guid timestamp epoch seed",
)
_NUMBER = r"(?:[ -](?:id|code))?[ .]{0,2}(?:numbers?|num\.?|nos?\.?|nr\.?|#|id)?"
_LINK = r"\s{0,2}(?:is|was|are|:|：|=|#)?\s{0,2}"
_CHINESE_NUMBERED = (
    "(?:订单|訂單|货|貨|商品|产品|產品|零件|型|批|流水|运单|運單|快递单|物流单|发票|發票|合同|专利|專利|工单|序列|"
    "条形|條形|追踪|交易|文|案|单|單|编|編)(?:编号|編號|号码|號碼|号|號|码|碼)|书号|書號|哈希值?|校验和|时间戳"
)
_MONEY = "[$€£¥￥₹₩₽₺₫₴฿₿]"
_CURRENCIES = (
    "USD|EUR|GBP|JPY|CNY|RMB|HKD|TWD|KRW|INR|RUB|BRL|CHF|AUD|CAD|dollars?|euros?|pounds|yen|yuan|"
    "rubles|rupees|元|美元|欧元|日元|円|万元|人民币|块钱|원"
)
NUMBERED = _beside(
    (
        rf"(?<![^\W\d_])(?<!to )(?:{_NUMBERED}){_NUMBER}{_LINK}{_TITLE}",
        rf"(?:{_CHINESE_NUMBERED})[是为為]?{_TITLE}\s?",
        rf"(?:{_MONEY}|\b(?:{_CURRENCIES}))\s?(?:\d{{1,3}},)*",
    ),
    (rf"\s?(?:{_CURRENCIES})(?![A-Za-z])",),
)
