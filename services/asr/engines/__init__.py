"""One file an engine; `registry` names them."""
