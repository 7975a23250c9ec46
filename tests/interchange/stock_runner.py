"""Runs checkpoints with transformers alone: a script of its own, for any interpreter that has transformers and torch.

    python -I stock_runner.py jobs.json

Each job names a checkpoint, token ids and positions, a prompt, and the .npz that takes logits and greedy tokens; where
the checkpoint is refused, the .npz holds the error's text.
"""

import json
import sys

import numpy
import torch
import transformers


class NoHope:
    """Refuses to import the project, which must not be needed."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "hope":
            raise ImportError("this process is to do without hope")


def run(job):
    """Return the results of one job."""
    model = transformers.AutoModelForCausalLM.from_pretrained(job["folder"], dtype=torch.float32).eval()
    ids, positions = torch.tensor(job["ids"]), torch.tensor(job["positions"])
    with torch.inference_mode():
        # A mask is given since positions with gaps would else be taken for several texts packed into one.
        answer = model(ids, position_ids=positions[None].expand_as(ids), attention_mask=torch.ones_like(ids))
        prompt = torch.tensor([job["prompt"]])
        tokens = model.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=job["new"], do_sample=False
        )
    return {
        "logits": answer.logits.numpy(),
        "generated": tokens[0, prompt.shape[1] :].numpy(),
        "inv_freq": model.model.rotary_emb.inv_freq.numpy(),
        "class": f"{type(model).__module__}.{type(model).__name__}",
    }


def main():
    sys.meta_path.insert(0, NoHope)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    with open(sys.argv[1]) as listed:
        jobs = json.load(listed)
    for job in jobs:
        try:
            numpy.savez(job["output"], **run(job))
        except Exception as error:
            numpy.savez(job["output"], error=f"{type(error).__name__}: {error}")
    assert not [name for name in sys.modules if name.partition(".")[0] == "hope"]
    print(transformers.__version__)


if __name__ == "__main__":
    main()
