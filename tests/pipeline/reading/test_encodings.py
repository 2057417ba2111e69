"""Text in any encoding comes out right or is refused with the likeliest ones named."""

import contextlib
import gzip
import json
import random
import unicodedata
from collections import Counter

import pytest

from pipeline.reading.encodings import encoding_of, known_codec, text_of
from pipeline.reading.file_records import entries_of
from pipeline.reading.records import ReaderInput, Record
from pipeline.reading.streams import DamagedInput
from pipeline.sources.source_set import Source, SourceSet
from tests.pipeline.ingesting import TEXTS

# One or two sentences of ours per language, and the encodings people kept such text in.
SAMPLES = {
    "Наш мельник встаёт рано, пока туман ещё лежит над рекой, и открывает шлюз. Вода шумит, колесо "
    "медленно поворачивается, и скоро вся деревня слышит, что мельница работает.": (
        *("cp1251", "koi8_r", "cp866", "iso8859_5", "mac_cyrillic"),
    ),
    "Мірошник прокидається рано, коли туман ще лежить над річкою, і відчиняє шлюз. Незабаром усе "
    "село чує, що млин працює, а діти біжать до греблі ловити рибу.": ("cp1251", "koi8_u"),
    "Ο μυλωνάς ξυπνάει νωρίς, όταν η ομίχλη είναι ακόμα πάνω από το ποτάμι, και ανοίγει το φράγμα. "
    "Σε λίγο όλο το χωριό ακούει ότι ο μύλος δουλεύει.": ("cp1253", "iso8859_7", "cp737"),
    "הטוחן קם מוקדם בבוקר, כשהערפל עוד עומד מעל הנהר, ופותח את הסכר. עד מהרה שומע כל הכפר שהטחנה "
    "עובדת, והילדים רצים אל המים לדוג דגים.": ("cp1255", "iso8859_8", "cp862"),
    "يستيقظ الطحان باكرا حين يكون الضباب فوق النهر ويفتح السد، وبعد قليل تسمع القرية كلها أن "
    "الطاحونة تعمل، ويركض الأطفال إلى الماء ليصيدوا السمك.": ("cp1256", "iso8859_6"),
    "Değirmenci sabah erken kalkar, sis hâlâ ırmağın üzerindeyken bendi açar. Çok geçmeden bütün "
    "köy değirmenin çalıştığını duyar, çocuklar balık tutmaya koşar.": ("cp1254", "cp857"),
    "Młynarz wstaje wcześnie, gdy mgła leży jeszcze nad rzeką, i otwiera śluzę. Wkrótce cała wieś "
    "słyszy, że młyn pracuje, a dzieci biegną łowić ryby.": (
        *("cp1250", "iso8859_2", "cp852", "mac_latin2"),
    ),
    "Mlynář vstává časně, když mlha ještě leží nad řekou, a otevírá stavidlo. Brzy celá vesnice "
    "slyší, že mlýn běží, a děti utíkají k vodě chytat ryby.": ("cp1250", "iso8859_2", "cp852"),
    "A molnár korán kel, amikor a köd még a folyó fölött ül, és kinyitja a zsilipet. Nemsokára az "
    "egész falu hallja, hogy működik a malom, a gyerekek pedig őrült módon futnak.": (
        *("cp1250", "iso8859_2", "cp852"),
    ),
    "Le meunier se lève tôt, quand la brume couvre encore la rivière, et il ouvre la vanne. "
    "Bientôt tout le village entend que le moulin tourne, et les élèves courent pêcher.": (
        *("cp1252", "iso8859_15", "mac_roman", "cp850"),
    ),
    "Der Müller steht früh auf, wenn der Nebel noch über dem Fluss liegt, und öffnet das Wehr. "
    "Bald hört das ganze Dorf, dass die Mühle läuft, und die Kinder möchten fischen gehen.": (
        *("cp1252", "mac_roman", "cp850", "cp437"),
    ),
    "Malūnininkas keliasi anksti, kai rūkas dar guli virš upės, ir atidaro šliuzą. Netrukus visas "
    "kaimas girdi, kad malūnas sukasi, o vaikai bėga žvejoti.": ("cp1257", "iso8859_13", "cp775"),
    "คนโม่แป้งตื่นแต่เช้าเมื่อหมอกยังปกคลุมแม่น้ำ แล้วเปิดประตูน้ำ ไม่นานทั้งหมู่บ้านก็ได้ยินเสียงโรงโม่ทำงาน": ("cp874",),
    "磨坊主人起得很早，河上的雾还没有散，他就把水闸打开了。"
    "不久全村的人都听见磨坊在转，孩子们跑去钓鱼。": (
        *("gb18030", "hz", "utf-16-le", "utf-16-be", "utf-32-le"),
    ),
    "磨坊主人起得很早，河上的霧還沒有散，他就把水閘打開了。"
    "不久全村的人都聽見磨坊在轉，孩子們跑去釣魚。": (
        *("big5", "big5hkscs", "gb18030", "utf-16-le"),
    ),
    "粉屋は朝早く起き、霧がまだ川の上にあるうちに水門を開けます。やがて村中に水車の回る音が聞こえ、"
    "子供たちは魚を釣りに走って行きます。": ("cp932", "euc_jp", "iso2022_jp", "utf-16-be"),
    "방앗간 주인은 안개가 아직 강 위에 있을 때 일찍 일어나 수문을 연다. 얼마 지나지 않아 온 마을이 "
    "방아 도는 소리를 듣고 아이들은 물고기를 잡으러 뛰어간다.": ("cp949", "iso2022_kr"),
    "चक्की वाला सुबह जल्दी उठता है, जब नदी पर कोहरा छाया रहता है, और पानी का फाटक खोल देता है।": (
        *("utf-16-le", "utf-16-be", "utf-32-be"),
    ),
    "The miller rises early, while the fog still lies on the river, and opens the sluice.": (
        *("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"),
    ),
}
CASES = [(text, codec) for text, codecs in SAMPLES.items() for codec in codecs]
CHINESE = "\n".join(TEXTS[:2])


