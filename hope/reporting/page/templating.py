"""The HTML templates of the report and of notebooks; everything that is inserted is escaped."""

from functools import cache
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined

from hope import words
from hope.reporting import effects


def template_text(name: str) -> str:
    """Return the text of a template."""
    return (files("hope.reporting.page") / "templates" / name).read_text(encoding="utf-8")


@cache
def environment() -> Environment:
    """Return the templates' environment: HTML is escaped, an undefined name is an error."""
    templates = Environment(
        loader=FunctionLoader(template_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = (
        words.count,
        effects.estimate_with_interval,
        words.interval,
        words.listed,
        words.number,
        words.p_value,
        effects.familiar,
        effects.detectable,
        words.plural,
        words.duration,
        words.signed,
        effects.threshold,
    )
    templates.filters.update({filter.__name__: filter for filter in shown})
    return templates


def render_piece(macro: str, *arguments: object) -> str:
    """Return the HTML of one macro of ``pieces.html.j2``, safe to insert into a page."""
    module = environment().get_template("pieces.html.j2").module
    return getattr(module, macro)(*arguments)
