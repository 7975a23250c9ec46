"""Encodings that add something: to the embeddings, to the logits, or nothing."""

from pydantic import Field

from hope.catalogue.family import Family, NoSettings, Settings


class SinusoidalSettings(Settings):
    """Settings of the sinusoidal encoding."""

    base: float = Field(10_000.0, gt=0.0, description="base b of the frequencies b^(-2i/width)")


class T5Settings(Settings):
    """Settings of T5's bias."""

    max_distance: int = Field(128, gt=16, description="distance in tokens from which on all share the last bucket")


class FireSettings(Settings):
    """Settings of FIRE."""

    threshold: float | None = Field(
        None, gt=0.0, description="threshold t at the start, in tokens; min(512, L/4) if left out"
    )


ADDITIVE = (
    Family(
        "none",
        "hope.encodings.none:NoEncoding",
        NoSettings,
        "no positional encoding; the causal mask alone tells order",
        "Kazemnejad et al. 2023, arXiv 2305.19466",
    ),
    Family(
        "alibi",
        "hope.encodings.alibi:Alibi",
        NoSettings,
        "logit - s_h * (i - j), s_h = 2^(-8h/H)",
        "Press et al. 2022, arXiv 2108.12409",
        kernel="bias",
    ),
    Family(
        "kerple_log",
        "hope.encodings.kerple:KerpleLog",
        NoSettings,
        "logit - p_h * log(1 + a_h * (i - j)), p and a at least 0.01, learned",
        "Chi et al. 2022, arXiv 2205.09921",
        parameters=((2, "heads"),),
        kernel="bias",
    ),
    Family(
        "kerple_power",
        "hope.encodings.kerple:KerplePower",
        NoSettings,
        "logit - a_h * (i - j)^p_h, a at least 0.01, p from 0.01 to 2, learned",
        "Chi et al. 2022, arXiv 2205.09921",
        parameters=((2, "heads"),),
        kernel="bias",
    ),
    Family(
        "t5",
        "hope.encodings.t5:T5",
        T5Settings,
        "logit + the learned number of the head and of i - j's bucket, 32 buckets ever wider",
        "Raffel et al. 2020, arXiv 1910.10683",
        parameters=(("heads", 32),),
        kernel="bias",
    ),
    Family(
        "fire",
        "hope.encodings.fire:Fire",
        FireSettings,
        "logit + MLP(log(1 + c * (i - j)) / log(1 + c * max(i, t)))_h, all learned in each layer",
        "Li et al. 2024, arXiv 2310.04418",
        parameters=(("layers", "heads", 32), ("layers", 66)),
        kernel="bias",
        shift_invariant=False,
    ),
    Family(
        "sinusoidal",
        "hope.encodings.sinusoidal:Sinusoidal",
        SinusoidalSettings,
        "embedding * sqrt(width) + sin and cos of m * b^(-2i/width)",
        "Vaswani et al. 2017, arXiv 1706.03762",
        shift_invariant=False,
    ),
    Family(
        "learned",
        "hope.encodings.learned:Learned",
        NoSettings,
        "add row m of a trained table of L rows to the embedding",
        "Vaswani et al. 2017, arXiv 1706.03762",
        parameters=(("length", "width"),),
        shift_invariant=False,
        bounded=True,
    ),
)
