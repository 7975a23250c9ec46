rule resolve_config:
    """Write the study's config with all defaults filled in."""
    output:
        PATHS.config,
    log:
        PATHS.logs / "resolve_config.log",
    # Runs first, because `python -m hope status NAME` reads its output.
    priority: 2000
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=500,
        disk_mb=100,
        runtime=5,
    params:
        settings=settings(STUDY),
    message:
        "resolve the config"
    shell:
        "python -m hope resolve --settings {params.settings:q} --output {output:q} > {log:q} 2>&1"


rule write_symbols:
    """Write a vocabulary of symbols, for models that read no text."""
    output:
        **outputs("write-symbols", DATA),
    log:
        PATHS.logs / "write_symbols" / "{data}.log",
    wildcard_constraints:
        data=one_of(READERS.keys() - TEXTS),
    conda:
        "../../envs/torch.yaml"
    # Asks for all cores, so that on one machine no training of these models starts before `check_lengths` is done.
    threads: 1024
    resources:
        mem_mb=500,
        disk_mb=100,
        runtime=5,
    params:
        symbols=lambda wildcards: arm_of(wildcards).symbols,
        folder=subpath(output.train, ancestor=2),
    message:
        "write the vocabulary {wildcards.data}"
    shell:
        "python -m hope write-symbols --symbols {params.symbols:q} --output {params.folder:q} > {log:q} 2>&1"


rule check_lengths:
    """Check that the held-out documents are long enough, and own tasks right, before any model is trained."""
    input:
        validation=of_arm(DATA / "validation" / "manifest.json"),
        tasks=lambda wildcards: FILES[wildcards.arm].tasks,
    output:
        PATHS.root / "data" / "lengths" / "{arm}.json",
    log:
        PATHS.logs / "check_lengths" / "{arm}.log",
    # Not an input of the trainings: they would run again after every change of an evaluation length, and `ancient`
    # would hide such a change from later rules. High priority and all cores, as in `tokenize_corpus`, make it run
    # before any training on one machine.
    priority: 1000
    conda:
        "../../envs/torch.yaml"
    threads: 1024
    resources:
        mem_mb=1000,
        disk_mb=100,
        runtime=10,
    params:
        settings=settings(lambda arm: arm.length_stage()),
        data=data_of,
    message:
        "check that documents are long enough for {wildcards.arm}"
    shell:
        "python -m hope check-lengths --settings {params.settings:q} --data {params.data:q}"
        " --output {output:q} > {log:q} 2>&1"
