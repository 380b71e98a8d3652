"""The report in a real browser: drawn, readable, silent, and asking nobody for anything."""

import pytest

from benchmarks.report_page import record_study
from tests.support.browser import CHROMIUM, DRIVER, browser
from tests.support.command import invoke

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="no Chromium with its driver on this machine"),
]

BITING = "<script>document.title = 'bitten'</script><img src='https://example.org/x.png'>"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    notice = {"kind": "odd", "text": BITING, "count": None, "names": [], "warning": True}
    record_study(home, "mine", trials=24, epochs=9, question=BITING, notices=[notice])
    invoke("report", "mine", "--home", home)
    return (home / "mine" / "report.html").as_uri()


@pytest.fixture(scope="module")
def window():
    with browser() as opened:
        yield opened


DRAWN = (
    "drawAll(); return [...document.querySelectorAll('.plot')]"
    ".every(p => p.querySelector('.main-svg .trace, .main-svg .errorbars'))"
)


@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_the_verdict_comes_first_every_figure_is_drawn_and_nothing_is_asked_for(window, page, width, dark):
    window.open(page, width=width, height=667 if width == 375 else 800, dark=dark)
    assert window.wait(DRAWN)
    assert window.run("return document.querySelectorAll('.plot').length") > 10
    bottom = window.run("return document.getElementById('verdict').getBoundingClientRect().bottom")
    assert 0 < bottom <= window.run("return window.innerHeight")
    assert window.run("return document.documentElement.scrollWidth <= window.innerWidth"), "nothing sticks out"
    assert window.complaints() == []
    assert set(window.requests()) == {page}
    assert window.run("return document.title") != "bitten"


def test_figures_follow_the_colours_of_the_page(window, page):
    ink = "return document.querySelector('.plot').layout.template.layout.font.color"
    window.open(page)
    window.wait(DRAWN)
    light = window.run(ink)
    window.ground(dark=True)
    assert window.wait(f"return (() => {{ {ink} }})() !== '{light}'")
    assert window.complaints() == []


def test_a_header_sorts_its_table_by_mouse_and_by_keyboard(window, page):
    window.open(page)
    column = "return [...document.querySelectorAll('#leaderboard tbody tr')].map(r => +r.cells[1].textContent)"
    press = "document.querySelectorAll('#leaderboard th button')[1].click();"
    window.run(press)
    assert window.run(column) == list(range(24))
    window.run(press)
    assert window.run(column) == list(range(23, -1, -1))
    window.run("document.querySelectorAll('#leaderboard th button')[1].focus()")
    for kind in ("keyDown", "keyUp"):
        window.cdp("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    assert window.run(column) == list(range(24))


def test_without_scripts_the_text_and_the_tables_are_there(window, page):
    window.open(page, scripts=False)
    tree = window.cdp("DOMSnapshot.captureSnapshot", computedStyles=[])
    texts = tree["strings"]
    assert any(text.startswith("Not confirmed: val_loss") for text in texts)
    assert any(text.startswith("Scripts are off") for text in texts)
    assert "learning_rate" in texts


def test_every_figure_has_words_and_a_table(window, page):
    def all_of(selector, condition):
        return window.run(f"return [...document.querySelectorAll('{selector}')].every(e => {condition})")

    window.open(page)
    assert all_of(".plot", "e.getAttribute('aria-label').length > 20")
    assert all_of("figure", "e.closest('section').querySelector('table')")
    assert all_of(".scroll, pre, summary", "e.tabIndex === 0")