@pytest.mark.parametrize(("text", "codec"), CASES, ids=[f"{c} {t[:12]}" for t, c in CASES])
def test_text_in_each_code_page_comes_out_right(text, codec):
    assert text_of(text.encode(codec))[0] == text


@pytest.mark.parametrize(("text", "codec"), CASES, ids=[f"{c} {t[:12]}" for t, c in CASES])
def test_forty_bytes_come_out_right_or_are_refused(text, codec):
    cut = text[: max(40 // max(len("中".encode(codec, "ignore")), 1), 20)]
    data = cut.encode(codec)
    with contextlib.suppress(DamagedInput):
        assert text_of(data)[0] == cut


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_wins_over_what_is_stated(mark):
    assert text_of(CHINESE.encode(mark), stated="cp1252")[0] == CHINESE


def test_a_guess_has_a_score_and_what_is_known_has_none():
    assert encoding_of([CHINESE.encode("gb18030")]).score > 0.9
    assert encoding_of([CHINESE.encode()]).score is None


def test_what_fits_no_language_is_refused_with_the_likeliest_named():
    noise = random.Random(7).randbytes(4000).replace(b"\0", b"a")
    with pytest.raises(DamagedInput, match=r"likeliest: .* [01]\.\d\d.*ingest\.encoding") as damage:
        text_of(noise)
    assert damage.value.reason == "undecodable"


def test_a_stated_encoding_is_taken():
    short = "ab\xe9c".encode("cp437")
    assert text_of(short, stated="cp437")[0] == "ab\xe9c"


@pytest.mark.parametrize("label", ["GBK", "windows-1251", "Shift_JIS", "UTF-16LE"])
def test_labels_are_known(label):
    assert known_codec(label)


@pytest.mark.parametrize("label", ["hex", "rot13", "no such", "a\0b"])
def test_what_is_no_encoding_of_text_is_none(label):
    assert known_codec(label) is None


@pytest.mark.parametrize("codec", ["utf-8", "gb18030", "utf-16"])
def test_one_broken_byte_costs_one_character(codec):
    book = CHINESE * 20
    data = bytearray(book.encode(codec))
    if codec == "utf-16":
        data = data[:-1]  # cut inside the last character
    else:
        at = book.index("\n") + 1
        data[len(book[:at].encode(codec))] = 0xFF
    text, encoding, replaced = text_of(bytes(data))
    assert encoding.codec == codec
    assert 1 <= replaced <= 3  # in UTF-8 a lead byte leaves what followed it
    lost = book[:-1] if codec == "utf-16" else book[:at] + book[at + 1 :]
    assert text.replace("\ufffd", "") == lost


def test_damage_of_more_than_a_hundredth_is_refused():
    data = bytearray(CHINESE.encode())
    for at in range(0, len(data), 40):
        data[at] = 0xFF
    with pytest.raises(DamagedInput) as damage:
        text_of(bytes(data))
    assert damage.value.reason == "undecodable"


def test_a_stray_byte_in_ascii_is_damage_and_not_a_code_page():
    _, encoding, replaced = text_of(b"plain words only, " * 200 + b"\xff" + b" and more" * 200)
    assert (encoding.codec, replaced) == ("utf-8", 1)


def test_a_replacement_character_of_the_source_is_no_damage():
    text = "once was \ufffd here, " * 3 + CHINESE
    assert text_of(text.encode())[2] == 0
    broken = text.encode() + b"\xe4\xb8"
    assert text_of(broken)[2] == 1


@pytest.mark.parametrize(
    "text",
    [
        "~{ is no Chinese~} but a brace",
        "\x1b[31mred\x1b[0m words of a terminal",
        "a ~{ b and ~} c",
        "~{" * 500,
    ],
)
def test_ascii_that_looks_like_escapes_stays_as_it_is(text):
    assert text_of(text.encode())[0] == text


# Readers in pieces

SUFFIXES = (".txt", ".jsonl", ".json", ".csv", ".tsv", ".html")


def content_of(suffix: str, texts: list[str]) -> str:
    """Return a file of the kind with one document per text, or all of them as one."""
    if suffix == ".txt":
        return "\n".join(texts)
    if suffix == ".html":
        return "<html><body>" + "".join(f"<p>{text}</p>" for text in texts) + "</body></html>"
    if suffix == ".csv":
        return "id,text\n" + "".join(f'{n},"{t}"\n' for n, t in enumerate(texts))
    if suffix == ".tsv":
        return "id\ttext\n" + "".join(f"{n}\t{t}\n" for n, t in enumerate(texts))
    rows = [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
    return "\n".join(rows) + "\n" if suffix == ".jsonl" else f"[{', '.join(rows)}]"


def read(tmp_path, name: str, content: bytes, encoding: str | None = None) -> list:
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    sources = SourceSet.open([Source(str(folder))], folder)
    (file,) = [file for file in sources.files if file.relative == name]
    source = ReaderInput(file.path, "text", 16 << 20, 200.0, stated_encoding=encoding)
    return list(entries_of(file, source))


LINES = [text.replace("\n", " ").replace('"', "'") for text in TEXTS[:3]]


@pytest.mark.parametrize("codec", ["gb18030", "utf-16", "utf-16-le", "big5", "utf-8-sig", "cp932"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_reader_decides_alike(tmp_path, suffix, codec):
    texts = LINES
    if codec == "big5":
        texts = [t for t in SAMPLES if "孩子們" in t] * 2
    if codec == "cp932":
        texts = [t for t in SAMPLES if "粉屋" in t] * 2
    found = read(tmp_path, f"a{suffix}", content_of(suffix, texts).encode(codec))
    assert all(isinstance(entry, Record) for entry in found), found
    wanted = "".join(texts)
    got = "".join(entry.fields["text"] for entry in found)
    assert "".join(got.split()) == "".join(wanted.split())
    guessed = codec not in ("utf-16", "utf-8-sig")
    assert ("encoding_score" in (found[0].notes or {})) == guessed


@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".csv"])
def test_chinese_after_a_long_head_of_ascii(tmp_path, suffix):
    english = "The miller ground the grain while the river ran below the house."
    texts = [english] * 3000 + LINES * 20
    found = read(tmp_path, f"a{suffix}", content_of(suffix, texts).encode("gb18030"))
    got = "\n".join(entry.fields["text"] for entry in found)
    assert got == "\n".join(texts)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".json"])
def test_a_broken_byte_in_one_record_is_counted_there(tmp_path, suffix):
    texts = [LINES[0] * 4, LINES[1] * 4]
    data = content_of(suffix, texts).encode().replace("。".encode(), b"\xe3\x80", 1)
    found = read(tmp_path, f"a{suffix}", data)
    assert [entry.notes for entry in found] == [{"replaced_characters": 1}, None] or [
        (entry.notes or {}).get("replaced_characters", 0) for entry in found
    ] == [1, 0]
    assert found[1].fields["text"] == texts[1]


@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "utf-16-le", "utf-32", "gb18030"])
@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".csv"])
def test_a_replacement_character_of_the_text_itself_is_no_damage(tmp_path, suffix, codec):
    lost = "門前\ufffd十丘" + LINES[0]  # as an earlier conversion left it
    texts = [f"{text} {number}" for number in range(20) for text in (*LINES, lost[:30])]
    found = read(tmp_path, f"a{suffix}", content_of(suffix, texts).encode(codec))
    assert "\n".join(entry.fields["text"] for entry in found) == "\n".join(texts)
    assert not any((entry.notes or {}).get("replaced_characters") for entry in found)


