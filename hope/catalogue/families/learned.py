"""Learned absolute positions (Vaswani et al. 2017, arXiv 1706.03762, section 3.5)."""

from hope.catalogue.family import Family, Note
from hope.catalogue.settings import NoSettings
from hope.catalogue.style import ON_EMBEDDINGS, EncodingStyle

FAMILY = Family(
    name="learned",
    rank=16,
    settings=NoSettings,
    formula="add row m of a trained table of L rows to the embedding",
    source="Vaswani et al. 2017, arXiv 1706.03762",
    note=Note(
        "none at the start",
        "None before training: rows are drawn independently, and their inner products are noise around 0 of standard "
        "deviation width^(-1/2), relative to that of a row with itself. What training makes of them is learned for "
        "each pair of positions apart.",
        "There is no position L or later: an error, never a wrap.",
    ),
    style=EncodingStyle("#CC79A7", "v", ON_EMBEDDINGS, 1.1),
    implementation="hope.encodings.learned:Learned",
    parameters=(("length", "width"),),
    shift_invariant=False,
    bounded=True,
)
