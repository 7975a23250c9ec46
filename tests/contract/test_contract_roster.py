"""Every encoding of the catalogue holds to the contract."""

import pytest

from hope.catalogue import FAMILIES, NAMES, PRESETS
from hope.contract import CHECKS, Subject


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", NAMES)
def test_it_holds(name, check):
    assert CHECKS[check](Subject.named(name, {}))


@pytest.mark.parametrize("name", NAMES)
def test_it_is_what_the_catalogue_says(name):
    family = FAMILIES[PRESETS[name].family if name in PRESETS else name]
    subject = Subject.named(name, {})
    encoding = subject.blank().encoding
    assert (encoding.longest is not None) == family.bounded
    kernel = "logits" if encoding.has_logits else "bias" if encoding.has_bias else "fused"
    assert kernel == family.kernel
    assert sum(parameter.numel() for parameter in encoding.parameters()) == family.parameter_count(subject.sizes)
