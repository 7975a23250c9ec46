"""What encodings do to a logit over distance, against their formulas in plain numbers."""

import math

import numpy as np
import pytest

from hope import config
from hope.analysis.logit_curves import at_start, bias_of_heads, clock, equal_pair, position_products, widening
from hope.catalogue import family_settings
from hope.encodings.base import Encoding, EncodingShape

D, L, H, WIDTH = 16, 64, 4, 64
SHAPE = EncodingShape(layers=2, width=WIDTH, heads=H, kv_heads=2, head_dim=D, length=L)
FAR = 4 * L
DISTANCE = np.array([1, 2, 3, 10, 63, 64, 100, 256])
THETA = np.array([10_000 ** (-2 * j / D) for j in range(D // 2)])


def built(family: str, **settings: object) -> Encoding:
    filled = family_settings(family, settings)
    return at_start(config.EncodingSpec(name=family, family=family, settings=filled), SHAPE)


def mean_cosine(theta: np.ndarray) -> np.ndarray:
    return np.cos(np.outer(DISTANCE, theta)).mean(axis=1)


def test_an_equal_pair_of_a_rotation_has_its_mean_kernel() -> None:
    still = np.array([theta if theta * L >= 2 * math.pi else 0.0 for theta in THETA])
    quarter = np.concatenate([[1.0, 10_000**-0.5], np.zeros(6)])  # r = 4 dimensions
    for family, theta in (("rope", THETA), ("hope", still), ("partial_rope", quarter), ("none", 0 * THETA)):
        np.testing.assert_allclose(equal_pair(built(family), FAR, DISTANCE), mean_cosine(theta), atol=1e-5)


def test_an_equal_pair_of_xpos_fades_component_by_component() -> None:
    zeta = np.array([(2 * j + 0.4 * D) / (1.4 * D) for j in range(D // 2)])
    expected = (zeta ** (DISTANCE[:, None] / 512) * np.cos(np.outer(DISTANCE, THETA))).mean(axis=1)
    np.testing.assert_allclose(equal_pair(built("xpos"), FAR, DISTANCE), expected, atol=1e-5)


def test_pope_has_a_component_for_each_dimension_and_twice_the_width() -> None:
    theta = np.array([10_000 ** (-c / D) for c in range(D)])
    np.testing.assert_allclose(equal_pair(built("pope"), FAR, DISTANCE), mean_cosine(theta), atol=1e-5)
    assert [widening(built(family)) for family in ("pope", "rope", "none", "alibi")] == [2, 1, 1, 1]


def test_biases_are_those_of_the_heads() -> None:
    found = bias_of_heads(built("alibi"), FAR, DISTANCE)
    np.testing.assert_allclose(found, [-(2.0 ** (-2 * h)) * DISTANCE for h in range(1, H + 1)])
    kerple = built("kerple_log")
    p, a = (np.maximum(numbers.detach().numpy(), 0.01)[:, None] for numbers in (kerple.p, kerple.a))
    expected = -p * np.log(1 + a * DISTANCE)
    np.testing.assert_allclose(bias_of_heads(kerple, FAR, DISTANCE), expected, rtol=1e-4)


def test_a_model_starts_with_the_parameters_that_are_drawn() -> None:
    from hope.model.decoder import Decoder

    shape = config.Model(layers=2, width=WIDTH, heads=H, kv_heads=2, mlp_width=48)
    for family in ("t5", "fire", "learned", "kerple_power"):
        encoding = config.EncodingSpec(name=family, family=family, settings=family_settings(family, {}))
        model = Decoder(shape, 32, L, encoding).initialise(0)
        drawn = dict(built(family).named_parameters())
        assert drawn
        assert all(parameter.equal(drawn[name]) for name, parameter in model.encoding.named_parameters())


def test_products_of_positions() -> None:
    omega = np.array([10_000 ** (-2 * i / WIDTH) for i in range(WIDTH // 2)])
    for query in (256, 300):
        np.testing.assert_allclose(
            position_products(built("sinusoidal"), query, DISTANCE), mean_cosine(omega), atol=1e-5
        )
    within = np.arange(1, L)
    noise = position_products(built("learned"), L - 1, within)
    assert noise.std() == pytest.approx(WIDTH**-0.5, rel=0.3) and abs(noise.mean()) < 3 * noise.std() / 8


def test_the_clock_of_content_that_says_nothing() -> None:
    position = np.array([1, 5, 32, 63, 64, 255])
    for alpha in (0.0, 0.25, 1.0):
        share = np.clip((position + 0.5) / L, 1e-6, 1 - 1e-6)
        expected = L / (1 + np.exp(-alpha * np.log(share / (1 - share))))
        found = clock(built("darope", w_std=0.0, alpha=alpha), position)
        np.testing.assert_allclose(found, expected, rtol=1e-3)
    np.testing.assert_allclose(
        clock(built("darope", w_std=0.0, alpha=1.0), position)[:4], position[:4] + 0.5, rtol=1e-4
    )
