"""A whole study: its arms, and the settings that all of them share."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, NamedTuple

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from hope.config.arm import Arm, wrong_name
from hope.config.messages import describe, first_error
from hope.errors import UserError, nearest
from hope.section import Section

MAIN = "main"
"""The arm of a config that has no key ``arms``."""


def mistake_in_address(uri: str) -> str:
    """Return what is wrong with the address of an MLflow server, without the address; empty for a right one."""
    if "@" in uri:
        return (
            "a user or password here would be written into the results; set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD in the environment"
        )
    if not uri.startswith(("http://", "https://")):
        return "expected the address of an MLflow server, http://..."
    return ""


class Tracking(Section):
    """The MLflow store of the runs."""

    uri: str | None = Field(None, description="address of an MLflow server; null: the store in the study's folder")
    live: bool = Field(True, description="true: send metrics while a model trains; false: when the study ends")

    @field_validator("uri")
    @classmethod
    def _is_of_a_server(cls, uri: str | None) -> str | None:
        if uri is not None and (mistake := mistake_in_address(uri)):
            # Of this type no input is shown: the line must not repeat a password.
            raise PydanticCustomError("secret", "{mistake}", {"mistake": mistake})
        return uri


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

    study: str = Field(description="name of the study; all of its results lie in results/<study>")
    arms: dict[str, Arm] = Field(min_length=1, description="groups of models that differ in encoding and seed alone")
    tracking: Tracking = Tracking()
    report: Report = Report()
    claims: str = Field(
        "workflow/claims.yaml",
        description="file of the claims: the measurements of each, and when it counts as supported",
    )

    @model_validator(mode="after")
    def _names_are_sound(self) -> "Study":
        for key, name in [("study", self.study), *(("arms", name) for name in self.arms)]:
            if wrong := wrong_name(key, name):
                raise ValueError(wrong)
        families: dict[str, tuple[str, str]] = {}
        for name, arm in self.arms.items():
            for encoding in arm.encodings:
                family = arm.encoding(encoding).family
                first, other = families.setdefault(encoding, (name, family))
                if other != family:
                    raise ValueError(
                        f"arms.{name}.definitions.{encoding}: its family is '{family}', but '{other}' in {first}; "
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
"""Key of a config that is laid over no other: files before it are ignored, also ``config.yaml``."""
FORMAT_KEY, FORMAT = "format", 2
"""Key and number of the format of a study's folder, in its ``study.json``: 1 is older than arms."""
OF_STUDY = tuple(Study.model_fields)
"""Keys for the whole study; all others may be set for all arms or for one of them."""


def resolve(layers: Iterable[tuple[str, dict[str, Any]]]) -> Study:
    """Return the study that config files describe, later ones laid over earlier ones.

    Maps merge, lists and values replace. The top level of a file applies to every arm, also to arms of earlier files;
    then the keys under the name of an arm apply to that arm alone. An arm that a file sets to null is dropped. If no
    file names an arm there is one, :data:`MAIN`. Files before a :data:`COMPLETE` one are ignored.

    Args:
        layers: the origin of each content, for errors, and the content: a parsed YAML document.

    Raises:
        UserError: one line with the key, the mistake and the nearest valid name.
    """
    layers = list(layers)
    first = max((place for place, (_, content) in enumerate(layers) if content.get(COMPLETE)), default=0)
    layers = [
        (name, {key: value for key, value in content.items() if key not in (COMPLETE, FORMAT_KEY)})
        for name, content in layers[first:]
    ]
    origin = " + ".join(name for name, _ in layers)
    of_study: dict[str, Any] = {}
    for where, content in layers:
        _check_arms(content, where)
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
        raise UserError(f"{origin}: arms: all are dropped; keep or add one")
    try:
        return Study.model_validate({**of_study, "arms": arms})
    except ValidationError as error:
        raise UserError(f"{origin}: {describe(error, Study)}") from None


def as_config(study: Study) -> dict[str, Any]:
    """Return a study as the content of a config that needs no other, as in ``study.json``."""
    return study.model_dump(mode="json", by_alias=True) | {COMPLETE: True, FORMAT_KEY: FORMAT}


def _is_own(name: str, location: tuple[str | int, ...], layers: list[tuple[str, dict[str, Any]]]) -> bool:
    """Return whether a mistake is under the name of an arm, not at the top level."""
    everywhere = [content for _, content in layers]
    own = [over[name] for content in everywhere if (over := content.get("arms") or {}).get(name) is not None]
    if not own or not location:
        return bool(own)
    deepest = max(_reach(content, location) for content in own)
    return 0 < deepest >= max(_reach(content, location) for content in everywhere)


def _reach(content: Any, location: tuple[str | int, ...]) -> int:
    """Return the number of leading parts of a key that exist in a parsed YAML document."""
    for depth, part in enumerate(location):
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return depth
    return len(location)


def _check_arms(content: dict[str, Any], where: str) -> None:
    arms = content.get("arms")
    is_map = isinstance(arms, dict) and all(isinstance(each, dict | None) for each in arms.values())
    if arms is not None and not is_map:
        raise UserError(f"{where}: arms: expected a map of arms, each with 'key: value' lines, or null to drop it")
    for name, over in (arms or {}).items():
        taken = next((key for key in over or {} if key in OF_STUDY), None)
        if taken:
            raise UserError(f"{where}: arms.{name}.{taken}: applies to the whole study; move it to the top level")


def _arm_names(contents: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the arms that the files name and do not drop, in order of first appearance."""
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
