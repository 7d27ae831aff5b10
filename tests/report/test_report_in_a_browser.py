"""The report opens in a browser: no message on its console, and every picture is drawn."""

import shutil
import subprocess

import matplotlib.image
import pytest
from commands import ROOT
from commands import python as command

RESULTS = ROOT / "benchmarks" / "results"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
# says in the title what became of the pictures; the report itself has no script
PROBE = """<script>addEventListener("load", () => {
  const drawn = [...document.images].filter(one => one.complete && one.naturalWidth > 99);
  document.title = `drawn ${drawn.length} of ${document.images.length}`;
})</script>"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")


def browser(place, *words) -> subprocess.CompletedProcess:
    line = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --enable-logging=stderr"
    return subprocess.run(
        [BROWSER, *line.split(), f"--user-data-dir={place / 'profile'}", *words],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of all runs of the demo."""
    place = tmp_path_factory.mktemp("report")
    code, out, _ = command(
        "-m benchmarks report --runs", RESULTS / "demo_full", "--out", place / "r.html"
    )
    assert code == 0
    assert "2 runs read" in out
    return place / "r.html"


def test_it_opens_without_a_message_and_with_all_pictures(report):
    probed = report.with_name("probed.html")
    text = report.read_text()
    pictures = text.count("<img ")
    assert pictures == len(list((RESULTS / "demo_full").rglob("*.png"))) > 0
    probed.write_text(text.replace("</body>", f"{PROBE}</body>"))
    shown = browser(report.parent, "--dump-dom", probed.as_uri())
    assert shown.returncode == 0, shown.stderr
    assert f"<title>drawn {pictures} of {pictures}</title>" in shown.stdout
    assert "CONSOLE" not in shown.stderr


def test_a_message_on_the_console_would_be_seen(report):
    probed = report.with_name("wrong.html")
    probed.write_text("<body><script>console.error('wrong')</script></body>")
    assert "CONSOLE" in browser(report.parent, "--dump-dom", probed.as_uri()).stderr


def test_a_phone_does_not_scroll_the_page_sideways(report):
    width = """<script>addEventListener("load", () => {
      document.title = `wide ${document.documentElement.scrollWidth <= innerWidth}`;
    })</script>"""
    probed = report.with_name("phone.html")
    probed.write_text(report.read_text().replace("</body>", f"{width}</body>"))
    shown = browser(report.parent, "--window-size=420,900", "--dump-dom", probed.as_uri())
    assert "<title>wide true</title>" in shown.stdout


def test_it_prints(report):
    paper = report.with_suffix(".pdf")
    printed = browser(report.parent, f"--print-to-pdf={paper}", report.as_uri())
    assert printed.returncode == 0, printed.stderr
    assert paper.read_bytes().startswith(b"%PDF")
    picture = report.with_suffix(".png")
    browser(report.parent, "--window-size=900,1200", f"--screenshot={picture}", report.as_uri())
    assert matplotlib.image.imread(picture).std() > 0.01  # not a blank page
