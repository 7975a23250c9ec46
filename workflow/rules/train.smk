rule train_model:
    """Train one model, from its last checkpoint if there is one."""
    input:
        train=rules.tokenize_corpus.output.train,
        tokenizer=rules.tokenize_corpus.output.tokenizer,
        encoding=lambda wildcards: FILES.encodings[wildcards.encoding],
        tasks=FILES.trained_tasks,
    output:
        **outputs("train", RUN.model),
        snapshots=SNAPSHOT_FILES,
    log:
        PATHS.logs / "train_model" / "{encoding}-seed{seed}.log",
    retries: 2
    conda:
        "../../envs/torch.yaml"
    threads: STUDY.training.processes * STUDY.training.threads
    resources:
        mem_mb=4000 * STUDY.training.processes,
        disk_mb=4000,
        runtime=24 * 60,
    params:
        settings=training_settings,
        data=subpath(input.train, ancestor=2),
        folder=subpath(output.model, parent=True),
        # No output: Snakemake deletes those of a failed job, and with them what a retry resumes from.
        checkpoints=PATHS.checkpoints,
        # Where metrics go does not touch the model. Snakemake forgets a value that is derived from outputs, so a
        # change of this one trains nothing anew.
        tracking=lambda wildcards, output: LIVE_TRACKING,
        # The same holds for where a training runs, how often it logs, and which weights it keeps on the way: a
        # snapshot that is not there is an output that is missing.
        launch=lambda wildcards, output: json.dumps(STUDY.training.where_it_runs(), sort_keys=True),
    message:
        "train {wildcards.encoding}, seed {wildcards.seed}"
    shell:
        "python -m hope train --settings {params.settings:q} --data {params.data:q} --output {params.folder:q}"
        " --checkpoints {params.checkpoints:q} --tracking={params.tracking:q} --launch {params.launch:q} > {log:q} 2>&1"
