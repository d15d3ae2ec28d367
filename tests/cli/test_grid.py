"""The runs that the options of a sweep stand for."""

import argparse

import pytest
from command import ROOT, refusal

from npstn.cli import grid, run_options, sweep
from npstn.cli.errors import BadArgument

pytestmark = pytest.mark.usefixtures("small_world")


def options(**given):
    return argparse.Namespace(**{**dict.fromkeys(run_options.NAMES), "seeds": None, "data": ["drawn"], **given})


def configs(**given):
    return grid.configurations([options(**given)])[0]


def test_all_combinations_in_the_order_of_the_options():
    found = configs(task=["R", "E"], transformer=["none", "tps"], seeds=2)
    assert list(found) == [
        f"{task}_{kind}_blog_seed={seed}" for task in ("R", "E") for kind in ("none", "tps") for seed in (0, 1)
    ]
    assert [config.seed for config in found.values()] == [0, 1] * 4
    assert found["E_tps_blog_seed=1"].model["transformer"] == "tps"
    assert len({config.data_sha256 for config in found.values()}) == 1


def test_an_option_is_left_out_where_it_means_nothing():
    """The curves of tps_stn_pytorch: grids of several sizes for the splines, one run without a transformer."""
    kinds = {"task": ["R", "E"], "transformer": ["none", "tps"], "grid_size": [2, 3]}
    found = configs(**kinds, angle=[60.0], localiser_factor=[0.2])
    assert list(found) == [
        "R_none_blog_angle=60_seed=0",
        "R_tps_blog_angle=60_grid-size=2_localiser-factor=0.2_seed=0",
        "R_tps_blog_angle=60_grid-size=3_localiser-factor=0.2_seed=0",
        "E_none_blog_seed=0",
        "E_tps_blog_grid-size=2_localiser-factor=0.2_seed=0",
        "E_tps_blog_grid-size=3_localiser-factor=0.2_seed=0",
    ]
    assert found["R_none_blog_angle=60_seed=0"].task["angle"] == 60


def test_an_option_that_means_nothing_for_any_run_is_refused():
    with pytest.raises(BadArgument, match="--grid-size: goes with none of these"):
        configs(task=["R"], transformer=["none", "affine"], grid_size=[3])


def test_an_option_may_go_with_one_of_the_grids_alone():
    kinds = [options(task=["R"], transformer=[kind], grid_size=[3]) for kind in ("none", "tps")]
    assert list(grid.configurations(kinds)[0]) == ["R_none_blog_seed=0", "R_tps_blog_grid-size=3_seed=0"]


def test_the_same_run_by_another_name_is_one():
    assert list(grid.configurations([options(task=["R"]), options(task=["R"], recipe=["fast"])])[0]) == [
        "R_rotation_blog_seed=0"
    ]


def test_the_seeds_of_a_grid_take_the_place_of_those_of_all(tmp_path):
    file = tmp_path / "seeds.toml"
    file.write_text("seeds = 3\n[[grid]]\nseed = 7\n[[grid]]\nlr = 0.1\n")
    assert grid.read(file) == [["--seed", "7"], ["--seeds", "3", "--lr", "0.1"]]


def test_pictures_have_the_name_of_their_folder_and_no_two_runs_one_name(tmp_path):
    from PIL import Image

    for where in ("here/mine", "there/mine"):
        for label in ("a", "b"):
            (tmp_path / where / label).mkdir(parents=True)
            for number in range(2):
                Image.new("L", (28, 28), 10 * number + len(where)).save(tmp_path / where / label / f"{number}.png")
    here, there = (str(tmp_path / where) for where in ("here/mine", "there/mine"))
    assert list(configs(task=[here, "R"])) == ["mine_rotation_blog_seed=0", "R_rotation_blog_seed=0"]
    with pytest.raises(BadArgument, match="two that would be mine_rotation_blog_seed=0"):
        configs(data=None, task=[here, there])


def test_the_grids_of_a_file(tmp_path):
    file = tmp_path / "two.toml"
    text = 'data = "drawn"\nseeds = 2\n[[grid]]\ntask = ["R", "E"]\n[[grid]]\ntask = "P"\nlr = 0.01\n'
    file.write_text(text, "utf-8-sig")
    assert grid.read(file) == [
        ["--data", "drawn", "--seeds", "2", "--task", "R", "E"],
        ["--data", "drawn", "--seeds", "2", "--task", "P", "--lr", "0.01"],
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("task = ", "expected TOML in FILE, got something else"),
        (f"epochs = {'9' * 5000}", "expected TOML in FILE, got something else"),
        ("task = true", "expected numbers or texts for task in FILE, got True"),
        ("task = []", "expected numbers or texts for task in FILE, got []"),
        ("grid = 3", "expected [[grid]] in FILE to begin a table"),
        ('[[grids]]\ntask = "R"', "expected options in FILE, got 'grids'; a table begins with [[grid]]"),
        ('[grid]\ntask = "R"\n[grid]\ntask = "P"', "; a table begins with [[grid]]"),
        ('task = "Q"', "FILE: argument --task: expected rotated"),
        ('tusk = "R"', "expected options in FILE, got 'tusk'; did you mean task?"),
        ("ep = 3", "expected options in FILE, got 'ep'"),
        ('task = ["R", "--lr"]', "expected numbers or texts for task in FILE"),
        ("seed = 1\nseeds = 2", "expected seed or seeds in FILE, got both in one table"),
        ("seeds = 0", "FILE: argument --seeds: expected a whole number of at least 1, got 0"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path, text, said):
    pytest.importorskip("distributed")
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    assert said in refusal(2, "sweep", file, "--out", tmp_path / "out").replace(str(file), "FILE")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there(tmp_path):
    pytest.importorskip("distributed")
    assert "No such file" in refusal(2, "sweep", tmp_path / "no.toml", "--out", tmp_path / "out")


def test_a_task_on_the_command_line_chooses_among_the_grids(tmp_path):
    file = tmp_path / "rows.toml"
    file.write_text('[[grid]]\ntask = ["R", "E"]\nepochs = 20\n[[grid]]\ntask = "RTS"\nepochs = 10\n')
    parser = argparse.ArgumentParser()
    sweep.add_arguments(parser.add_subparsers())

    def chosen(*words):
        given = parser.parse_args(["sweep", str(file), "--out", "out", *words])
        return [(one.task, one.epochs) for one in sweep.grids(given)]

    assert chosen() == [(["R", "E"], [20]), (["RTS"], [10])]
    assert chosen("--task", "RTS") == [(["RTS"], [10])]
    assert chosen("--task", "RTS", "E", "--epochs", "5") == [(["E"], [5]), (["RTS"], [5])]
    assert chosen("--task", "P") == [(["P"], [20]), (["P"], [10])]  # none has it
    with pytest.raises(BadArgument, match="--task: expected tasks of .*rows.toml, got P among them"):
        chosen("--task", "R", "P")
    file.write_text("[[grid]]\nepochs = 20\n[[grid]]\ntask = 'R'\nepochs = 10\n")
    assert chosen("--task", "rotated") == [(["rotated"], [20])]


PAPER = [("table1", 96), ("cluttered", 12), ("addition", 21), ("tps_stn_curves", 33)]


@pytest.mark.parametrize(("name", "runs"), PAPER)
def test_the_papers_experiments_are_so_many_runs(name, runs):
    file = ROOT / "examples" / "paper" / f"{name}.toml"
    found = [sweep.GridParser(file).parse_args([*words, "--data", "drawn"]) for words in grid.read(file)]
    assert len(grid.configurations(found)[0]) == runs
