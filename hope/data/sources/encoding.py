"""How the bytes of a file become text: UTF-8 first, then what the file itself or a detector says, or a refusal."""

import codecs
from typing import NamedTuple

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    # UTF-32 first, since its little-endian mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks, and the encoding that each names."""

LEGACY = (
    "cp1252", "cp1251", "koi8_r", "gb18030", "cp932", "big5", "cp949", "euc_jp", "cp1250", "cp1253", "cp1254",
    "cp1255", "cp1256", "cp1257", "cp874", "cp866", "iso8859_5", "utf_16_le", "utf_16_be",
)  # fmt: skip
"""Encodings without a mark that are detected. The detector sometimes prefers a rare relative of one of them."""

FEW = 0.3
"""Share of the bytes: with fewer bytes above ASCII a text is of a Latin script, and cp1252 is the usual encoding."""

RARE = 0.02
"""Share of the bytes: with fewer bytes above ASCII nothing but cp1252 can be told from them."""

REPLACED = "\ufffd"


class Decoded(NamedTuple):
    r"""The text of a file.

    Attributes:
        text: with ``\n`` at line ends.
        encoding: the character encoding.
        remark: why the text may not be what was meant, with the line; empty for clean UTF-8, or an encoding that a
            byte order mark names.
    """

    text: str
    encoding: str
    remark: str


def decode(content: bytes) -> Decoded | None:
    """Return the text of a file; None if it is no text, or if nobody can tell its character encoding.

    A byte order mark decides. Without one, valid UTF-8 is UTF-8, and so is what is mostly valid UTF-8: one damaged
    byte, or a file cut within a character, must not turn all other characters into others. Its damaged bytes become
    U+FFFD. Other bytes are read in the encoding of :data:`LEGACY` that charset-normalizer detects; if it detects none,
    rare ones become U+FFFD too. A file with a NUL character is no text.
    """
    mark, encoding = next(((mark, name) for mark, name in MARKS if content.startswith(mark)), (b"", "utf-8"))
    body, remark = content[len(mark) :], ""
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        text = body.decode(encoding, errors="replace")
        line = body.count(b"\n", 0, error.start) + 1
        remark = f"damaged {encoding} from line {line} on"
        if not mark and not is_mostly_utf8(text):
            detected = _detected(body)
            if detected:
                text, encoding, remark = body.decode(detected), detected, f"read as {detected}"
            elif text.count(REPLACED) > RARE * len(text):
                return None
    if "\0" in text and not mark:
        # Latin letters in UTF-16 have a NUL byte each and are valid UTF-8.
        encoding = next((name for name in ("utf-16-le", "utf-16-be") if _is_utf16(body, name)), "")
        if not encoding:
            return None
        text, remark = body.decode(encoding), f"read as {encoding}"
    if "\0" in text:
        return None
    return Decoded(text.replace("\r\n", "\n").replace("\r", "\n"), encoding, remark)


def is_mostly_utf8(text: str) -> bool:
    """Return whether bytes that were decoded as UTF-8 with U+FFFD for damaged ones are UTF-8 at all.

    Text of another encoding yields hardly any valid character beyond ASCII, so valid ones must be more than twice the
    damaged ones.
    """
    above_ascii = len(text) - len(text.encode("ascii", errors="ignore"))
    damaged = text.count(REPLACED)
    return above_ascii - damaged > 2 * damaged


def _detected(content: bytes) -> str | None:
    """Return the encoding of :data:`LEGACY` that bytes are in, or None if that is uncertain."""
    from charset_normalizer import from_bytes

    share = 1 - len(content.decode("ascii", errors="ignore")) / len(content)
    matches = list(from_bytes(content, cp_isolation=list(LEGACY)))
    # Several encodings may suit equally well; each match stands for all that give the same text.
    equal = [match for match in matches if (match.chaos, match.coherence) == (matches[0].chaos, matches[0].coherence)]
    if share < FEW and any("cp1252" in match.could_be_from_charset for match in equal):
        return "cp1252"
    return matches[0].encoding if matches and share >= RARE and matches[0].coherence > 0 else None


def _is_utf16(content: bytes, encoding: str) -> bool:
    """Return whether bytes with NULs are text in UTF-16: nearly all its NUL bytes are high bytes of code units."""
    high = content[1::2] if encoding == "utf-16-le" else content[::2]
    if len(content) % 2 or high.count(0) < 0.9 * content.count(0):
        return False
    try:
        return "\0" not in content.decode(encoding)
    except UnicodeDecodeError:
        return False
