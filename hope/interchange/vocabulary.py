"""Add embedding rows for the special tokens that a study adds to a checkpoint's tokenizer."""

from pathlib import Path

from torch import Tensor

from hope.data.tokens import TokenCorpus
from hope.errors import UserError
from hope.interchange.tokenizer import open_tokenizer

MATRICES = ("embedding.weight", "head.weight")


def fit_vocabulary(weights: dict[str, Tensor], checkpoint: Path, data: Path, start: int | None, end: int | None) -> int:
    """Resize a model's embedding and head to the token ids of a study's data.

    Rows of tokens in the checkpoint's tokenizer are unchanged. A special token of the study that it lacks gets the
    row of the checkpoint's own start or end token if there is one, otherwise the mean of the known rows: a logit that
    is a mean cannot exceed the logarithm of the mean of the exponentials, so that such a row gets at most an even share
    of the probability. Further rows, which no text uses, are dropped.

    Args:
        weights: of a decoder; changed in place.
        checkpoint: folder of the checkpoint, with its ``tokenizer.json``.
        data: a study's folder of tokens.
        start: id of the checkpoint's own start token.
        end: id of its end token.

    Returns:
        The number of token ids of the data.

    Raises:
        UserError: the data were tokenized with another tokenizer.
    """
    if not (checkpoint / "tokenizer.json").is_file():
        raise UserError(f"--data: {checkpoint} has no tokenizer.json to compare with that of {data}")
    own = open_tokenizer(checkpoint).tokenizer.get_vocab()
    of_data = open_tokenizer(data / "tokenizer").tokenizer.get_vocab()
    differing = next((token for token, index in own.items() if of_data.get(token) != index), None)
    if differing is not None:
        raise UserError(
            f"--data: {data} was tokenized with another tokenizer: {differing!r} is token {of_data.get(differing)}, "
            f"in {checkpoint} it is {own[differing]}; tokenize with tokens.pretrained: {checkpoint}"
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
