"""Netron, the real package in a real browser, draws what ``export --onnx`` wrote."""

from contextlib import contextmanager

import pytest

from tests.search.export.test_round_trips import CASES, searched
from tests.support.browser import CHROMIUM, DRIVER, browser

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="no Chromium with its driver on this machine"),
]

DRAWN = "return document.body.classList.contains('default') && document.querySelectorAll('g.node').length"
OLD = "return document.body.innerText.includes('Please update')"
TITLES = (
    "return [...document.querySelectorAll('g.node')].map("
    "n => [n.id, (n.querySelector('.node-item-type text') ?? n.querySelector('text')).textContent])"
)


@contextmanager
def netron_page(path):
    """Serve Netron's page of a model on loopback; yield its address."""
    import netron

    host, port = netron.start(str(path), ("127.0.0.1", 0), browse=False)
    try:
        yield f"http://{host}:{port}/"
    finally:
        netron.stop((host, port))


@pytest.mark.parametrize("name", ["digits", "classes of a table"])
def test_netron_draws_every_layer_of_the_graph(tmp_path, name):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("netron")
    _, found = searched(tmp_path, CASES[name], tracking={"enabled": False})
    file = found.export(tmp_path / "model", onnx=True) / "model.onnx"
    graph = onnx.load(file).graph
    with netron_page(file) as address, browser() as window:
        window.cdp("Network.enable")
        window.cdp("Network.setBlockedURLs", urls=["https://*"])  # it counts its visits
        window.cdp("Network.setCookie", name="consent", value="1", url=address)  # else it asks for it first
        window.open(address)
        assert window.wait(f"return (() => {{ {DRAWN} }})() || (() => {{ {OLD} }})()")
        if window.run(OLD):
            pytest.skip("Netron shows nothing half a year after its release; pip install --upgrade netron")
        drawn = window.run(TITLES)
        assert window.complaints() == []
    layers = [node for node in graph.node if node.op_type != "Constant"]  # which is drawn where it is used
    shown = {identity.removeprefix("node-name-"): title for identity, title in drawn if "node-name-" in identity}
    assert shown == {node.name: node.op_type for node in layers}
    inputs = [title for identity, title in drawn if identity.startswith("input-name-")]
    assert sorted(inputs) == sorted(one.name for one in graph.input)
