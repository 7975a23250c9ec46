"""A whole study: its arms, and what is said once for all of them."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, NamedTuple

from pydantic import Field, ValidationError, model_validator

from hope.config.arm import Arm, wrong_name
from hope.config.messages import describe, first_error
from hope.errors import UserError, nearest
from hope.section import Section

MAIN = "main"
"""The arm of a config that names none."""


class Tracking(Section):
    """The MLflow store in which runs are tracked."""

    uri: str | None = Field(None, description="address of an MLflow server; null: the store in the study's own folder")
    live: bool = Field(True, description="send metrics while a model trains; false: when the study ends")


class Report(Section):
    """The report on the study."""

    title: str = Field("HoPE against RoPE", description="title of the report")
    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = Field(0.95, description="confidence of the intervals")


class Run(NamedTuple):
    """One model of a study."""

    arm: str
    encoding: str
    seed: int


class Study(Section):
    """A whole study, every arm with every setting filled in."""

    study: str = Field(description="name of the study; everything it makes lies in results/<study>")
    arms: dict[str, Arm] = Field(min_length=1, description="groups of models that differ in encoding and seed alone")
    tracking: Tracking = Tracking()
    report: Report = Report()
    claims: str = Field(
        "workflow/claims.yaml",
        description="file of the claims: what is measured for each, and when it counts as supported",
    )

    @model_validator(mode="after")
    def _names_are_sound(self) -> "Study":
        for key, name in [("study", self.study), *(("arms", name) for name in self.arms)]:
            if wrong := wrong_name(key, name):
                raise ValueError(wrong)
        meant: dict[str, tuple[str, str]] = {}
        for name, arm in self.arms.items():
            for encoding in arm.encodings:
                family = arm.encoding(encoding).family
                first, other = meant.setdefault(encoding, (name, family))
                if other != family:
                    raise ValueError(
                        f"arms.{name}.definitions.{encoding}: is of family '{family}', but of '{other}' in {first}; "
                        "give one of them another name"
                    )
        return self

    def runs(self) -> list[Run]:
        """Return all models of the study, arm by arm."""
        return [Run(name, *run) for name, arm in self.arms.items() for run in arm.runs()]

    def arm(self, name: str) -> Arm:
        """Return the arm ``name``.

        Raises:
            UserError: the study has none of that name.
        """
        if name not in self.arms:
            known = ", ".join(self.arms)
            raise UserError(f"'{name}' is no arm of this study{nearest(name, self.arms)}; it has {known}")
        return self.arms[name]


COMPLETE = "complete"
"""Key of a config that is laid over nothing: files before it are forgotten, ``config.yaml`` among them."""
OF_STUDY = tuple(Study.model_fields)
"""Keys that a config says for the whole study; all others it may say for all arms, or for one of them."""


def resolve(layers: Iterable[tuple[str, dict[str, Any]]]) -> Study:
    """Return the study that config files describe, later ones laid over earlier ones.

    Maps merge, lists and values replace. What a file says at its top level goes to every arm, then what it says under
    the name of an arm goes to that arm alone; so a later file's top level reaches arms of an earlier file. An arm that
    a file sets to null is dropped. Where no file names an arm there is one, :data:`MAIN`. What stands before a file
    that is :data:`COMPLETE` is left out.

    Args:
        layers: where each content comes from, and the content: a parsed YAML document.

    Raises:
        UserError: one line that names the key, what is wrong and the nearest valid name.
    """
    layers = list(layers)
    first = max((place for place, (_, content) in enumerate(layers) if content.get(COMPLETE)), default=0)
    layers = [
        (name, {key: value for key, value in content.items() if key != COMPLETE}) for name, content in layers[first:]
    ]
    origin = " + ".join(name for name, _ in layers)
    of_study: dict[str, Any] = {}
    for where, content in layers:
        _see_to_arms(content, where)
        of_study = merge(of_study, {key: value for key, value in content.items() if key in OF_STUDY and key != "arms"})
    arms: dict[str, Arm] = {}
    for name in _arm_names(content for _, content in layers):
        laid: dict[str, Any] = {}
        for _, content in layers:
            laid = merge(laid, {key: value for key, value in content.items() if key not in OF_STUDY})
            laid = merge(laid, (content.get("arms") or {}).get(name) or {})
        try:
            arms[name] = Arm.model_validate(laid)
        except ValidationError as error:
            prefix = f"arms.{name}" if _is_own(name, first_error(error)["loc"], layers) else ""
            raise UserError(f"{origin}: {describe(error, Arm, prefix, also=OF_STUDY)}") from None
    if not arms:
        raise UserError(f"{origin}: arms: all are dropped; keep one of them, or name another")
    try:
        return Study.model_validate({**of_study, "arms": arms})
    except ValidationError as error:
        raise UserError(f"{origin}: {describe(error, Study)}") from None


def as_config(study: Study) -> dict[str, Any]:
    """Return a study as the content of a config that needs no other: what ``study.json`` holds."""
    return study.model_dump(mode="json", by_alias=True) | {COMPLETE: True}


def _is_own(name: str, location: tuple[str | int, ...], layers: list[tuple[str, dict[str, Any]]]) -> bool:
    """Return whether a mistake stands under the name of an arm, not at the top level."""
    everywhere = [content for _, content in layers]
    own = [over[name] for content in everywhere if (over := content.get("arms") or {}).get(name) is not None]
    if not own or not location:
        return bool(own)
    deepest = max(_reach(content, location) for content in own)
    return 0 < deepest >= max(_reach(content, location) for content in everywhere)


def _reach(content: Any, location: tuple[str | int, ...]) -> int:
    """Return how many parts of a key lead somewhere in a parsed YAML document."""
    for depth, part in enumerate(location):
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return depth
    return len(location)


def _see_to_arms(content: dict[str, Any], where: str) -> None:
    arms = content.get("arms")
    is_map = isinstance(arms, dict) and all(isinstance(each, dict | None) for each in arms.values())
    if arms is not None and not is_map:
        raise UserError(f"{where}: arms: expected a map of arms, each with 'key: value' lines, or null to drop it")
    for name, over in (arms or {}).items():
        taken = next((key for key in over or {} if key in OF_STUDY), None)
        if taken:
            raise UserError(f"{where}: arms.{name}.{taken}: is said for the whole study; move it to the top level")


def _arm_names(contents: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the arms that the files name and do not drop, in the order in which they first appear."""
    kept: dict[str, bool] = {}
    for content in contents:
        for name, over in (content.get("arms") or {}).items():
            kept[name] = over is not None
    names = [name for name, is_kept in kept.items() if is_kept]
    yield from names or ([] if kept else [MAIN])


def merge(below: dict, above: dict) -> dict:
    """Return ``above`` laid over ``below``: maps merge, lists and values replace."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result
