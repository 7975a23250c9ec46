"""The interface of the notebooks: each call shows one piece of a study, the same as in the report."""

from io import BytesIO
from pathlib import Path

from hope.errors import UserError, nearest
from hope.reporting.articles.findings import FINDINGS
from hope.reporting.figures.declaration import declared_figures, figure_named
from hope.reporting.figures.draw import draw_one
from hope.reporting.figures.files import save_svg
from hope.reporting.page.claims import claim_views
from hope.reporting.page.data import data_view
from hope.reporting.page.tables import TABLES, one_table
from hope.reporting.page.templating import environment, render_piece
from hope.reporting.page.write import data_uri
from hope.reporting.study_tables import StudyTables


class Piece:
    """A piece of a page; a notebook shows it as HTML."""

    def __init__(self, html: str) -> None:
        """Take finished HTML."""
        self.html = html

    def _repr_html_(self) -> str:
        return self.html


class Article:
    """The pieces of one arm of a study.

    Example:
        ``article = Article("results/default")``, then ``article.figure("context_gain")``.
    """

    def __init__(self, study: str | Path, arm: str | None = None) -> None:
        """Open an arm of the study in the folder ``study``; by default the first arm that reads text.

        Raises:
            UserError: the folder contains no study, or the study has no such arm.
        """
        self.study = StudyTables(Path(study))
        arms = self.study.arms
        if arm is not None and arm not in arms:
            raise UserError(f"'{arm}' is no arm of this study{nearest(arm, arms)}; it has {', '.join(arms)}")
        reading = [name for name, tables in arms.items() if tables.arm.reads_text]
        self.tables = arms[arm or [*reading, *arms][0]]

    def facts(self) -> Piece:
        """Return a sentence about the arm: its encodings, sizes and training."""
        labels = [self.tables.label(name) for name in self.tables.encodings]
        return Piece(render_piece("arm_facts", self.study.study.study, self.tables.name, self.tables.arm, labels))

    def data(self) -> Piece:
        """Return what was read, left out and held out of each corpus of the study, or a line that there is none."""
        keys: dict[str, list[str]] = {}
        for name, tables in self.study.arms.items():
            if tables.arm.reads_text:
                keys.setdefault(tables.arm.data_key, []).append(name)
        views = {tuple(arms): view for key, arms in keys.items() if (view := data_view(self.study.paths, key))}
        if not views:
            return _sentences(["The study has no prepared corpus."])
        return Piece(environment().get_template("data.html.j2").render(views=views))

    def figure(self, name: str) -> Piece:
        """Return a figure with its caption, drawn now from the study's tables, or a line that there are no data for it.

        Raises:
            UserError: there is no such figure.
        """
        _check(name, [declared.name for declared in declared_figures()], "figure")
        declared = figure_named(name)
        drawing = draw_one(self.study if declared.across else self.tables, name)
        if drawing.data.empty:
            return _sentences([f"{declared.title}: there are no data for it."])
        picture = BytesIO()
        save_svg(drawing.figure, picture)
        return Piece(render_piece("figure_view", declared, declared.look, data_uri(picture.getvalue()), "", None))

    def finding(self, name: str) -> Piece:
        """Return sentences about the study's tables, with their numbers computed now.

        Args:
            name: name in :data:`hope.reporting.articles.findings.FINDINGS`.

        Raises:
            UserError: there is no such finding.
        """
        _check(name, list(FINDINGS), "finding")
        sentences = FINDINGS[name](self.tables) or ["The study has no numbers for this."]
        return _sentences(sentences)

    def table(self, name: str) -> Piece:
        """Return a table: losses, gains, extensions, retrieval, attention or comparisons.

        Raises:
            UserError: there is no such table.
        """
        _check(name, TABLES, "table")
        view = one_table(self.tables, name)
        if view is None:
            return _sentences([f"The study has no table of {name} yet."])
        return Piece(render_piece("table_view", view, None))

    def claim(self, name: str) -> Piece:
        """Return the verdict on a claim with all its parts.

        Raises:
            UserError: the study's claims have no such id.
        """
        views = {claim["id"]: claim for claim in claim_views(self.study, None)}
        if not views:
            return _sentences(["The study's claims have not been judged yet."])
        _check(name, list(views), "claim")
        return Piece(render_piece("claim_card", views[name]))


def _sentences(sentences: list[str]) -> Piece:
    return Piece(render_piece("sentence_list", sentences))


def _check(name: str, known: list[str], what: str) -> None:
    if name not in known:
        raise UserError(f"'{name}' is no {what}{nearest(name, known)}; known are {', '.join(known)}")
