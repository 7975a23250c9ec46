"""The interface of the notebooks: each call shows one piece of a study, the same as in the report."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from hope.errors import UserError, nearest
from hope.reporting.articles.findings import FINDINGS
from hope.reporting.figures.declaration import FigureDeclaration, declared_figures, figure_named, study_figures
from hope.reporting.figures.draw import draw_one
from hope.reporting.figures.files import save_svg
from hope.reporting.page.claims import claim_views
from hope.reporting.page.data import data_view
from hope.reporting.page.tables import TABLES, one_table
from hope.reporting.page.templating import environment, render_piece
from hope.reporting.page.write import data_uri
from hope.reporting.study_tables import ArmTables, StudyTables


class Piece:
    """A piece of a page; a notebook shows it as HTML."""

    def __init__(self, html: str) -> None:
        """Take finished HTML."""
        self.html = html

    def _repr_html_(self) -> str:
        return self.html


class Article:
    """The pieces of a study.

    A piece about the models of an arm is shown for each arm that has its tables. If the study has several arms, each
    piece names its arm.

    Example:
        ``article = Article("results/default")``, then ``article.figure("context_gain")``.
    """

    def __init__(self, study: str | Path, arm: str | None = None) -> None:
        """Open the study in the folder ``study``; with ``arm``, its pieces are shown for this arm alone.

        Raises:
            UserError: the folder contains no study, or the study has no such arm.
        """
        self.study = StudyTables(Path(study))
        arms = self.study.arms
        if arm is not None and arm not in arms:
            raise UserError(f"'{arm}' is no arm of this study{nearest(arm, arms)}; it has {', '.join(arms)}")
        self.arms = [tables for name, tables in arms.items() if arm in (None, name)]

    def facts(self, figure: str | None = None) -> Piece:
        """Return a sentence about each arm, or each that has the tables of ``figure``: encodings, sizes and training.

        Raises:
            UserError: there is no such figure.
        """
        arms = self.arms if figure is None else self._arms_with(_figure(figure)) or self.arms
        sentences = []
        for tables in arms:
            labels = [tables.label(name) for name in tables.encodings]
            sentences.append(render_piece("arm_facts", self.study.study.study, tables.name, tables.arm, labels))
        return Piece("".join(sentences))

    def data(self) -> Piece:
        """Return what was read, left out and held out of each corpus of the study, or a line that there is none."""
        keys: dict[str, list[str]] = {}
        for name, tables in self.study.arms.items():
            if tables.arm.reads_text:
                keys.setdefault(tables.arm.data_key, []).append(name)
        views = {tuple(arms): view for key, arms in keys.items() if (view := data_view(self.study.paths, key))}
        if not views:
            return Piece(_sentences(["The study has no prepared corpus."]))
        return Piece(environment().get_template("data.html.j2").render(views=views))

    def figure(self, name: str) -> Piece:
        """Return a figure with its caption, drawn now from the study's tables, or a line that there are no data for it.

        Raises:
            UserError: there is no such figure.
        """
        declared = _figure(name)
        if declared.across:
            return Piece(self._drawn(declared, self.study) or _no_data(declared))
        return self._by_arm(lambda tables: self._drawn(declared, tables), self._arms_with(declared), _no_data(declared))

    def _drawn(self, declared: FigureDeclaration, tables: StudyTables | ArmTables) -> str:
        """Return a figure of the study or of an arm as HTML; empty if there are no data for it."""
        drawing = draw_one(tables, declared.name)
        if drawing.data.empty:
            return ""
        picture = BytesIO()
        save_svg(drawing.figure, picture)
        arm = tables.name if isinstance(tables, ArmTables) else ""
        return render_piece("figure_view", declared, declared.look, data_uri(picture.getvalue()), arm, None)

    def _arms_with(self, declared: FigureDeclaration) -> list[ArmTables]:
        """Return the arms that have the tables of a figure."""
        names = {arm for figure, arm in study_figures(self.study.study) if figure == declared}
        return [tables for tables in self.arms if tables.name in names]

    def finding(self, name: str) -> Piece:
        """Return sentences about the study's tables, with their numbers computed now.

        Args:
            name: name in :data:`hope.reporting.articles.findings.FINDINGS`.

        Raises:
            UserError: there is no such finding.
        """
        _check(name, list(FINDINGS), "finding")

        def shown(tables: ArmTables) -> str:
            sentences = FINDINGS[name](tables)
            return _sentences(sentences) if sentences else ""

        return self._by_arm(shown, self.arms, _sentences(["The study has no numbers for this."]))

    def table(self, name: str) -> Piece:
        """Return a table: losses, gains, extensions, retrieval, attention or comparisons.

        Raises:
            UserError: there is no such table.
        """
        _check(name, TABLES, "table")

        def shown(tables: ArmTables) -> str:
            view = one_table(tables, name)
            return render_piece("table_view", view, None) if view else ""

        return self._by_arm(shown, self.arms, _sentences([f"The study has no table of {name} yet."]))

    def _by_arm(self, shown: Callable[[ArmTables], str], arms: list[ArmTables], otherwise: str) -> Piece:
        """Return what each arm shows, under its name if the study has several, or else ``otherwise``."""
        pieces = {tables.name: html for tables in arms if (html := shown(tables))}
        if len(self.study.arms) == 1:
            return Piece("".join(pieces.values()) or otherwise)
        return Piece("".join(render_piece("of_arm", name, html) for name, html in pieces.items()) or otherwise)

    def claim(self, name: str) -> Piece:
        """Return the verdict on a claim with all its parts.

        Raises:
            UserError: the study's claims have no such id.
        """
        views = {claim["id"]: claim for claim in claim_views(self.study, None)}
        if not views:
            return Piece(_sentences(["The study's claims have not been judged yet."]))
        _check(name, list(views), "claim")
        return Piece(render_piece("claim_card", views[name]))


def _figure(name: str) -> FigureDeclaration:
    _check(name, [declared.name for declared in declared_figures()], "figure")
    return figure_named(name)


def _no_data(declared: FigureDeclaration) -> str:
    return _sentences([f"{declared.title}: there are no data for it."])


def _sentences(sentences: list[str]) -> str:
    return render_piece("sentence_list", sentences)


def _check(name: str, known: list[str], what: str) -> None:
    if name not in known:
        raise UserError(f"'{name}' is no {what}{nearest(name, known)}; known are {', '.join(known)}")
