"""The page at /docs: the OpenAPI document as one readable HTML file, without scripts or anything from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

Json = dict[str, Any]

_STYLE = """\
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #0a66c2; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem 1.25rem 6rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
code, pre { font: 0.875em/1.5 ui-monospace, monospace; } code { background: var(--soft); padding: 0.1em 0.3em; }
pre { background: var(--soft); padding: 0.75rem; overflow-x: auto; } pre code { background: none; padding: 0; }
article { border: 1px solid var(--line); border-radius: 6px; margin: 1rem 0; }
article > details > summary { padding: 0.6rem 0.9rem; cursor: pointer; } article .inside { padding: 0 0.9rem 0.6rem; }
.method { font-weight: 700; color: var(--accent); display: inline-block; min-width: 3.2rem; }
.summary { opacity: 0.75; float: right; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.6rem 0.3rem 0; border-top: 1px solid var(--line); }
nav a { margin-right: 1rem; } a { color: var(--accent); }"""


def docs_page(document: Json) -> str:
    """The whole page as HTML. ``document`` is the OpenAPI document."""
    information = document["info"]
    sections = "".join(_section(document, tag) for tag in document["tags"])
    models = "".join(_model(document, name) for name in document["components"]["schemas"])
    links = "".join(f'<a href="#{escape(tag["name"])}">{escape(tag["name"])}</a>' for tag in document["tags"])
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{escape(information["title"])}</title>
<style>
{_STYLE}
</style>
</head>
<body>
<h1>{escape(information["title"])}</h1>
<p>Version {escape(information["version"])} · <a href="/openapi.json">openapi.json</a></p>
{_paragraphs(information["description"])}
<nav>{links}<a href="#models">models</a></nav>
{sections}<h2 id="models">Models</h2>
{models}</body>
</html>
"""


def _paragraphs(text: str) -> str:
    """Paragraphs, with what stands between backticks as code."""
    paragraphs = []
    for paragraph in text.split("\n\n"):
        parts = [escape(part) for part in paragraph.split("`")]
        paragraphs.append("<p>" + "".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(parts)) + "</p>")
    return "\n".join(paragraphs)


def _section(document: Json, tag: Json) -> str:
    operations = "".join(
        _operation(document, method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if tag["name"] in operation["tags"]
    )
    heading = f'<h2 id="{escape(tag["name"])}">{escape(tag["name"].title())}</h2>'
    return f"{heading}\n{_paragraphs(tag['description'])}\n{operations}"


def _operation(document: Json, method: str, path: str, operation: Json) -> str:
    parts = [
        _paragraphs(operation["description"]),
        f"<pre><code>{escape(_curl(document, method, path, operation))}</code></pre>",
    ]
    if operation["parameters"]:
        rows = [
            (
                parameter["name"],
                parameter["in"],
                _type(parameter["schema"]),
                "required" if parameter["required"] else _default(parameter["schema"]),
                escape(parameter["description"]),
            )
            for parameter in operation["parameters"]
        ]
        parts.append(_table(("parameter", "in", "type", "default", ""), rows))
    if "requestBody" in operation:
        parts.append(f"<p>Body: {_type(_body_schema(operation))}</p>")
    answers = [
        (
            status,
            " ".join(_type(content["schema"]) for content in answer["content"].values()),
            escape(answer["description"]),
        )
        for status, answer in operation["responses"].items()
    ]
    parts.append(_table(("answer", "type", ""), answers))
    head = f'<span class="method">{method.upper()}</span> <code>{escape(path)}</code>'
    return (
        f'<article id="{escape(operation["operationId"])}"><details><summary>{head} '
        f'<span class="summary">{escape(operation["summary"])}</span></summary>\n'
        f'<div class="inside">{"".join(parts)}</div></details></article>\n'
    )


def _body_schema(operation: Json) -> Json:
    schema: Json = operation["requestBody"]["content"]["application/json"]["schema"]
    return schema


def _curl(document: Json, method: str, path: str, operation: Json) -> str:
    """The call as a line for a shell, with the program, the key and the address as variables."""
    lines = [f'curl -X {method.upper()} "$URL{path.replace("{user_id}", "ann")}" -H "actionhub-key: $KEY"']
    if any(parameter["name"] == "program-id" for parameter in operation["parameters"]):
        lines.append('-H "program-id: $PROGRAM"')
    if "requestBody" in operation:
        name = _body_schema(operation)["$ref"].rpartition("/")[2]
        example = json.dumps(document["components"]["schemas"][name]["examples"][0], ensure_ascii=False)
        lines += ["-H 'content-type: application/json'", f"-d '{example}'"]
    return " \\\n  ".join(lines)


def _model(document: Json, name: str) -> str:
    schema = document["components"]["schemas"][name]
    required = schema.get("required", [])
    rows = [
        (
            field,
            _type(item),
            "required" if field in required else _default(item),
            escape(item.get("description", "")),
        )
        for field, item in schema.get("properties", {}).items()
    ]
    description = _paragraphs(schema.get("description", ""))
    table = _table(("field", "type", "default", ""), rows)
    return f'<h3 id="{escape(name)}">{escape(name)}</h3>\n{description}\n{table}\n'


def _default(schema: Json) -> str:
    default = schema.get("default")
    return "" if default is None else f"<code>{escape(json.dumps(default))}</code>"


def _type(schema: Json) -> str:
    """A schema in a few words: its type and its bounds; a link where it is a model."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(json.dumps(value))}</code>" for value in schema["enum"])
    words = escape(schema.get("format") or schema.get("type", "any"))
    if "items" in schema:
        words += f" of {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        words += f" of {_type(schema['additionalProperties'])}"
    bounds = [f"{sign} {schema[name]}" for name, sign in _BOUNDS.items() if name in schema]
    return words + (f" ({escape(', '.join(bounds))})" if bounds else "")


_BOUNDS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
    "minLength": "characters ≥",
    "maxLength": "characters ≤",
    "minItems": "entries ≥",
    "maxItems": "entries ≤",
}


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table of rows whose first cell is text to be shown as code, and whose others are HTML."""
    if not rows:
        return ""
    heads = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "".join(
        f"<tr><td><code>{escape(first)}</code></td>{''.join(f'<td>{cell}</td>' for cell in rest)}</tr>"
        for first, *rest in rows
    )
    return f"<table><tr>{heads}</tr>{body}</table>"
