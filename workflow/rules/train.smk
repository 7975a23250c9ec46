for ARM, SETTINGS in STUDY.arms.items():

    # One rule per arm, because arms differ in their snapshots and may need different machines.
    rule:
        """Train one model, from its last checkpoint if there is one."""
        name:
            f"train_{ARM}"
        input:
            train=PATHS.data(SETTINGS.data_key) / "train" / "manifest.json",
            tokenizer=PATHS.data(SETTINGS.data_key) / "tokenizer" / "tokenizer.json",
            encoding=lambda wildcards: FILES[wildcards.arm].encodings[wildcards.encoding],
            tasks=FILES[ARM].trained_tasks,
        output:
            **TRAINED,
            snapshots=snapshot_files(RUN.model, SETTINGS.training.snapshot_steps),
        log:
            PATHS.logs / "train_model" / "{arm}" / "{encoding}-seed{seed}.log",
        wildcard_constraints:
            arm=one_of([ARM]),
        # A job that was submitted to a cluster is started again by the snakemake that submitted it.
        retries: 0 if workflow.remote_exec else SETTINGS.training.retries
        conda:
            "../../envs/torch.yaml"
        threads: SETTINGS.training.processes * SETTINGS.training.threads
        resources:
            mem_mb=4000 * SETTINGS.training.processes,
            disk_mb=4000,
            runtime=24 * 60,
        params:
            settings=training_settings,
            data=PATHS.data(SETTINGS.data_key),
            folder=subpath(output.model, parent=True),
            # Not an output: Snakemake deletes the outputs of a failed job, and a retry resumes from checkpoints.
            checkpoints=PATHS.checkpoints,
            # The target of metrics does not affect the model. Snakemake does not record params that depend on
            # outputs, so a change of this value trains nothing again.
            tracking=lambda wildcards, output: LIVE_TRACKING,
            # The same holds for where a training runs, how often it logs, and which snapshots it keeps: a missing
            # snapshot is a missing output.
            launch=lambda wildcards, output: json.dumps(arm_of(wildcards).training.where_it_runs(), sort_keys=True),
        message:
            "train {wildcards.encoding} in {wildcards.arm}, seed {wildcards.seed}"
        shell:
            "python -m hope train --settings {params.settings:q} --data {params.data:q} --output {params.folder:q}"
            " --checkpoints {params.checkpoints:q} --tracking={params.tracking:q} --launch {params.launch:q} > {log:q} 2>&1"
