"""The claims under test as data: the keys of ``workflow/claims.yaml``, and reading it (docs/claims.md).

No numerical library is imported, so that a mistake in the file is reported at once, before anything runs.
"""

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from hope.config import MAIN, Section, describe
from hope.config.documents import read_document
from hope.errors import UserError, nearest
from hope.measures import KEYS, MEASURES, Endpoint, known
from hope.measures.old_names import side_now

Source = Literal["abstract", "secondary", "ours"]


class Side(Section):
    """One side of a comparison: an endpoint of an encoding, or a constant."""

    encoding: str | None = Field(None, description="name of an encoding")
    measure: str | None = Field(None, description="name of a measure of hope/measures")
    task: str | None = Field(None, description="the retrieval task")
    multiple: float | None = Field(None, gt=0.0, description="a number of training lengths")
    depth: float | None = Field(None, ge=0.0, le=1.0, description="depth of the answer in the prompt; all if left out")
    extension: str | None = Field(None, description="label of a length extension; as trained if left out")
    intervention: str | None = Field(None, description="what was done to the components")
    components: str | None = Field(None, description="the components changed or measured")
    constant: float | None = Field(None, description="a number, in place of all other keys")

    @model_validator(mode="after")
    def _is_one(self) -> "Side":
        given = [name for name in ("encoding", *KEYS) if getattr(self, name) is not None]
        named = self.encoding is not None and self.measure is not None
        if (self.constant is None) != named or (given and not named):
            raise ValueError("give an encoding and a measure, or a constant alone")
        if self.measure is None or self.encoding is None:
            return self
        if self.measure not in MEASURES:
            now = side_now(self.encoding, self.measure)
            hint = f" any more; write {now}" if now else nearest(self.measure, MEASURES)
            raise ValueError(f"'{self.measure}' is no measure{hint}")
        wrong = MEASURES[self.measure].wrong(self.endpoint)
        if wrong:
            raise ValueError(wrong)
        return self

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint of a side that is no constant."""
        return Endpoint.of(self.model_dump(include=set(KEYS)))

    @property
    def words(self) -> str:
        """The side as people read it."""
        return f"{self.constant:g}" if self.constant is not None else f"{self.endpoint.words} of {self.encoding}"


class Informative(Section):
    """The range in which a bounded measure separates encodings: with both sides outside it, no verdict."""

    lowest: float = Field(description="both sides below it are at the floor, chance")
    highest: float = Field(description="both sides above it are at the ceiling")


class Pilot(Section):
    """The pilot models that an endpoint was chosen on; no study may use them as evidence."""

    seeds: list[int] = Field(min_length=1, description="seeds of the pilot models of the baseline")
    level: float = Field(description="mean of the baseline's measure over them")


class Part(Section):
    """One part of a claim, with its one primary endpoint: treatment minus baseline.

    It is supported where, by ``kind``,

    - ``superiority``: the interval lies on the claimed side of 0 and the estimate reaches ``smallest_effect``;
    - ``non_inferiority``: the interval shows the treatment not worse by more than ``margin``;
    - ``exact``: the difference of two numbers of formulas, without noise, reaches ``smallest_effect``, or is
      within ``margin`` of 0 where the direction is ``equal``.
    """

    id: str = Field(description="short name, its own within the claim")
    statement: str = Field(description="what this part states")
    source: Source | None = Field(None, description="who states it, if not the claim's source")
    decides: bool = Field(True, description="whether the claim's verdict needs it")
    arm: str = Field(MAIN, description="arm of the study whose models are compared, if not the claim's")
    treatment: Side = Field(description="the side that the claim is about")
    baseline: Side = Field(description="the side that it is compared with")
    direction: Literal["lower", "higher", "equal"] = Field(description="how the treatment is claimed to differ")
    kind: Literal["superiority", "non_inferiority", "exact"]
    smallest_effect: float | None = Field(None, gt=0.0, description="smallest difference that counts")
    margin: float | None = Field(None, gt=0.0, description="largest difference that does not count")
    unit: str = Field(description="unit of the difference")
    informative: Informative | None = Field(None, description="where a bounded measure separates the sides")
    pilot: Pilot | None = Field(None, description="the models that the endpoint was chosen from")
    elsewhere: str = Field("", description="reason given where a study lacks its encodings: which study has them")
    note: str = Field("", description="a sentence for readers of the report")

    @property
    def sides(self) -> dict[str, Side]:
        """The sides that are no constant, by key."""
        sides = {"treatment": self.treatment, "baseline": self.baseline}
        return {key: side for key, side in sides.items() if side.constant is None}

    @property
    def encodings(self) -> list[str]:
        """The encodings of its sides, each once."""
        return list(dict.fromkeys(side.encoding for side in self.sides.values() if side.encoding is not None))

    def has_room(self, baseline: float) -> bool:
        """Return whether an effect that counts is possible from this level of the baseline; a share ends at 0 and 1."""
        if self.smallest_effect is None or not known(self.treatment.endpoint).points:
            return True
        return self.smallest_effect <= (1 - baseline if self.direction == "higher" else baseline)

    @model_validator(mode="after")
    def _is_whole(self) -> "Part":
        if self.treatment.encoding is None:
            raise ValueError("treatment: give an encoding and a measure, not a constant")
        if (self.direction == "equal") and self.kind != "exact":
            raise ValueError("direction 'equal' is for kind 'exact'; use 'non_inferiority' with a margin")
        if {known(side.endpoint).unit == "formula" for side in self.sides.values()} != {self.kind == "exact"}:
            raise ValueError("kind 'exact' is for measures that follow from formulas, and these take no other kind")
        wanted, other = "smallest_effect", "margin"
        if self.kind == "non_inferiority" or self.direction == "equal":
            wanted, other = other, wanted
        if getattr(self, wanted) is None or getattr(self, other) is not None:
            raise ValueError(f"kind '{self.kind}' with direction '{self.direction}' takes {wanted}, and no {other}")
        if known(self.treatment.endpoint).points and self.kind != "exact" and self.informative is None:
            words = self.treatment.endpoint.words
            raise ValueError(f"{words} has a floor and a ceiling; give informative: {{lowest: ..., highest: ...}}")
        ends = self.informative
        if self.pilot and ends and not ends.lowest <= self.pilot.level <= ends.highest:
            raise ValueError(
                f"pilot.level {self.pilot.level:g} lies outside informative, {ends.lowest:g} to {ends.highest:g}: "
                "choose an endpoint at which the baseline lies between its floor and its ceiling"
            )
        if self.pilot and not self.has_room(self.pilot.level):
            raise ValueError(
                f"pilot.level {self.pilot.level:g} leaves no room for an effect of smallest_effect "
                f"{self.smallest_effect:g}; choose an endpoint at which the baseline is further from its bound"
            )
        return self


class UnmeasuredPart(Section):
    """A part of a claim that this project does not measure; a claim with such a part cannot be supported."""

    id: str = Field(description="short name, its own within the claim")
    statement: str = Field(description="what this part states")
    source: Source | None = Field(None, description="who states it, if not the claim's source")
    decides: Literal[True] = True
    not_measured: str = Field(min_length=1, description="why not")
    note: str = ""


class Claim(Section):
    """One claim: supported if all parts that decide are, contradicted if one of them is."""

    id: str = Field(description="its number")
    title: str = Field(description="a few words")
    statement: str = Field(description="the claim in a sentence or two of our own")
    source: Source = Field(description="the paper's abstract, a paper about it, or our own")
    arm: str = Field(MAIN, description="arm of the study whose models the parts are about")
    covers: list[str] = Field(
        default=["rope", "hope"], min_length=1, description="encodings that the verdict speaks of"
    )
    parts: list[Part | UnmeasuredPart] = Field(min_length=1)
    note: str = ""

    @model_validator(mode="after")
    def _can_be_judged(self) -> "Claim":
        names = [part.id for part in self.parts]
        if len(set(names)) < len(names):
            raise ValueError("two parts have the same id")
        if not any(part.decides for part in self.parts):
            raise ValueError("no part decides, so the claim has no verdict")
        return self


class ClaimsFile(Section):
    """The claims under test."""

    claims: list[Claim]
    arms: list[str] = Field(default=[], description="arms that some studies have")
    encodings: list[str] = Field(
        default=[], description="names that some studies define, besides those of `python -m hope encodings`"
    )


AnySection = TypeVar("AnySection", bound=Section)


def load_claims(path: Path) -> ClaimsFile:
    """Read the claims under test.

    Raises:
        UserError: the file is missing, is not YAML, or has a wrong key or value: one line that names the key.
    """
    content = read_document(path, "claims file")
    if not isinstance(content, dict) or not _is_list_of_maps(content.get("claims")):
        raise UserError(f"{path}: expected a key 'claims' with a list of claims, as in workflow/claims.yaml")
    try:
        claims = [_claim(entry, f"claims.{entry.get('id', number)}") for number, entry in enumerate(content["claims"])]
        whole = _checked(ClaimsFile, {**content, "claims": claims}, "")
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    names = [claim.id for claim in claims]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{path}: claims.{name}: two claims have this id; give each its own")
    return whole


def _claim(entry: dict[str, Any], prefix: str) -> Claim:
    """Check a claim part by part, so that an error names the key and the nearest valid one."""
    parts: Any = entry.get("parts")
    if not _is_list_of_maps(parts):
        raise UserError(f"{prefix}.parts: expected a list of parts, one or more")
    checked: list[Part | UnmeasuredPart] = []
    for number, part in enumerate(parts):
        kind: type[Part] | type[UnmeasuredPart] = UnmeasuredPart if "not_measured" in part else Part
        if kind is Part and "arm" in entry:
            part = {"arm": entry["arm"], **part}
        checked.append(_checked(kind, part, f"{prefix}.parts.{part.get('id', number)}"))
    return _checked(Claim, {**entry, "parts": checked}, prefix)


def _checked(kind: type[AnySection], content: dict, prefix: str) -> AnySection:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise UserError(describe(error, kind, prefix)) from None


def _is_list_of_maps(content: Any) -> bool:
    return isinstance(content, list) and len(content) > 0 and all(isinstance(entry, dict) for entry in content)
