"""``/docs``: Swagger UI, from the package's own files; nothing is fetched from elsewhere."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from penstock.core.errors import NotFound
from penstock.server.exchange import Answer

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Penstock</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="data:,">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", tryItOutEnabled: true})
</script>
</body>
</html>
"""
_FILES = frozenset({"swagger-ui.css", "swagger-ui-bundle.js"})


def swagger_file(name: str) -> Answer:
    """One file of the page.

    Raises:
        NotFound: it is none of the page's files.
    """
    if name == "index.html":
        return Answer(200, _PAGE.encode(), b"text/html; charset=utf-8")
    if name not in _FILES:
        raise NotFound("Not Found")
    from swagger_ui_bundle import swagger_ui_path

    content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    cache = ((b"cache-control", b"public, max-age=86400"),)
    return Answer(200, (Path(swagger_ui_path) / name).read_bytes(), content_type.encode(), cache)
