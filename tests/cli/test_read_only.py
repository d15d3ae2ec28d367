"""The command works where nothing can be written."""

from processes import read_only_copy, run_python

COMMANDS = """
import sys, npstn.data.mnist as mnist
from npstn.cli.parser import main
mnist.MIRRORS = ("http://127.0.0.1:9/",)  # nobody listens there
print(main(["data"]))
print(main(["gradcheck", "relu", "--plot", sys.argv[1]]))
"""


def test_the_command_works_read_only_and_without_a_home(tmp_path):
    root, nowhere = read_only_copy(tmp_path)
    out = run_python(COMMANDS, str(tmp_path / "pictures"), root=root, **nowhere)
    no_mnist, *_, checked = out.splitlines()
    assert (no_mnist, checked) == ("1", "0"), out
    assert (tmp_path / "pictures" / "relu.png").exists()
