rule initialise_tracking:
    """Make the tracking store before anything writes to it."""
    output:
        PATHS.tracking / "initialised.json",
    log:
        PATHS.logs / "initialise_tracking.log",
    # No input of the trainings: a store that is made anew must not train anything. A training that finds no
    # store goes on without live metrics, and sync_tracking brings them later.
    priority: 100
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=1000,
        disk_mb=100,
        runtime=10,
    params:
        study=PATHS.root,
        uri=TRACKING_URI,
    message:
        "make the tracking store"
    shell:
        "python -m hope init-tracking --study {params.study:q} --uri={params.uri:q} --output {output:q} > {log:q} 2>&1"


rule train_model:
    """Train one model, from its last checkpoint if there is one."""
    input:
        train=rules.tokenize_corpus.output.train,
        tokenizer=rules.tokenize_corpus.output.tokenizer,
        encoding=lambda wildcards: ENCODING_FILES[wildcards.encoding],
        tasks=TRAINED_TASK_FILES,
    output:
        model=RUN.model / "model.safetensors",
        config=RUN.model / "config.json",
        history=RUN.model / "history.parquet",
        record=RUN.model / "run.json",
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
        # The same holds for where a training runs, and for how often it logs.
        launch=lambda wildcards, output: json.dumps(STUDY.training.where_it_runs(), sort_keys=True),
    message:
        "train {wildcards.encoding}, seed {wildcards.seed}"
    shell:
        "python -m hope train --settings {params.settings:q} --data {params.data:q} --output {params.folder:q}"
        " --checkpoints {params.checkpoints:q} --tracking={params.tracking:q} --launch {params.launch:q} > {log:q} 2>&1"
