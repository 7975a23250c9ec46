"""Runs GGUF files with llama.cpp's own Python package: a script of its own, for an interpreter that has llama_cpp.

    python -I llama_cpp_runner.py jobs.json

Each job names a file, token ids, a prompt and texts; its .npz takes the logits at every id, the greedy continuation and
the texts' tokens.
"""

import json
import sys

import llama_cpp
import numpy


def run(job):
    # Keys and values in 32 bits: llama.cpp rounds them to 16 unless told otherwise.
    wide = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32, "flash_attn": False}
    context = max(len(job["ids"]), len(job["prompt"]) + job["new"])
    model = llama_cpp.Llama(
        job["file"], n_ctx=context, n_batch=512, n_threads=1, n_threads_batch=1, logits_all=True, verbose=False, **wide
    )
    model.eval(job["ids"])
    logits = numpy.array(model.scores[: len(job["ids"])])
    model.reset()
    model.eval(job["prompt"])
    generated = []
    for _ in range(job["new"]):
        generated.append(int(model.scores[model.n_tokens - 1].argmax()))
        model.eval(generated[-1:])
    tokens = {
        f"text{index}": model.tokenize(text.encode(), add_bos=False, special=False)
        for index, text in enumerate(job["texts"])
    }
    numpy.savez(job["output"], logits=logits, generated=generated, **tokens)


with open(sys.argv[1]) as listed:
    jobs = json.load(listed)
for job in jobs:
    run(job)
print(llama_cpp.__version__)
