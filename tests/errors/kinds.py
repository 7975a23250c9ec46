"""Kinds of bad input: what a user gives, and the one line that is printed. ``docs/errors.md`` is written from them.

python -m tests.errors.kinds > docs/errors.md
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
Files = dict[str, str | bytes | None]


@dataclass(frozen=True)
class Kind:
    """One kind of bad input.

    Attributes:
        given: what is wrong, in a few words.
        command: the arguments of ``python -m hope``, run in the project's folder.
        line: what the error stream holds after ``hope: error: ``, in full; ``.`` stands for the project's folder.
        files: the user's files; None for an empty folder.
        status: the exit status.
    """

    given: str
    command: list[str]
    line: str
    files: Files = field(default_factory=dict)
    status: int = 1

    def prepare(self, folder: Path) -> None:
        """Make ``folder`` look like the project's, with the user's files in it."""
        for name in ("config.yaml", "workflow", "docs", "Snakefile"):
            os.symlink(ROOT / name, folder / name)
        for name, content in self.files.items():
            path = folder / name
            (path if content is None else path.parent).mkdir(parents=True, exist_ok=True)
            if content is not None:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())


def config(given: str, text: str | bytes, line: str, name: str = "my.yaml") -> Kind:
    """Return a kind of bad config."""
    return Kind(given, ["check", "--configfile", name], line, {name: text})


CLAIM = """\
claims:
  - id: "1"
    title: t
    statement: s
    source: ours
    arm: text
    parts:
      - id: p
        statement: s
        treatment: {encoding: hope, measure: octave_loss, multiple: 2.0}
        baseline: {encoding: rope, measure: octave_loss, multiple: 2.0}
        direction: lower
        kind: superiority
        smallest_effect: 0.01
        unit: nats
"""


def claims(given: str, before: str, after: str, line: str) -> Kind:
    """Return a kind of bad claims file: a right one with a change."""
    assert before in CLAIM
    files: Files = {"my.yaml": "study: mine\nclaims: my-claims.yaml\n", "my-claims.yaml": CLAIM.replace(before, after)}
    return Kind(given, ["check", "--configfile", "my.yaml"], line, files)


def corpus(given: str, files: Files, line: str) -> Kind:
    """Return a kind of bad corpus, as the step that reads it meets it."""
    settings = json.dumps({"source": "files", "files": {"paths": ["texts"]}})
    return Kind(given, ["prepare-corpus", "--settings", settings, "--output", "out"], line, files)


STOCK = json.dumps(
    {
        "model_type": "llama",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "vocab_size": 64,
        "max_position_embeddings": 32,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1e4,
        "hidden_act": "silu",
    }
)


def checkpoint(given: str, files: Files, line: str) -> Kind:
    """Return a kind of bad checkpoint from outside."""
    return Kind(given, ["import", "model", "out"], line, {f"model/{name}": content for name, content in files.items()})


def encoding(given: str, source: str, line: str) -> Kind:
    """Return a kind of bad encoding of the user's own."""
    return Kind(given, ["check-encoding", "mine:Mine"], line, {"mine.py": source})


TASK = """\
import numpy as np
from hope.tasks import Example, Task

class Mine(Task):
    def __init__(self, vocabulary, source, alphabet=8):
        super().__init__(vocabulary, source)
        (self.alphabet,) = vocabulary.alphabets("mine", alphabet)

    def example(self, random, length, depth=None):
        tokens = random.choice(self.alphabet, length)
        tokens[-1] = tokens[-2]
        answer = np.arange(length) == length - 1
        return Example(tokens, answer, self.alphabet)
"""


def task(given: str, before: str, after: str, line: str, settings: str = "{}") -> Kind:
    """Return a kind of bad task of the user's own, which is only scored: a right one with a change."""
    assert before in TASK
    config = f"arms: {{text: {{tasks: {{definitions: {{m: {{task: 'mine:Mine', settings: {settings}}}}}}}, retrieval: {{tasks: [m]}}}}}}\n"
    return Kind(
        given,
        ["check", "--configfile", "my.yaml"],
        f"arms.text: tasks.definitions.m{line}",
        {"my.yaml": config, "mine.py": TASK.replace(before, after)},
    )


