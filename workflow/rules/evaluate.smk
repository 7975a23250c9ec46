rule evaluate_extrapolation:
    """Measure the loss of one model past its training length."""
    input:
        model=rules.train_model.output.model,
        config=rules.train_model.output.config,
        validation=rules.tokenize_corpus.output.validation,
    output:
        **outputs("extrapolate", RUN.evaluation),
    log:
        PATHS.logs / "evaluate_extrapolation" / "{encoding}-seed{seed}.log",
    conda:
        "../../envs/torch.yaml"
    threads: STUDY.extrapolation.threads
    resources:
        mem_mb=4000,
        disk_mb=1000,
        runtime=240,
    params:
        settings=settings(STUDY.extrapolation_stage()),
        model=subpath(input.model, parent=True),
        data=subpath(input.validation, ancestor=2),
        folder=subpath(output.positions, parent=True),
    message:
        "evaluate {wildcards.encoding}, seed {wildcards.seed}, past the training length"
    shell:
        "python -m hope extrapolate --settings {params.settings:q} --model {params.model:q} --data {params.data:q}"
        " --output {params.folder:q} > {log:q} 2>&1"


rule evaluate_retrieval:
    """Score one model on the retrieval tasks."""
    input:
        model=rules.train_model.output.model,
        config=rules.train_model.output.config,
        validation=rules.tokenize_corpus.output.validation,
        tasks=FILES.tasks,
    output:
        **outputs("retrieve", RUN.evaluation),
    log:
        PATHS.logs / "evaluate_retrieval" / "{encoding}-seed{seed}.log",
    conda:
        "../../envs/torch.yaml"
    threads: STUDY.retrieval.threads
    resources:
        mem_mb=4000,
        disk_mb=1000,
        runtime=240,
    params:
        settings=settings(STUDY.retrieval_stage()),
        model=subpath(input.model, parent=True),
        data=subpath(input.validation, ancestor=2),
        folder=subpath(output.scores, parent=True),
    message:
        "evaluate {wildcards.encoding}, seed {wildcards.seed}, on retrieval"
    shell:
        "python -m hope retrieve --settings {params.settings:q} --model {params.model:q} --data {params.data:q}"
        " --output {params.folder:q} > {log:q} 2>&1"