def test_half_a_character_of_utf_16_is_counted_beside_replacement_characters(tmp_path):
    texts = [LINES[0] * 40, "\ufffd" + LINES[1] * 40]
    data = content_of(".txt", texts).encode("utf-16")
    broken = data[:200] + b"\x00\xd8" + data[202:]
    (found,) = read(tmp_path, "a.txt", broken)
    assert found.notes["replaced_characters"] == 1


def test_a_binary_file_is_refused_without_likely_encodings(tmp_path):
    (broken,) = read(tmp_path, "a.txt", random.Random(5).randbytes(9000))
    assert broken.reason in {"undecodable", "not_text", "binary"}
    assert "0.00" not in broken.detail


def test_a_file_of_two_encodings_is_not_read_on(tmp_path):
    data = (LINES[0] * 400).encode() + b"\n" + (LINES[1] * 400).encode("gb18030")
    kept, broken = read(tmp_path, "a.csv", b"text\n" + data)
    assert kept.fields["text"] == LINES[0] * 400
    assert (broken.reason, broken.position) == ("undecodable", 1)
    assert "split" in broken.detail
    (broken,) = read(tmp_path, "a.txt", data)
    assert (broken.reason, broken.position) == ("undecodable", -1)


def test_a_backslash_or_a_quote_as_second_byte_is_no_sign_of_json(tmp_path):
    text = "乗、俓、誠、澹、郳：" + LINES[0]
    assert b"\\" in "誠".encode("gb18030") or b"\\" in text.encode("gb18030")
    for suffix in (".json", ".jsonl"):
        found = read(tmp_path, f"a{suffix}", content_of(suffix, [text]).encode("gb18030"))
        assert [entry.fields["text"] for entry in found] == [text]


