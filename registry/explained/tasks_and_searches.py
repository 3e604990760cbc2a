"""Errors of tasks, data, searches, comparisons and of reading studies."""

from __future__ import annotations

from attenergy.registry.explained.topic import Example, Topic

_SEARCH = "attenergy search --task mqar --energies softmax,lse --trials 2 --steps 2 --workers 0"
_TINY = (
    "attenergy search --task mqar --set length=16 --set pairs=2 --energies softmax,lse --trials 2 "
    "--steps 2 --finalists 0 --control 0 --workers 0 --no-export --study mine"
)
_BUDGETS = ("budgets.md", "budgets")


def _shell(
    command: str, message: str, *, before: str = "", situation: str = "", slow: bool = False
) -> Example:
    return Example(command, message, "sh", before=before, situation=situation, slow=slow)


TASKS = (
    Topic(
        "task-option",
        "An option of a task makes no task",
        "Options of a task depend on each other: a sequence must hold its pairs, a vocabulary "
        "enough keys, both sides of a split something.",
        "One option was enlarged and not those that limit it.",
        "The message says the bound and from which options it follows; `attenergy tasks show "
        "NAME` prints all of them.",
        Example(
            'import attenergy\n\nattenergy.make_task("mqar", pairs=1000)',
            "'length' must be >= 4000: 1000 entries and 1000 queries of 2 tokens each; got 64",
        ),
        ("tasks.md", "the tasks"),
    ),
    Topic(
        "data",
        "Data of yours cannot be read, or are none for this task",
        "Tables are CSV with a line of names, sequences are `.npz` or `.safetensors` with the "
        "arrays x and y, pictures are folders of classes. Nothing is read that could run code, "
        "and nothing larger than the limits.",
        "A path that is not there; a target column that is not named; numbers that are not "
        "finite; too few rows for a split.",
        "The message names the file, the row or array, and what is wanted.",
        Example(
            'import attenergy\n\nattenergy.make_task("table", path="nowhere.csv")',
            "'path' must be a CSV file, got 'nowhere.csv', which is not there",
        ),
        ("own_data.md", "data of your own"),
    ),
)

