"""Learned absolute positions (Vaswani et al. 2017, arXiv 1706.03762, section 3.5)."""

from hope.catalogue.family import Family

FAMILY = Family(
    name="learned",
    rank=16,
    formula="add row m of a trained table of L rows to the embedding",
    source="Vaswani et al. 2017, arXiv 1706.03762",
    in_short="none at the start",
    over_distance=(
        "None before training: rows are drawn independently, and their inner products are noise around 0 of standard "
        "deviation width^(-1/2), relative to the product of a row with itself. Training learns each pair of positions "
        "separately."
    ),
    past_length="There are no positions from L on: using one is an error, positions never wrap.",
    color="#CC79A7",
    marker="v",
    marker_size=1.1,
    acts_on="embeddings",
    implementation="hope.encodings.learned:Learned",
    parameters=(("length", "width"),),
    shift_invariant=False,
    bounded=True,
)
