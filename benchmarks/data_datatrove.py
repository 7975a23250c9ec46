"""datatrove's side of ``python -m benchmarks.data``, for a Python that has datatrove: MinHash, filter, tokens.

Usage: PYTHON data_datatrove.py TEXTS OUTPUT TOKENIZER WORKERS; the last line that it prints is JSON.
"""

import json
import re
import resource
import sys
import time
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.word_tokenizers import WordTokenizer


class Words(WordTokenizer):
    """Words as runs of letters and digits; datatrove's own for English needs spaCy."""

    def word_tokenize(self, text):
        """Return the words."""
        return re.findall(r"\w+", text)

    def sent_tokenize(self, text):
        """Return the whole text."""
        return [text]

    def span_tokenize(self, text):
        """Return the span of the whole text."""
        return [(0, len(text))]


def main() -> None:
    """Run the stages one after another and print their costs."""
    texts, output, tokenizer, workers = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    files = len(list(Path(texts).iterdir()))
    config, words = MinhashConfig(), Words()
    hashes, buckets, clusters, kept = (str(output / name) for name in ("hashes", "buckets", "clusters", "kept"))
    stages = {
        "signatures": (
            [JsonlReader(texts), MinhashDedupSignature(output_folder=hashes, config=config, language=words)],
            files,
        ),
        "buckets": (
            [MinhashDedupBuckets(input_folder=hashes, output_folder=buckets, config=config)],
            config.num_buckets,
        ),
        "clusters": ([MinhashDedupCluster(input_folder=buckets, output_folder=clusters, config=config)], 1),
        "filter": (
            [JsonlReader(texts), MinhashDedupFilter(input_folder=clusters), JsonlWriter(kept, compression=None)],
            files,
        ),
        "tokens": (
            [
                JsonlReader(kept),
                DocumentTokenizer(str(output / "tokens"), tokenizer_name_or_path=tokenizer, eos_token="<|end|>"),
            ],
            files,
        ),
    }
    costs = {}
    for name, (pipeline, tasks) in stages.items():
        started = time.monotonic()
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=workers, logging_dir=str(output / "logs" / name)).run()
        most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        # The most that one process has held since the start, in KiB: it never falls from stage to stage.
        costs[name] = {"seconds": round(time.monotonic() - started, 1), "peak_memory_bytes": 1024 * most}
    left = [json.loads(line) for path in Path(kept).iterdir() for line in path.open(encoding="utf-8")]
    documents = sum(path.read_bytes().count(b"\n") for path in Path(texts).iterdir())
    identifiers = sorted(int(row["id"]) for row in left)
    print(json.dumps({"stages": costs, "documents": documents, "kept": identifiers}))


if __name__ == "__main__":
    main()
