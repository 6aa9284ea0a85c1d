"""``make locales``: extract the messages from the sources, merge them into both catalogues, compile them.

``python -m tests.tools.catalogues --check`` changes nothing and exits 1 where a catalogue is behind the sources.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "medgemma_tui"
FOLDERS = ("zh_CN", "en")
_KEYWORDS = {"_": None, "N_": None, "ngettext": (1, 2)}


def extracted() -> Catalog:
    """A template of every message in the package's sources."""
    template = Catalog(project="medgemma-tui", charset="utf-8")
    for filename, line, message, _comments, context in extract_from_dir(PACKAGE, keywords=_KEYWORDS):
        template.add(message, locations=[(filename, line)], context=context)
    return template


def po_path(folder: str) -> Path:
    """A catalogue's text form."""
    return PACKAGE / "locales" / folder / "LC_MESSAGES" / "medgemma_tui.po"


def read(folder: str) -> Catalog:
    """A catalogue as it lies in the repository; empty where there is none yet."""
    path = po_path(folder)
    if not path.exists():
        return Catalog(locale=folder, charset="utf-8")
    with path.open("rb") as file:
        return read_po(file, locale=folder)


def updated(folder: str, template: Catalog) -> Catalog:
    """The catalogue with today's messages: new ones empty (in English: themselves), gone ones dropped."""
    catalogue = read(folder)
    created = catalogue.creation_date
    catalogue.update(template, no_fuzzy_matching=True)
    catalogue.creation_date = created  # today's date would change the file without need
    catalogue.fuzzy = False
    catalogue.project, catalogue.version, catalogue.copyright_holder = "medgemma-tui", "0.1", "the medgemma-tui authors"
    catalogue.msgid_bugs_address = catalogue.last_translator = catalogue.language_team = ""
    catalogue.header_comment = "# Messages of medgemma-tui; written by `make locales`, translated by hand."
    catalogue.obsolete.clear()
    for message in catalogue:
        message.locations = []  # line numbers would change the file with every edit of a source
        if folder == "en" and message.id:
            message.string = message.id
    return catalogue


def missing(catalogue: Catalog) -> list[str]:
    """Messages without a translation."""
    return [str(message.id) for message in catalogue if message.id and not _translated(message.string)]


def _translated(text: str | tuple[str, ...] | list[str]) -> bool:
    return bool(text) if isinstance(text, str) else bool(text) and all(text)


def compiled(catalogue: Catalog) -> bytes:
    """The catalogue's binary form."""
    out = io.BytesIO()
    write_mo(out, catalogue)
    return out.getvalue()


def main() -> int:
    """Update (or check) both catalogues. Returns 1 when something is missing."""
    checking = "--check" in sys.argv
    template, code = extracted(), 0
    for folder in FOLDERS:
        catalogue = updated(folder, template)
        path = po_path(folder)
        if checking:
            if {m.id for m in read(folder)} != {m.id for m in catalogue}:
                print(f"{folder}: behind the sources; run make locales", file=sys.stderr)
                code = 1
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                write_po(file, catalogue, sort_output=True, omit_header=False, no_location=True, width=120)
            path.with_suffix(".mo").write_bytes(compiled(catalogue))
        for message in missing(catalogue):
            print(f"{folder}: not translated: {message}", file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