def test_a_page_that_declares_latin_but_is_chinese(tmp_path):
    page = content_of(".html", LINES).replace("<html>", '<html><meta charset="iso-8859-1">')
    (found,) = read(tmp_path, "a.html", page.encode("gb18030"))
    assert LINES[0] in found.fields["text"]


def test_a_stated_encoding_reaches_the_readers(tmp_path):
    for suffix in (".txt", ".jsonl", ".csv"):
        data = content_of(suffix, ["x\u2592y" * 10]).encode("cp437")
        (found,) = read(tmp_path, f"a{suffix}", data, encoding="cp437")
        assert found.fields["text"] == "x\u2592y" * 10


# Real text of many languages

PLAN = {
    "ru": ("cp1251", "koi8_r", "cp866", "iso8859_5"),
    "uk": ("cp1251", "koi8_u"),
    "bg": ("cp1251", "cp866"),
    "sr-Cyrl": ("cp1251",),
    "pl": ("cp1250", "iso8859_2", "cp852"),
    "cs": ("cp1250", "iso8859_2"),
    "hu": ("cp1250", "iso8859_2"),
    "de-1996": ("cp1252", "mac_roman", "cp850"),
    "es": ("cp1252", "mac_roman", "cp850"),
    "sv": ("cp1252", "cp850"),
    "el-monoton": ("cp1253", "iso8859_7"),
    "tr": ("cp1254",),
    "he": ("cp1255",),
    "ar": ("cp1256", "iso8859_6"),
    "fa": ("cp1256",),
    "lt": ("cp1257", "iso8859_13"),
    "th": ("cp874",),
    "ja": ("cp932", "euc_jp", "iso2022_jp"),
    "ko": ("cp949",),
    "zh": ("gb18030", "hz", "utf-16-le"),
    "zh-Hant": ("big5hkscs", "gb18030"),
}


def test_real_text_is_right_or_refused(shared_data):
    outcomes: Counter[str] = Counter()
    with gzip.open(shared_data / "langid_udhr.jsonl.gz", "rt", encoding="utf-8") as file:
        documents = {row["lang"]: row["text"] for row in map(json.loads, file)}
    for lang, codecs in PLAN.items():
        text = unicodedata.normalize("NFC", documents[lang])
        for codec in codecs:
            for size in (200, 2000):
                at = random.Random(f"{lang} {codec} {size}").randrange(len(text) // 2)
                passage = text[at : at + size].encode(codec, "ignore").decode(codec)
                outcomes[_outcome(passage, codec)] += 1
    assert outcomes["wrong"] == 0
    assert outcomes["refused"] <= 0.05 * outcomes.total()


def _outcome(passage: str, codec: str) -> str:
    try:
        return "right" if text_of(passage.encode(codec))[0] == passage else "wrong"
    except DamagedInput:
        return "refused"
