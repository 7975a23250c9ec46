OF_PART = outputs("tokenize-part", part_folder(DATA, "{part}"))
TOKENS = outputs("tokenize", DATA)
TOKENIZER = [TOKENS["tokenizer"], TOKENS["tokenizer_config"]]


rule tokenize_corpus:
    """Fit or load the tokenizer and write the token shards."""
    input:
        documents=rules.prepare_corpus.output.documents,
        corpus=rules.prepare_corpus.output.corpus,
    output:
        **TOKENS,
    log:
        PATHS.logs / "tokenize_corpus" / "{data}.log",
    wildcard_constraints:
        data=one_of(TEXTS - SHARDED.keys()),
    priority: 1000
    conda:
        "../../envs/torch.yaml"
    threads: 1024
    resources:
        mem_mb=8000,
        disk_mb=8000,
        runtime=240,
    params:
        settings=settings(lambda arm: arm.tokens),
        state=lambda wildcards: FILES[first_arm(wildcards)].tokenizer_state,
        corpus=subpath(input.corpus, parent=True),
        folder=subpath(output.train, ancestor=2),
    message:
        "tokenize the corpus {wildcards.data}"
    shell:
        "python -m hope tokenize --settings {params.settings:q} --corpus {params.corpus:q}"
        " --output {params.folder:q} > {log:q} 2>&1"


rule fit_tokenizer:
    """Fit the tokenizer on documents of all parts, or load it."""
    input:
        corpus=rules.prepare_corpus.output.corpus,
        texts=lambda wildcards: expand(READ["texts"], data=wildcards.data, part=SHARDED[wildcards.data]),
    output:
        **outputs("fit-tokenizer", DATA / "tokenizer"),
    log:
        PATHS.logs / "fit_tokenizer" / "{data}.log",
    wildcard_constraints:
        data=one_of(SHARDED),
    priority: 1000
    conda:
        "../../envs/torch.yaml"
    threads: 1024
    resources:
        mem_mb=8000,
        disk_mb=1000,
        runtime=240,
    params:
        settings=settings(lambda arm: arm.tokens),
        state=lambda wildcards: FILES[first_arm(wildcards)].tokenizer_state,
        corpus=subpath(input.corpus, parent=True),
        folder=subpath(output.tokenizer, parent=True),
    message:
        "fit or load the tokenizer of {wildcards.data}"
    shell:
        "python -m hope fit-tokenizer --settings {params.settings:q} --corpus {params.corpus:q}"
        " --output {params.folder:q} > {log:q} 2>&1"


rule tokenize_part:
    """Tokenize one part of the documents."""
    input:
        corpus=rules.prepare_corpus.output.corpus,
        texts=READ["texts"],
        tokenizer=rules.fit_tokenizer.output.tokenizer,
    output:
        **{name: temp(path) for name, path in OF_PART.items()},
    log:
        PATHS.logs / "tokenize_part" / "{data}" / "{part}.log",
    wildcard_constraints:
        data=one_of(SHARDED),
    priority: 1000
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=lambda wildcards: arm_of(wildcards).corpus.memory_mb,
        disk_mb=4000,
        runtime=240,
    params:
        corpus=subpath(input.corpus, parent=True),
        tokenizer=subpath(input.tokenizer, parent=True),
        memory=lambda wildcards, output: arm_of(wildcards).corpus.memory_mb,
        folder=subpath(output.train, parent=True),
    message:
        "tokenize part {wildcards.part} of the corpus {wildcards.data}"
    shell:
        "python -m hope tokenize-part --corpus {params.corpus:q} --tokenizer {params.tokenizer:q}"
        " --part {wildcards.part:q} --memory-mb {params.memory:q} --output {params.folder:q} > {log:q} 2>&1"


rule join_tokens:
    """Join the tokens of all parts and write the token shards."""
    input:
        corpus=rules.prepare_corpus.output.corpus,
        tokenizer=rules.fit_tokenizer.output.tokenizer,
        parts=lambda wildcards: expand(OF_PART.values(), data=wildcards.data, part=SHARDED[wildcards.data]),
    output:
        **{name: path for name, path in TOKENS.items() if path not in TOKENIZER},
    log:
        PATHS.logs / "join_tokens" / "{data}.log",
    wildcard_constraints:
        data=one_of(SHARDED),
    priority: 1000
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=4000,
        disk_mb=8000,
        runtime=120,
    params:
        settings=settings(lambda arm: arm.tokens),
        corpus=subpath(input.corpus, parent=True),
        folder=subpath(output.train, ancestor=2),
    message:
        "join the tokens of {wildcards.data}"
    shell:
        "python -m hope join-tokens --settings {params.settings:q} --corpus {params.corpus:q}"
        " --output {params.folder:q} > {log:q} 2>&1"
