"""datatrove's MinHash deduplication and rensa's signatures, timed; run by bench_dedup.py."""

import json
import re
import sys
import tempfile
import time
from pathlib import Path


def datatrove_seconds(texts: list[str], language: str) -> float:
    """CPU seconds of signatures, buckets, clusters and filter, Parquet in and out, in this process.

    As its documentation has it: the text is read for the signatures and again for the filter.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datatrove.pipeline.dedup import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter

    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        ids = [str(n) for n in range(len(texts))]
        (root / "in").mkdir()
        table = pa.table({"id": ids, "text": texts})
        pq.write_table(table, root / "in" / "part.parquet", compression="zstd")
        started = time.process_time()
        signatures, buckets, gone = (str(root / name) for name in ("sig", "buckets", "gone"))
        reader = ParquetReader(str(root / "in"), doc_progress=False, file_progress=False)
        MinhashDedupSignature(signatures, config=config, language=language).run(
            reader.run(None, 0, 1), 0, 1
        )
        step = MinhashDedupBuckets(signatures, buckets, config=config)
        for bucket in range(config.num_buckets):
            step.run(None, bucket, config.num_buckets)
        MinhashDedupCluster(buckets, gone, config=config).run(None, 0, 1)
        left = MinhashDedupFilter(gone).run(reader.run(None, 0, 1), 0, 1)
        kept = sum(1 for _ in ParquetWriter(str(root / "out")).run(left, 0, 1))
        assert 0 < kept <= len(texts)
        return time.process_time() - started


def rensa_seconds(texts: list[str], chinese: bool) -> float:
    """CPU seconds from texts to 112-permutation signatures of 5-grams, cut as users do."""
    from rensa import RMinHash

    started = time.process_time()
    for text in texts:
        signature = RMinHash(num_perm=112, seed=1)
        signature.update(_grams(text, chinese))
        signature.digest()
    return time.process_time() - started


def _grams(text: str, chinese: bool) -> list[str]:
    tokens = list(re.sub(r"\W", "", text.lower())) if chinese else text.lower().split()
    joint = "" if chinese else " "
    return [joint.join(tokens[i : i + 5]) for i in range(max(1, len(tokens) - 4))]


def rensa_word_seconds(texts: list[str], chinese: bool) -> float:
    """CPU seconds from texts to signatures of single words or characters, as in its manual."""
    from rensa import RMinHash

    started = time.process_time()
    for text in texts:
        signature = RMinHash(num_perm=112, seed=1)
        signature.update(list(text.lower()) if chinese else text.lower().split())
        signature.digest()
    return time.process_time() - started


def rensa_ready_seconds(texts: list[str], chinese: bool) -> float:
    """CPU seconds for signatures of 5-grams that are lists of strings already."""
    from rensa import RMinHash

    shingled = [_grams(text, chinese) for text in texts]
    started = time.process_time()
    for grams in shingled:
        signature = RMinHash(num_perm=112, seed=1)
        signature.update(grams)
        signature.digest()
    return time.process_time() - started


def main() -> None:
    """Print the seconds that each takes for the texts of a file as JSON."""
    path, language, megabytes = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    texts = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    few, size = [], 0
    for text in texts:
        few.append(text)
        size += len(text.encode())
        if size > megabytes * 1e6:
            break
    chinese = language == "zho"
    datatrove_seconds(few[:3], language)
    found = {
        "datatrove_bytes": size,
        "datatrove": datatrove_seconds(few, language),
        "rensa_bytes": sum(len(text.encode()) for text in texts),
        "rensa": rensa_seconds(texts, chinese),
        "rensa_words": rensa_word_seconds(texts, chinese),
        "rensa_ready": rensa_ready_seconds(texts, chinese),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
