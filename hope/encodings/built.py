"""Builds the user's own encodings of a study once, so that a mistake in one is found before anything is trained."""

from hope.catalogue import is_custom
from hope.config import Study
from hope.errors import UserError


def check_own_encodings(study: Study) -> None:
    """Build every encoding of the user's own, at the sizes of each arm that lists it.

    Raises:
        UserError: one cannot be built, has fewer positions than the training length, or its attention cannot be
            analysed over that length.
    """
    for arm_name, arm in study.arms.items():
        length = arm.training.length
        for name in arm.encodings:
            if not is_custom(arm.encoding(name).family):
                continue
            # They load torch, which other studies need not wait for.
            from hope.encodings.registry import build_encoding
            from hope.encodings.shape import encoding_shape

            try:
                encoding = build_encoding(arm.encoding(name), encoding_shape(arm.model, length))
                if encoding.longest is not None and encoding.longest < length:
                    raise UserError(
                        f"encodings: '{name}' ends at position {encoding.longest - 1:,}, below training.length, "
                        f"{length:,}; change its settings, or lower training.length"
                    )
                arm.check_span(name, encoding.span)
            except (UserError, ValueError) as error:
                raise UserError(f"arms.{arm_name}: {error}") from error
