"""What every positional encoding must hold to, as checks that a user points at a class of their own.

From the command line, one line a property::

    python -m hope check-encoding my_encoding:MyEncoding --settings '{"reach": 16}'

In tests of one's own, with the traceback of what failed::

    from hope.contract import CHECKS, Subject

    @pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
    def test_my_encoding(check):
        check(Subject.of(MyEncoding, reach=16))
"""

from hope.contract.checks import CHECKS, Finding, examine
from hope.contract.subject import Broken, Subject

__all__ = ["CHECKS", "Broken", "Finding", "Subject", "examine"]
