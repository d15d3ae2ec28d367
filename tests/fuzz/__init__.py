"""The fuzz target: every public function with awkward arguments. A function may refuse them, in one line."""
