"""Rows of an embedding for the special tokens that a study adds to a checkpoint's tokenizer."""

from pathlib import Path

from torch import Tensor

from hope.data.tokens import TokenCorpus
from hope.errors import UserError
from hope.interchange.tokenizer import open_tokenizer

MATRICES = ("embedding.weight", "head.weight")


def fit_vocabulary(weights: dict[str, Tensor], checkpoint: Path, data: Path, start: int | None, end: int | None) -> int:
    """Give a model's embedding, and its head, as many rows as a study's data have token ids.

    Rows of tokens that the checkpoint's tokenizer knows stay as they are. A special token of the study that
    it does not know gets the row of the checkpoint's own start or end token where there is one, and else the
    mean of the known rows: a logit that is a mean cannot exceed the logarithm of the mean of their exponentials, so
    that such a row takes no more than its even share of the probability. Further rows, which no text can reach, are
    left out.

    Args:
        weights: of a decoder; changed in place.
        checkpoint: folder of the checkpoint, with its ``tokenizer.json``.
        data: a study's ``data`` folder.
        start: id of the checkpoint's own start token.
        end: id of its end token.

    Returns:
        The number of token ids of the data.

    Raises:
        UserError: the data are of another tokenizer.
    """
    if not (checkpoint / "tokenizer.json").is_file():
        raise UserError(f"--data: {checkpoint} has no tokenizer.json to compare with that of {data}")
    own = open_tokenizer(checkpoint).tokenizer.get_vocab()
    theirs = open_tokenizer(data / "tokenizer").tokenizer.get_vocab()
    differing = next((token for token, index in own.items() if theirs.get(token) != index), None)
    if differing is not None:
        raise UserError(
            f"--data: {data} was tokenized otherwise: {differing!r} is token {theirs.get(differing)}, in {checkpoint} "
            f"it is {own[differing]}; tokenize with tokens.pretrained: {checkpoint}"
        )
    corpus = TokenCorpus.open(data / "validation")
    known = set(own.values())
    rows = {"start": start, "end": end}
    for name in MATRICES:
        if name not in weights:
            continue
        before = weights[name]
        if max(known) >= len(before):
            raise UserError(
                f"{checkpoint}: its tokenizer has {max(known) + 1} tokens, its embedding {len(before)} rows"
            )
        mean = before[sorted(known)].mean(dim=0)
        after = mean.repeat(corpus.vocabulary, 1)
        kept = min(len(before), corpus.vocabulary)
        after[:kept] = before[:kept]
        for role, index in corpus.special.items():
            if index not in known:
                row = rows.get(role)
                after[index] = before[row] if row in known else mean
        weights[name] = after
    return corpus.vocabulary
