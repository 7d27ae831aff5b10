"""Check every link of the built site, and those of README.md: files, places in them, pictures.

python docs/_site/links.py build/site            # links within
python docs/_site/links.py build/site --online   # asks the others too, one after another

Ends with 1 and the list of what leads nowhere.
"""

import argparse
import re
import sys
import urllib.error
import urllib.request
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[2]
MARKDOWN_LINK = re.compile(r"\]\(([^)\s]+)\)")
GONE = (404, 410)
AGENT = {"User-Agent": "Mozilla/5.0 (link check)"}


class Page(HTMLParser):
    """Addresses that a page leads to, and the places in it that one may lead to."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.places = {""}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.places.add(found.get("id") or "")
        if tag == "a":
            self.places.add(found.get("name") or "")
        self.links += [value for name in ("href", "src") if (value := found.get(name))]


def is_outside(link: str) -> bool:
    return bool(urlsplit(link).scheme or urlsplit(link).netloc)


def broken_links(site: Path) -> tuple[list[str], set[str]]:
    """`page: link` for each that leads nowhere, and all links to other sites."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    broken, outside = [], set()
    for path, page in pages.items():
        for link in page.links:
            if is_outside(link):
                outside.add(link)
            elif not leads(path, link, pages, site):
                broken.append(f"{path.relative_to(site)}: {link}")
    return broken, outside


def leads(path: Path, link: str, pages: dict[Path, Page], site: Path) -> bool:
    """Whether a link of a page leads to a file of the site, and to a place in it."""
    parts = urlsplit(link)
    target = path if not parts.path else Path(f"{path.parent}/{unquote(parts.path)}").resolve()
    if parts.path.startswith("/"):
        target = site / parts.path.lstrip("/")
    if target.is_dir():
        target /= "index.html"
    if target in pages:
        return unquote(parts.fragment) in pages[target].places
    return target.is_file() and not parts.fragment


def broken_in_markdown(path: Path) -> tuple[list[str], set[str]]:
    """The same of a Markdown file of the repository, without places."""
    links = MARKDOWN_LINK.findall(path.read_text(encoding="utf-8"))
    outside = {link for link in links if is_outside(link)}
    within = [link.partition("#")[0] for link in links if link not in outside]
    missing = [link for link in within if link and not (path.parent / link).exists()]
    return [f"{path.name}: {link}" for link in missing], outside


def answers(link: str) -> bool:
    """Whether another site has the page; one that does not answer at all counts as having it."""
    try:
        request = urllib.request.Request(link, headers=AGENT)
        with urllib.request.urlopen(request, timeout=20):
            return True
    except urllib.error.HTTPError as error:
        return error.code not in GONE
    except (OSError, ValueError) as error:
        print(f"no answer: {link} ({error})", file=sys.stderr)
        return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path)
    parser.add_argument("--online", action="store_true", help="ask other sites too")
    flags = parser.parse_args()
    broken, outside = broken_links(flags.site.resolve())
    more, others = broken_in_markdown(ROOT / "README.md")
    outside = {link for link in outside | others if link.startswith("http")}
    broken += more
    if flags.online:
        broken += [f"outside: {link}" for link in sorted(outside) if not answers(link)]
    print("\n".join(broken) or f"no broken link; {len(outside)} lead to other sites")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
