"""What became of the versions that came, among the metrics."""

from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="needs the extra 'serve'")
pytest.importorskip("httptools", reason="needs the extra 'serve'")
pytest.importorskip("orjson", reason="needs the extra 'serve'")

from deploy.server.lifecycle.routing import Share
from deploy.server.lifecycle.swaps import Place
from tests.deploy.server.lifecycle.kit import Site, get, make, point, serving, spoil, until


def counted(site: Site) -> dict[str, str]:
    page = get(site.host, "/metrics")[1].decode()
    lines = [line.rpartition(" ") for line in page.splitlines() if line.startswith("onnxway_swaps_total")]
    return {name.removeprefix("onnxway_swaps_total"): count for name, _, count in lines}


def test_swaps_are_counted(colours: Path, tmp_path: Path) -> None:
    links = {role: tmp_path / role for role in ("model", "shadow")}
    digests = [make(tmp_path / f"b{shift}", colours, shift=shift) for shift in range(3)]
    make(tmp_path / "bad", colours, shift=1)
    spoil(tmp_path / "bad")
    for link in links.values():
        point(link, tmp_path / "b0")
    places = [Place(links["model"]), Place(links["shadow"], share=Share(1.0), shadow=True)]
    with serving(places, watch_s=0.05) as site:
        assert counted(site) == {}
        point(links["model"], tmp_path / "b1")
        until(lambda: site.digests() == [digests[1]])
        point(links["model"], tmp_path / "bad")
        refused = '{model="colours",role="model",outcome="refused"}'
        until(lambda: refused in counted(site))
        point(links["model"], tmp_path / "b2")
        until(lambda: site.digests() == [digests[2]])
        point(links["shadow"], tmp_path / "b1")
        swapped = '{model="colours",role="shadow",outcome="succeeded"}'
        until(lambda: swapped in counted(site))
        assert counted(site) == {
            '{model="colours",role="model",outcome="succeeded"}': "2", refused: "1", swapped: "1",
        }  # fmt: skip
