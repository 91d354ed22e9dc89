"""Training text: three public-domain works, taken from Debian packages, cleaned and split.

The packages are fetched with `apt-get download` and unpacked without being installed. Every
work becomes a list of chunks of about 3 KB (Bible: one chapter each; dictionaries: runs of whole
entries). Of every 64 consecutive chunks of a work, number 31 is held out, number 63 is for
validation (used to choose hyper-parameters), the rest is for training; so the three parts have
the same mix and share no chunk.
"""

import gzip
import pathlib
import re
import subprocess

# Package -> the work in it. Versions are those of Debian 12; `models/README.md` has the licences.
PACKAGES = {
    "bible-kjv": "the reader program that unpacks the text below",
    "bible-kjv-text": "the King James Bible, 1611",
    "dict-jargon": "the Jargon File 4.4.7, 2003",
    "dict-devil": "The Devil's Dictionary, Ambrose Bierce, 1911",
}
PERIOD = 64
HELD_OUT, VALIDATION = 31, 63
CHUNK_BYTES = 3000

# Typographic characters that have a plain equivalent; fewer rare symbols, shorter text.
PLAIN = str.maketrans({
    "\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'", "\u00b4": "'", "\u00a0": " ",
    "\u00ad": None, "\u2014": "--", "\u2212": "-", "{": None, "}": None,
})


def fetch(work: pathlib.Path) -> pathlib.Path:
    """Downloads and unpacks the packages under `work`; returns the folder they were unpacked in."""
    root = work / "packages"
    for name in PACKAGES:
        if not list(work.glob(f"{name}_*.deb")):
            subprocess.run(["apt-get", "download", "-q", name], cwd=work, check=True)
        (deb,) = work.glob(f"{name}_*.deb")
        subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
    return root


def unwrap(text: str, width: int) -> str:
    """Undoes line wrapping: a line is joined to the one above it if its first word would not have
    fitted there within `width` columns. Indentation goes, verse and lists keep their lines."""
    out, above = [], ""
    for line in text.split("\n"):
        line = line.rstrip()
        words = line.split()
        if not words:
            out.append("")
        elif above and len(above) + 1 + len(words[0]) > width:
            hyphen = re.search(r"[a-z]-$", out[-1])
            out[-1] += ("" if hyphen else " ") + " ".join(words)
        else:
            out.append(" ".join(words))
        above = line
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip()


def bible(root: pathlib.Path) -> list[str]:
    """One chunk per chapter: its name, an empty line, then one verse per line."""
    command = [root / "usr/bin/bible", "-p", root / "usr/lib", "-l4000", "Gen1:1-Rev22:21"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    chapters = re.split(r"\n(?=[1-3]?[ A-Z][A-Za-z ]+ \d+\n)", text)
    return [re.sub(r"(?m)^ *\d+ (?=\S)", "", c).strip() for c in chapters if c.strip()]


def entries_to_chunks(entries: list[str]) -> list[str]:
    """Joins consecutive dictionary entries until a chunk has CHUNK_BYTES."""
    chunks, current = [], ""
    for entry in entries:
        current = f"{current}\n\n{entry}" if current else entry
        if len(current.encode()) >= CHUNK_BYTES:
            chunks.append(current)
            current = ""
    return chunks + [current] if current else chunks


def read_dictionary(root: pathlib.Path, name: str) -> str:
    return gzip.decompress((root / f"usr/share/dictd/{name}.dict.dz").read_bytes()).decode()


def jargon(root: pathlib.Path) -> list[str]:
    """`headword, part of speech`, an empty line, the explanation. Pronunciations and tables go."""
    text = read_dictionary(root, "jargon").translate(PLAIN)
    entries = re.split(r"\n\n(?=\S)", text[text.index("\n/dev/null\n"):])
    cleaned = []
    for entry in entries:
        head, _, rest = entry.strip("\n").partition("\n")
        speech, _, body = rest.partition("\n")
        speech = re.sub(r"^/.*/,? *", "", speech.strip())
        body = "\n".join(l for l in body.split("\n") if not re.search("[\u2500-\u257f]", l))
        head = f"{head}, {speech}" if speech else head
        cleaned.append(f"{head}\n\n{unwrap(body, 79)}".strip())
    return entries_to_chunks(cleaned)


def devil(root: pathlib.Path) -> list[str]:
    """Entries as printed, unwrapped; the notes of the electronic edition go."""
    text = read_dictionary(root, "devil").translate(PLAIN)
    text = text[text.index("ABASEMENT, n."):]
    entries = re.split(r"\n\n(?=[A-Z][A-Z' -]+[,.])", text)
    return entries_to_chunks([unwrap(e, 70) for e in entries])


def corpus(work: pathlib.Path) -> dict[str, dict[str, list[str]]]:
    """Work name -> {"train" | "validation" | "heldout": chunks}."""
    work.mkdir(parents=True, exist_ok=True)
    root = fetch(work)
    result = {}
    for name, chunks in (("bible", bible(root)), ("jargon", jargon(root)), ("devil", devil(root))):
        parts = {"train": [], "validation": [], "heldout": []}
        for i, chunk in enumerate(chunks):
            part = {HELD_OUT: "heldout", VALIDATION: "validation"}.get(i % PERIOD, "train")
            parts[part].append(chunk)
        result[name] = parts
    return result


def joined(works: dict[str, dict[str, list[str]]], part: str) -> str:
    """All chunks of one part as one text, works in order, an empty line between chunks."""
    return "\n\n".join(c for parts in works.values() for c in parts[part]) + "\n"
