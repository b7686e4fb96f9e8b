"""Every test runs with the library's shapes and types checked at run time."""

from jaxtyping import install_import_hook

install_import_hook("equipoise", "beartype.beartype")
