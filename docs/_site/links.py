"""Check every link of the built site, and those of README.md: files, anchors, pictures.

python docs/_site/links.py build/site            # links within the site
python docs/_site/links.py build/site --online   # also those to other sites

Prints the broken links; the exit status is 1 if there are any.
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
    """The links of a page, and its anchors."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.anchors = {""}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.anchors.add(values.get("id") or "")
        if tag == "a":
            self.anchors.add(values.get("name") or "")
        self.links += [value for name in ("href", "src") if (value := values.get(name))]


def is_external(link: str) -> bool:
    return bool(urlsplit(link).scheme or urlsplit(link).netloc)


def broken_links(site: Path) -> tuple[list[str], set[str]]:
    """`page: link` for each broken link, and all links to other sites."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    broken, external = [], set()
    for path, page in pages.items():
        for link in page.links:
            if is_external(link):
                external.add(link)
            elif not has_target(path, link, pages, site):
                broken.append(f"{path.relative_to(site)}: {link}")
    return broken, external


def has_target(path: Path, link: str, pages: dict[Path, Page], site: Path) -> bool:
    """Whether the file and the anchor of a link exist in the site."""
    parts = urlsplit(link)
    target = path if not parts.path else Path(f"{path.parent}/{unquote(parts.path)}").resolve()
    if parts.path.startswith("/"):
        target = site / parts.path.lstrip("/")
    if target.is_dir():
        target /= "index.html"
    if target in pages:
        return unquote(parts.fragment) in pages[target].anchors
    return target.is_file() and not parts.fragment


def broken_in_markdown(path: Path) -> tuple[list[str], set[str]]:
    """The same for a Markdown file of the repository, without anchors."""
    links = MARKDOWN_LINK.findall(path.read_text(encoding="utf-8"))
    external = {link for link in links if is_external(link)}
    internal = [link.partition("#")[0] for link in links if link not in external]
    missing = [link for link in internal if link and not (path.parent / link).exists()]
    return [f"{path.name}: {link}" for link in missing], external


def is_online(link: str) -> bool:
    """Whether another site has the page; also true if the site does not answer."""
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
    parser.add_argument("--online", action="store_true", help="check links to other sites")
    flags = parser.parse_args()
    broken, external = broken_links(flags.site.resolve())
    broken_in_readme, external_in_readme = broken_in_markdown(ROOT / "README.md")
    external = {link for link in external | external_in_readme if link.startswith("http")}
    broken += broken_in_readme
    if flags.online:
        broken += [f"other site: {link}" for link in sorted(external) if not is_online(link)]
    print("\n".join(broken) or f"no broken link; {len(external)} lead to other sites")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
