"""What a browser would do with a page: which addresses it would load, where its links lead."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {
    "audio": ("src",),
    "embed": ("src",),
    "iframe": ("src", "srcdoc"),
    "image": ("href", "xlink:href"),
    "img": ("src", "srcset"),
    "input": ("src",),
    "link": ("href",),
    "object": ("data",),
    "script": ("src",),
    "source": ("src", "srcset"),
    "track": ("src",),
    "use": ("href", "xlink:href"),
    "video": ("src", "poster"),
}
"""Attributes whose address is loaded with the page; that of an ``a`` is not."""


INLINE = ("a", "cite", "code", "em", "strong")
"""Elements that stand within a sentence."""
BROKEN = (
    r"\s[.,;:!?)\]]",  # a space before punctuation
    r"[.,;:!?]\s*[.,;:!?]",  # two marks, nothing between
    r"[(\[]\s*[)\]]",  # nothing in brackets
    r"\b(?:nan|NaN|undefined)\b",
    r"(?<=[^.!?] )(?:None|True|False)\b",  # at the beginning of a sentence they are words
)
"""What sentences look like where a template joined its parts wrongly."""


def broken_joins(html: str) -> list[str]:
    """Return the texts of a page in which the joins of sentences are broken."""
    texts = (text.replace("et al.,", "et al") for text in Page(html).blocks)
    return [text for text in texts if any(re.search(pattern, text) for pattern in BROKEN)]


class Page(HTMLParser):
    """A parsed page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.styles: list[str] = []
        self.words: list[str] = []
        self._blocks = [""]
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._begin_block(tag)
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self._within = tag
        self.styles += [value or "" for name, value in attrs if name == "style"]

    def handle_endtag(self, tag: str) -> None:
        self._within = ""
        self._begin_block(tag)

    def _begin_block(self, tag: str) -> None:
        if tag not in INLINE:
            self._blocks.append("")

    def handle_data(self, data: str) -> None:
        (self.styles if self._within == "style" else self.words).append(data)
        if self._within not in ("style", "pre"):  # what a file says is no sentence of the page
            self._blocks[-1] += data

    @property
    def text(self) -> str:
        """The words of the page, in single spaces."""
        return " ".join("".join(self.words).split())

    @property
    def blocks(self) -> list[str]:
        """The texts of paragraphs, cells, captions and the like, in single spaces."""
        return [" ".join(text.split()) for text in self._blocks if text.strip()]

    def all(self, tag: str) -> list[dict[str, str]]:
        """Return the attributes of every ``tag``."""
        return [attributes for name, attributes in self.tags if name == tag]

    def loaded(self) -> list[str]:
        """Return the addresses that a browser loads with the page, those held within it aside."""
        found = [
            attributes[name]
            for tag, attributes in self.tags
            for name in LOADED.get(tag, ())
            if not attributes.get(name, "data:").startswith("data:")
        ]
        for style in self.styles:
            found += [address for address in re.findall(r"url\(\s*[\"']?([^\"')]*)", style) if address[:5] != "data:"]
            found += re.findall(r"@import[^;]*", style)
        refresh = [tag for tag in self.all("meta") if tag.get("http-equiv", "").lower() == "refresh"]
        return found + [str(tag) for tag in refresh]

    def broken_links(self, file: Path) -> list[str]:
        """Return the links that lead to no file beside the page and to no place within it."""
        places = {attributes["id"] for _, attributes in self.tags if "id" in attributes}
        broken = []
        for link in self.all("a"):
            address = urlsplit(link.get("href", ""))
            inside = not address.path and unquote(address.fragment) in places
            beside = address.path and (file.parent / unquote(address.path)).exists()
            if not (address.scheme or inside or beside):
                broken.append(link.get("href", ""))
        return broken
