for ARM, SETTINGS in STUDY.arms.items():

    # A rule for each arm: their snapshots differ, and so may the machines that they want.
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
        retries: 2
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
            # No output: Snakemake deletes those of a failed job, and with them what a retry resumes from.
            checkpoints=PATHS.checkpoints,
            # Where metrics go does not touch the model. Snakemake forgets a value that is derived from outputs, so a
            # change of this one trains nothing anew.
            tracking=lambda wildcards, output: LIVE_TRACKING,
            # The same holds for where a training runs, how often it logs, and which weights it keeps on the way: a
            # snapshot that is not there is an output that is missing.
            launch=lambda wildcards, output: json.dumps(arm_of(wildcards).training.where_it_runs(), sort_keys=True),
        message:
            "train {wildcards.encoding} in {wildcards.arm}, seed {wildcards.seed}"
        shell:
            "python -m hope train --settings {params.settings:q} --data {params.data:q} --output {params.folder:q}"
            " --checkpoints {params.checkpoints:q} --tracking={params.tracking:q} --launch {params.launch:q} > {log:q} 2>&1"
