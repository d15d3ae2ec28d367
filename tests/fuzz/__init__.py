"""The fuzz target: every public function on awkward arguments. It may refuse them, in one line; nothing worse."""
