rule initialise_tracking:
    """Create the tracking store before anything writes to it."""
    output:
        PATHS.tracking / "initialised.json",
    log:
        PATHS.logs / "initialise_tracking.log",
    # Not an input of the trainings: creating the store again must not train anything. A training without a store
    # logs no live metrics; sync_tracking adds them later.
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
        "create the tracking store"
    shell:
        "python -m hope init-tracking --study {params.study:q} --uri={params.uri:q} --output {output:q} > {log:q} 2>&1"


rule sync_tracking:
    """Update the tracking store from the study's files."""
    input:
        store=rules.initialise_tracking.output,
        report=rules.write_report.output,
    output:
        touch(PATHS.tracking / "synced"),
    log:
        PATHS.logs / "sync_tracking.log",
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        disk_mb=4000,
        runtime=60,
    params:
        study=PATHS.root,
        uri=lambda wildcards, output: TRACKING_URI,
    message:
        "update the tracking store"
    shell:
        "python -m hope sync {params.study:q} --uri={params.uri:q} > {log:q} 2>&1"