def own_encoding(
    given: str, source: str, line: str, definition: str = "family: 'mine:Mine'", step: str = "check"
) -> Kind:
    """Return a kind of bad encoding of the user's own in a study."""
    text = f"encodings: [m]\ndefinitions: {{m: {{{definition}}}}}\n"
    return Kind(given, [step, "--configfile", "my.yaml"], line, {"my.yaml": text, "mine.py": source})


def study(given: str, command: str, text: str, line: str) -> Kind:
    """Return a kind of bad study.json in a study's folder."""
    return Kind(given, [command, "mine"], line, {"results/mine/study.json": text})


def line_of(given: str, command: str, line: str, status: int = 1) -> Kind:
    """Return a kind of wrong command line; 2 is the status of one that cannot be parsed."""
    return Kind(given, command.split(), line, status=status)


OWN = """\
from hope.encodings.base import Encoding
class Mine(Encoding):
    def __init__(self, shape, size=1):
        super().__init__(shape)
        self.share = 1 / size
        self.longest = 64 * size
"""
NUMBERS = "9" * 5000
KINDS: dict[str, list[Kind]] = {
    "Config files": [
        Kind(
            "no such file",
            ["check", "--configfile", "mi.yaml"],
            "mi.yaml: there is no such config file (did you mean 'my.yaml'?)",
            {"my.yaml": "study: mine"},
        ),
        Kind(
            "a folder",
            ["check", "--configfile", "folder"],
            "folder: cannot be read: Is a directory; name a config file that can",
            {"folder": None},
        ),
        config(
            "nothing in it",
            "# study: mine\n",
            "my.yaml: there is nothing in it; write 'key: value' lines, or leave the file out",
        ),
        config("Latin-1", "study: é".encode("latin-1"), "my.yaml: not UTF-8 at byte 7; save it as UTF-8"),
        config("UTF-16", "study: mine".encode("utf-16"), "my.yaml: not UTF-8 at byte 0; save it as UTF-8"),
        config(
            "a NUL",
            "study: a\0b",
            'my.yaml: not valid YAML: unacceptable character #x0000: special characters are not allowed in "<unicode string>", position 8',
        ),
        config(
            "a tab as margin",
            "training:\n\tlength: 64\n",
            "my.yaml: not valid YAML: found character '\\t' that cannot start any token in line 2",
        ),
        config(
            "an unclosed bracket",
            "encodings: [rope\n",
            "my.yaml: not valid YAML: expected ',' or ']', but got '<stream end>' in line 2",
        ),
        config(
            "two documents",
            "study: mine\n---\nstudy: other\n",
            "my.yaml: not valid YAML: but found another document in line 2",
        ),
        config(
            "a Python object",
            "study: !!python/object/apply:os.system [ls]\n",
            "my.yaml: not valid YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.system' in line 1",
        ),
        config(
            "brackets 5,000 deep",
            "encodings: " + "[" * 5000,
            "my.yaml: not valid YAML: its lists or maps are nested too deeply",
        ),
        config(
            "an alias without anchor",
            "training: *small\n",
            "my.yaml: not valid YAML: found undefined alias 'small' in line 1",
        ),
        config(
            "a section twice",
            "training: {length: 64}\ntraining: {tokens: 5}\n",
            "my.yaml: the key 'training' is in line 1 and again in line 2; keep one of them",
        ),
        config(
            "a key twice",
            "training:\n  length: 64\n  length: 32\n",
            "my.yaml: the key 'length' is in line 2 and again in line 3; keep one of them",
        ),
        config(
            "a key twice in JSON",
            '{"study": "a", "study": "b"}',
            "my.json: the key 'study' occurs twice in one object; keep one of them",
            "my.json",
        ),
        config(
            "broken JSON",
            '{"study": ',
            "my.json: not valid JSON: Expecting value: line 1 column 11 (char 10)",
            "my.json",
        ),
        config("a list", "- study\n", "my.yaml: expected 'key: value' lines, as in config.yaml"),
        config(
            "a number as key", "1: rope\n", "config.yaml + my.yaml: 1: a key must be text; put it in quotes (got 1)"
        ),
    ],
    "Config values": [
        config(
            "a misspelt key",
            "seeds: {cuont: 3}\n",
            "config.yaml + my.yaml: unknown key 'seeds.cuont' (did you mean 'count'?); known here are first, count, per_encoding",
        ),
        config(
            "a section without keys",
            "training:\n",
            "config.yaml + my.yaml: training: expected 'key: value' lines below it (got null)",
        ),
        config(
            "a list in place of a section",
            "training: [64]\n",
            "config.yaml + my.yaml: training: expected 'key: value' lines below it",
        ),
        config(
            "a word for a number",
            "training: {tokens: many}\n",
            "config.yaml + my.yaml: training.tokens: input should be a valid integer (got 'many')",
        ),
        config(
            "yes for a number",
            "training: {tokens: yes}\n",
            "config.yaml + my.yaml: training.tokens: input should be a valid integer (got true)",
        ),
        config(
            "3e-3, which YAML reads as text",
            "training: {learning_rate: 3e-3}\n",
            "config.yaml + my.yaml: training.learning_rate: input should be a valid number (got '3e-3'); YAML reads 3e-3 as text, write 3.0e-3 or 0.003",
        ),
        config(
            "an infinite number",
            "training: {learning_rate: .inf}\n",
            "config.yaml + my.yaml: training.learning_rate: input should be a finite number (got inf)",
        ),
        config(
            "a number of 5,000 digits",
            f"training: {{tokens: {NUMBERS}}}\n",
            "my.yaml: not valid YAML: Exceeds the limit (4300 digits) for integer string conversion: value has 5000 digits",
        ),
        config(
            "a negative number",
            "training: {tokens: -5}\n",
            "config.yaml + my.yaml: training.tokens: input should be greater than or equal to 1 (got -5)",
        ),
        config(
            "sizes that do not divide",
            "model: {width: 97}\n",
            "config.yaml + my.yaml: model: width 97 is no multiple of heads 3",
        ),
        config(
            "a study's name that leaves the folder",
            "study: ../mine\n",
            "config.yaml + my.yaml: study: '../mine' must be letters, digits, '.', '_' and '-'",
        ),
        config(
            "a study's name of 300 letters",
            f"study: {'x' * 300}\n",
            "config.yaml + my.yaml: study: 'xxxxxxxxxxxxxxxxxxxx...' has 300 characters; at most 100 can name a folder here",
        ),
        config(
            "a number as name", "study: 12\n", "config.yaml + my.yaml: study: input should be a valid string (got 12)"
        ),
        config(
            "a list of arms",
            "arms: [text]\n",
            "my.yaml: arms: expected a map of arms, each with 'key: value' lines, or null to drop it",
        ),
        config(
            "an arm with a key of the study",
            "arms: {text: {claims: mine.yaml}}\n",
            "my.yaml: arms.text.claims: applies to the whole study; move it to the top level",
        ),
        config(
            "every arm dropped",
            "arms: {text: null, retrieval: null}\n",
            "config.yaml + my.yaml: arms: all are dropped; keep or add one",
        ),
        config(
            "a misspelt encoding",
            "encodings: [rope, hop]\n",
            "config.yaml + my.yaml: arms.text: encodings: 'hop' is no encoding (did you mean 'hope'?)",
        ),
        config(
            "an encoding twice",
            "encodings: [rope, rope]\n",
            "config.yaml + my.yaml: arms.text: encodings: 'rope' is listed twice",
        ),
        config(
            "another encoding under a built-in name",
            "definitions: {hope: {family: rope}}\n",
            "config.yaml + my.yaml: arms.text: definitions.hope.family: a built-in encoding has this name, and its family is 'hope'; keep that, or choose another name",
        ),
        config(
            "xPos whose attention cannot be analysed",
            "encodings: [x]\ndefinitions: {x: {family: xpos, settings: {scale_base: 2.0}}}\n",
            "config.yaml + my.yaml: arms.text: encodings: 'x' encodes up to 64 tokens together, but its attention is analysed over training.length, 128; change its settings (base, scale_base), or lower training.length",
        ),
        config(
            "xPos that no number can hold",
            "encodings: [x]\ndefinitions: {x: {family: xpos, settings: {scale_base: 0.005}}}\n",
            "config.yaml + my.yaml: arms.text: definitions.x.settings.scale_base: input should be greater than or equal to 0.03125 (got 0.005)",
        ),
        config(
            "a word for a list",
            "encodings: rope\n",
            "config.yaml + my.yaml: arms.text.encodings: input should be a valid list (got 'rope')",
        ),
        config(
            "a misspelt task",
            "retrieval: {tasks: [recal]}\n",
            "config.yaml + my.yaml: arms.text: retrieval.tasks: 'recal' is no task (did you mean 'recall'?); known are copy, copy_text, decoy, digression, few_shot, induction, mqar, needle, passkey, recall, repeat, rule",
        ),
        config(
            "a percentage for a share",
            "report: {confidence: 95}\n",
            "config.yaml + my.yaml: report.confidence: input should be less than 1 (got 95)",
        ),
        config(
            "a share of the batch below one window",
            "arms: {text: {mixture: {share: 0.05, tasks: {copy: 1.0}}, training: {batch_windows: 8}}}\n",
            "config.yaml + my.yaml: arms.text: mixture.share: 0.05 of a batch of 8 windows rounds to no synthetic window; set it above 0.0625, or raise training.batch_windows",
        ),
        config(
            "a dataset without revision",
            "corpus: {source: hub, hub: {dataset: a/b}}\n",
            "config.yaml + my.yaml: corpus: hub.revision must be a commit of 40 hexadecimal digits, so that reruns agree",
        ),
        config(
            "a password in an address",
            "tracking: {uri: 'https://me:hidden@host'}\n",
            "config.yaml + my.yaml: tracking.uri: a user or password here would be written into the results; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment",
        ),
        config(
            "an averaging factor of 1",
            "training: {betas: [0.9, 1.0]}\n",
            "config.yaml + my.yaml: training.betas.1: input should be less than 1 (got 1.0)",
        ),
        config(
            "a store that is no server",
            "tracking: {uri: 'sqlite:///mine.db'}\n",
            "config.yaml + my.yaml: tracking.uri: expected the address of an MLflow server, http://...",
        ),
        config(
            "a hostfile that is not there",
            "training: {nodes: 2, hostfile: hosts}\n",
            "training.hostfile: there is no file 'hosts'; write one with a line HOST slots=N per node",
        ),
        config(
            "a claims file that is not there",
            "claims: my-claim.yaml\n",
            "my-claim.yaml: there is no such claims file (did you mean 'my.yaml'?)",
        ),
    ],
    "Claims": [
        claims(
            "nothing in it",
            CLAIM,
            "",
            "my-claims.yaml: expected a key 'claims' with a list of claims, as in workflow/claims.yaml",
        ),
        claims(
            "a key twice",
            "    title: t\n",
            "    title: t\n    title: u\n",
            "my-claims.yaml: the key 'title' is in line 3 and again in line 4; keep one of them",
        ),
        claims(
            "an id that is a number", '"1"', "1", "my-claims.yaml: claims.1.id: input should be a valid string (got 1)"
        ),
        claims(
            "no parts",
            "    parts:\n",
            "    parts: []\n    part:\n",
            "my-claims.yaml: claims.1.parts: expected a list of parts, one or more",
        ),
        claims(
            "a misspelt key",
            "direction",
            "dirction",
            "my-claims.yaml: unknown key 'claims.1.parts.p.dirction' (did you mean 'direction'?); known here are id, statement, source, decides, arm, treatment, baseline, direction, kind, smallest_effect, margin, unit, informative, pilot, elsewhere, note (and 1 more)",
        ),
        claims(
            "a misspelt encoding",
            "{encoding: hope",
            "{encoding: hoep",
            "my-claims.yaml: claims.1.parts.p.treatment.encoding: 'hoep' is no encoding (did you mean 'hope'?); a name that another study defines goes into the list 'encodings' of this file",
        ),
        claims(
            "a misspelt measure",
            "hope, measure: octave_loss",
            "hope, measure: octave_los",
            "my-claims.yaml: claims.1.parts.p.treatment: 'octave_los' is no measure (did you mean 'octave_loss'?)",
        ),
        claims(
            "a misspelt arm",
            "arm: text",
            "arm: txt",
            "my-claims.yaml: claims.1.arm: 'txt' is no arm (did you mean 'text'?); a name that another study defines goes into the list 'arms' of this file",
        ),
        claims(
            "a direction that is none",
            "lower",
            "down",
            "my-claims.yaml: claims.1.parts.p.direction: input should be 'lower', 'higher' or 'equal' (got 'down')",
        ),
        claims(
            "a margin that does not go with the kind",
            "smallest_effect",
            "margin",
            "my-claims.yaml: claims.1.parts.p: kind 'superiority' with direction 'lower' takes smallest_effect, and no margin",
        ),
    ],
    "Corpora": [
        corpus(
            "no such folder", {"text/a.txt": "a"}, "corpus.files.paths: 'texts' leads to no file (did you mean 'text'?)"
        ),
        corpus(
            "an empty folder",
            {"texts": None},
            "corpus.files.paths: 'texts' leads to no file: the folder has none; put texts into it",
        ),
        corpus(
            "CSV",
            {"texts/a.csv": "a,b"},
            "corpus.files.paths: 'texts' has no file of a known kind, but '.csv'; convert it to .jsonl or .parquet",
        ),
        corpus(
            "a pickle",
            {"texts/a.pkl": b"\x80\x04"},
            "corpus.files.paths: 'texts' has no file of a known kind, but '.pkl'; pickles are never read, since they can run code; convert it to .parquet",
        ),
        corpus(
            "an empty file",
            {"texts/a.txt": ""},
            "corpus.files.paths: no document with any text (1 empty documents, 0 unreadable files); name files with text",
        ),
        corpus(
            "too short for the held-out documents",
            {"texts/a.txt": "short"},
            "corpus.validation.long_documents: asks for 32 held-out documents of at least 8,000 characters; of 1 documents 0 are as long, and 0 of these can be held out (near copies together, at most half of the text); lower long_documents or long_characters, or add long documents; the whole corpus is one document: split it into several documents",
        ),
        corpus(
            "broken JSON in a row",
            {"texts/a.jsonl": '{"text": "a"}\n{"text": \n'},
            "./texts/a.jsonl:2: not valid JSON (Expecting value at character 1); repair or delete the line",
        ),
        corpus(
            "a row without the field",
            {"texts/a.jsonl": '{"txt": "a"}\n'},
            "./texts/a.jsonl:1: no field 'text' (did you mean 'txt'?); there are txt: set corpus.files.text_field",
        ),
        corpus(
            "a number as text",
            {"texts/a.jsonl": '{"text": 5}\n'},
            "./texts/a.jsonl:1: field 'text' holds int, not text: set corpus.files.text_field",
        ),
        corpus(
            "a row that is a list",
            {"texts/a.jsonl": "[1]\n"},
            "./texts/a.jsonl:1: expected a JSON object with a field 'text'",
        ),
        corpus(
            "half a Parquet file",
            {"texts/a.parquet": b"PAR1\0\0\0\0"},
            "./texts/a.parquet: not a readable Parquet file (Parquet magic bytes not found in footer. Either the file is corrupted or this is not a parquet file.); write it again",
        ),
    ],
    "Tokenizers": [
        config(
            "a vocabulary below the bytes",
            "tokens: {vocabulary: 5}\n",
            "config.yaml + my.yaml: tokens.vocabulary: input should be greater than or equal to 300 (got 5)",
        ),
        config(
            "no such tokenizer",
            "tokens: {tokenizer: pretrained, pretrained: mine}\n",
            "config.yaml + my.yaml: tokens: pretrained: there is no file or folder 'mine'; for a name on the hub, revision must be a commit of 40 hexadecimal digits, so that reruns agree",
        ),
        Kind(
            "broken tokenizer.json",
            ["plan", "--configfile", "my.yaml"],
            "tokens.pretrained: mine/tokenizer.json is no tokenizer.json (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)); give --vocabulary",
            {"my.yaml": "tokens: {tokenizer: pretrained, pretrained: mine}\n", "mine/tokenizer.json": "{"},
        ),
    ],
    "Checkpoints": [
        checkpoint(
            "nothing in the folder",
            {"readme.txt": ""},
            "model: holds neither model.safetensors nor model.safetensors.index.json",
        ),
        checkpoint(
            "broken config.json",
            {"config.json": "{", "model.safetensors": ""},
            "model/config.json: not valid JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)); get a whole copy of the file",
        ),
        checkpoint(
            "a list in config.json",
            {"config.json": "[]", "model.safetensors": ""},
            "model/config.json: holds a list, not a JSON object; get the file from where the others come from",
        ),
        checkpoint(
            "a pickle",
            {"config.json": STOCK, "pytorch_model.bin": b"\x80\x02"},
            "model/pytorch_model.bin: a pickle can run code and is never read; save the checkpoint as safetensors",
        ),
        checkpoint(
            "another architecture",
            {"config.json": '{"model_type": "mamba"}', "model.safetensors": ""},
            "model/config.json: model_type 'mamba' cannot be imported; llama, mistral, phi3 can",
        ),
        checkpoint(
            "cut short",
            {"config.json": STOCK, "model.safetensors": b"\0" * 4},
            "model/model.safetensors: not a safetensors file (Error while deserializing header: header too small)",
        ),
        checkpoint(
            "a header of 2^64 bytes",
            {"config.json": STOCK, "model.safetensors": b"\xff" * 8 + b"{}"},
            "model/model.safetensors: not a safetensors file (Error while deserializing header: header too large)",
        ),
        Kind(
            "no model trained here",
            ["export", "model", "out"],
            "model/config.json: model_type is not 'hope_decoder': not a model trained here",
            {"model/config.json": STOCK},
        ),
        study(
            "broken study.json",
            "status",
            "{",
            "results/mine/study.json: not valid JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)); delete it and run again",
        ),
        study(
            "study.json of a newer version",
            "status",
            '{"format": 99}',
            "results/mine: has format 99, and this version reads 2; install the newer version that wrote it",
        ),
        study("study.json without keys", "sync", "{}", "results/mine/study.json: key 'encodings' is missing"),
    ],
    "Your own encodings and tasks": [
        config(
            "no such module",
            "encodings: [m]\ndefinitions: {m: {family: 'nowhere:Mine'}}\n",
            "definitions.m.family: 'nowhere:Mine' names no module that Python finds from the project's root",
        ),
        config(
            "no class",
            "encodings: [m]\ndefinitions: {m: {family: 'json:'}}\n",
            "definitions.m.family: 'json:' names no class; write module:Class",
        ),
        config(
            "no such task",
            "tasks: {definitions: {m: {task: 'nowhere:Mine'}}}\nretrieval: {tasks: [m]}\n",
            "tasks.definitions.m.task: 'nowhere:Mine' names no module that Python finds from the project's root",
        ),
        encoding(
            "no such class in the file",
            "class Other: pass\n",
            "family: 'mine:Mine' cannot be loaded (module 'mine' has no attribute 'Mine'); name a module that Python finds from the project's root, and a class in it",
        ),
        encoding(
            "no subclass", "class Mine: pass\n", "family: 'mine:Mine' is no subclass of hope.encodings.base.Encoding"
        ),
        encoding(
            "a syntax error",
            "class Mine(:\n",
            "family: 'mine:Mine' cannot be loaded (SyntaxError: invalid syntax (mine.py, line 1)); mend that file",
        ),
        encoding(
            "an import that fails in the file",
            "import helper_of_mine\nclass Mine: pass\n",
            "family: 'mine:Mine' cannot be loaded (ModuleNotFoundError: No module named 'helper_of_mine' at ./mine.py:1); mend that file",
        ),
        encoding(
            "a name that a library does not have",
            "import math\nTURN = math.tao\nclass Mine: pass\n",
            "family: 'mine:Mine' cannot be loaded (AttributeError: module 'math' has no attribute 'tao' at ./mine.py:2); mend that file",
        ),
        encoding(
            "a file that ends the process",
            "import sys\nclass Mine: pass\nsys.exit()\n",
            "family: 'mine:Mine' cannot be loaded (SystemExit at ./mine.py:3); mend that file",
        ),
        encoding(
            "no super().__init__(shape)",
            "from hope.encodings.base import Encoding\nclass Mine(Encoding):\n    def __init__(self, shape):\n        self.size = 1\n",
            "family: the __init__ of mine:Mine must call super().__init__(shape)",
        ),
        own_encoding(
            "a class that is not there",
            OWN,
            "arms.text: definitions.m.family: 'mine:Mien' cannot be loaded (module 'mine' has no attribute 'Mien'); name a module that Python finds from the project's root, and a class in it",
            "family: 'mine:Mien'",
        ),
        own_encoding(
            "a setting that it does not take",
            OWN,
            "arms.text: definitions.m.settings: mine:Mine: got an unexpected keyword argument 'sizee'",
            "family: 'mine:Mine', settings: {sizee: 1}",
        ),
        own_encoding(
            "a setting that its constructor cannot use",
            OWN,
            "arms.text: definitions.m.settings: mine:Mine cannot be made with them (ZeroDivisionError: division by zero at ./mine.py:5); change them, or mend that file",
            "family: 'mine:Mine', settings: {size: 0}",
        ),
        own_encoding(
            "fewer positions than the training length",
            OWN,
            "arms.text: encodings: 'm' ends at position 63, below training.length, 128; change its settings, or lower training.length",
            step="reproduce",
        ),
        encoding(
            "code that raises",
            "raise RuntimeError('no GPU')\n",
            "family: 'mine:Mine' cannot be loaded (RuntimeError: no GPU at ./mine.py:1); mend that file",
        ),
        task(
            "a task's class that is not in its file",
            "class Mine",
            "class Other",
            ".task: 'mine:Mine' cannot be loaded (module 'mine' has no attribute 'Mine'); name a module that Python finds from the project's root, and a class in it",
        ),
        task(
            "a setting that a task does not take",
            "",
            "",
            ".settings: mine:Mine: got an unexpected keyword argument 'alphabett'",
            "{alphabett: 4}",
        ),
        task(
            "a task's setting of a wrong type",
            "alphabet)\n",
            "alphabet // 2)\n",
            ": mine:Mine cannot be built (TypeError: unsupported operand type(s) for //: 'str' and 'int' at ./mine.py:7); mend the class, or settings",
            "{alphabet: many}",
        ),
        task(
            "a task without examples",
            "def example",
            "def exampel",
            ": mine:Mine: it must define example(self, random, length, depth=None)",
        ),
        task(
            "an example that is too short",
            "length)\n        tokens[-1]",
            "length - 1)\n        tokens[-1]",
            ": mine:Mine: an example of 16 tokens: tokens has 15 entries; return exactly as many as asked for",
        ),
        task(
            "tokens that the vocabulary lacks",
            "tokens[-1] = tokens[-2]",
            "tokens[-1] = 5000",
            ": mine:Mine: an example of 16 tokens: tokens holds 5000, but the vocabulary's ids are 0 to 2047",
        ),
        task(
            "token ids that are no integers",
            "Example(tokens",
            "Example(tokens / 1",
            ": mine:Mine: an example of 16 tokens: tokens must be a one-dimensional NumPy array of integers, not float64[16]",
        ),
        task(
            "the first token as an answer",
            "== length - 1",
            ">= 0",
            ": mine:Mine: an example of 16 tokens: answer marks the first token, which no token stands before",
        ),
        task(
            "an example without an answer",
            "== length - 1",
            "== length",
            ": mine:Mine: an example of 16 tokens: answer marks no token",
        ),
        task(
            "random numbers that the project does not seed",
            "random.choice",
            "np.random.choice",
            ": mine:Mine: an example of 16 tokens is another one when it is drawn again; take all randomness from the argument random, and keep nothing between calls",
        ),
        task(
            "an error in a task",
            "tokens[-2]",
            "tokens[length]",
            ": mine:Mine: makes no example of 16 tokens (IndexError: index 16 is out of bounds for axis 0 with size 16 at ./mine.py:11)",
        ),
        line_of(
            "a misspelt setting",
            'check-encoding rope --settings {"bse":1}',
            "unknown key 'definitions.rope.settings.bse' (did you mean 'base'?); known here are base",
        ),
        line_of(
            "settings that are no JSON",
            "check-encoding rope --settings base=1",
            "--settings: not valid JSON (Expecting value: line 1 column 1 (char 0)); write it as '{\"name\": value}'",
        ),
    ],
    "Command lines": [
        line_of(
            "a misspelt command",
            "chekc",
            "'chekc' is no command (did you mean 'check'?); --help lists them; usage: python -m hope [-h] [--version] STEP ...",
            2,
        ),
        line_of(
            "an argument that is missing",
            "sync",
            "the following arguments are required: study; usage: python -m hope sync [-h] [--uri URI] study",
            2,
        ),
        line_of(
            "a port that is no number",
            "ui default --port web",
            "argument --port: invalid int value: 'web'; usage: python -m hope ui [-h] [--port PORT] study",
            2,
        ),
        line_of(
            "no cores",
            "reproduce --cores 0",
            "argument --cores: '0' is no number of cores; give 1 or more, or all; usage: python -m hope reproduce [-h] [--configfile CONFIGFILE [CONFIGFILE ...]] [--cores CORES] ...",
            2,
        ),
        line_of(
            "no such study",
            "ui nowhere",
            "nowhere: there is no such study; results/ has none yet, run 'make reproduce' first",
        ),
        line_of(
            "an unknown GPU",
            "plan --gpu H300",
            "--gpu: 'H300' is not known (did you mean 'H200'?); known are A100-40, A100-80, L40S, RTX4090, H100, H200, B200, or give --flops and --memory",
        ),
        line_of(
            "options that exclude each other",
            "plan --gpu H100 --flops 5",
            "--gpu and --flops exclude each other; give one",
        ),
        line_of("a checkpoint that is not there", "import nowhere out", "nowhere: there is no such folder"),
        line_of(
            "settings without keys",
            "extrapolate --settings {} --model m --data d --output o",
            "key '--settings.extrapolation' is missing (and 1 more)",
        ),
    ],
}


def page() -> str:
    """Return the text of ``docs/errors.md``."""
    number = sum(map(len, KINDS.values()))
    lines = [
        "# Bad input, and what is printed",
        "",
        "A mistake in your input is one line on the error stream. It begins with `hope: error:` and names the file or key and",
        "the remedy. The exit status is 1, or 2 for a wrong command line. Nothing that was already made is changed.",
        f"Below are {number} kinds of mistakes, each with its line. A test makes each of them and compares the line;",
        "`make docs` writes this page. `.` stands for the project's folder.",
    ]
    for topic, kinds in KINDS.items():
        lines += ["", f"## {topic}", "", "| mistake | line |", "|---|---|"]
        lines += [f"| {kind.given} | `{_cell(kind.line)}` |" for kind in kinds]
    return "\n".join(lines) + "\n"


def _cell(line: str) -> str:
    return line.replace("|", "\\|").replace("`", "'")


if __name__ == "__main__":
    print(page(), end="")