SEARCHES = (
    Topic(
        "option-value",
        "An option has a value that it cannot have",
        "Amounts have a unit (30m, 4G, 3/8), names of studies have letters, digits, '.', '-' and "
        "'_', and some options exclude each other.",
        "A unit that is not known; two options that decide the same thing.",
        "The message shows what may be written. `--help` lists all options of a command.",
        _shell(
            f"{_SEARCH} --study a/b",
            "--study: a name has letters, digits, '.', '-' and '_' only, not '/', got 'a/b'",
        ),
    ),
    Topic(
        "search-space",
        "A quantity or value is not in the space",
        "A search varies what its space and the chosen energies declare. What is fixed, enqueued,"
        " tuned or taken from an earlier study must be a quantity of this search with a value "
        "that its range allows.",
        "A misspelled quantity; heads that do not divide the width.",
        "Fix something else, or widen the range in the registry. `energy.parameter` is the name "
        "of a parameter of one energy.",
        _shell(
            f"{_SEARCH} --fix heads=3",
            "3 heads do not divide width 64 (task 'mqar', space 'default'); choose "
            "other values or fix one of them",
        ),
    ),
    Topic(
        "sweep",
        "A sweep cannot be gone through",
        "A sweep runs one comparison for each value of an option or quantity, at most 100, and "
        "the same quantity is not fixed as well.",
        "A name that the task declares no values for.",
        "Give values: `--sweep pairs=4,8,16`.",
        _shell(
            "attenergy compare --task retrieval --variants lse --sweep batch_size=8,16",
            "retrieval is not trained, so that batch_size changes nothing; go through"
            " an option of the task: dim, patterns, flip, train_instances",
        ),
        ("sweeps.md", "sweeps"),
    ),
    Topic(
        "limit",
        "Nothing is within the limits of cost",
        "`--limit` says how much a configuration may cost (parameters, FLOPs, memory, "
        "milliseconds). A variant of a comparison, or every proposal of a search, is above it.",
        "A limit below what the smallest model of the space needs.",
        "Loosen the limit, or search smaller sizes with `--fix` or `--space`.",
        _shell(
            "attenergy compare --task mqar --variants softmax,lse --limit parameters=10 --steps 2",
            "beyond the limits of cost: softmax (parameters 67,200 > 10); lse "
            "(parameters 67,202 > 10). Leave them out, make them smaller with --fix, "
            "or loosen --limit",
        ),
    ),
    Topic(
        "budget",
        "A budget is too small, or is none",
        "A budget in time is split into trials and finals. If not even the least that says "
        "anything fits (one trial for each variant, three seeds for two finalists), the command "
        "ends before it begins.",
        "A budget of a few seconds; a slow task on few workers.",
        "The message says how much would be enough; `--steps` makes every run shorter.",
        _shell(
            "attenergy compare --task mqar --variants softmax,lse --budget 5s --workers 0",
            "budget 5s: too little for the least that says anything, two seeds of 2 variants: ...",
        ),
        _BUDGETS,
    ),
    Topic(
        "study-exists",
        "There is a study of this name",
        "A search never goes on with an old study by accident, and never writes over one.",
        "The same command given twice.",
        "`--resume` goes on with it, another `--study` begins a new one.",
        _shell(
            _TINY,
            "study 'mine' exists, with 2 trials; pass --resume to go on with it, or "
            "choose another name with --study",
            situation="The same command for the second time:",
            before=_TINY,
            slow=True,
        ),
    ),
    Topic(
        "study-mismatch",
        "A study was made with other settings",
        "Runs of one study are compared with each other, so what they share (the task and its "
        "options, steps, fairness, the definitions of the energies) cannot change in between.",
        "`--resume` with other options; a registry file that was edited since.",
        "Give the study another name, or go back to the settings that the message shows.",
        _shell(
            _TINY.replace("pairs=2", "pairs=4") + " --resume",
            "study 'mine' cannot be resumed: task options pairs was 2, is 4. Choose another name",
            situation="After a search with --set pairs=2:",
            before=_TINY,
            slow=True,
        ),
    ),
    Topic(
        "study-busy",
        "Another process works on this study",
        "Two searches that do not know of each other would run the same trials. A search that is "
        "alone holds a lock on its folder and on its storage.",
        "A search that still runs in another terminal, or hangs.",
        "Wait for it or end it; start all of them with `--join` if several are to work together.",
        _shell(
            _TINY,
            "study 'mine' is being run by another process",
            situation="While the same search runs in another terminal:",
            before="from pathlib import Path\n\nfrom attenergy.search.storage.locks import FileLock"
            '\n\nPath("runs/mine").mkdir(parents=True)\n'
            'lock = FileLock(Path("runs/mine/.lock"))\nassert lock.acquire()',
        ),
        ("clusters.md", "clusters"),
    ),
    Topic(
        "storage",
        "The storage of a study cannot be used",
        "Trials are kept in a database (SQLite in the study's folder, or a server). It cannot be "
        "reached, is full, is damaged, or holds no such study. Finished runs stand in "
        "`records.jsonl` as well, and are safe.",
        "A wrong URL; a disk that is full; a file that was copied while it was written.",
        "Mend the connection and give `--resume`; move a damaged database away and give "
        "`--resume`: the trials are taken from the records.",
        _shell(
            f"{_SEARCH} --storage sqlite:////nowhere/mine.db",
            "the storage sqlite:////nowhere/mine.db cannot be used: unable to open "
            "database file. Finished runs are safe in records.jsonl: move a damaged "
            "file away and resume, and the study is made anew from there",
        ),
    ),
    Topic(
        "no-such-run",
        "A study has no such run, or no finished one",
        "A run is named by best, a row of the leaderboard, a variant, the first eight digits of "
        "its key, or `trial-7`, and must have a result for most uses.",
        "A run that failed or was pruned; a folder that holds several comparisons.",
        "`attenergy report STUDY` lists the rows; the message says what is there.",
        _shell(
            "attenergy report mine",
            "runs/mine: no run has finished yet",
            before="from pathlib import Path\n\n"
            'Path("runs/mine").mkdir(parents=True)\n'
            'Path("runs/mine/records.jsonl").touch()',
            situation="For a study in which nothing has finished:",
        ),
    ),
    Topic(
        "no-result",
        "No run gave a result",
        "All runs of a search or comparison failed, diverged or were refused. The exit code is 1,"
        " not 2, since nothing that was typed is wrong as such.",
        "A learning rate that is far too high; too little memory; an energy that is not finite "
        "during training.",
        "The message repeats the first reason. Records of failed runs are in `records.jsonl`; "
        "what you mend gets another name (`--study`).",
        _shell(
            "attenergy compare --task mqar --set length=16 --set pairs=2 --variants softmax,lse "
            "--fix learning_rate=1e30 --steps 4 --seeds 1 --workers 0",
            "no run gave a result (2 diverged): training loss nan at step 2 of 4",
            slow=True,
        ),
        ("how_to/training.md", "training goes wrong"),
    ),
    Topic(
        "record-file",
        "A file of a study is not what the toolkit writes",
        "`records.jsonl` holds one run in a line; other files of a study are JSON of a known "
        "form. A line that was cut or edited cannot be read.",
        "A file edited by hand or cut by a full disk.",
        "The message names file and line; without that line the rest can be read.",
        _shell(
            "attenergy report mine",
            "runs/mine/records.jsonl:1: not a run record: key: Field required; "
            "without this line the rest can be read",
            before="from pathlib import Path\n\n"
            'Path("runs/mine").mkdir(parents=True)\n'
            'Path("runs/mine/records.jsonl").write_text("{}\\n")',
            situation="For a study whose records.jsonl holds {}:",
        ),
    ),
    Topic(
        "replay",
        "A run cannot be trained again",
        "`attenergy replay` repeats a recorded run from its seed. That needs a run with a fixed "
        "number of steps, the same data, and reasonable cost; a longer run needs a schedule that "
        "goes on.",
        "A run over seconds instead of steps; files of yours that the record only names.",
        "Give the data again (`--data`, `--text`), or `--anyway` for a large one.",
        _shell(
            "attenergy replay timed softmax",
            "run ... was trained for 0.5 seconds, not for a number of steps; how many"
            " steps fit depends on the moment, so it cannot be repeated exactly",
            situation="For a run that was trained for half a second, however many steps that is:",
            before="attenergy compare --task mqar --set length=16 --set pairs=2 --variants "
            "softmax,linear --fairness seconds --seconds 0.5 --seeds 1 --workers 0 --study timed",
            slow=True,
        ),
        ("reproducibility.md", "reproducibility"),
    ),
    Topic(
        "cluster",
        "A Ray cluster or a port cannot be used",
        "The cluster cannot be reached, has no room for a run with the cores and GPUs asked for, "
        "or another version of attenergy on its nodes; or the dashboard's port is in use.",
        "`--gpus-per-trial` on a cluster without GPUs; a wrong `--address`.",
        "Ask for less, or start more nodes; `ray status` shows what there is.",
        _shell(
            f"{_SEARCH} --engine ray --address 127.0.0.1:1",
            "cannot reach a Ray cluster at 127.0.0.1:1: ...",
        ),
        ("clusters.md", "clusters"),
    ),
    Topic(
        "missing-package",
        "A package is not installed",
        "Some commands need packages that the core does not bring; each belongs to an extra.",
        "attenergy was installed without that extra.",
        "Run the line in the message. `attenergy doctor` lists all extras and what each adds.",
        _shell(
            f"{_SEARCH} --log tensorboard:curves",
            "logging to TensorBoard needs its package: `pip install tensorboard`",
            before='import sys\n\nsys.modules["torch.utils.tensorboard"] = None',
            situation="Without TensorBoard:",
        ),
    ),
    Topic(
        "analysis",
        "A model or an input does not fit an analysis",
        "Analyses read attention layers: of attenergy, `nn.MultiheadAttention`, Hugging Face. "
        "They need inputs (a task's, or `--inputs FILE`), and each has options with a range.",
        "A model without attention; an option of one analysis given to another; spins where a "
        "surface is drawn.",
        "`attenergy analyse --list` shows what each analysis needs.",
        Example(
            "import torch\n\nfrom attenergy.analysis import attention_calls\n\n"
            "attention_calls(torch.nn.Linear(4, 4), torch.zeros(1, 4))",
            "Linear has no attention that can be read: no layer or mixer of "
            "attenergy, no nn.MultiheadAttention, no attention of transformers",
        ),
        ("analysis.md", "the analysis"),
    ),
    Topic(
        "argument",
        "An argument has a value that cannot be used",
        "All other mistakes: the message says where, what was given and what is allowed, and "
        "there is no more to explain. In Python they are a ValueError or TypeError as well as an "
        "`attenergy.AttenergyError`.",
        "A number outside its range.",
        "Take a value that the message allows.",
        Example(
            "import attenergy\n\nattenergy.EnergyAttention(8, 2, dropout=2.0)",
            "dropout must be at least 0 and below 1, got 2.0",
        ),
    ),
)
