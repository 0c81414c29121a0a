"""Encodings of text files: detection, and reading their lines as UTF-8.

General detectors need long texts: on short names in five languages, charset-normalizer and chardet were right in a
third of the cases. Here the candidates are the encodings in which shops' systems save files, and the letters decide.
"""

import codecs
import io
from collections.abc import Mapping
from typing import BinaryIO, Final, Protocol

CHUNK_BYTES: Final = 1 << 20
MAX_SAMPLE_BYTES: Final = 1 << 17

_BYTE_ORDER_MARKS: Final[Mapping[bytes, str]] = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CANDIDATES: Final = ("cp1252", "iso8859-15", "mac-roman", "cp850", "cp1250")
_USUAL: Final = frozenset("àèéìíòóùúâêîôûäëïöüÿçñßœæãõåøÀÈÉÌÒÓÙÚÂÊÎÔÛÄËÏÖÜÇÑŒÆÁÍáÅØ")
_CENTRAL_EUROPEAN: Final = frozenset("ąćęłńśźżĄĆĘŁŃŚŹŻčďěňřšťůýžČĎŘŠŤŮŽőűŐŰșțăŞşŢţ")
_SIGNS: Final = frozenset("€£°«»’‘“”–—…·¿¡ºª§®©²³½ \u00a0")
_CURRENCY_SIGNS: Final = frozenset("€£")


class Lines(Protocol):
    """What lines are read from."""

    def readline(self, limit: int, /) -> bytes: ...


def detect_encoding(stream: BinaryIO, max_bytes: int) -> str:
    """Return the encoding of a file, judging by all of its bytes up to ``max_bytes``."""
    first = stream.read(CHUNK_BYTES)
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if first.startswith(mark):
            return encoding
    zeros = [first[:4096][start::2].count(0) for start in (0, 1)]
    if max(zeros) > len(first[:4096]) // 8:  # of the names and signs of a header, half the bytes
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_utf_8, sample, chunk, done = True, bytearray(), first, 0
    while chunk and done < max_bytes:
        done += len(chunk)
        following = stream.read(CHUNK_BYTES)
        if is_utf_8:
            try:
                decoder.decode(chunk, final=not following)
            except UnicodeDecodeError:
                is_utf_8 = False
        if len(sample) < MAX_SAMPLE_BYTES and not chunk.isascii():
            for line in chunk.splitlines():
                if not line.isascii():
                    sample += line[:1000] + b"\n"
                    if len(sample) >= MAX_SAMPLE_BYTES:
                        break
        if not is_utf_8 and len(sample) >= MAX_SAMPLE_BYTES:
            break
        chunk = following
    return "utf-8" if is_utf_8 else _most_plausible(bytes(sample))


def _most_plausible(sample: bytes) -> str:
    """Return the encoding in which a sample looks most like text; the first one of several."""
    return max(_CANDIDATES, key=lambda encoding: _plausibility(sample, encoding))


def _plausibility(sample: bytes, encoding: str) -> float:
    """Rate how usual the characters beyond ASCII are, each in its place: letters in words, signs between them."""
    text = sample.decode(encoding, errors="replace")
    score = 0.0
    for before, character, after in zip(f" {text}", text, f"{text[1:]} ", strict=False):
        if character.isascii():
            continue
        in_word = (before.isalpha() and before.isascii()) or (after.isalpha() and after.isascii())
        # Lower case inside words, and capitals at their beginning or among capitals.
        fits_case = character.islower() or not before.islower()
        if character in _USUAL:
            score += (2.0 if fits_case else -1.0) if in_word else 0.5
        elif character in _CENTRAL_EUROPEAN:
            score += (1.8 if fits_case else -1.0) if in_word else 0.2
        elif character in _CURRENCY_SIGNS:
            score += -1.0 if before.isalpha() else 2.0
        elif character in _SIGNS:
            score += 0.8
        else:
            score -= 2.0
    return score


def open_lines(stream: BinaryIO, encoding: str) -> tuple[Lines, str]:
    """Return what the lines of a file are read from, and their encoding.

    Lines of encodings that contain ASCII are read as they are. Others become UTF-8 while they are read, and so do
    lines that end with a carriage return, as old programs for the Mac write them.
    """
    start = stream.tell()
    beginning = stream.read(CHUNK_BYTES)
    stream.seek(start)
    ends_with_return = b"\r" in beginning and b"\n" not in beginning
    if not encoding.startswith("utf-16") and not ends_with_return:
        return stream, encoding
    if encoding == "utf-16" and not beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16-le"  # staff chose it for a file without a mark, which the codec would not read
    newline = "\r" if ends_with_return else "\n"
    return _RecodedLines(stream, "utf-8-sig" if encoding == "utf-8" else encoding, newline), "utf-8"


class _RecodedLines:
    """The lines of a file in UTF-8."""

    def __init__(self, stream: BinaryIO, encoding: str, newline: str) -> None:
        self._text = io.TextIOWrapper(
            io.BufferedReader(_Unclosed(stream)), encoding, errors="replace", newline=newline
        )
        self._newline = newline

    def readline(self, limit: int, /) -> bytes:
        line = self._text.readline(limit)
        if self._newline == "\r" and line.endswith("\r"):
            line = f"{line[:-1]}\n"
        return line.encode()


class _Unclosed(io.RawIOBase):
    """A stream that stays open when its reader is thrown away."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview", /) -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
