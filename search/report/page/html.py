"""A report as one HTML page that loads nothing: style, scripts, plotly and the figures' data are inside.

Its content security policy names the scripts by their hashes, so that no text of a user can become one, whatever it
holds, and forbids every request. A page that is served may ask where it came from for news, and nobody else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import escape
from importlib.resources import files

from search.report.page.document import Cell, Document, Figure, Live, Section, Table, cell_text

NUMBER = '<td class="n"'


def to_html(found: Document, live: Live | None = None) -> str:
    """Return the page. Everything but its figures is there without scripts.

    Args:
        found: the report.
        live: where the study stands, for a page that is served and asks for ``update``: ``contents`` anew.
    """
    own = "" if live is None else "; connect-src 'self'"
    drawn = live is not None or any(section.figures for section in found.sections)
    scripts = [*([_plotly()] if drawn else []), _resource("page.js"), *([] if live is None else [_resource("live.js")])]
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; "
        f"script-src {' '.join(map(_hash, scripts))}; base-uri 'none'; form-action 'none'{own}"
    )
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">',
            f"<title>{escape(found.title)}: {escape(found.headline)}</title>",
            f"<style>\n{_resource('page.css')}</style>\n</head>\n<body>",
            contents(found, live),
            *(f"<script>{script}</script>" for script in scripts),
            "</body>\n</html>\n",
        ]
    )


def contents(found: Document, live: Live | None = None) -> str:
    """Return what of the page changes with the study: all but its style and its scripts."""
    links = "".join(f'<li><a href="#{s.key}">{escape(s.title)}</a></li>' for s in found.sections)
    lines = "".join(f"<p>{escape(line)}</p>" for line in found.verdict)
    commands = "".join(_command(*command) for command in found.commands)
    standing = "" if live is None else _live(live)
    return f"""<div id="page"><a class="skip" href="#main">Skip to the verdict</a>
<header><h1>{escape(found.title)}</h1><p class="question">{escape(found.subtitle)}</p></header>{standing}
<main id="main">
<section class="verdict {found.tone}" id="verdict" aria-labelledby="headline">
<h2 id="headline">{escape(found.headline)}</h2>{lines}{commands}</section>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<noscript><p class="note">Scripts are off: figures are not drawn; the table below each says the same.</p></noscript>
{"".join(map(_section, found.sections))}
</main></div>"""


def _live(found: Live) -> str:
    state = "going" if found.going else "ended"
    said = escape(found.sentence)
    return f'\n<p id="live" class="{state}" role="status" data-every="{found.every_s:g}">{said}</p>'


def _section(found: Section) -> str:
    parts = [f"<p>{escape(line)}</p>" for line in found.lines[:1]]
    if len(found.lines) > 1:
        parts = ["<ul class='lines'>", *(f"<li>{escape(line)}</li>" for line in found.lines), "</ul>"]
    parts += [_table(table) for table in found.tables]
    if found.figures:
        shown = {id(table) for table in found.tables}
        parts += ["<div class='figures'>", *(_figure(f, tabled=id(f.table) in shown) for f in found.figures), "</div>"]
    parts += [_command(*command) for command in found.commands]
    if found.folded is not None:
        name, text = found.folded
        parts.append(f"<details><summary>{escape(name)}</summary>{_code(text, name)}</details>")
    return f'<section id="{found.key}"><h2>{escape(found.title)}</h2>{"".join(parts)}</section>\n'


def _figure(found: Figure, *, tabled: bool) -> str:
    """Return a figure, its data beside it, and its table, unless that stands above."""
    data = json.loads(found.plot.to_json())
    layout = data["layout"]
    layout.pop("template", None)
    text = json.dumps({"data": data["data"], "layout": layout}, separators=(",", ":"))
    text = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    height = int(layout.get("height", 380))
    table = "" if tabled else f"<details><summary>The figure as a table</summary>{_table(found.table)}</details>"
    return (
        f'<figure data-key="{found.key}" class="{"wide" if found.least else ""}">'
        f"<figcaption>{escape(found.title)}</figcaption>"
        f'<div class="pane"{" tabindex=0" if found.least else ""}><div class="plot" id="figure-{found.key}" role="img" '
        f'aria-label="{escape(found.alt)}" style="height:{height}px;min-width:{found.least}px"></div></div>'
        f'<script type="application/json" data-figure="figure-{found.key}">{text}</script>{table}</figure>'
    )


def _table(found: Table) -> str:
    cells = [[_cell(cell) for cell in row] for row in found.rows]
    numbers = [any(row[i].startswith(NUMBER) for row in cells) for i in range(len(found.columns))]
    head = "".join(_head(name, right=right) for name, right in zip(found.columns, numbers, strict=True))
    rows = "".join(
        f"<tr{' class=marked' if i in found.marked else ''}>{''.join(row)}</tr>" for i, row in enumerate(cells)
    )
    caption = escape(found.caption)
    body = f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
    return (
        f'<p class="caption">{caption}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}">'
        f'<table class="sortable" aria-label="{caption}">{body}</table></div>'
    )


def _head(name: str, *, right: bool) -> str:
    shown = f'<button type="button">{escape(name)}</button>' if name else ""
    return f'<th scope="col"{" class=n" if right else ""}>{shown}</th>'


def _cell(cell: Cell) -> str:
    text = escape(cell_text(cell))
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return f'{NUMBER} data-value="{cell!r}">{text}</td>'
    number = isinstance(cell, str) and bool(re.match(r"[+-]?\d", cell))
    return f"{NUMBER}>{text}</td>" if number else f"<td>{text}</td>"


def _command(what: str, command: str) -> str:
    return f'<div class="command"><p>{escape(what)}:</p>{_code(command, what)}</div>'


def _code(text: str, name: str) -> str:
    return f'<pre tabindex="0" aria-label="{escape(name)}"><code>{escape(text)}</code></pre>'


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).replace("</script", "<\\/script")


def _resource(name: str) -> str:
    return files("search.report.page").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
