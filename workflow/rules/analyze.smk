rule analyze_attention:
    """Measure where the attention heads of one model attend."""
    input:
        **MODEL,
        validation=of_arm(rules.tokenize_corpus.output.validation),
    output:
        **outputs("analyze-attention", RUN.analysis, without=ROTARY_TABLES),
    log:
        PATHS.logs / "analyze_attention" / "{arm}" / "{encoding}-seed{seed}.log",
    wildcard_constraints:
        encoding=one_of(ENCODINGS - ROTARY),
    conda:
        "../../envs/torch.yaml"
    threads: lambda wildcards: arm_of(wildcards).analysis.threads
    resources:
        mem_mb=4000,
        disk_mb=1000,
        runtime=240,
    params:
        settings=settings(lambda arm: arm.analysis),
        model=subpath(input.model, parent=True),
        data=data_of,
        folder=subpath(output.profile, parent=True),
    message:
        "analyze the attention of {wildcards.encoding} in {wildcards.arm}, seed {wildcards.seed}"
    shell:
        "python -m hope analyze-attention --settings {params.settings:q} --model {params.model:q} --data {params.data:q}"
        " --output {params.folder:q} > {log:q} 2>&1"


use rule analyze_attention as analyze_components with:
    output:
        **outputs("analyze-attention", RUN.analysis),
    wildcard_constraints:
        encoding=one_of(ENCODINGS & ROTARY),


rule analyze_dynamics:
    """Measure where the attention heads of one model attend at the snapshots of its training."""
    input:
        **MODEL,
        snapshots=snapshots_of,
        validation=of_arm(rules.tokenize_corpus.output.validation),
    output:
        **outputs("analyze-dynamics", RUN.analysis),
    log:
        PATHS.logs / "analyze_dynamics" / "{arm}" / "{encoding}-seed{seed}.log",
    conda:
        "../../envs/torch.yaml"
    threads: lambda wildcards: arm_of(wildcards).analysis.threads
    resources:
        mem_mb=4000,
        disk_mb=1000,
        runtime=240,
    params:
        settings=settings(lambda arm: arm.dynamics_stage()),
        model=subpath(input.model, parent=True),
        data=data_of,
        folder=subpath(output.dynamics, parent=True),
    message:
        "analyze the training of {wildcards.encoding} in {wildcards.arm}, seed {wildcards.seed}"
    shell:
        "python -m hope analyze-dynamics --settings {params.settings:q} --model {params.model:q}"
        " --data {params.data:q} --output {params.folder:q} > {log:q} 2>&1"


rule compute_theory:
    """Compute the mean kernels of the rotary encodings; this needs no trained model."""
    output:
        **outputs("theory", PATHS.theory("{arm}")),
    log:
        PATHS.logs / "compute_theory" / "{arm}.log",
    conda:
        "../../envs/torch.yaml"
    resources:
        mem_mb=1000,
        disk_mb=100,
        runtime=30,
    params:
        settings=settings(lambda arm: arm.theory_stage()),
        folder=subpath(output.kernel, parent=True),
    message:
        "compute the decay of the rotary kernels of {wildcards.arm}"
    shell:
        "python -m hope theory --settings {params.settings:q} --output {params.folder:q} > {log:q} 2>&1"
