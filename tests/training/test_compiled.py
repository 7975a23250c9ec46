"""A compiled training: the same bits each time, and the model that an uncompiled one gives, within rounding."""

import numpy as np
import pytest

from hope.errors import UserError
from hope.training import engine
from tests.conftest import tiny_arm
from tests.training.conftest import Preloaded, same, weights, with_training


def there_is_a_compiler() -> bool:
    try:
        engine.check_compiler()
    except UserError:
        return False
    return True


@pytest.mark.skipif(not there_is_a_compiler(), reason="there is no C++ compiler")
@pytest.mark.slow
def test_a_compiled_training_repeats_its_bits(preloaded: Preloaded, stage, undisturbed, tiny_data, tmp_path):
    compiled = with_training(stage, compile=True)
    # A pool of processes takes longer to start than this model to compile.
    environment = {"TORCHINDUCTOR_COMPILE_THREADS": "1", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    for name in ("first", "second"):
        preloaded.trained(compiled, tiny_data, tmp_path / name, **environment)
    assert any((tmp_path / "cache").rglob("*.so")), "nothing was compiled"
    first = weights(tmp_path / "first")
    assert same(first, weights(tmp_path / "second"))
    for name, expected in weights(undisturbed).items():
        np.testing.assert_allclose(first[name], expected, atol=2e-4, err_msg=name)


def test_no_compiler_is_one_clear_line(preloaded: Preloaded, stage, tiny_data, tmp_path):
    run = preloaded.train(with_training(stage, compile=True), tiny_data, tmp_path, CXX="no-such-compiler", PATH="")
    assert run.wait() == 1
    (error,) = run.errors
    assert "training.compile: a C++ compiler is needed" in error


def test_compiling_goes_with_stages_below_three(tiny_files):
    with pytest.raises(UserError, match="compile goes with zero_stage 0 to 2"):
        tiny_arm(tiny_files, training={"compile": True, "zero_stage": 3})
