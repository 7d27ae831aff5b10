"""The report in a browser: no messages on the console, every picture drawn, printable."""

import shutil
import subprocess

import matplotlib.image
import pytest
from commands import ROOT, output_of, run_process
from commands import python as command

RESULTS = ROOT / "benchmarks" / "results"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
# a script that writes the number of drawn pictures into the title; the report itself has no script
PROBE = """<script>addEventListener("load", () => {
  const drawn = [...document.images].filter(image => image.complete && image.naturalWidth > 99);
  document.title = `drawn ${drawn.length} of ${document.images.length}`;
})</script>"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")


def browser(folder, *flags) -> subprocess.CompletedProcess:
    common = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --enable-logging=stderr"
    return run_process(
        [BROWSER, *common.split(), f"--user-data-dir={folder / 'profile'}", *flags], timeout=120
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of all runs of the demo."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    out = output_of(command("-m benchmarks report --runs", RESULTS / "demo_full", "--out", path))
    assert "2 runs read" in out
    return path


def test_the_report_opens_without_messages_and_with_all_pictures(report):
    page = report.with_name("probed.html")
    text = report.read_text()
    pictures = text.count("<img ")
    assert pictures == len(list((RESULTS / "demo_full").rglob("*.png"))) > 0
    page.write_text(text.replace("</body>", f"{PROBE}</body>"))
    process = browser(report.parent, "--dump-dom", page.as_uri())
    assert process.returncode == 0, process.stderr
    assert f"<title>drawn {pictures} of {pictures}</title>" in process.stdout
    assert "CONSOLE" not in process.stderr


def test_a_message_on_the_console_is_detected(report):
    page = report.with_name("wrong.html")
    page.write_text("<body><script>console.error('wrong')</script></body>")
    assert "CONSOLE" in browser(report.parent, "--dump-dom", page.as_uri()).stderr


def test_the_report_fits_the_width_of_a_phone(report):
    probe = """<script>addEventListener("load", () => {
      document.title = `fits ${document.documentElement.scrollWidth <= innerWidth}`;
    })</script>"""
    page = report.with_name("phone.html")
    page.write_text(report.read_text().replace("</body>", f"{probe}</body>"))
    process = browser(report.parent, "--window-size=420,900", "--dump-dom", page.as_uri())
    assert "<title>fits true</title>" in process.stdout


def test_the_report_can_be_printed(report):
    pdf, screenshot = report.with_suffix(".pdf"), report.with_suffix(".png")
    process = browser(report.parent, f"--print-to-pdf={pdf}", report.as_uri())
    assert process.returncode == 0, process.stderr
    assert pdf.read_bytes().startswith(b"%PDF")
    browser(report.parent, "--window-size=900,1200", f"--screenshot={screenshot}", report.as_uri())
    assert matplotlib.image.imread(screenshot).std() > 0.01  # not a blank page
