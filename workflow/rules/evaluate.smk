rule evaluate_extrapolation:
    """Measure the loss of one model past its training length."""
    input:
        **MODEL,
        validation=of_arm(rules.tokenize_corpus.output.validation),
    output:
        **outputs("extrapolate", RUN.evaluation),
    log:
        PATHS.logs / "evaluate_extrapolation" / "{arm}" / "{encoding}-seed{seed}.log",
    conda:
        "../../envs/torch.yaml"
    threads: lambda wildcards: arm_of(wildcards).extrapolation.threads
    resources:
        mem_mb=4000,
        disk_mb=1000,
        runtime=240,
    params:
        settings=settings(lambda arm: arm.extrapolation_stage()),
        model=subpath(input.model, parent=True),
        data=data_of,
        folder=subpath(output.positions, parent=True),
    message:
        "evaluate {wildcards.encoding} in {wildcards.arm}, seed {wildcards.seed}, past the training length"
    shell:
        "python -m hope extrapolate --settings {params.settings:q} --model {params.model:q} --data {params.data:q}"
        " --output {params.folder:q} > {log:q} 2>&1"


rule evaluate_retrieval:
    """Score one model on the retrieval tasks."""
    input:
        **MODEL,
        validation=of_arm(DATA / "validation" / "manifest.json"),
        tasks=lambda wildcards: FILES[wildcards.arm].tasks,
    output:
        **outputs("retrieve", RUN.evaluation),
    log:
        PATHS.logs / "evaluate_retrieval" / "{arm}" / "{encoding}-seed{seed}.log",
    conda:
        "../../envs/torch.yaml"
    threads: lambda wildcards: arm_of(wildcards).retrieval.threads
    resources:
        mem_mb=4000,
        disk_mb=1000,
        runtime=240,
    params:
        settings=settings(lambda arm: arm.retrieval_stage()),
        model=subpath(input.model, parent=True),
        data=data_of,
        folder=subpath(output.scores, parent=True),
    message:
        "evaluate {wildcards.encoding} in {wildcards.arm}, seed {wildcards.seed}, on retrieval"
    shell:
        "python -m hope retrieve --settings {params.settings:q} --model {params.model:q} --data {params.data:q}"
        " --output {params.folder:q} > {log:q} 2>&1"
