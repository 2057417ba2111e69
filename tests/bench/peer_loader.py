"""Run in the peers' environment: litdata's and mosaicml-streaming's loaders over a file of tokens.

`python peer_loader.py prepare tokens.bin FOLDER ROW` writes both formats; `python peer_loader.py
litdata|mosaic FOLDER ROW BATCH WORKERS SECONDS` prints {"per_second", "per_cpu_second"}: tokens of
shuffled batches (BATCH, ROW) as int64 tensors, the latter of the main process alone. Tokens are
uint16, rows of ROW ids.
"""

import json
import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import torch

# streaming imports torchvision for its picture datasets, and torchvision does not load beside every
# build of torch; nothing here has pictures.
for name in ("", ".datasets", ".transforms", ".transforms.functional"):
    spec = ModuleSpec(f"torchvision{name}", None)
    sys.modules[spec.name] = MagicMock(__spec__=spec)
sys.modules["torchvision.datasets"].VisionDataset = type("VisionDataset", (), {})

PIECES = 8  # files that litdata reads its tokens from


def prepare(tokens, folder, row):
    import litdata
    from streaming import MDSWriter

    ids = np.fromfile(tokens, np.uint16)
    ids = ids[: len(ids) // row * row].reshape(-1, row)
    with MDSWriter(out=str(folder / "mosaic"), columns={"tokens": f"ndarray:uint16:{row}"}) as out:
        for one in ids:
            out.write({"tokens": one})
    pieces = []
    for number, piece in enumerate(np.array_split(ids, PIECES)):
        pieces.append(str(folder / f"piece-{number}.npy"))
        np.save(pieces[-1], piece)
    litdata.optimize(
        fn=rows_of,
        inputs=pieces,
        output_dir=str(folder / "litdata"),
        chunk_size=row * (32 << 20) // (2 * row),  # 64 MB, as its guide says
        item_loader=litdata.TokensLoader(block_size=row),
        num_workers=1,
    )


def rows_of(path):
    for one in np.load(path):
        yield torch.from_numpy(one.copy())


def litdata_batches(folder, row, batch, workers):
    import litdata

    dataset = litdata.StreamingDataset(
        str(folder / "litdata"), item_loader=litdata.TokensLoader(block_size=row), shuffle=True,
        seed=1, drop_last=True,
    )  # fmt: skip
    return litdata.StreamingDataLoader(dataset, batch_size=batch, num_workers=workers)


def mosaic_batches(folder, row, batch, workers):
    from streaming import StreamingDataLoader, StreamingDataset

    dataset = StreamingDataset(
        local=str(folder / "mosaic"), shuffle=True, shuffle_seed=1, batch_size=batch
    )
    rows = StreamingDataLoader(dataset, batch_size=batch, num_workers=workers, drop_last=True)
    return (found["tokens"] for found in rows)


def measure(batches, seconds):
    first = next(batches).long()
    began, busy, tokens = time.perf_counter(), time.process_time(), 0
    for found in batches:
        ids = found.long()
        tokens += ids.numel()
        if time.perf_counter() - began >= seconds:
            break
    return {
        "per_cpu_second": tokens / (time.process_time() - busy),
        "per_second": tokens / (time.perf_counter() - began),
        "shape": list(first.shape),
    }


def main():
    torch.set_num_threads(1)
    what, *rest = sys.argv[1:]
    if what == "prepare":
        prepare(rest[0], Path(rest[1]), int(rest[2]))
        print(json.dumps({}))
        return
    folder, row, batch, workers, seconds = Path(rest[0]), *map(int, rest[1:4]), float(rest[4])
    make = {"litdata": litdata_batches, "mosaic": mosaic_batches}[what]
    print(json.dumps(measure(iter(make(folder, row, batch, workers)), seconds)))


if __name__ == "__main__":
    main()
