"""Run in the peers' environment: datatrove's pipeline from Parquet to Parquet, its rules inside.

`python peer_clean.py texts.parquet en|zh folder` reads documents (text, id), passes them through
Gopher repetition, Gopher quality, C4 and FineWeb in that order, and writes those kept and, filter
by filter, those dropped. It prints {"seconds", "kept"}: CPU seconds of the second of two runs, when
all that is loaded once has been loaded.
"""

import json
import sys
import time
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import ParquetWriter
from peer_filters import filters


def run(source, language, out):
    steps = filters(language)
    for name, step in steps.items():
        step.exclusion_writer = ParquetWriter(str(out / "dropped" / name))
    reader = ParquetReader(str(source.parent), glob_pattern=source.name)
    executor = LocalPipelineExecutor(
        [reader, *steps.values(), ParquetWriter(str(out / "kept"))],
        logging_dir=str(out / "logs"),
        skip_completed=False,
    )
    began = time.process_time()
    executor.run()
    return time.process_time() - began


def main():
    source, language, folder = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    run(source.with_name("warm.parquet"), language, folder / "warm")
    seconds = run(source, language, folder / "out")
    import pyarrow.parquet as pq

    kept = sum(pq.read_metadata(f).num_rows for f in (folder / "out" / "kept").glob("*.parquet"))
    print(json.dumps({"seconds": seconds, "kept": kept}))


if __name__ == "__main__":
    main()
