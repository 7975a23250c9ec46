CORPORA = {key: STUDY.arms[READERS[key]].corpus for key in TEXTS}
# The parts of each corpus of several shards; a single shard needs no jobs of its own.
SHARDED = {key: [f"{part:05d}" for part in range(of.parts)] for key, of in CORPORA.items() if of.shards > 1}
READ = outputs("read-part", part_folder(CORPUS, "{part}"))


rule read_part:
    """Read and clean one part of the documents."""
    output:
        texts=READ["texts"],
        description=READ["description"],
        lines=temp(READ["lines"]),
        runs=temp(READ["runs"]),
        phrases=temp(READ["phrases"]),
    log:
        PATHS.logs / "read_part" / "{data}" / "{part}.log",
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
        settings=settings(lambda arm: arm.corpus.what_it_holds()),
        preparation=lambda wildcards, output: json.dumps(arm_of(wildcards).corpus.how_it_is_prepared()),
        state=lambda wildcards: FILES[first_arm(wildcards)].corpus_state,
        folder=subpath(output.texts, parent=True),
    message:
        "read part {wildcards.part} of the corpus {wildcards.data}"
    shell:
        "python -m hope read-part --settings {params.settings:q} --preparation {params.preparation:q}"
        " --part {wildcards.part:q} --output {params.folder:q} > {log:q} 2>&1"


rule prepare_corpus:
    """Clean and split the documents."""
    input:
        parts=lambda wildcards: expand(READ.values(), data=wildcards.data, part=SHARDED.get(wildcards.data, [])),
    output:
        **outputs("prepare-corpus", CORPUS),
    log:
        PATHS.logs / "prepare_corpus" / "{data}.log",
    wildcard_constraints:
        data=one_of(TEXTS),
    priority: 1000
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=lambda wildcards: arm_of(wildcards).corpus.memory_mb,
        disk_mb=8000,
        runtime=240,
    params:
        settings=settings(lambda arm: arm.corpus.what_it_holds()),
        preparation=lambda wildcards, output: json.dumps(arm_of(wildcards).corpus.how_it_is_prepared()),
        state=lambda wildcards: FILES[first_arm(wildcards)].corpus_state,
        folder=subpath(output.corpus, parent=True),
    message:
        "prepare the corpus {wildcards.data}"
    shell:
        "python -m hope prepare-corpus --settings {params.settings:q} --preparation {params.preparation:q}"
        " --output {params.folder:q} > {log:q} 2>&1"
