"""What made-up held-out documents cost made-up models, for tests of evaluation and promotion."""

from model.evaluation.paired import DocumentCost

DOCUMENTS = 30
BYTES = 120
MORE = {"zh": 0.3, "en": -0.15}  # bits per byte beside the whole's: a third is Chinese
SOURCES = {"zh": "维基百科", "en": "handbook"}


def score_rows(bits_per_byte: float, count: int = DOCUMENTS, **more: float) -> list[dict]:
    """Return rows of DOCUMENT_SCORE; `more` changes a language's bits per byte, as in zh=0.2.

    Documents differ from one another, alike for every model, and a little between models.
    """
    rows = []
    for number in range(count):
        lang = "zh" if number % 3 == 0 else "en"
        hard = 0.4 * ((number * 7) % 11 - 5) / 5  # of the text
        luck = 0.004 * ((number * 5 + round(bits_per_byte * 1000)) % 7 - 3) / 3
        of_model = bits_per_byte + MORE[lang] + more.get(lang, 0.0) + luck
        rows.append(
            {
                "id": f"held/{number:04d}", "lang": lang, "source": SOURCES[lang], "age": None,
                "tokens": 30, "bytes": BYTES, "bits": (of_model + hard) * BYTES,
                "champion_bits": None,
            }
        )  # fmt: skip
    return rows


def costs(bits_per_byte: float, count: int = DOCUMENTS, **more: float) -> list[DocumentCost]:
    """Return the same as scores of a champion."""
    rows = score_rows(bits_per_byte, count, **more)
    return [DocumentCost(row["id"], row["bytes"], row["bits"]) for row in rows]
