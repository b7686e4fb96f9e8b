"""The site and the package index show what the repository's documents say: what is checked without building either."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from scripts import load

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.fixture(scope="module")
def as_rst():
    """The function of docs/docstrings.py, which is no part of the package."""
    module = load("docs/docstrings.py")
    return lambda text: "\n".join(module.as_rst(text.splitlines()))


@pytest.mark.parametrize(
    ("docstring", "rst"),
    [
        ("Plain words, 1 − x_r.", r"Plain words, 1 − x\_r."),
        ("|h⁻| and λ*, of `Rule.plan`, `--step.max-kl`.", r"\|h⁻\| and λ\*, of `Rule.plan`, ``--step.max-kl``."),
        ("All `Task`s, as `train()` has them.", r"All `Task`\ s, as `train()` has them."),
        (
            "Switches:\n\n    Ĵ ≤ b:  |x|*y\n\n    else\n\nAfter.",
            "Switches:\n\n::\n\n    Ĵ ≤ b:  |x|*y\n\n    else\n\nAfter.",
        ),
        ("These:\n- a_b;\n  more\n- c.", "These:\n\n- a\\_b;\n  more\n- c."),
        (
            "Do.\n\nArgs:\n    run: The *run*,\n        and `x y`.",
            "Do.\n\n\n:param run: The \\*run\\*,\n    and ``x y``.",
        ),
    ],
)
def test_docstrings_become_what_sphinx_reads(docstring, rst, as_rst):
    assert as_rst(docstring) == rst


def contents(page):
    """The pages in the tables of contents of `page`."""
    listed = re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    words = [line for block in listed for line in block.splitlines() if line and not line.startswith(":")]
    return [(page.parent / re.sub(r".*<(.*)>", r"\1", word)).resolve().with_suffix(".md") for word in words]


def test_every_document_has_one_place_in_the_sites_contents():
    """A folder's README stands for the folder's other pages."""
    listed = contents(ROOT / "docs" / "index.md")
    assert len(listed) == len(set(listed))
    pages = {page for page in DOCUMENTS if page.parent in (ROOT, ROOT / "docs") or page.name == "README.md"}
    assert set(listed) == pages - {ROOT / "docs" / "index.md"}, "give the page a place in docs/index.md"


def test_links_written_as_html_lead_to_pages_that_the_site_takes_over():
    conf = (ROOT / "docs" / "conf.py").read_text(encoding="utf-8")
    taken = set(re.findall(r'"([\w-]+\.html)"', conf.split("\nPAGES = ")[1].split("\n")[0]))
    found = {
        (page.parent / target).resolve()
        for page in DOCUMENTS
        for target in re.findall(r'href="([^":#]+)"', page.read_text(encoding="utf-8"))
    }
    assert found == {ROOT / "docs" / name for name in taken}
    assert all(page.exists() for page in found)


def test_the_reference_has_every_package_with_public_names():
    told = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.md"))
    modules = re.findall(r"automodule:: (\S+)", told)
    for module in modules:
        assert importlib.util.find_spec(module) is not None, module
    public = {"equipoise", "equipoise.algorithms", "equipoise.gradients", "equipoise.statistics", "equipoise.testing"}
    assert public <= set(modules)


def on_a_package_index():
    """README.md as the build writes it into the package's metadata."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    hook = settings["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    text = "".join((ROOT / fragment["path"]).read_text(encoding="utf-8") for fragment in hook["fragments"])
    for change in hook["substitutions"]:
        text = re.sub(change["pattern"], change["replacement"], text)
    return text


def test_on_a_package_index_the_readme_has_no_link_that_leads_nowhere():
    text = on_a_package_index()
    assert [target for target in re.findall(r"\]\(([^)]*)\)", text) if "://" not in target] == []
    assert "*(Picture: PCRPO on SafetyHalfCheetah-v4.)*" in text
    assert "| switching | crpo, pcrpo, espo, poise, ppo_crpo, ppo_pcrpo |" in text
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = [re.findall(r"```.*?```", shown, re.DOTALL) for shown in (readme, text)]
    assert blocks[0] == blocks[1]  # code is as it was
