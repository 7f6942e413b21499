"""Sphinx's configuration: `make site` writes the pages to build/site/index.html; they need no server."""

project = "traffic_aggr"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "traffic_aggr"
html_show_sphinx = False
html_copy_source = False
myst_heading_anchors = 4
