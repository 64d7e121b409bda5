"""The bundles that come with the package, one folder each; nothing else lives here."""
